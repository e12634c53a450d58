//! C1 to C7.

use serde_json::{Value, json};
use testbed::plugin::Answer;
use testbed::world::{Pod, World, command};

use super::assert_refused;

/// A chained pod with two planes, and its configuration as CHECK gets it.
fn attached(world: &World) -> (Pod, Value) {
    let (pod, previous) = world.pod_with_primary();
    let mut conf = world.conf(json!({"default": ["control", "media"], "prevResult": previous}));
    conf["prevResult"] = world.add(&pod, &conf).stdout;
    (pod, conf)
}

fn check(world: &World, pod: &Pod, conf: &Value) -> Answer {
    world.call("CHECK", &pod.environment(), conf)
}

#[test]
fn c1_a_check_without_previous_result_is_refused() {
    let world = World::new();
    let (pod, mut conf) = attached(&world);
    conf.as_object_mut().unwrap().remove("prevResult");

    assert_refused(&check(&world, &pod, &conf), 7, &["prevResult"]);
}

#[test]
fn c1_versions_without_the_verb_are_refused() {
    let world = World::new();
    let (pod, conf) = attached(&world);
    for version in ["0.3.0", "0.3.1"] {
        let conf = testbed::world::laid_over(conf.clone(), json!({"cniVersion": version}));
        assert_refused(&check(&world, &pod, &conf), 1, &["CHECK"]);
    }
}

#[test]
fn c2_what_later_plugins_change_is_theirs_and_ours_is_compared() {
    let world = World::new();
    let (pod, mut conf) = attached(&world);
    // A later plugin added an interface, an address on the primary and a route of its own.
    command(&pod.netns, "ip", "link add later type veth peer name later2");
    command(&pod.netns, "ip", "address add 10.244.9.9/32 dev eth0");
    command(&pod.netns, "ip", "route add 192.0.2.0/24 dev eth0");
    conf["prevResult"]["interfaces"].as_array_mut().unwrap().push(json!({"name": "later", "sandbox": "/x"}));

    let answer = check(&world, &pod, &conf);

    assert_eq!((answer.status, &answer.stdout), (Some(0), &Value::Null), "{}", answer.stdout);
}

#[test]
fn c2_and_c3_each_drift_is_named() {
    let seeds: [(&str, &str, &[&str]); 7] = [
        ("ip link del media", "", &["media", "gone"]),
        ("ip link set media down", "", &["media", "down"]),
        ("ip link set media mtu 1400", "", &["media", "mtu", "1400", "1500"]),
        ("ip address del 10.80.0.2/24 dev media", "", &["10.80.0.2/24", "gone"]),
        ("ip rule del from 10.80.0.2 priority 20000", "", &["rule", "10.80.0.2", "gone"]),
        ("", "rm networks/telecom/leases/10.80.0.2", &["10.80.0.2", "lease"]),
        ("", "edit pods/uid-c0/envoy.json", &["envoy.json", "edited"]),
    ];
    for (in_pod, on_disk, words) in seeds {
        let world = World::new();
        let (pod, conf) = attached(&world);
        assert_eq!(check(&world, &pod, &conf).status, Some(0), "control: no drift before {in_pod}{on_disk}");
        if let Some((program, arguments)) = in_pod.split_once(' ') {
            command(&pod.netns, program, arguments);
        }
        match on_disk.split_once(' ') {
            Some(("rm", path)) => std::fs::remove_file(world.path(path)).unwrap(),
            Some((_, path)) => std::fs::write(world.path(path), "{}").unwrap(),
            None => {}
        }

        assert_refused(&check(&world, &pod, &conf), 103, words);
    }
}

#[test]
fn c2_a_route_of_the_planes_own_table_is_compared() {
    let world = World::new();
    let (pod, conf) = attached(&world);
    let links = testbed::iproute::ip(&pod.netns, "link show media");
    let table = 20_000 + links[0]["ifindex"].as_u64().unwrap();
    command(&pod.netns, "ip", &format!("route flush table {table}"));

    assert_refused(&check(&world, &pod, &conf), 103, &["route", &table.to_string()]);
}

#[test]
fn c4_a_check_right_after_add_succeeds() {
    let world = World::new();
    for _ in 0..5 {
        let (pod, conf) = attached(&world);
        let answer = check(&world, &pod, &conf);
        assert_eq!(answer.status, Some(0), "{}", answer.stdout);
        world.del(&pod, &conf);
    }
}

#[test]
fn c6_a_check_of_what_was_never_added_says_so() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();
    let conf = world.conf(json!({"prevResult": previous}));

    let answer = check(&world, &pod, &conf);

    assert_refused(&answer, 103, &["record", "gone"]);
}

#[test]
fn c7_check_needs_the_variables_of_add_but_no_path() {
    let world = World::new();
    let (pod, conf) = attached(&world);

    let missing = world.call("CHECK", &pod.environment().without("CNI_NETNS"), &conf);
    assert_refused(&missing, 4, &["CNI_NETNS"]);
    world.done("CHECK", &pod.environment().with("CNI_PATH", ""), &conf);
}
