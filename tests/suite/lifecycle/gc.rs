//! GC: what no valid attachment owns goes, what one owns stays.

use serde_json::{Value, json};
use testbed::plugin::Environment;

use super::stage::{Stage, conf, environment, run};

const KEY: &str = "cni.dev/valid-attachments";

fn with_valid(key: &str, valid: Value) -> Value {
    let mut conf = conf();
    conf[key] = valid;
    conf
}

/// Two pods, one of which the runtime has forgotten. Its namespace is still there: the kernel takes the links of
/// one that is gone away at a time of its own choosing.
fn living_and_dead() -> (Stage, netlink::Netns, netlink::Netns) {
    let stage = Stage::new();
    let dead = stage.pod();
    stage.done("ADD", &environment("dead", &dead).with("CNI_ARGS", ""), &conf());
    let living = stage.pod();
    stage.done("ADD", &environment("living", &living), &conf());
    (stage, living, dead)
}

#[test]
fn gc_removes_what_is_not_listed_and_leaves_what_is() {
    let (stage, living, _dead) = living_and_dead();
    let pod = run(&living, "ip address; ip rule; nft list ruleset");

    let valid = with_valid(KEY, json!([{"containerID": "living", "ifname": "eth0"}]));
    stage.done("GC", &Environment::none(), &valid);

    assert_eq!(stage.state_files("attachments"), ["living@eth0.json"]);
    assert_eq!(stage.state_files("leases").len(), 3);
    assert_eq!(run(&living, "ip address; ip rule; nft list ruleset"), pod);
    assert!(!stage.files().into_keys().any(|path| path.contains("pods/dead/")));
}

#[test]
fn null_and_an_empty_list_mean_that_nothing_is_valid_and_the_fixtures_go_too() {
    for nothing in [Value::Null, json!([])] {
        let stage = Stage::new();
        let before = stage.node_state();
        let pod = stage.pod();
        stage.done("ADD", &environment("c1", &pod), &conf());

        stage.done("GC", &Environment::none(), &with_valid(KEY, nothing));

        assert_eq!(stage.state_files("attachments"), Vec::<String>::new());
        assert_eq!(stage.state_files("leases"), Vec::<String>::new());
        assert_eq!(stage.node_state(), before, "bridges that no attachment uses are gone");
    }
}

#[test]
fn a_configuration_that_add_would_refuse_keeps_no_fixture_alive() {
    let (stage, _living, _dead) = living_and_dead();
    let mut conf = with_valid(KEY, json!([]));
    conf["plains"] = json!([]);
    conf["planes"].as_array_mut().unwrap().push(json!({"name": "new", "kind": "of-tomorrow"}));
    let refused = stage.refused("STATUS", &Environment::none(), &conf);
    assert!(refused["msg"].as_str().unwrap().contains("of-tomorrow"), "{refused}");

    stage.done("GC", &Environment::none(), &conf);

    assert!(!run(&stage.node, "ip -o link").contains("mp-"));
}

#[test]
fn an_absent_list_destroys_nothing() {
    let (stage, living, _dead) = living_and_dead();
    let before = stage.picture(&living);

    let error = stage.refused("GC", &Environment::none(), &conf());

    assert!(error["msg"].as_str().unwrap().contains(KEY), "{error}");
    assert_eq!(stage.picture(&living), before);
}

#[test]
fn the_old_key_counts_when_it_is_alone() {
    let (stage, _living, _dead) = living_and_dead();

    let valid = with_valid("cni.dev/attachments", json!([{"containerID": "living", "ifname": "eth0"}]));
    stage.done("GC", &Environment::none(), &valid);

    assert_eq!(stage.state_files("attachments"), ["living@eth0.json"]);
}

#[test]
fn a_list_that_is_half_understood_destroys_nothing() {
    let (stage, living, _dead) = living_and_dead();
    let before = stage.picture(&living);

    for bad in [json!({}), json!([7]), json!([{"containerID": "living"}])] {
        stage.refused("GC", &Environment::none(), &with_valid(KEY, bad));
    }

    assert_eq!(stage.picture(&living), before);
}

#[test]
fn gc_goes_on_after_a_garbled_record_and_removes_it() {
    let (stage, _living, _dead) = living_and_dead();
    let record = stage.root.run().join(super::stage::STATE).join("attachments/dead@eth0.json");
    std::fs::write(record, "garbage").unwrap();

    let valid = with_valid(KEY, json!([{"containerID": "living", "ifname": "eth0"}]));
    stage.done("GC", &Environment::none(), &valid);

    assert_eq!(stage.state_files("attachments"), ["living@eth0.json"]);
    assert_eq!(stage.state_files("leases").len(), 3, "dangling leases are taken back");
}
