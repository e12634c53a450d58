//! ADD where something is already: the same attachment, another chain, another interface of that name.

use serde_json::json;

use super::stage::{Stage, conf, environment, run};

#[test]
fn a_second_add_of_a_living_attachment_is_refused_without_harm() {
    let stage = Stage::new();
    let pod = stage.pod();
    let call = environment("c1", &pod);
    stage.done("ADD", &call, &conf());
    let living = stage.picture(&pod);

    let error = stage.refused("ADD", &call, &conf());

    let text = error["msg"].as_str().unwrap();
    assert!(text.contains("c1") && text.contains("eth0") && text.contains("DEL"), "{text}");
    assert_eq!(stage.picture(&pod), living);
    stage.done("CHECK", &call, &with_prev(&json!({"cniVersion": "1.1.0"})));
}

#[test]
fn an_add_after_the_namespace_died_takes_the_dead_attachments_place() {
    let stage = Stage::new();
    let pod = stage.pod();
    stage.done("ADD", &environment("c1", &pod), &conf());
    drop(pod);
    let next = stage.pod();

    stage.done("ADD", &environment("c1", &next), &conf());

    assert_eq!(stage.state_files("attachments"), ["c1@eth0.json"]);
    assert_eq!(stage.state_files("leases").len(), 3);
}

#[test]
fn one_namespace_in_two_chains_is_refused_and_the_other_chain_named() {
    let stage = Stage::new();
    let pod = stage.pod();
    stage.done("ADD", &environment("c1", &pod), &conf());
    let living = stage.picture(&pod);
    let mut other = conf();
    other["name"] = json!("other");
    for (plane, ifname) in ["o0", "o1"].iter().enumerate() {
        other["planes"][plane]["ifname"] = json!(ifname);
    }

    let error = stage.refused("ADD", &environment("c2", &pod).with("CNI_IFNAME", "eth9"), &other);

    let text = error.to_string();
    assert!(text.contains("telecom") && text.contains("c1@eth0"), "{text}");
    assert_eq!(stage.picture(&pod), living);
    stage.done("DEL", &environment("c1", &pod), &conf());
    stage.done("ADD", &environment("c2", &pod).with("CNI_IFNAME", "eth9"), &other);
}

#[test]
fn an_interface_of_somebody_else_is_not_replaced_and_not_deleted() {
    let stage = Stage::new();
    let pod = stage.pod();
    run(&pod, "ip link add media type veth peer name other");
    let before = stage.picture(&pod);

    let error = stage.refused("ADD", &environment("c1", &pod), &conf());

    let text = error["msg"].as_str().unwrap();
    assert!(text.contains("\"media\""), "{text}");
    assert_eq!(stage.picture(&pod), before);
}

fn with_prev(prev: &serde_json::Value) -> serde_json::Value {
    let mut conf = conf();
    conf["prevResult"] = prev.clone();
    conf
}
