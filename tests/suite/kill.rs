//! Killed at any instruction, the DEL or GC that follows leaves nothing, and no address is lost or given twice.
//!
//! By default the binary is killed after each system call that may change something; between two of them the state is the
//! same. The points that were hit are printed (`--nocapture`).

use std::time::{Duration, Instant};

use serde_json::json;
use testbed::real::poll::{PATIENCE, eventually};
use testbed::trace::Outcome;
use testbed::world::{Pod, World, laid_over};

use super::points::{self, chained, forget_primary};

/// As [`points::every_point`]: where the program ended by itself there was no such point, and it has to have succeeded.
fn every_point(verb: &str, mut attempt: impl FnMut(usize) -> Outcome) -> usize {
    points::every_point(&format!("{verb} was killed"), |point| match attempt(point) {
        Outcome::Killed { call } => Some(call),
        Outcome::Ended { status, stdout } => {
            assert_eq!(status, Some(0), "an unharmed {verb} succeeds: {stdout}");
            None
        }
    })
}

#[test]
fn an_add_killed_anywhere_is_cleaned_up_by_the_del_that_follows() {
    let world = World::new();
    // Directories and bridges are fixtures of the node: they exist before the first comparison.
    let (first, conf) = chained(&world, json!({}));
    world.add(&first, &conf);
    world.del(&first, &conf);

    let points = every_point("ADD", |point| {
        let (pod, conf) = chained(&world, json!({}));
        let before = world.lasting(&[&pod]);

        let outcome = world.call_killed("ADD", &pod.environment(), &conf, point);
        // As recorded: after a failed ADD the DEL comes without the previous result.
        world.del(&pod, &laid_over(conf, json!({"prevResult": "DELETE"})));

        let difference = before.difference(&world.lasting(&[&pod]));
        assert_eq!(difference, Vec::<String>::new(), "killed at point {point} ({outcome:?})");
        forget_primary(&world, &pod);
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
    let before = world.lasting(&[]);

    every_point("ADD", |point| {
        let pod = world.pod();
        let outcome = world.call_killed("ADD", &pod.environment(), &conf, point);
        drop(pod);
        world.collect(&conf);
        // The kernel ends a namespace some time after its last user.
        let deadline = Instant::now() + PATIENCE;
        while before != world.lasting(&[]) {
            let left = before.difference(&world.lasting(&[]));
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
        let (pod, conf) = chained(&world, json!({}));
        let before = world.lasting(&[&pod]);
        world.add(&pod, &conf);

        let outcome = world.call_killed("DEL", &pod.environment(), &conf, point);
        world.del(&pod, &conf);

        let difference = before.difference(&world.lasting(&[&pod]));
        assert_eq!(difference, Vec::<String>::new(), "killed at point {point} ({outcome:?})");
        forget_primary(&world, &pod);
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
