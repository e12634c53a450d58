//! What pods write. Their authors are not trusted: they choose from the catalogue and name nothing of the node.

use serde_json::{Value, json};

use super::{ANNOTATIONS, Case, Scene};

const PLANES: &str = "multiplane.dev/planes";
const NPWG: &str = "k8s.v1.cni.cncf.io/networks";
const KNITTER: &str = "networks";

/// A pod with this annotation, on a node that obeys all three dialects.
fn pod(key: &str, text: &str) -> Value {
    json!({"select": ["multiplane", "npwg", "knitter"], "runtimeConfig": {ANNOTATIONS: {key: text}}})
}

#[test]
fn our_own_annotation() {
    let planes = |text: &str| pod(PLANES, text);
    let json_plane = |keys: &str| pod(PLANES, &format!(r#"[{{"name": "media"{keys}}}]"#));
    let cases: &[Case<'_>] = &[
        (planes("nope"), [PLANES, "nope", "declares control, media, oam"]),
        (planes("media,,oam"), ["multiplane.dev/planes[1]", "", "empty"]),
        (planes("media@"), [PLANES, "interface name", "use"]),
        (planes("media@../x"), [PLANES, "../x", "not allowed"]),
        (planes("media@sixteen-bytes-xx"), [PLANES, "sixteen-bytes-xx", "use"]),
        (planes("../../etc"), [PLANES, "../../etc", "use"]),
        (planes("media; rm -rf /"), [PLANES, "media; rm", "use"]),
        (planes("media@lo"), ["media", "lo", "choose another name"]),
        (planes("media@eth0"), [PLANES, "eth0", "the node decides"]),
        (planes("control@x,media@x"), ["media", "x", "choose another name"]),
        (planes("["), [PLANES, "[", "JSON"]),
        (planes("{}"), [PLANES, "{}", "list"]),
        (planes("[7]"), ["multiplane.dev/planes[0]", "7", "object"]),
        (planes("[{}]"), ["multiplane.dev/planes[0].name", "missing", "write the plane's name"]),
        (planes("[{\"name\": \"media\"}\u{0}"), [PLANES, "media", "JSON"]),
        (json_plane(r#", "bridge": "br0""#), ["bridge", "br0", "unknown key"]),
        (json_plane(r#", "master": "eth0""#), ["master", "eth0", "unknown key"]),
        (json_plane(r#", "device": "eth0""#), ["device", "eth0", "unknown key"]),
        (json_plane(r#", "vlan": 7"#), ["vlan", "7", "unknown key"]),
        (json_plane(r#", "traffic": "bypass""#), ["traffic", "bypass", "unknown key"]),
        (json_plane(r#", "routes": []"#), ["routes", "[]", "unknown key"]),
        (json_plane(r#", "ips": "10.80.0.9""#), ["ips", "10.80.0.9", "list"]),
        (json_plane(r#", "ips": ["x"]"#), ["ips[0]", "x", "write an address"]),
        (json_plane(r#", "ips": ["10.0.0.7"]"#), ["ips", "10.0.0.7", "outside of the plane's ranges"]),
        (json_plane(r#", "ips": ["10.80.0.1"]"#), ["ips", "10.80.0.1", "gateway"]),
        (json_plane(r#", "ips": ["10.80.0.255"]"#), ["ips", "10.80.0.255", "outside"]),
        (json_plane(r#", "ips": ["10.80.0.9/8"]"#), ["ips", "10.80.0.9/8", "24"]),
        (json_plane(r#", "ips": ["10.80.0.9", "10.80.0.10"]"#), ["ips", "10.80.0.10", "one address"]),
        (json_plane(r#", "mac": "ff:ff:ff:ff:ff:ff""#), ["mac", "ff:ff:ff:ff:ff:ff", "unicast"]),
        (json_plane(r#", "default-route": ["10.80.0.66"]"#), ["default-route", "10.80.0.66", "10.80.0.1"]),
        (
            planes(
                r#"[{"name": "media", "default-route": ["10.80.0.1"]}, {"name": "oam", "default-route": ["10.90.0.1"]}]"#,
            ),
            ["default-route", "media, oam", "only one plane"],
        ),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn the_plumbing_working_groups_annotation() {
    let networks = |text: &str| pod(NPWG, text);
    let object = |keys: &str| pod(NPWG, &format!(r#"[{{"name": "media"{keys}}}]"#));
    let cases: &[Case<'_>] = &[
        (networks("nope"), [NPWG, "nope", "declares control, media, oam"]),
        (networks("kube-system/media"), [NPWG, "kube-system", "the pod's own"]),
        (networks("Media"), [NPWG, "Media", "a-z"]),
        (networks("-media"), [NPWG, "-media", "a-z"]),
        (networks("media/../../x"), [NPWG, "media", ""]),
        (networks(r#"[{"name": "media", "namespace": "kube-system"}]"#), ["namespace", "kube-system", "own"]),
        (object(r#", "bandwidth": {"ingressRate": 1}"#), ["bandwidth", "ingressRate", "not served"]),
        (object(r#", "portMappings": []"#), ["portMappings", "[]", "not served"]),
        (object(r#", "deviceID": "0000:3b:00.1""#), ["deviceID", "0000:3b:00.1", "not served"]),
        (object(r#", "cni-args": {"x": 1}"#), ["cni-args", "x", "not served"]),
        (object(r#", "ipz": []"#), ["ipz", "[]", "did you mean \"ips\""]),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn knitters_annotation() {
    let port = |keys: &str| {
        pod(KNITTER, &format!(r#"{{"ports": [{{"attach_to_network": "media", "attributes": {{{keys}}}}}]}}"#))
    };
    let cases: &[Case<'_>] = &[
        (pod(KNITTER, "media"), ["networks", "media", "JSON"]),
        (pod(KNITTER, r#"{"nets": []}"#), ["networks.nets", "[]", "unknown key"]),
        (pod(KNITTER, r#"{"ports": [{}]}"#), ["attach_to_network", "missing", "write the network's name"]),
        (pod(KNITTER, r#"{"ports": [{"attach_to_network": "../x"}]}"#), ["attach_to_network", "../x", "use"]),
        (port(r#""nic_name": "thirteenchars""#), ["nic_name", "thirteenchars", "12"]),
        (port(r#""function": "data""#), ["function", "data", "std, control"]),
        (port(r#""nic_type": "virtual""#), ["nic_type", "virtual", "normal, direct"]),
        (port(r#""ip_addr": "fd80::9""#), ["ip_addr", "fd80::9", ""]),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn annotations_about_the_proxy() {
    let cases: &[Case<'_>] = &[
        (pod("multiplane.dev/proxy", "yes"), ["multiplane.dev/proxy", "yes", "enabled or disabled"]),
        (pod("multiplane.dev/proxy-uid", "0"), ["multiplane.dev/proxy-uid", "0", "system users"]),
        (
            pod("multiplane.dev/proxy-uid", "1337; drop"),
            ["multiplane.dev/proxy-uid", "1337; drop", "system users"],
        ),
        (pod("multiplane.dev/proxy-uid", "-1"), ["multiplane.dev/proxy-uid", "-1", "system users"]),
        (pod("multiplane.dev/proxy-uid", "4294967295"), ["proxy-uid", "4294967295", "system users"]),
    ];

    Scene::new().refuses_each(7, cases);
}

/// A pod with a proxy, and one of Istio's annotations about its capture.
fn captured(name: &str, text: &str) -> Value {
    let key = format!("traffic.sidecar.istio.io/{name}");
    json!({"runtimeConfig": {ANNOTATIONS: {"multiplane.dev/proxy": "enabled", key: text}}})
}

#[test]
fn istios_annotations_about_capture() {
    let many = vec!["80"; 65].join(",");
    let cases: &[Case<'_>] = &[
        (captured("includeInboundPorts", "0"), ["includeInboundPorts", "0", "1 to 65535"]),
        (captured("includeInboundPorts", "65536"), ["includeInboundPorts", "65536", "1 to 65535"]),
        (captured("includeInboundPorts", "80,,81"), ["includeInboundPorts", "", "1 to 65535"]),
        (captured("excludeInboundPorts", "90-80"), ["excludeInboundPorts", "90-80", "range such as"]),
        (captured("excludeInboundPorts", "+80"), ["excludeInboundPorts", "+80", "1 to 65535"]),
        (
            captured("excludeOutboundPorts", "80 } accept"),
            ["excludeOutboundPorts", "80 } accept", "1 to 65535"],
        ),
        (captured("includeOutboundPorts", "http"), ["includeOutboundPorts", "http", "1 to 65535"]),
        (captured("includeOutboundPorts", &many), ["includeOutboundPorts", "194", "too many items"]),
        (
            captured("includeOutboundIPRanges", "10.0.0.0/33"),
            ["includeOutboundIPRanges", "10.0.0.0/33", "prefix"],
        ),
        (captured("includeOutboundIPRanges", "all"), ["includeOutboundIPRanges", "all", "prefix"]),
        (captured("excludeOutboundIPRanges", "::/129"), ["excludeOutboundIPRanges", "::/129", "prefix"]),
        (captured("excludeInterfaces", "eth0*"), ["excludeInterfaces", "eth0*", "interface names"]),
        (captured("excludeInterfaces", "a b"), ["excludeInterfaces", "a b", "interface names"]),
        (captured("excludeInterfaces", "sixteen-bytes-xx"), ["excludeInterfaces", "sixteen-bytes-xx", "15"]),
        (captured("excludeInterfaces", "x\"; drop"), ["excludeInterfaces", "drop", "interface names"]),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn annotations_that_are_no_texts_are_the_runtimes_fault() {
    let sent = |annotations: Value| json!({"runtimeConfig": {ANNOTATIONS: annotations}});
    let cases: &[Case<'_>] = &[
        (sent(json!("text")), [ANNOTATIONS, "a string", "an object of strings"]),
        (sent(json!([])), [ANNOTATIONS, "a list", "an object of strings"]),
        (sent(json!({"a": 1})), [ANNOTATIONS, "a number", "an object of strings"]),
        (sent(json!({"a": null})), [ANNOTATIONS, "null", "an object of strings"]),
    ];

    Scene::new().refuses_each(6, cases);
}

#[test]
fn a_dialect_that_the_node_does_not_obey_is_not_even_read() {
    let scene = Scene::new();
    let ignored = json!({"runtimeConfig": {ANNOTATIONS: {NPWG: "((broken", KNITTER: "((broken"}}});

    let answer = scene.add(ignored);

    assert_eq!(answer.status, Some(0), "{}", answer.stdout);
}
