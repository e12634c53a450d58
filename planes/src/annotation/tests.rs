//! Tables of annotations in the three dialects.

use proptest::prelude::*;

use super::*;
use crate::fields::ConfFault;

const ALL: [Select; 3] = [Select::Multiplane, Select::Npwg, Select::Knitter];

fn ask(key: &str, text: &str) -> Result<Vec<PlaneRequest>, ConfError> {
    let annotations = BTreeMap::from([(key.to_owned(), text.to_owned())]);
    requests(&ALL, &annotations, Some("core")).map(Option::unwrap_or_default)
}

/// `plane@interface` of each request.
fn planes(key: &str, text: &str) -> Vec<String> {
    let list = ask(key, text).unwrap();
    list.iter()
        .map(|request| match &request.ifname {
            Some(ifname) => format!("{}@{ifname}", request.plane),
            None => request.plane.to_string(),
        })
        .collect()
}

#[test]
fn our_short_and_json_forms_say_the_same() {
    assert_eq!(planes(PLANES, "control, media@med0"), ["control", "media@med0"]);
    assert_eq!(
        planes(PLANES, r#"[{"name":"control"},{"name":"media","interface":"med0"}]"#),
        ["control", "media@med0"]
    );
    assert_eq!(planes(PLANES, " "), Vec::<String>::new());
    let full = ask(
        PLANES,
        r#"[{"name":"m","ips":["10.9.0.7/24","fd00::7"],"mac":"0a:58:0a:4b:08:07","default-route":["10.9.0.1"]}]"#,
    );
    let full = &full.unwrap()[0];
    assert_eq!(full.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.0.7/24", "fd00::7"]);
    assert_eq!(full.default_route, ["10.9.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn npwgs_forms_are_understood() {
    for (text, expected) in [
        ("control", vec!["control"]),
        ("control,media", vec!["control", "media"]),
        (" control , core/media@net7 ", vec!["control", "media@net7"]),
        ("control,control", vec!["control", "control"]),
        (r#"[{"name":"control"}]"#, vec!["control"]),
        (r#"[{"name":"control","namespace":"core","interface":"c0"}]"#, vec!["control@c0"]),
        (r#"[{"name":"control","example.com/hint":{"x":1}}]"#, vec!["control"]),
        (
            r#"[{"name":"control","ips":["10.0.0.5"],"mac":"0a:58:0a:4b:08:07","default-route":["10.0.0.1"]}]"#,
            vec!["control"],
        ),
    ] {
        assert_eq!(planes(NPWG_NETWORKS, text), expected, "{text}");
    }
}

#[test]
fn knitters_two_real_examples_run_unchanged() {
    let one = r#"{"ports":[
        {"attach_to_network":"net_api","attributes":{"accelerate":"false","function":"std","nic_name":"eth0","nic_type":"normal"}},
        {"attach_to_network":"control","attributes":{"accelerate":"false","function":"std","nic_name":"testpodctl","nic_type":"normal"}},
        {"attach_to_network":"media","attributes":{"accelerate":"false","function":"std","nic_name":"testpodmed","nic_type":"normal"}}]}"#;
    let two = r#"{"ports":[
        {"attach_to_network":"net_api","attributes":{"accelerate":"false","function":"std","nic_name":"eth0","nic_type":"normal"}},
        {"attach_to_network":"control","attributes":{"accelerate":"false","function":"control","nic_name":"nwrfcontrol","nic_type":"normal"}},
        {"attach_to_network":"media","attributes":{"accelerate":"false","function":"media","nic_name":"nwrfmedia","nic_type":"normal"}}]}"#;

    assert_eq!(planes(KNITTER_NETWORKS, one), ["net_api@eth0", "control@testpodctl", "media@testpodmed"]);
    assert_eq!(planes(KNITTER_NETWORKS, two), ["net_api@eth0", "control@nwrfcontrol", "media@nwrfmedia"]);
    let labels: Vec<String> =
        ask(KNITTER_NETWORKS, two).unwrap().iter().map(|r| r.labels["knitter/function"].clone()).collect();
    assert_eq!(labels, ["std", "control", "media"]);
}

#[test]
fn combinable_ports_of_one_network_become_one_interface() {
    let port = |function: &str, more: &str| {
        format!(
            r#"{{"attach_to_network":"n","attributes":{{"function":"{function}","combinable":"true"{more}}}}}"#
        )
    };
    let text = |ports: &[String]| format!(r#"{{"ports":[{}]}}"#, ports.join(","));

    let merged =
        ask(KNITTER_NETWORKS, &text(&[port("control", ""), port("media", r#","ip_addr":"10.0.0.5""#)]))
            .unwrap();
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0].labels["knitter/function"], "control,media");
    assert_eq!(merged[0].ips[0].to_string(), "10.0.0.5");
    assert_eq!(merged[0].ifname, Some("eth_n".parse().unwrap()));

    let apart = ask(
        KNITTER_NETWORKS,
        &text(&[
            port("control", r#","nic_name":"a""#),
            port("media", r#","nic_name":"b","ip_group_name":"ig1""#),
        ]),
    );
    assert_eq!(apart.unwrap().len(), 2, "another address group is another interface");
    let twice =
        ask(KNITTER_NETWORKS, &text(&[port("media", ""), port("media", "")])).unwrap_err().to_string();
    assert!(twice.contains("stands twice"), "{twice}");
    let eio = ask(
        KNITTER_NETWORKS,
        &text(&[port("media", r#","accelerate":"true""#), port("eio", r#","accelerate":"true""#)]),
    );
    assert!(eio.unwrap_err().to_string().contains("combines with no other"));
    let mixed = format!(
        r#"{},{{"attach_to_network":"n","attributes":{{"function":"media","accelerate":"true","nic_name":"m"}}}}"#,
        port("control", r#","accelerate":"true""#)
    );
    let mixed = ask(KNITTER_NETWORKS, &text(&[mixed])).unwrap_err().to_string();
    assert!(mixed.contains("combine all or not at all"), "{mixed}");
    let addresses = [port("control", r#","ip_addr":"10.0.0.4""#), port("media", r#","ip_addr":"10.0.0.5""#)];
    let addresses = ask(KNITTER_NETWORKS, &text(&addresses)).unwrap_err().to_string();
    assert!(addresses.contains("ip_addr 10.0.0.5: one combined interface has one address"), "{addresses}");
}

#[test]
fn an_empty_annotation_of_knitters_is_none_and_of_others_asks_for_nothing() {
    let annotations = |key: &str| BTreeMap::from([(key.to_owned(), " ".to_owned())]);

    assert_eq!(requests(&ALL, &annotations(KNITTER_NETWORKS), None), Ok(None));
    for key in [PLANES, NPWG_NETWORKS] {
        assert_eq!(requests(&ALL, &annotations(key), None), Ok(Some(Vec::new())), "{key}");
    }
}

#[test]
fn the_largest_annotations_are_refused_or_passed_over_at_once() {
    let large = "x".repeat(256 << 10);
    let annotations = BTreeMap::from([
        ("kubectl.kubernetes.io/last-applied-configuration".to_owned(), large.clone()),
        (PLANES.to_owned(), "a".to_owned()),
    ]);

    assert_eq!(requests(&ALL, &annotations, None).unwrap().unwrap().len(), 1);
    let error = ask(PLANES, &large).unwrap_err().to_string();
    assert_eq!(error, "multiplane.dev/planes 262144 bytes: is too long; write at most 65536 bytes");
}

#[test]
fn the_first_selected_annotation_is_obeyed_and_others_are_not_read() {
    let annotations = BTreeMap::from([
        (PLANES.to_owned(), "a".to_owned()),
        (NPWG_NETWORKS.to_owned(), "((broken".to_owned()),
    ]);

    assert_eq!(requests(&ALL, &annotations, None).unwrap().unwrap().len(), 1);
    assert_eq!(requests(&[Select::Knitter], &annotations, None).unwrap(), None);
}

#[test]
fn hostile_annotations_are_refused_on_one_short_line() {
    let deep = "[".repeat(100_000);
    let long = "a,".repeat(40_000);
    let nested = format!("{}{}", "[".repeat(60_000), "]".repeat(5_000));
    let many = vec!["a"; 100].join(",");
    let cases = [
        (PLANES, "a,,b", "multiplane.dev/planes[1] \"\": is empty"),
        (PLANES, "a@", "interface name \"\""),
        (PLANES, "../../etc", "plane name \"../../etc\""),
        (PLANES, "a@../x", "interface name"),
        (PLANES, "[", "is no JSON"),
        (PLANES, "{}", "write a list"),
        (PLANES, "[7]", "write an object"),
        (PLANES, r#"[{}]"#, "multiplane.dev/planes[0].name: is missing"),
        (PLANES, r#"[{"name":"a","bridge":"br0"}]"#, "bridge \"br0\": unknown key"),
        (PLANES, r#"[{"name":"a","master":"eth0"}]"#, "master \"eth0\": unknown key"),
        (PLANES, r#"[{"name":"a","device":"eth0"}]"#, "device \"eth0\": unknown key"),
        (PLANES, r#"[{"name":"a","vlan":7}]"#, "vlan 7: unknown key"),
        (PLANES, r#"[{"name":"a","ips":["x"]}]"#, "ips[0] \"x\": write an address"),
        (PLANES, r#"[{"name":"a","ips":"10.0.0.1"}]"#, "write a list"),
        (PLANES, r#"[{"name":"a","mac":"ff:ff:ff:ff:ff:ff"}]"#, "mac"),
        (PLANES, &many, "too many planes"),
        (PLANES, &long, "is too long"),
        (PLANES, &deep, "is too long"),
        (PLANES, &nested, "is no JSON"),
        (PLANES, r#"[{"name":"a","name":"b"}]"#, "key \"name\" stands twice"),
        (PLANES, "a@net%d", "the kernel would number it"),
        (PLANES, "a@all", "reserved by the kernel"),
        (NPWG_NETWORKS, "other/control", "\"other\": planes are no objects of a namespace"),
        (NPWG_NETWORKS, "Control", "has only a-z 0-9"),
        (NPWG_NETWORKS, "-a", "no - at its ends"),
        (
            NPWG_NETWORKS,
            r#"[{"name":"a","bandwidth":{"ingressRate":1}}]"#,
            "bandwidth {\"ingressRate\":1}: is not served",
        ),
        (NPWG_NETWORKS, r#"[{"name":"a","cni-args":{}}]"#, "cni-args {}: is not served"),
        (NPWG_NETWORKS, r#"[{"name":"a","deviceID":"0000:3b:00.1"}]"#, "deviceID"),
        (NPWG_NETWORKS, r#"[{"name":"a","ipz":[]}]"#, "did you mean \"ips\"?"),
        (
            NPWG_NETWORKS,
            r#"[{"name":"a","default-route":["10.0.0.1"]},{"name":"b","default-route":["10.0.0.1"]}]"#,
            "only one network",
        ),
        (KNITTER_NETWORKS, "a,b", "is no JSON"),
        (KNITTER_NETWORKS, r#"{"nets":[]}"#, "nets []: unknown key"),
        (KNITTER_NETWORKS, r#"{"ports":[{}]}"#, "attach_to_network: is missing"),
        (
            KNITTER_NETWORKS,
            r#"{"ports":[{"attach_to_network":"a","attributes":{"nic_name":"thirteenchars"}}]}"#,
            "at most 12 bytes",
        ),
        (
            KNITTER_NETWORKS,
            r#"{"ports":[{"attach_to_network":"a","attributes":{"function":"data"}}]}"#,
            "write one of std, control",
        ),
        (
            KNITTER_NETWORKS,
            r#"{"ports":[{"attach_to_network":"a","attributes":{"ip_addr":"fd00::1"}}]}"#,
            "ip_addr \"fd00::1\"",
        ),
    ];
    for (key, text, expected) in cases {
        let error = ask(key, text).unwrap_err();
        let message = error.to_string();

        assert!(message.contains(expected), "{text:.60}: {message:?} does not say {expected:?}");
        assert!(message.lines().count() == 1 && message.len() < 400, "{message}");
        assert_eq!(error.kind, ConfFault::Annotation);
    }
}

proptest! {
    #[test]
    fn no_annotation_makes_a_parser_panic(text in ".{0,200}", json in r#"[\[\]{}":,a-z0-9@/.-]{0,120}"#) {
        for key in [PLANES, NPWG_NETWORKS, KNITTER_NETWORKS] {
            let _ = ask(key, &text);
            let _ = ask(key, &json);
        }
    }

    #[test]
    fn a_short_form_is_read_as_it_was_written(list in prop::collection::vec(("[a-z]{1,8}", prop::option::of("[a-z]{1,8}")), 1..6)) {
        let text: Vec<String> = list.iter().map(|(plane, ifname)| match ifname {
            Some(ifname) => format!("{plane}@{ifname}"),
            None => plane.clone(),
        }).collect();
        prop_assert_eq!(planes(PLANES, &text.join(",")), text);
    }
}
