//! IPAM plugins that fail, hang or answer nonsense: ADD says so by name, in time, and leaves nothing.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Stage, conf, environment};

/// A plugin that notes what it is asked and then does as `script` says.
fn install(stage: &Stage, name: &str, script: &str) {
    let path = stage.root.plugins().join(name);
    let notes = stage.root.run().join("calls");
    let text = format!(
        "#!/bin/sh\necho \"$CNI_COMMAND $CNI_IFNAME\" >> {}\ncat > /dev/null\n{script}\n",
        notes.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn calls(stage: &Stage) -> Vec<String> {
    let notes = std::fs::read_to_string(stage.root.run().join("calls")).unwrap_or_default();
    notes.lines().map(str::to_owned).collect()
}

/// The second plane's addresses are somebody else's business.
fn delegating(plugin: &str) -> Value {
    let mut conf = conf();
    conf["planes"][1]["ipam"] = json!({"type": plugin});
    conf
}

#[test]
fn a_refusal_is_passed_on_with_its_code_and_the_plugin_is_told_to_give_back() {
    let stage = Stage::new();
    install(
        &stage,
        "no",
        "[ $CNI_COMMAND = ADD ] || exit 0; echo '{\"code\": 117, \"msg\": \"out of stock\"}'; exit 1",
    );
    let pod = stage.pod();
    let before = stage.picture(&pod);

    let error = stage.refused("ADD", &environment("c1", &pod), &delegating("no"));

    assert_eq!(error["code"], 117, "{error}");
    assert!(error["msg"].as_str().unwrap().contains("out of stock"), "{error}");
    assert_eq!(calls(&stage), ["ADD media", "DEL media"]);
    std::fs::remove_file(stage.root.run().join("calls")).unwrap();
    assert_eq!(stage.picture(&pod), before);
}

#[test]
fn a_plugin_that_hangs_is_named_within_the_deadline_and_nothing_is_left() {
    let stage = Stage::new();
    install(&stage, "slow", "[ $CNI_COMMAND = ADD ] && exec sleep 600; exit 0");
    let pod = stage.pod();
    let before = stage.picture(&pod);
    let mut conf = delegating("slow");
    conf["deadline"] = json!(2);

    let answer = stage.call("ADD", &environment("c1", &pod), &conf);

    assert_eq!(answer.stdout["code"], 11, "{}", answer.stdout);
    assert!(answer.stdout["msg"].as_str().unwrap().contains("delegates"), "{}", answer.stdout);
    // far below the plugin's ten minutes, far above what a slow machine needs
    assert!(answer.duration < Duration::from_secs(120), "{:?}", answer.duration);
    std::fs::remove_file(stage.root.run().join("calls")).unwrap();
    assert_eq!(stage.picture(&pod), before);
}

#[test]
fn a_plugin_that_is_not_installed_is_named_with_where_we_looked() {
    let stage = Stage::new();
    let pod = stage.pod();
    let before = stage.picture(&pod);

    let error = stage.refused("ADD", &environment("c1", &pod), &delegating("nobody"));

    let text = error["msg"].as_str().unwrap();
    assert!(text.contains("nobody") && text.contains("CNI_PATH"), "{text}");
    assert_eq!(error.get("details"), None, "nothing had to be given back: {error}");
    assert_eq!(stage.picture(&pod), before);
}

#[test]
fn every_verb_reaches_the_plugin_of_a_plane_under_the_planes_interface() {
    let stage = Stage::new();
    install(
        &stage,
        "yes",
        "[ $CNI_COMMAND = ADD ] && echo '{\"ips\": [{\"address\": \"10.9.0.7/24\"}]}'; exit 0",
    );
    let pod = stage.pod();
    let call = environment("c1", &pod);
    let mut conf = delegating("yes");

    conf["prevResult"] = Value::Null;
    let result = stage.done("ADD", &call, &conf);
    conf["prevResult"] = result;
    stage.done("CHECK", &call, &conf);
    stage.done("STATUS", &testbed::plugin::Environment::none(), &delegating("yes"));
    stage.done("DEL", &call, &conf);
    conf["cni.dev/valid-attachments"] = json!([]);
    stage.done("GC", &testbed::plugin::Environment::none(), &conf);

    assert_eq!(calls(&stage), ["ADD media", "CHECK media", "STATUS ", "DEL media", "GC "]);
}
