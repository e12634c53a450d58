//! Killed at any instruction, the DEL or GC that follows leaves nothing, and no address is lost or given twice.
//!
//! By default the binary is killed after each system call that may change something; between two of them the state is the
//! same. The points that were hit are printed (`--nocapture`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::real::poll::{PATIENCE, eventually};
use testbed::trace::Outcome;
use testbed::world::{Pod, State, World, is_fixture, laid_over};

/// A bound for the loops, far above the number of points of any verb.
const MOST_POINTS: usize = 2_000;

/// A chained pod with an adopted primary and two planes, which is the most that ADD has to undo.
fn chained(world: &World) -> (Pod, Value) {
    let (pod, previous) = world.pod_with_primary();
    (pod, world.conf(json!({"default": ["control", "media"], "prevResult": previous})))
}

fn state(world: &World, pods: &[&Pod]) -> State {
    world.state(pods).without(is_fixture)
}

/// Runs `attempt` for each point until the program ends by itself; the names of the calls after which it was killed.
fn every_point(verb: &str, mut attempt: impl FnMut(usize) -> Outcome) -> usize {
    let mut hit: BTreeMap<&str, usize> = BTreeMap::new();
    for point in 1..MOST_POINTS {
        match attempt(point) {
            Outcome::Killed { call } => *hit.entry(call).or_default() += 1,
            Outcome::Ended { status, stdout } => {
                assert_eq!(status, 0, "an unharmed {verb} succeeds: {stdout}");
                #[expect(clippy::print_stdout, reason = "which points were hit, for a person who asks")]
                {
                    println!("{verb} was killed at {} points: {hit:?}", point - 1);
                }
                return point - 1;
            }
        }
    }
    unreachable!("{verb} has no end within {MOST_POINTS} system calls")
}

#[test]
fn an_add_killed_anywhere_is_cleaned_up_by_the_del_that_follows() {
    let world = World::new();
    // Directories and bridges are fixtures of the node: they exist before the first comparison.
    let (first, conf) = chained(&world);
    world.add(&first, &conf);
    world.del(&first, &conf);

    let points = every_point("ADD", |point| {
        let (pod, conf) = chained(&world);
        let before = state(&world, &[&pod]);

        let outcome = world.call_killed("ADD", &pod.environment(), &conf, point);
        // As recorded: after a failed ADD the DEL comes without the previous result.
        world.del(&pod, &laid_over(conf, json!({"prevResult": "DELETE"})));

        let difference = before.difference(&state(&world, &[&pod]));
        assert_eq!(difference, Vec::<String>::new(), "killed at point {point} ({outcome:?})");
        world.on_node(&format!("link del prim{}", &pod.container[1..]));
        outcome
    });

    assert!(points > 30, "the harness reaches every point: {points}");
}

#[test]
fn an_add_killed_anywhere_is_collected_when_its_namespace_is_gone() {
    let world = World::new();
    let conf = world.conf(json!({"always": ["control", "media"], "default": []}));
    let first = world.pod();
    world.add(&first, &conf);
    world.del(&first, &conf);
    let before = state(&world, &[]);

    every_point("ADD", |point| {
        let pod = world.pod();
        let outcome = world.call_killed("ADD", &pod.environment(), &conf, point);
        drop(pod);
        let collect = laid_over(conf.clone(), json!({"cni.dev/valid-attachments": []}));
        let answer = world.call("GC", &Environment::none(), &collect);
        assert_eq!(answer.status, Some(0), "{}", answer.stdout);
        // The kernel ends a namespace some time after its last user.
        let deadline = Instant::now() + PATIENCE;
        while before != state(&world, &[]) {
            let left = before.difference(&state(&world, &[]));
            assert!(Instant::now() < deadline, "killed at point {point} ({outcome:?}): {left:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        outcome
    });
}

#[test]
fn a_del_killed_anywhere_is_finished_by_the_next_one() {
    let world = World::new();

    let points = every_point("DEL", |point| {
        let (pod, conf) = chained(&world);
        let before = state(&world, &[&pod]);
        world.add(&pod, &conf);

        let outcome = world.call_killed("DEL", &pod.environment(), &conf, point);
        world.del(&pod, &conf);

        let difference = before.difference(&state(&world, &[&pod]));
        assert_eq!(difference, Vec::<String>::new(), "killed at point {point} ({outcome:?})");
        world.on_node(&format!("link del prim{}", &pod.container[1..]));
        outcome
    });

    assert!(points > 10, "the harness reaches every point: {points}");
}

#[test]
fn addresses_survive_kills_each_with_one_owner() {
    let world = World::new();
    let plane = json!({"name": "small", "kind": "bridge", "bridge": "mp-small",
        "ipam": {"ranges": [[{"subnet": "10.60.0.0/24", "rangeStart": "10.60.0.1", "rangeEnd": "10.60.0.4"}]]}});
    let conf = world.conf(json!({"planes": [plane], "default": ["small"]}));
    let kept = world.pod();
    world.add(&kept, &conf);

    // Killed a different way each time, and never deleted: their namespaces end.
    for point in (5..60).step_by(6) {
        let pod = world.pod();
        let _ = world.call_killed("ADD", &pod.environment(), &conf, point);
    }

    let pods: Vec<Pod> = (0..3).map(|_| world.pod()).collect();
    for pod in &pods {
        // Their namespaces may take a moment to end; until then their addresses are theirs.
        eventually("an address is free", || {
            (world.call("ADD", &pod.environment(), &conf).status == Some(0)).then_some(())
        });
    }
    let mut addresses: Vec<String> =
        pods.iter().chain([&kept]).map(|pod| pod.interfaces()["eth0"][0].clone()).collect();
    addresses.sort();
    assert_eq!(addresses, ["10.60.0.1/24", "10.60.0.2/24", "10.60.0.3/24", "10.60.0.4/24"]);
}
