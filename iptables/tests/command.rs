//! The command, as a person uses it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test's helper is a failed test")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use netlink::Netns;

/// What ADD leaves, as far as the command reads it.
const RECORD: &str = r#"{"netns_cookie": 1, "network": {
    "key": {"network": "telecom", "container": "c1", "ifname": "eth0"}, "netns": "/run/netns/c1", "netns_cookie": 1,
    "pod": null, "proxy": {"uids": [1337], "gids": [1337], "inbound_port": 15006, "outbound_port": 15001},
    "undeclared": "bypass", "attachments": [{
        "plane": "control", "role": "primary", "traffic": "capture", "ifname": "eth0", "index": 2, "mac": null, "mtu": 1500,
        "addresses": ["10.75.8.2/24"], "gateways": [], "routes": [], "table": null, "host_side": null,
        "extra_addresses": [], "forward": false, "labels": {}}]}}"#;

fn run(arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plane-capture"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn rules_are_shown_set_compared_and_removed() {
    let netns = Netns::anonymous().unwrap();
    let path = netns.path_from_proc().display().to_string();
    let with = |verb: &str| run(&[verb, "--record", "-", "--netns", &path], RECORD);

    let shown = run(&["plan", "--record", "-"], RECORD);
    assert!(text(&shown.stdout).contains("iifname \"eth0\""), "{shown:?}");
    let missing = with("check");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("gone"), "{missing:?}");
    assert!(with("apply").status.success());
    assert!(with("check").status.success());
    assert!(run(&["remove", "--netns", &path], "").status.success());
    assert!(!with("check").status.success());
}

#[test]
fn the_plan_as_json_has_the_rules_of_the_text_each_with_its_reason() {
    let nft = text(&run(&["plan", "--record", "-"], RECORD).stdout);

    let json = run(&["plan", "--record", "-", "--output", "json"], RECORD);

    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let chains = json["chains"].as_array().unwrap();
    let rules: Vec<_> = chains.iter().flat_map(|chain| chain["rules"].as_array().unwrap()).collect();
    assert_eq!(rules.len(), nft.matches(" comment ").count());
    for rule in rules {
        assert!(nft.contains(rule["rule"].as_str().unwrap()), "{rule}");
        assert!(!rule["why"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_record_that_is_none_is_refused_by_name() {
    for bad in ["", "[]", "{}", r#"{"network": null}"#] {
        let refused = run(&["plan", "--record", "-"], bad);

        assert_eq!(refused.status.code(), Some(1), "{bad}");
        assert!(text(&refused.stderr).starts_with("plane-capture: --record -: "), "{bad}: {refused:?}");
        assert_eq!(text(&refused.stderr).lines().count(), 1, "{bad}");
    }
}

#[test]
fn a_namespace_must_be_named_once() {
    assert_eq!(run(&["remove"], "").status.code(), Some(2));
    assert_eq!(run(&["remove", "--pid", "1", "--netns", "/x"], "").status.code(), Some(2));
}
