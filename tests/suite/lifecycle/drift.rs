//! CHECK names what is no longer as ADD left it: each seeded drift, and nothing where there is none.

use netlink::Netns;
use serde_json::{Value, json};

use super::stage::{STATE, Stage, conf, environment, run};

/// A name, a change, and the words by which CHECK must name it.
type Seed = (&'static str, fn(&Stage, &Netns), &'static [&'static str]);

const SEEDS: [Seed; 17] = [
    ("link deleted", |_, pod| drop(run(pod, "ip link del media")), &["media", "gone"]),
    ("link down", |_, pod| drop(run(pod, "ip link set media down")), &["media", "down"]),
    ("mtu", |_, pod| drop(run(pod, "ip link set media mtu 1400")), &["media", "mtu", "1400"]),
    (
        "mac",
        |_, pod| drop(run(pod, "ip link set media address 0a:00:00:00:00:77")),
        &["media", "0a:00:00:00:00:77"],
    ),
    ("address", |_, pod| drop(run(pod, "ip -4 address flush dev media")), &["media", "10.75.9."]),
    (
        "IPv6 address",
        |_, pod| drop(run(pod, "ip -6 address flush scope global dev media")),
        &["media", "fd00:9:"],
    ),
    (
        "rule",
        |_, pod| drop(run(pod, "ip rule del priority 20000; ip -6 rule del priority 20000; true")),
        &["rule", "from"],
    ),
    (
        "route",
        |_, pod| {
            let table = "$((20000 + $(ip -o link show dev media | cut -d: -f1)))";
            drop(run(pod, &format!("ip route flush table {table}")));
        },
        &["route", "table"],
    ),
    (
        "bridge port",
        |stage, _| {
            let port = "$(ip -o link show master mp-media | head -n 1 | cut -d: -f2 | cut -d@ -f1)";
            drop(run(&stage.node, &format!("ip link set dev {port} nomaster")));
        },
        &["no port of bridge mp-media"],
    ),
    (
        "bridge down",
        |stage, _| drop(run(&stage.node, "ip link set mp-media down")),
        &["bridge mp-media", "down"],
    ),
    (
        "lease",
        |stage, _| {
            let leases = stage.root.run().join(STATE).join("leases");
            let first = std::fs::read_dir(leases).unwrap().next().unwrap().unwrap();
            std::fs::remove_file(first.path()).unwrap();
        },
        &["lease"],
    ),
    (
        "record",
        |stage, _| {
            std::fs::remove_file(stage.root.run().join(STATE).join("attachments/c1@eth0.json")).unwrap()
        },
        &["record", "c1"],
    ),
    (
        "bootstrap edited",
        |stage, _| std::fs::write(bootstrap(stage), "{}").unwrap(),
        &["bootstrap", "edited"],
    ),
    ("bootstrap gone", |stage, _| std::fs::remove_file(bootstrap(stage)).unwrap(), &["bootstrap", "missing"]),
    ("capture", |_, pod| drop(run(pod, "nft delete table inet multiplane")), &["capture", "multiplane"]),
    ("inbound source", |_, pod| drop(run(pod, "ip address del ::6/128 dev lo")), &["::6/128"]),
    (
        "one capture rule",
        |_, pod| drop(run(pod, "nft flush chain inet multiplane capture_out")),
        &["capture_out"],
    ),
];

fn bootstrap(stage: &Stage) -> String {
    stage.files().into_keys().find(|path| path.ends_with("envoy.json")).unwrap()
}

fn with_result(result: &Value) -> Value {
    let mut conf = conf();
    conf["prevResult"] = result.clone();
    conf
}

#[test]
fn each_seeded_drift_is_named_and_its_absence_is_not() {
    for (name, seed, words) in SEEDS {
        let stage = Stage::new();
        let pod = stage.pod();
        let call = environment("c1", &pod);
        let result = stage.done("ADD", &call, &conf());
        stage.done("CHECK", &call, &with_result(&result));

        seed(&stage, &pod);
        let error = stage.refused("CHECK", &call, &with_result(&result));

        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{name}: {word:?} is not in {text}");
        }
    }
}

#[test]
fn check_needs_the_result_of_add() {
    let stage = Stage::new();
    let pod = stage.pod();
    let call = environment("c1", &pod);
    stage.done("ADD", &call, &conf());

    let error = stage.refused("CHECK", &call, &conf());

    assert_eq!(error["code"], json!(7), "{error}");
    assert!(error["msg"].as_str().unwrap().contains("prevResult"), "{error}");
}
