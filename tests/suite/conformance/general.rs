//! G1 to G5.

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::world::World;

use super::{VERSIONS, assert_nothing_left, assert_refused, conf_of};

#[test]
fn g1_exit_code_is_zero_only_on_success_and_errors_are_objects_on_stdout() {
    let world = World::new();
    let pod = world.pod();

    let good = world.call("ADD", &pod.environment(), &conf_of(&world, "1.0.0"));
    let edit = json!({"cniVersion": "1.0.0", "defualt": []});
    let bad = world.call("ADD", &world.pod().environment(), &world.conf(edit));

    assert_eq!((good.status, good.code()), (Some(0), None));
    assert_refused(&bad, 2, &["defualt", "did you mean \"default\""]);
    assert_eq!(bad.stdout["cniVersion"], "1.0.0");
}

#[test]
fn g2_versions_that_we_do_not_speak_are_refused_and_matched_exactly() {
    let world = World::new();
    let pod = world.pod();
    let before = world.state(&[&pod]);

    for version in ["0.1.0", "0.2.0", "1.0", "1.1", "1.1.0 ", "2.0.0", "v1.0.0", "x"] {
        let answer = world.call("ADD", &pod.environment(), &conf_of(&world, version));
        assert_refused(&answer, 1, &[version]);
    }
    let absent = world.call("ADD", &pod.environment(), &world.conf(json!({"cniVersion": "DELETE"})));
    assert_refused(&absent, 1, &["0.1.0"]);
    assert_eq!(before.difference(&world.state(&[&pod])), Vec::<String>::new());
}

#[test]
fn g2_a_result_comes_in_exactly_the_requested_version_and_shape() {
    let world = World::new();
    for version in VERSIONS {
        let pod = world.pod();
        let result = world.add(&pod, &conf_of(&world, version)).stdout;

        assert_eq!(result["cniVersion"], version);
        let ip = &result["ips"][0];
        let interface = &result["interfaces"][usize::try_from(ip["interface"].as_u64().unwrap()).unwrap()];
        assert_eq!(interface["name"], "eth0");
        assert_eq!(interface["sandbox"], pod.netns.path_from_proc().display().to_string());
        assert_eq!(ip["version"], if version < "1.0.0" { json!("4") } else { Value::Null }, "{version}");
        assert_eq!(interface.get("mtu").is_some(), version == "1.1.0", "{version}: {interface}");
        world.del(&pod, &conf_of(&world, version));
    }
}

#[test]
fn g3_containers_are_attached_at_the_same_time_and_get_addresses_of_their_own() {
    let world = World::new();
    let conf = conf_of(&world, "1.1.0");
    let pods: Vec<_> = (0..12).map(|_| world.pod()).collect();

    let results: Vec<Value> = std::thread::scope(|scope| {
        let calls: Vec<_> = pods.iter().map(|pod| scope.spawn(|| world.add(pod, &conf).stdout)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });

    let mut addresses: Vec<&str> = results.iter().map(|r| r["ips"][0]["address"].as_str().unwrap()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), pods.len());
    std::thread::scope(|scope| pods.iter().for_each(|pod| drop(scope.spawn(|| world.del(pod, &conf)))));
    assert_nothing_left(&world);
}

#[test]
fn g4_keys_that_others_define_are_tolerated() {
    let world = World::new();
    let pod = world.pod();
    let conf = world.conf(json!({
        "args": {"cni": {"ips": ["10.0.0.1"]}, "labels": []}, "runtimeConfig": {"portMappings": null, "x": 1},
        "capabilities": {"portMappings": true}, "cni.dev/anything": {"a": 1}, "dns": {"nameservers": ["10.0.0.1"]},
        "ipMasq": true, "disableCheck": "true", "cniVersions": ["1.0.0"], "disableGC": false,
    }));

    world.add(&pod, &conf);
    world.del(&pod, &conf);
}

#[test]
fn g5_state_is_kept_by_network_container_and_interface() {
    let world = World::new();
    let (one, two) = (world.pod(), world.pod());
    let conf = conf_of(&world, "1.1.0");
    let other = world.conf(json!({"name": "other"}));

    world.add(&one, &conf);
    world.add(&two, &other);
    // The same container ID on another network, and another interface, are other attachments.
    world.del(&one, &other);
    let eth1 = one.environment().with("CNI_IFNAME", "eth1");
    world.done("DEL", &eth1, &conf);

    assert!(one.interfaces().contains_key("eth0") && two.interfaces().contains_key("eth0"));
    assert!(world.path("networks/telecom/attachments/c0@eth0.json").exists());
    assert!(world.path("networks/other/attachments/c1@eth0.json").exists());
}

#[test]
fn without_a_command_it_says_what_it_is_and_exits_with_zero() {
    let world = World::new();

    let answer = world.call_raw("", &Environment::none(), b"");

    assert_eq!(answer.status, Some(0));
    assert!(answer.stderr.contains("1.1.0") && answer.stderr.contains("0.3.0"), "{}", answer.stderr);
}
