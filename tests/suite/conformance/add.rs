//! A1 to A7.

use serde_json::json;
use testbed::iproute;
use testbed::world::{World, command};

use super::{VERSIONS, assert_refused, conf_of};

#[test]
fn a1_the_interface_is_made_in_the_namespace_under_the_given_name() {
    let world = World::new();
    let pod = world.pod();
    let environment = pod.environment().with("CNI_IFNAME", "net7");

    world.done("ADD", &environment, &conf_of(&world, "1.1.0"));
    assert_eq!(pod.interfaces().keys().collect::<Vec<_>>(), ["net7"]);
}

#[test]
fn a1_a_name_that_is_taken_is_an_error_and_the_taker_is_unharmed() {
    let world = World::new();
    let pod = world.pod();
    command(&pod.netns, "ip", "link add eth0 type veth peer name other");
    let before = world.lasting(&[&pod]);

    let answer = world.call("ADD", &pod.environment(), &conf_of(&world, "1.1.0"));

    assert_ne!(answer.status, Some(0));
    assert!(answer.message().contains("eth0"), "{}", answer.message());
    let after = world.lasting(&[&pod]);
    assert_eq!(before.difference(&after), Vec::<String>::new());
}

#[test]
fn a1_chained_the_interface_is_expected_to_exist() {
    let world = World::new();
    let pod = world.pod();
    let previous =
        json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}], "ips": []});

    let answer = world.call("ADD", &pod.environment(), &world.conf(json!({"prevResult": previous})));

    assert_refused(&answer, 7, &["CNI_IFNAME", "eth0", "the plugin before us"]);
}

#[test]
fn a2_further_interfaces_have_names_of_ours_and_never_another_primary() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();
    let conf = world.conf(json!({"default": ["control", "media"], "prevResult": previous}));

    world.add(&pod, &conf);

    assert_eq!(pod.interfaces().keys().collect::<Vec<_>>(), ["control", "eth0", "media"]);
}

#[test]
fn a3_the_previous_result_is_echoed_with_all_that_it_holds() {
    for version in VERSIONS {
        let world = World::new();
        let (pod, mut previous) = world.pod_with_primary();
        previous["cniVersion"] = json!(version);
        previous["interfaces"][1]["socketPath"] = json!("/kept");
        previous["ips"][0]["version"] = json!("4");
        let conf = world.conf(json!({"cniVersion": version, "default": [], "prevResult": previous}));

        let answer = world.add(&pod, &conf);

        assert_eq!(answer.stdout, previous, "{version}");
        world.del(&pod, &conf);
    }
}

#[test]
fn a3_a_result_without_a_version_or_with_nulls_is_echoed_in_the_configs_version() {
    let world = World::new();
    let (pod, mut previous) = world.pod_with_primary();
    previous.as_object_mut().unwrap().remove("cniVersion");
    previous["routes"] = json!(null);
    previous["ips"][0]["interface"] = json!(-1);
    let conf = world.conf(json!({"default": [], "prevResult": previous}));

    let answer = world.add(&pod, &conf);

    assert_eq!(answer.stdout["cniVersion"], "1.1.0");
    assert_eq!(answer.stdout["x-unknown"], previous["x-unknown"]);
}

#[test]
fn a4_a_second_add_of_a_living_attachment_is_refused_without_harm() {
    let world = World::new();
    let pod = world.pod();
    let conf = conf_of(&world, "1.1.0");
    world.add(&pod, &conf);
    let before = world.state(&[&pod]);

    let again = world.call("ADD", &pod.environment(), &conf);

    assert_refused(&again, 100, &["c0"]);
    assert_eq!(before.difference(&world.state(&[&pod])), Vec::<String>::new());
    world.del(&pod, &conf);
    world.add(&pod, &conf);
}

#[test]
fn a5_an_add_that_fails_half_way_leaves_nothing() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();
    let before = world.lasting(&[&pod]);
    let wan = json!({"name": "wan", "kind": "macvlan", "master": "nowhere",
        "ipam": {"ranges": ["10.99.0.0/24"], "scope": "node"}});
    let mut conf = world.conf(json!({"default": ["control", "wan"], "prevResult": previous}));
    conf["planes"].as_array_mut().unwrap().push(wan);

    let answer = world.call("ADD", &pod.environment(), &conf);

    assert_ne!(answer.status, Some(0));
    assert!(answer.message().contains("nowhere"), "{}", answer.message());
    let after = world.lasting(&[&pod]);
    assert_eq!(before.difference(&after), Vec::<String>::new());
}

#[test]
fn a7_the_default_route_is_the_primarys_alone_and_has_no_metric() {
    let world = World::new();
    let pod = world.pod();

    world.add(&pod, &world.conf(json!({"default": ["control", "media"]})));

    let routes = iproute::ip(&pod.netns, "-4 route show default");
    assert_eq!(routes.as_array().unwrap().len(), 1, "{routes}");
    assert_eq!((&routes[0]["dev"], &routes[0]["gateway"]), (&json!("eth0"), &json!("10.75.0.1")));
    assert!(routes[0].get("metric").is_none(), "{routes}");
}

#[test]
fn a7_a_default_route_that_exists_is_kept() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();

    world.add(&pod, &world.conf(json!({"default": ["control"], "prevResult": previous})));

    let routes = iproute::ip(&pod.netns, "-4 route show default");
    assert_eq!(routes.as_array().unwrap().len(), 1, "{routes}");
    assert_eq!(routes[0]["gateway"], "10.244.255.254");
}

#[test]
fn missing_or_malformed_variables_are_code_4_and_named() {
    let world = World::new();
    let pod = world.pod();
    let conf = conf_of(&world, "1.1.0");
    let base = pod.environment();
    let cases = [
        (base.clone().without("CNI_NETNS"), "CNI_NETNS"),
        (base.clone().with("CNI_NETNS", ""), "CNI_NETNS"),
        (base.clone().without("CNI_IFNAME"), "CNI_IFNAME"),
        (base.clone().without("CNI_CONTAINERID"), "CNI_CONTAINERID"),
        (base.clone().with("CNI_CONTAINERID", "../x"), "CNI_CONTAINERID"),
        (base.clone().with("CNI_IFNAME", "a/b"), "CNI_IFNAME"),
        (base.clone().with("CNI_IFNAME", "sixteen-bytes-xx"), "CNI_IFNAME"),
        (base.clone().with("CNI_NETNS", "/nowhere"), "/nowhere"),
        (base.clone().with("CNI_ARGS", "K8S_POD_UID=a;K8S_POD_UID=b"), "K8S_POD_UID"),
        (base.clone().with("CNI_ARGS", "novalue"), "CNI_ARGS"),
    ];
    for (environment, named) in cases {
        assert_refused(&world.call("ADD", &environment, &conf), 4, &[named]);
    }
    assert_refused(&world.call("ATTACH", &base, &conf), 4, &["CNI_COMMAND", "ATTACH"]);
    let all = world.call("ADD", &testbed::plugin::Environment::none(), &conf);
    assert_refused(&all, 4, &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]);
}

#[test]
fn the_plugins_own_namespace_is_refused_before_anything_is_done() {
    let world = World::new();
    let pod = world.pod();
    let before = world.state(&[]);
    let own = pod.environment().with("CNI_NETNS", &world.node.path_from_proc().display().to_string());

    assert_refused(&world.call("ADD", &own, &conf_of(&world, "1.1.0")), 8, &["CNI_NETNS"]);

    assert_eq!(before.difference(&world.state(&[])), Vec::<String>::new());
}
