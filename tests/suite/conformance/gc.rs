//! X1 to X6.

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::world::{World, laid_over};

use super::{assert_nothing_left, assert_refused, conf_of};

fn gc(world: &World, conf: &Value, edit: Value) -> testbed::plugin::Answer {
    world.call("GC", &Environment::none(), &laid_over(conf.clone(), edit))
}

fn valid(containers: &[&str]) -> Value {
    containers.iter().map(|container| json!({"containerID": container, "ifname": "eth0"})).collect()
}

#[test]
fn x1_what_is_not_valid_goes_and_what_is_valid_stays() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let (stale, kept) = (world.pod(), world.pod());
    world.add(&stale, &conf);
    world.add(&kept, &conf);
    let before = world.state(&[&kept]);

    let answer = gc(&world, &conf, json!({"cni.dev/valid-attachments": valid(&["c1"])}));

    assert_eq!((answer.status, &answer.stdout), (Some(0), &Value::Null), "{}", answer.stdout);
    assert!(!world.path("networks/telecom/attachments/c0@eth0.json").exists());
    assert!(world.path("networks/telecom/leases/10.75.0.2").symlink_metadata().is_err());
    assert!(!world.path("pods/uid-c0").exists());
    assert_eq!(stale.interfaces().len(), 0);
    let after = world.state(&[&kept]);
    assert_eq!(before.difference(&after).iter().filter(|line| line.starts_with('+')).count(), 0);
    assert!(kept.interfaces().contains_key("eth0") && world.path("pods/uid-c1/envoy.json").exists());
    // The address is free again.
    let third = world.pod();
    world.add(&third, &conf);
}

#[test]
fn x2_it_goes_on_after_an_error_and_reports_it() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let (one, two) = (world.pod(), world.pod());
    world.add(&one, &conf);
    world.add(&two, &conf);
    std::fs::write(world.path("networks/telecom/attachments/c0@eth0.json"), "garbage").unwrap();

    let answer = gc(&world, &conf, json!({"cni.dev/valid-attachments": []}));

    assert_eq!(answer.status, Some(0), "{}", answer.stdout);
    assert_eq!(two.interfaces().len(), 0, "the second was removed after the first was found garbled");
    assert!(!world.path("networks/telecom/attachments/c1@eth0.json").exists());
}

#[test]
fn x3_stale_attachments_whose_namespace_is_gone_are_collected() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let pod = world.pod();
    world.add(&pod, &conf);
    drop(pod);

    let answer = gc(&world, &conf, json!({"cni.dev/valid-attachments": null}));

    assert_eq!(answer.status, Some(0), "{}", answer.stdout);
    assert_nothing_left(&world);
}

#[test]
fn x5_null_and_empty_mean_all_and_absent_destroys_nothing() {
    for (edit, collected) in [
        (json!({"cni.dev/valid-attachments": null}), true),
        (json!({"cni.dev/valid-attachments": []}), true),
        (json!({}), false),
    ] {
        let world = World::new();
        let conf = conf_of(&world, "1.1.0");
        let pod = world.pod();
        world.add(&pod, &conf);

        let answer = gc(&world, &conf, edit.clone());

        assert_eq!(answer.status == Some(0), collected, "{edit}: {}", answer.stdout);
        assert_eq!(pod.interfaces().is_empty(), collected, "{edit}");
        if !collected {
            assert_refused(&answer, 7, &["cni.dev/valid-attachments"]);
        }
    }
}

#[test]
fn x6_the_old_key_counts_if_it_stands_alone() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let (one, two) = (world.pod(), world.pod());
    world.add(&one, &conf);
    world.add(&two, &conf);

    let old = gc(&world, &conf, json!({"cni.dev/attachments": valid(&["c0"])}));
    assert_eq!(old.status, Some(0), "{}", old.stdout);
    assert!(!one.interfaces().is_empty() && two.interfaces().is_empty());

    let both = json!({"cni.dev/attachments": [], "cni.dev/valid-attachments": valid(&["c0"])});
    assert_eq!(gc(&world, &conf, both).status, Some(0));
    assert!(!one.interfaces().is_empty(), "the new key wins");
}

#[test]
fn fixtures_that_nobody_uses_go_and_those_in_use_stay() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let pod = world.pod();
    world.add(&pod, &conf);
    let bridges = || testbed::iproute::links(&world.node).contains("mp-control");
    assert!(bridges());

    assert_eq!(gc(&world, &conf, json!({"cni.dev/valid-attachments": valid(&["c0"])})).status, Some(0));
    assert!(bridges(), "a port is left");
    world.del(&pod, &conf);
    assert!(bridges(), "DEL leaves fixtures");
    assert_eq!(gc(&world, &conf, json!({"cni.dev/valid-attachments": []})).status, Some(0));
    assert!(!bridges());
}

#[test]
fn x4_versions_without_the_verb_are_refused() {
    let world = World::new();
    let conf = conf_of(&world, "1.0.0");

    assert_refused(&gc(&world, &conf, json!({"cni.dev/valid-attachments": []})), 1, &["GC"]);
}
