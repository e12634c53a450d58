//! A6, D5, C5, S2 and X3: what a plugin owes those that it delegates to. The delegate is a script that notes each call and
//! answers as the test says.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::real::parts;
use testbed::world::{World, laid_over};

/// Installs an IPAM plugin that notes each command and interface, then runs `script` with its input in `$input`.
fn delegate(world: &World, script: &str) -> Value {
    let notes = world.path("calls");
    let text = format!(
        "#!/bin/sh\ninput=$(cat)\necho \"$CNI_COMMAND $CNI_IFNAME\" >> {}\n{script}\n",
        notes.display()
    );
    let path = world.plugins().join("noted");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let plane = json!({"name": "p", "kind": "bridge", "bridge": "mp-p", "ipam": {"type": "noted"}});
    world.conf(json!({"planes": [plane], "default": ["p"]}))
}

/// The calls that the delegate got since the last time, as `COMMAND interface`.
fn calls(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.path("calls")).unwrap_or_default();
    let _ = std::fs::remove_file(world.path("calls"));
    text.lines().map(|line| line.trim().to_owned()).collect()
}

const GIVES: &str = r#"[ $CNI_COMMAND = ADD ] && echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.60.0.7/24"}]}'; exit 0"#;

#[test]
fn a6_a_delegate_that_fails_is_told_to_delete_before_the_error_is_returned() {
    let world = World::new();
    let script = r#"[ $CNI_COMMAND = ADD ] || exit 0; echo '{"code": 117, "msg": "out of stock"}'; exit 1"#;
    let conf = delegate(&world, script);

    let answer = world.call("ADD", &world.pod().environment(), &conf);

    assert!(answer.status != Some(0) && answer.message().contains("out of stock"), "{}", answer.stdout);
    assert_eq!(calls(&world), ["ADD eth0", "DEL eth0"]);
}

#[test]
fn a6_d5_c5_every_verb_of_an_attachment_reaches_the_delegate() {
    let world = World::new();
    let mut conf = delegate(&world, GIVES);
    let pod = world.pod();

    conf["prevResult"] = {
        let result = world.add(&pod, &conf).stdout;
        assert_eq!(result["ips"][0]["address"], "10.60.0.7/24");
        result
    };
    assert_eq!(calls(&world), ["ADD eth0"]);
    world.done("CHECK", &pod.environment(), &conf);
    assert_eq!(calls(&world), ["CHECK eth0"]);
    // Also when the namespace is gone already.
    world.done("DEL", &pod.environment().with("CNI_NETNS", ""), &conf);
    assert_eq!(calls(&world), ["DEL eth0"]);
}

#[test]
fn c5_a_delegate_that_finds_a_fault_fails_the_check() {
    let world = World::new();
    let script = format!(
        r#"[ $CNI_COMMAND = CHECK ] && {{ echo '{{"code": 105, "msg": "lease expired"}}'; exit 1; }}; {GIVES}"#
    );
    let mut conf = delegate(&world, &script);
    let pod = world.pod();
    conf["prevResult"] = world.add(&pod, &conf).stdout;

    let answer = world.call("CHECK", &pod.environment(), &conf);

    assert!(answer.status != Some(0) && answer.message().contains("lease expired"), "{}", answer.stdout);
}

#[test]
fn d5_an_error_of_a_delegate_that_may_leak_is_passed_on_and_the_next_del_tries_again() {
    let world = World::new();
    let broken = world.path("broken");
    let script = format!(
        r#"[ $CNI_COMMAND = DEL ] && [ -e {} ] && {{ echo '{{"code": 111, "msg": "store is locked"}}'; exit 1; }}; {GIVES}"#,
        broken.display()
    );
    let conf = delegate(&world, &script);
    let pod = world.pod();
    world.add(&pod, &conf);
    std::fs::write(&broken, "").unwrap();

    let answer = world.call("DEL", &pod.environment(), &conf);
    assert!(answer.status != Some(0) && answer.message().contains("store is locked"), "{}", answer.stdout);
    assert!(pod.interfaces().is_empty(), "the rest went");

    std::fs::remove_file(&broken).unwrap();
    calls(&world);
    world.del(&pod, &conf);
    assert_eq!(calls(&world), ["DEL eth0"], "the record was kept for another try");
}

#[test]
fn s2_x3_status_and_gc_are_passed_on() {
    let world = World::new();
    let conf = delegate(&world, GIVES);

    world.done("STATUS", &Environment::none(), &conf);
    assert!(calls(&world).iter().any(|call| call.starts_with("STATUS")));
    let gc = laid_over(conf, json!({"cni.dev/valid-attachments": []}));
    world.done("GC", &Environment::none(), &gc);
    assert!(calls(&world).iter().any(|call| call.starts_with("GC")));
}

#[test]
fn a6_debians_host_local_and_static_give_addresses_and_take_them_back() {
    let world = World::new();
    for plugin in ["host-local", "static"] {
        world.install(&parts::debian_plugin(plugin));
    }
    let data = world.path("host-local");
    let conf = world.conf(json!({"cniVersion": "1.0.0", "default": ["a", "b"], "primary": "a", "planes": [
        {"name": "a", "kind": "bridge", "bridge": "mp-a", "ipam": {"type": "host-local", "dataDir": data,
            "ranges": [[{"subnet": "10.61.0.0/24"}]]}},
        {"name": "b", "kind": "bridge", "bridge": "mp-b", "ipam": {"type": "static",
            "addresses": [{"address": "10.62.0.9/24", "gateway": "10.62.0.1"}]}}]}));
    let pod = world.pod();

    world.add(&pod, &conf);

    assert_eq!(pod.interfaces()["eth0"], ["10.61.0.2/24"]);
    assert_eq!(pod.interfaces()["b"], ["10.62.0.9/24"]);
    let leases = || {
        let folders = std::fs::read_dir(&data).unwrap().flatten();
        folders
            .flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten())
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name.starts_with("10."))
            .collect::<Vec<_>>()
    };
    assert_eq!(leases(), ["10.61.0.2"]);
    world.del(&pod, &conf);
    assert_eq!(leases(), Vec::<String>::new());
}
