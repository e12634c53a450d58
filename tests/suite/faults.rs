//! One system call of ADD or DEL fails, each in turn, as under memory pressure: ADD then happens wholly or leaves nothing
//! behind by itself, and the DEL that follows leaves nothing in any case.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testbed::trace::Faulted;
use testbed::world::{Pod, State, World, is_fixture};

/// A bound for the loops, far above the number of points of any verb.
const MOST_POINTS: usize = 2_000;

fn chained(world: &World) -> (Pod, Value) {
    let (pod, previous) = world.pod_with_primary();
    // A lost answer of the kernel is waited for until the deadline.
    let conf = json!({"default": ["control", "media"], "deadline": 2, "prevResult": previous});
    (pod, world.conf(conf))
}

fn state(world: &World, pods: &[&Pod]) -> State {
    world.state(pods).without(is_fixture)
}

fn every_point(verb: &str, mut attempt: impl FnMut(usize) -> Faulted) -> usize {
    let mut failed: BTreeMap<&str, usize> = BTreeMap::new();
    for point in 1..MOST_POINTS {
        let Some(call) = attempt(point).call else {
            #[expect(clippy::print_stdout, reason = "which calls failed, for a person who asks")]
            {
                println!("{verb} had {} calls fail, one at a time: {failed:?}", point - 1);
            }
            return point - 1;
        };
        *failed.entry(call).or_default() += 1;
    }
    unreachable!("{verb} has no end within {MOST_POINTS} system calls")
}

#[test]
fn an_add_in_which_a_call_fails_happens_wholly_or_leaves_nothing() {
    let world = World::new();
    let (first, conf) = chained(&world);
    world.add(&first, &conf);
    world.del(&first, &conf);
    let mut faults = Vec::new();

    let points = every_point("ADD", |point| {
        let (pod, conf) = chained(&world);
        let before = state(&world, &[&pod]);

        let faulted = world.call_failing("ADD", &pod.environment(), &conf, point);

        // Where the answer itself could not be written, everything was done, and the runtime's DEL undoes it.
        if faulted.status != Some(0) && !faulted.stdout.is_empty() {
            let left = before.difference(&state(&world, &[&pod]));
            if !left.is_empty() {
                let left: String = left.join("; ").chars().take(400).collect();
                faults.push(format!("{point} {faulted:?}: {left}"));
            }
        }
        world.del(&pod, &conf);
        let left = before.difference(&state(&world, &[&pod]));
        assert_eq!(left, Vec::<String>::new(), "after DEL, point {point}, {faulted:?}");
        world.on_node(&format!("link del prim{}", &pod.container[1..]));
        faulted
    });

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    assert!(points > 30, "the harness reaches every point: {points}");
}

#[test]
fn a_del_in_which_a_call_fails_is_finished_by_the_next_one() {
    let world = World::new();

    let points = every_point("DEL", |point| {
        let (pod, conf) = chained(&world);
        let before = state(&world, &[&pod]);
        world.add(&pod, &conf);

        let faulted = world.call_failing("DEL", &pod.environment(), &conf, point);

        if faulted.status == Some(0) {
            let left = before.difference(&state(&world, &[&pod]));
            assert_eq!(
                left,
                Vec::<String>::new(),
                "a DEL that says it succeeded has, point {point}, {faulted:?}"
            );
        }
        world.del(&pod, &conf);
        let left = before.difference(&state(&world, &[&pod]));
        assert_eq!(left, Vec::<String>::new(), "point {point}, {faulted:?}");
        world.on_node(&format!("link del prim{}", &pod.container[1..]));
        faulted
    });

    assert!(points > 10, "the harness reaches every point: {points}");
}
