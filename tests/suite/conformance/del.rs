//! D1 to D7.

use serde_json::{Value, json};
use testbed::world::{Pod, World, command};

use super::{assert_nothing_left, conf_of};

fn attached(world: &World) -> (Pod, Value) {
    let pod = world.pod();
    let conf = world.conf(json!({"always": ["control", "media"], "default": []}));
    world.add(&pod, &conf);
    (pod, conf)
}

#[test]
fn d1_what_is_gone_already_is_no_error() {
    let world = World::new();
    let (pod, conf) = attached(&world);
    command(&pod.netns, "ip", "link del media");
    command(&pod.netns, "ip", "link del eth0");
    std::fs::remove_dir_all(world.path("pods")).unwrap();
    std::fs::remove_dir_all(world.path("networks/telecom/leases")).unwrap();

    world.del(&pod, &conf);

    assert_nothing_left(&world);
}

#[test]
fn d2_without_a_namespace_everything_else_is_cleaned_up() {
    for netns in ["", "/nowhere", "/proc/1/root/nowhere"] {
        let world = World::new();
        let (pod, conf) = attached(&world);

        let answer = world.call("DEL", &pod.environment().with("CNI_NETNS", netns), &conf);

        assert_eq!(answer.status, Some(0), "{netns:?}: {}", answer.stdout);
        assert_nothing_left(&world);
    }
}

#[test]
fn d2_without_state_the_links_go_and_the_addresses_are_nobodys() {
    let world = World::new();
    let (pod, conf) = attached(&world);
    std::fs::remove_file(world.path("networks/telecom/attachments/c0@eth0.json")).unwrap();

    world.del(&pod, &conf);

    assert_eq!(pod.interfaces().len(), 0, "{:?}", pod.interfaces());
    assert!(!world.path("pods/uid-c0").exists());
    // A lease without a record is found by name only in a directory that may hold thousands: it is left to whoever
    // needs the address, and to GC.
    world.collect(&conf);
    assert_nothing_left(&world);
}

#[test]
fn d3_a_repeated_del_and_one_for_a_stranger_succeed() {
    let world = World::new();
    let (pod, conf) = attached(&world);
    let stranger = world.pod();

    for _ in 0..3 {
        world.del(&pod, &conf);
    }
    world.del(&stranger, &conf);
    assert_nothing_left(&world);
}

#[test]
fn d4_the_final_result_of_the_chain_as_previous_result_is_no_news() {
    let world = World::new();
    let (pod, mut conf) = attached(&world);
    conf["prevResult"] = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "cali1"}], "ips": null});

    world.del(&pod, &conf);

    assert_nothing_left(&world);
}

#[test]
fn d6_a_configuration_that_has_changed_since_does_not_matter() {
    for edit in [
        json!({"planes": [], "default": [], "always": []}),
        json!({"planes": "garbage", "unknown": 1}),
        json!({"planes": [{"name": "control", "kind": "macvlan", "master": "x"}], "always": ["gone"]}),
        json!({"cniVersion": "0.4.0", "prevResult": null}),
    ] {
        let world = World::new();
        let (pod, conf) = attached(&world);

        world.del(&pod, &testbed::world::laid_over(conf, edit));

        assert_nothing_left(&world);
    }
}

#[test]
fn d7_the_primary_of_an_earlier_plugin_is_left_alone() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();
    let conf = world.conf(json!({"default": ["control"], "prevResult": previous}));
    world.add(&pod, &conf);

    world.del(&pod, &conf);

    assert_eq!(pod.interfaces().keys().collect::<Vec<_>>(), ["eth0"]);
}

#[test]
fn a_late_del_of_the_dead_sandbox_does_not_touch_the_living_pod() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let (old, new) = (world.pod(), world.pod());
    let same_pod = |pod: &Pod| pod.environment().of_pod("web-0", "uid-of-web-0");
    world.done("ADD", &same_pod(&old), &conf);
    world.done("DEL", &same_pod(&old), &conf);
    world.done("ADD", &same_pod(&new), &conf);
    let before = world.state(&[&new]);

    // As recorded: the first container's ID, no namespace, no previous result, the UID of the pod that now lives.
    for _ in 0..3 {
        let late = same_pod(&old).with("CNI_NETNS", "");
        world.done("DEL", &late, &conf);
    }

    assert!(world.path("pods/uid-of-web-0/envoy.json").exists());
    assert_eq!(before.difference(&world.state(&[&new])), Vec::<String>::new());
}

#[test]
fn an_old_sandbox_that_was_never_deleted_goes_without_the_new_ones_file() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let (old, new) = (world.pod(), world.pod());
    let same_pod = |pod: &Pod| pod.environment().of_pod("web-0", "uid-of-web-0");
    world.done("ADD", &same_pod(&old), &conf);
    world.done("ADD", &same_pod(&new), &conf);

    world.done("DEL", &same_pod(&old).with("CNI_NETNS", ""), &conf);

    let text = std::fs::read_to_string(world.path("pods/uid-of-web-0/envoy.json")).unwrap();
    assert!(text.contains("\"INSTANCE_IPS\": \"10.75.0.3\""), "{text}");
    assert!(world.path("networks/telecom/leases/10.75.0.3").symlink_metadata().is_ok());
    assert!(world.path("networks/telecom/leases/10.75.0.2").symlink_metadata().is_err());
}
