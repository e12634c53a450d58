//! One system call of ADD or DEL fails, each in turn, as under memory pressure: ADD then happens wholly or leaves nothing
//! behind by itself, and the DEL that follows leaves nothing in any case.

use serde_json::{Value, json};
use testbed::world::{Pod, World};

use super::points::{self, every_point, forget_primary};

/// A lost answer of the kernel is waited for until the deadline.
fn chained(world: &World) -> (Pod, Value) {
    points::chained(world, json!({"deadline": 2}))
}

#[test]
fn an_add_in_which_a_call_fails_happens_wholly_or_leaves_nothing() {
    let world = World::new();
    let (first, conf) = chained(&world);
    world.add(&first, &conf);
    world.del(&first, &conf);
    let mut faults = Vec::new();

    let points = every_point("a call of ADD failed", |point| {
        let (pod, conf) = chained(&world);
        let before = world.lasting(&[&pod]);

        let faulted = world.call_failing("ADD", &pod.environment(), &conf, point);

        // Where the answer itself could not be written, everything was done, and the runtime's DEL undoes it.
        if faulted.status != Some(0) && !faulted.stdout.is_empty() {
            let left = before.difference(&world.lasting(&[&pod]));
            if !left.is_empty() {
                let left: String = left.join("; ").chars().take(400).collect();
                faults.push(format!("{point} {faulted:?}: {left}"));
            }
        }
        world.del(&pod, &conf);
        let left = before.difference(&world.lasting(&[&pod]));
        assert_eq!(left, Vec::<String>::new(), "after DEL, point {point}, {faulted:?}");
        forget_primary(&world, &pod);
        faulted.call
    });

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    assert!(points > 30, "the harness reaches every point: {points}");
}

#[test]
fn a_del_in_which_a_call_fails_is_finished_by_the_next_one() {
    let world = World::new();

    let points = every_point("a call of DEL failed", |point| {
        let (pod, conf) = chained(&world);
        let before = world.lasting(&[&pod]);
        world.add(&pod, &conf);

        let faulted = world.call_failing("DEL", &pod.environment(), &conf, point);

        if faulted.status == Some(0) {
            let left = before.difference(&world.lasting(&[&pod]));
            assert_eq!(
                left,
                Vec::<String>::new(),
                "a DEL that says it succeeded has, point {point}, {faulted:?}"
            );
        }
        world.del(&pod, &conf);
        let left = before.difference(&world.lasting(&[&pod]));
        assert_eq!(left, Vec::<String>::new(), "point {point}, {faulted:?}");
        forget_primary(&world, &pod);
        faulted.call
    });

    assert!(points > 10, "the harness reaches every point: {points}");
}
