//! STATUS: 50 takes the whole node out of service, so it is said only when no ADD at all can succeed.

use serde_json::{Value, json};
use testbed::plugin::Environment;

use super::stage::{STATE, Stage, conf, environment};

fn with_macvlan(plane: usize) -> Value {
    let mut conf = conf();
    conf["planes"][plane] = json!({"name": "radio", "kind": "macvlan", "master": "none9", "ipam": {"ranges": [["10.75.10.0/24"]], "scope": "node"}});
    conf["default"] = json!([conf["planes"][0]["name"], conf["planes"][1]["name"]]);
    conf
}

#[test]
fn a_node_that_can_serve_says_so_and_is_not_touched() {
    let stage = Stage::new();
    let before = (stage.node_state(), stage.files());

    let answer = stage.call("STATUS", &Environment::none(), &conf()).success().unwrap();

    assert_eq!(answer.stdout, Value::Null);
    assert_eq!((stage.node_state(), stage.files()), before);
}

#[test]
fn a_missing_master_of_another_plane_is_a_warning() {
    let stage = Stage::new();

    let answer = stage.call("STATUS", &Environment::none(), &with_macvlan(1)).success().unwrap();

    assert!(answer.stderr.contains("none9"), "{}", answer.stderr);
}

#[test]
fn a_missing_master_of_another_plane_counts_where_the_configuration_is_strict() {
    let stage = Stage::new();
    let mut conf = with_macvlan(1);
    conf["strict"] = json!(true);

    let error = stage.refused("STATUS", &Environment::none(), &conf);

    assert_eq!(error["code"], 50, "{error}");
    assert!(error.to_string().contains("none9"), "{error}");
}

#[test]
fn a_missing_master_of_the_primary_takes_the_node_out() {
    let stage = Stage::new();

    let error = stage.refused("STATUS", &Environment::none(), &with_macvlan(0));

    assert_eq!(error["code"], 50, "{error}");
    assert!(error.to_string().contains("none9"), "{error}");
}

/// A range of one address, taken by a pod that lives.
fn exhausted(stage: &Stage, plane: usize) -> (Value, netlink::Netns) {
    let mut conf = conf();
    conf["planes"][plane]["ipam"] = json!({"ranges": [[
        {"subnet": "10.75.7.0/24", "rangeStart": "10.75.7.5", "rangeEnd": "10.75.7.5"}]]});
    let pod = stage.pod();
    stage.done("ADD", &environment("c1", &pod), &conf);
    (conf, pod)
}

#[test]
fn an_exhausted_range_of_another_plane_is_a_warning_and_of_the_primary_takes_the_node_out() {
    let stage = Stage::new();
    let (conf, _pod) = exhausted(&stage, 1);

    let answer = stage.call("STATUS", &Environment::none(), &conf).success().unwrap();

    assert!(answer.stderr.contains("10.75.7.5"), "{}", answer.stderr);
    let stage = Stage::new();
    let (conf, pod) = exhausted(&stage, 0);
    let error = stage.refused("STATUS", &Environment::none(), &conf);
    assert_eq!(error["code"], 50, "{error}");
    assert!(error.to_string().contains("10.75.7.5"), "{error}");
    // containerd never sends GC: what a dead pod has is as good as free
    drop(pod);
    stage.done("STATUS", &Environment::none(), &conf);
}

#[test]
fn a_state_directory_that_cannot_be_written_takes_the_node_out() {
    let stage = Stage::new();
    let blocked = stage.root.run().join(STATE);
    std::fs::create_dir_all(blocked.parent().unwrap()).unwrap();
    std::fs::write(&blocked, "a file where a directory belongs").unwrap();

    let error = stage.refused("STATUS", &Environment::none(), &conf());

    assert_eq!(error["code"], 50, "{error}");
    assert!(error.to_string().contains(STATE), "{error}");
}

#[test]
fn a_configuration_that_no_add_accepts_takes_the_node_out_with_its_own_code() {
    let stage = Stage::new();
    let mut conf = conf();
    conf["plains"] = json!([]);

    let error = stage.refused("STATUS", &Environment::none(), &conf);

    assert_eq!(error["code"], 2, "{error}");
    assert!(error.to_string().contains("plains"), "{error}");
}
