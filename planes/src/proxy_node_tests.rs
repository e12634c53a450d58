//! What is written can be read again, and what is hostile is refused by name.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::number::Mtu;
use crate::pod_network::{Attachment, AttachmentKey, Pod};

fn attachment(plane: &str, ifname: &str, role: Role, traffic: Traffic, addresses: &[&str]) -> Attachment {
    Attachment {
        plane: plane.parse().unwrap(),
        role,
        traffic,
        captured: Default::default(),
        ifname: ifname.parse().unwrap(),
        index: 2,
        mac: None,
        mtu: Mtu::try_from(1500).unwrap(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        gateways: Vec::new(),
        routes: Vec::new(),
        table: None,
        host_side: None,
        extra_addresses: Vec::new(),
        forward: false,
        labels: BTreeMap::new(),
    }
}

fn network(attachments: Vec<Attachment>) -> PodNetwork {
    PodNetwork {
        key: AttachmentKey {
            network: "telecom".parse().unwrap(),
            container: "c1".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        netns: "/proc/1/ns/net".into(),
        netns_cookie: 7,
        pod: Some(Pod { namespace: "core".into(), name: "amf-0".into(), uid: None }),
        proxy: None,
        attachments,
        undeclared: Traffic::Bypass,
    }
}

fn three_planes() -> PodNetwork {
    network(vec![
        attachment("primary", "eth0", Role::Primary, Traffic::Capture, &["192.168.10.63/24"]),
        attachment("media", "med0", Role::Plane, Traffic::Bypass, &["10.75.8.101/24", "fd00::5/64"]),
        attachment("oam", "oam0", Role::Plane, Traffic::Deny, &["10.9.9.9/24"]),
    ])
}

fn metadata(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn the_node_carries_every_address_but_those_of_denied_planes() {
    let node = ProxyNode::from_pod_network(&three_planes()).unwrap();

    assert_eq!(node.id(), "sidecar~192.168.10.63~amf-0.core~core.svc.cluster.local");
    assert_eq!(node.metadata()[INSTANCE_IPS], "192.168.10.63,10.75.8.101,fd00::5");
    assert_eq!(node.metadata()[ISTIO_META_INSTANCE_IPS], node.metadata()[INSTANCE_IPS]);
    assert_eq!(node.metadata()[REQUESTED_NETWORK_VIEW], "media,primary");
    assert_eq!(
        node.metadata()[PLANES]["media"],
        json!({"interface": "med0", "addresses": ["10.75.8.101", "fd00::5"], "role": "plane", "traffic": "bypass"})
    );
}

#[test]
fn what_is_written_is_read_again() {
    let node = ProxyNode::from_pod_network(&three_planes()).unwrap();

    assert_eq!(ProxyNode::parse(&node.id(), &node.metadata()), Ok(node));
}

#[test]
fn a_pod_without_any_address_has_no_identity() {
    let void = network(vec![attachment("oam", "oam0", Role::Primary, Traffic::Deny, &["10.9.9.9/24"])]);

    assert_eq!(ProxyNode::from_pod_network(&void), Err(NodeError::NoAddress));
}

#[test]
fn a_list_that_istiod_would_drop_is_never_written() {
    for bad in ["127.0.0.1/8", "169.254.1.1/16", "fe80::1/64", "0.0.0.0/0", "224.0.0.1/32", "::/0"] {
        let network =
            network(vec![attachment("p", "eth0", Role::Primary, Traffic::Capture, &["10.0.0.1/8", bad])]);

        assert!(matches!(ProxyNode::from_pod_network(&network), Err(NodeError::Address { .. })), "{bad}");
    }
}

#[test]
fn duplicates_keep_their_first_place() {
    let node = ProxyNode::parse(
        "sidecar~10.0.0.9~a.b~b.svc.cluster.local",
        &metadata(json!({INSTANCE_IPS: "10.0.0.1,10.0.0.2,::ffff:10.0.0.1"})),
    )
    .unwrap();

    assert_eq!(node.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap(), "10.0.0.2".parse().unwrap()]);
}

#[test]
fn a_plane_that_a_pod_has_twice_is_told_apart_by_its_interface() {
    let network = network(vec![
        attachment("p", "eth0", Role::Primary, Traffic::Capture, &["10.0.0.1/8"]),
        attachment("p", "net1", Role::Plane, Traffic::Capture, &["10.0.0.2/8"]),
    ]);
    let node = ProxyNode::from_pod_network(&network).unwrap();

    assert_eq!(node.metadata()[PLANES]["p@net1"]["interface"], "net1");
    assert_eq!(ProxyNode::parse(&node.id(), &node.metadata()), Ok(node));
}

#[test]
fn istios_own_agent_is_understood() {
    let node = ProxyNode::parse(
        "sidecar~10.0.0.9~reviews.v1-x.shop~shop.svc.cluster.local",
        &metadata(json!({"NAMESPACE": "shop", "POD_PORTS": "[]", "LABELS": {"app": "reviews"}})),
    )
    .unwrap();

    assert_eq!((node.name.as_str(), node.namespace.as_str()), ("reviews.v1-x", "shop"));
    assert_eq!(node.addresses, ["10.0.0.9".parse::<IpAddr>().unwrap()]);
    assert_eq!(node.network_view, None);
}

#[test]
fn hostile_nodes_are_refused_by_name() {
    let id = "sidecar~10.0.0.9~a.b~b.svc.cluster.local";
    let many = (0..600).map(|n| format!("10.1.{}.{}", n / 250, n % 250 + 1)).collect::<Vec<_>>().join(",");
    let cases = [
        ("sidecar~10.0.0.9~a.b", json!({}), "TYPE~IP~POD.NAMESPACE~DOMAIN"),
        ("sidecar~1~2~3~4", json!({}), "TYPE~IP~POD.NAMESPACE~DOMAIN"),
        ("router~10.0.0.9~a.b~d", json!({}), "only proxies of type sidecar"),
        ("sidecar~x~a.b~d", json!({}), "node id item \"x\""),
        ("sidecar~~a.b~d", json!({}), "no address"),
        (id, json!({INSTANCE_IPS: ["10.0.0.1"]}), "INSTANCE_IPS: must be a string"),
        (id, json!({INSTANCE_IPS: "10.0.0.1, 10.0.0.2"}), "INSTANCE_IPS item \" 10.0.0.2\""),
        (id, json!({INSTANCE_IPS: "10.0.0.1,"}), "INSTANCE_IPS item \"\""),
        (id, json!({INSTANCE_IPS: "10.0.0.1/24"}), "no prefix length"),
        (id, json!({INSTANCE_IPS: many}), "too many addresses"),
        (id, json!({"NAMESPACE": 7}), "NAMESPACE: must be a string"),
        (id, json!({PLANES: "x"}), "PLANES: must be an object"),
        (id, json!({PLANES: {"a b": {}}}), "plane name \"a b\""),
        (id, json!({PLANES: {"a": {"interface": 1}}}), "PLANES: a: "),
    ];
    for (id, value, expected) in cases {
        let error = ProxyNode::parse(id, &metadata(value)).unwrap_err().to_string();

        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}

proptest! {
    #[test]
    fn no_node_makes_the_parser_panic(id in ".{0,80}", ips in ".{0,80}", key in ".{0,20}") {
        let _ = ProxyNode::parse(&id, &metadata(json!({INSTANCE_IPS: ips, PLANES: {key: {}}})));
    }
}
