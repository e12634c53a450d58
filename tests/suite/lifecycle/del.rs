//! DEL in every degraded form, and the late one that must not touch the living.

use serde_json::{Value, json};
use testbed::plugin::Environment;

use super::stage::{STATE, Stage, chained_conf, conf, environment, run};

#[test]
fn a_late_del_of_the_dead_sandbox_leaves_the_living_pod_alone() {
    let stage = Stage::new();
    let old = stage.pod();
    stage.done("ADD", &environment("old", &old), &conf());
    drop(old);
    let living = stage.pod();
    stage.done("ADD", &environment("new", &living), &conf());
    let late = environment("old", &living).without("CNI_NETNS");
    let without_old = |stage: &Stage| {
        let mut files = stage.files();
        files.retain(|path, content| !path.contains("old@") && !content.contains("old@"));
        files
    };
    let files = without_old(&stage);
    let pod = run(&living, "ip address; ip rule; ip route show table all; nft list ruleset");

    for _ in 0..3 {
        stage.done("DEL", &late, &conf());
    }

    assert_eq!(stage.files(), files, "the living pod's files and leases, and nothing of the dead one's");
    assert_eq!(run(&living, "ip address; ip rule; ip route show table all; nft list ruleset"), pod);
    let bootstrap = files.keys().find(|path| path.ends_with("envoy.json"));
    assert!(bootstrap.is_some(), "{files:?}");
}

#[test]
fn a_del_of_the_living_pods_path_with_a_dead_ones_id_leaves_the_pod_alone() {
    let stage = Stage::new();
    let (old, living) = (stage.pod(), stage.pod());
    stage.done("ADD", &environment("old", &old), &conf());
    stage.done("ADD", &environment("new", &living), &conf());
    let pod = run(&living, "ip address; ip rule; nft list ruleset");

    stage.done("DEL", &environment("old", &living), &conf());

    assert_eq!(run(&living, "ip address; ip rule; nft list ruleset"), pod);
    assert_eq!(stage.state_files("attachments"), ["new@eth0.json"]);
}

/// Takes something away that a DEL would like to have, and returns what is left for it to go by.
type Loss = fn(&Stage, Environment, Value) -> (Environment, Value);

const LOSSES: [(&str, Loss); 9] = [
    ("nothing", |_, call, conf| (call, conf)),
    ("the namespace's path", |_, call, conf| (call.without("CNI_NETNS"), conf)),
    ("an empty path", |_, call, conf| (call.with("CNI_NETNS", ""), conf)),
    ("a path to nothing", |_, call, conf| (call.with("CNI_NETNS", "/run/netns/gone"), conf)),
    ("the arguments", |_, call, conf| (call.without("CNI_ARGS"), conf)),
    ("CNI_PATH", |_, call, conf| (call.with("CNI_PATH", ""), conf)),
    ("the planes", |_, call, mut conf| {
        conf["planes"] = json!("garbage");
        (call, conf)
    }),
    ("all but the name", |_, call, _| {
        (call, json!({"cniVersion": "1.1.0", "name": "telecom", "type": "multiplane"}))
    }),
    ("the record's content", |stage, call, conf| {
        let record = stage.root.run().join(STATE).join("attachments/c1@eth0.json");
        std::fs::write(record, "garbage").unwrap();
        (call, conf)
    }),
];

#[test]
fn del_cleans_up_whatever_it_lacks_and_twice_is_fine() {
    let stage = Stage::new();
    let warm = stage.pod();
    stage.done("ADD", &environment("warm", &warm), &conf());
    stage.done("DEL", &environment("warm", &warm), &conf());
    let before = (stage.node_state(), stage.files());

    for (lost, lose) in LOSSES {
        let pod = stage.pod();
        stage.done("ADD", &environment("c1", &pod), &conf());
        let (call, conf) = lose(&stage, environment("c1", &pod), conf());

        stage.done("DEL", &call, &conf);
        stage.done("DEL", &call, &conf);

        assert_eq!(stage.state_files("attachments"), Vec::<String>::new(), "without {lost}");
        assert_eq!((stage.node_state(), stage.files()), before, "without {lost}");
    }
}

#[test]
fn del_without_a_record_removes_links_by_their_names() {
    let stage = Stage::new();
    let warm = stage.pod();
    stage.done("ADD", &environment("warm", &warm), &conf());
    stage.done("DEL", &environment("warm", &warm), &conf());
    let pod = stage.pod();
    let before = stage.node_state();
    stage.done("ADD", &environment("c1", &pod), &conf());
    std::fs::remove_dir_all(stage.root.run().join(STATE)).unwrap();
    assert_ne!(stage.node_state(), before);

    stage.done("DEL", &environment("c1", &pod), &conf());

    assert_eq!(stage.node_state(), before);
}

#[test]
fn del_with_the_nodes_own_namespace_leaves_the_node_alone() {
    let stage = Stage::new();
    run(&stage.node, "nft add table inet multiplane && ip link add media type veth peer name other");
    let before = stage.node_state();

    stage.done("DEL", &environment("never", &stage.node), &conf());

    assert_eq!(stage.node_state(), before);
}

#[test]
fn del_of_a_container_that_was_never_added_is_fine() {
    let stage = Stage::new();
    let pod = stage.pod();
    let before = stage.picture(&pod);

    stage.done("DEL", &environment("never", &pod), &conf());
    stage.done("DEL", &environment("never", &pod).without("CNI_NETNS"), &conf());

    assert_eq!(stage.picture(&pod), before);
}

#[test]
fn del_gives_a_delegated_address_back_also_when_the_namespace_is_gone() {
    let stage = Stage::new();
    let (pod, prev) = stage.pod_with_primary();
    stage.done("ADD", &environment("c1", &pod), &chained_conf(&prev));
    let reserved = |stage: &Stage| stage.files().keys().filter(|path| path.contains("10.75.9.")).count();
    assert_eq!(reserved(&stage), 1);
    let call = environment("c1", &pod).without("CNI_NETNS");
    drop(pod);

    stage.done("DEL", &call, &chained_conf(&prev));

    assert_eq!(reserved(&stage), 0);
}

#[test]
fn del_gives_a_host_device_back_under_its_old_name() {
    let stage = Stage::new();
    run(&stage.node, "ip link add nic7 type veth peer name wire7 && ip link set nic7 up");
    let mut conf = conf();
    conf["planes"][0] = json!({"name": "control", "kind": "host-device", "device": "nic7", "allowLoss": true, "ifname": "dev0"});
    let pod = stage.pod();
    let call = environment("c1", &pod);
    stage.done("ADD", &call, &conf);
    assert!(run(&pod, "ip -br link").contains("eth0"));
    assert!(!run(&stage.node, "ip -br link").contains("nic7@"));

    stage.done("DEL", &call, &conf);

    assert!(run(&stage.node, "ip -br link").contains("nic7@"));
}
