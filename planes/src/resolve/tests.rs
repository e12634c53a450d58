//! What is meant by what is written.

use serde_json::{Value, json};

use super::*;
use crate::conf::Select;
use crate::plan::EmbeddedIpam;

fn conf(edit: Value) -> NetConf {
    let mut conf = json!({
        "name": "telecom",
        "planes": [
            {"name": "control", "kind": "bridge", "ifname": "ctl0",
             "ipam": {"ranges": [["10.75.8.0/24"], ["fd00:75::/64"]], "gateway": "10.75.8.1", "exclude": ["10.75.8.9"]}},
            {"name": "media", "kind": "bridge", "ipam": {"ranges": [["10.80.0.0/16"]]}, "traffic": "bypass"},
            {"name": "wan", "kind": "macvlan", "master": "eth1", "ipam": {"ranges": ["10.90.0.0/24"]}},
            {"name": "lan", "kind": "macvlan", "master": "eth1", "ipam": {"ranges": ["10.91.0.0/24"], "scope": "node"}},
            {"name": "oam", "kind": "adopted", "match": {"subnet": "192.168.10.0/24"}}
        ],
        "default": ["control"], "always": []
    });
    conf.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
    NetConf::parse(conf.as_object().unwrap()).unwrap()
}

fn found(name: &str, address: &str) -> FoundInterface {
    FoundInterface { name: name.parse().unwrap(), mac: None, addresses: vec![address.parse().unwrap()] }
}

struct Call {
    conf: NetConf,
    annotations: BTreeMap<String, String>,
    found: Vec<FoundInterface>,
    chained: bool,
    node: Option<NodeConf>,
}

impl Call {
    fn chained(edit: Value) -> Self {
        Self {
            conf: conf(edit),
            annotations: BTreeMap::new(),
            found: vec![found("eth0", "10.244.0.5/24")],
            chained: true,
            node: None,
        }
    }

    fn alone(edit: Value) -> Self {
        Self { found: Vec::new(), chained: false, ..Self::chained(edit) }
    }

    fn with(mut self, key: &str, text: &str) -> Self {
        self.annotations.insert(key.to_owned(), text.to_owned());
        self
    }

    fn finding(mut self, interface: FoundInterface) -> Self {
        self.found.push(interface);
        self
    }

    fn plan(&self) -> Result<Plan, ConfError> {
        resolve(
            &self.conf,
            &Request {
                key: AttachmentKey {
                    network: "telecom".parse().unwrap(),
                    container: "c1".parse().unwrap(),
                    ifname: "eth0".parse().unwrap(),
                },
                netns: Path::new("/run/netns/x"),
                pod: Some(Pod { namespace: "core".into(), name: "amf-0".into(), uid: None }),
                annotations: &self.annotations,
                chained: self.chained,
                found: &self.found,
                node: self.node.as_ref(),
            },
        )
    }

    /// `plane:interface:role` of each attachment.
    fn outline(&self) -> Vec<String> {
        let plan = self.plan().unwrap();
        plan.attachments.iter().map(|a| format!("{}:{}:{:?}", a.plane, a.ifname, a.role)).collect()
    }

    fn refusal(&self) -> String {
        self.plan().unwrap_err().to_string()
    }
}

const PLANES: &str = crate::annotation::PLANES;

#[test]
fn a_pod_that_asks_for_nothing_gets_the_defaults() {
    assert_eq!(Call::chained(json!({})).outline(), ["eth0:eth0:Primary", "control:ctl0:Plane"]);
    assert_eq!(Call::chained(json!({})).with(PLANES, "").outline(), ["eth0:eth0:Primary"]);
    assert_eq!(Call::chained(json!({"default": []})).outline(), ["eth0:eth0:Primary"]);
}

#[test]
fn always_comes_first_and_the_pod_chooses_the_rest_in_its_order() {
    let call = Call::chained(json!({"always": ["media"]})).with(PLANES, "lan@l0,control");
    assert_eq!(
        call.outline(),
        ["eth0:eth0:Primary", "media:media:Plane", "lan:l0:Plane", "control:ctl0:Plane"]
    );

    let named = Call::chained(json!({"always": ["media"]})).with(PLANES, "control,media@m0");
    assert_eq!(named.outline(), ["eth0:eth0:Primary", "control:ctl0:Plane", "media:m0:Plane"]);
}

#[test]
fn standalone_the_configuration_chooses_the_primary_and_the_pod_does_not() {
    assert_eq!(
        Call::alone(json!({"always": ["media"]})).outline(),
        ["media:eth0:Primary", "control:ctl0:Plane"]
    );
    assert_eq!(Call::alone(json!({})).outline(), ["control:eth0:Primary"]);
    assert_eq!(Call::alone(json!({"primary": "lan"})).outline(), ["lan:eth0:Primary", "control:ctl0:Plane"]);
    let call = Call::alone(json!({"primary": "lan"})).with(PLANES, "media@eth0");
    assert!(call.refusal().contains("the node decides"), "{}", call.refusal());
    for (text, expected) in [
        (r#"[{"name":"lan","ips":["10.91.0.7"]}]"#, "ips 10.91.0.7: is for the node to choose"),
        (r#"[{"name":"lan","mac":"0a:58:0a:4b:08:07"}]"#, "mac 0a:58:0a:4b:08:07: is for the node to choose"),
    ] {
        let refusal = Call::alone(json!({"primary": "lan"})).with(PLANES, text).refusal();
        assert!(refusal.contains(expected), "{text}: {refusal}");
    }
    let none = Call::alone(json!({"default": []}));
    assert!(none.refusal().starts_with("primary: is missing"), "{}", none.refusal());
}

#[test]
fn what_stands_in_the_pod_is_adopted_by_rule_or_under_its_own_name() {
    let call = Call::chained(json!({"undeclared": "deny"}))
        .finding(found("net2", "172.16.0.2/24"))
        .finding(found("net1", "192.168.10.63/24"));

    assert_eq!(
        call.outline(),
        ["eth0:eth0:Primary", "control:ctl0:Plane", "oam:net1:Plane", "net2:net2:Undeclared"]
    );
    assert_eq!(call.plan().unwrap().attachments[3].traffic, Traffic::Deny);
    let asked = Call::chained(json!({})).with(PLANES, "oam").finding(found("net1", "192.168.10.63/24"));
    assert_eq!(asked.outline(), ["eth0:eth0:Primary", "oam:net1:Plane"]);
    let absent = Call::chained(json!({})).with(PLANES, "oam").refusal();
    assert!(absent.contains("no interface in the pod matches"), "{absent}");
}

#[test]
fn one_default_route_the_primarys_unless_the_pod_asks() {
    let plain = Call::chained(json!({})).plan().unwrap();
    assert_eq!(plain.attachments.iter().map(|a| a.default_route).collect::<Vec<_>>(), [true, false]);

    let asked =
        Call::chained(json!({})).with(PLANES, r#"[{"name":"control","default-route":["10.75.8.1"]}]"#);
    let asked = asked.plan().unwrap();
    assert_eq!(asked.attachments.iter().map(|a| a.default_route).collect::<Vec<_>>(), [false, true]);

    let foreign =
        Call::chained(json!({})).with(PLANES, r#"[{"name":"control","default-route":["10.75.8.66"]}]"#);
    assert!(foreign.refusal().contains("the plane's gateway is 10.75.8.1"), "{}", foreign.refusal());
    for (text, expected) in [
        (
            r#"[{"name":"media","default-route":["10.80.0.1"]}]"#,
            "default-route 10.80.0.1: the plane has no gateway",
        ),
        (r#"[{"name":"oam","default-route":["192.168.10.1"]}]"#, "the plane has no gateway of ours"),
    ] {
        let call = Call::chained(json!({})).finding(found("net1", "192.168.10.63/24")).with(PLANES, text);
        assert!(call.refusal().contains(expected), "{text}: {}", call.refusal());
    }
}

#[test]
fn a_plane_beyond_the_node_needs_ranges_of_its_own() {
    let refused = Call::chained(json!({})).with(PLANES, "wan").refusal();
    assert!(refused.contains("\"scope\": \"node\"") && refused.contains("nodeConfig"), "{refused}");
    assert!(Call::chained(json!({})).with(PLANES, "lan").plan().is_ok());

    let mut overlaid = Call::chained(json!({})).with(PLANES, "wan");
    let node = json!({"planes": {"wan": {"ranges": ["10.90.7.0/24"], "master": "ens5"}}});
    overlaid.node = Some(NodeConf::parse(node.as_object().unwrap()).unwrap());
    let plan = overlaid.plan().unwrap();
    assert!(matches!(&plan.attachments[1].link, LinkPlan::Macvlan(link) if link.master.as_str() == "ens5"));
    assert!(matches!(&plan.attachments[1].ipam, IpamPlan::Embedded(EmbeddedIpam { range_sets, .. })
        if range_sets[0].ranges[0].subnet.to_string() == "10.90.7.0/24"));
}

#[test]
fn a_pod_may_ask_for_an_address_inside_the_ranges_only() {
    let ask = |ips: &str| {
        Call::chained(json!({})).with(PLANES, &format!(r#"[{{"name":"control","ips":[{ips}]}}]"#))
    };

    assert!(ask(r#""10.75.8.7/24","fd00:75::7""#).plan().is_ok());
    for (ips, expected) in [
        (r#""10.0.0.7""#, "lies outside of the plane's ranges 10.75.8.1-10.75.8.254"),
        (r#""10.75.8.1""#, "is the plane's gateway"),
        (r#""10.75.8.9""#, "is excluded"),
        (r#""10.75.8.255""#, "lies outside"),
        (r#""10.75.8.7/16""#, "prefix length is 24"),
        (r#""10.75.8.7","10.75.8.8""#, "gives one address"),
    ] {
        let refusal = ask(ips).refusal();
        assert!(refusal.contains(expected), "{ips}: {refusal}");
    }
    let adopted = Call::chained(json!({})).finding(found("net1", "192.168.10.63/24"));
    let refusal = adopted.with(PLANES, r#"[{"name":"oam","ips":["192.168.10.7"]}]"#).refusal();
    assert!(refusal.contains("cannot be asked for"), "{refusal}");
}

#[test]
fn names_clash_clearly() {
    for (text, expected) in [
        (
            "control@x,media@x",
            "multiplane.dev/planes[1].interface \"x\": plane control has that interface already",
        ),
        ("media@eth0", "the node decides"),
        ("media@lo", "is the loopback"),
        ("media@net1", "exists in the pod already"),
        (
            "control,control@other",
            "multiplane.dev/planes[1] \"control\": the pod has this plane already, as ctl0",
        ),
        ("nope", "no such plane; this network declares control, media"),
    ] {
        let refusal =
            Call::chained(json!({})).finding(found("net1", "172.16.0.2/24")).with(PLANES, text).refusal();
        assert!(refusal.contains(expected), "{text}: {refusal}");
    }
}

#[test]
fn ranges_follow_host_local() {
    let range = |ranges: Value| {
        let plane = json!({"name": "p", "kind": "bridge", "ipam": {"ranges": ranges}});
        Call::chained(json!({"planes": [plane], "default": ["p"]}))
    };
    let plan = range(json!([[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.5", "gateway": "10.0.0.254"}]]))
        .plan()
        .unwrap();
    let IpamPlan::Embedded(ipam) = &plan.attachments[1].ipam else { panic!("not embedded") };
    let only = &ipam.range_sets[0].ranges[0];
    assert_eq!((only.first.to_string(), only.last.to_string()), ("10.0.0.5".into(), "10.0.0.254".into()));
    for (ranges, expected) in [
        (json!([["10.0.0.0/31"]]), "is too small"),
        (json!([["fd00::/127"]]), "is too small"),
        (json!([["10.0.0.0/24", "fd00::/64"]]), "mixes IPv4 and IPv6"),
        (json!([["10.0.0.0/24"], ["10.0.0.128/25"]]), "overlaps planes[0].ipam.ranges[0][0]"),
        (
            json!([[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}]]),
            "rangeStart 10.0.1.1: lies outside of 10.0.0.0/24",
        ),
        (
            json!([[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}]]),
            "lies before rangeStart",
        ),
        (json!([[{"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}]]), "gateway 10.0.1.1: lies outside"),
        (
            json!([[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.0"}]]),
            "rangeStart 10.0.0.0: is the address of the subnet",
        ),
        (
            json!([[{"subnet": "10.0.0.0/24", "rangeEnd": "10.0.0.255"}]]),
            "rangeEnd 10.0.0.255: is the subnet's broadcast",
        ),
        (
            json!([[{"subnet": "fd00::/64", "gateway": "fd00::"}]]),
            "gateway fd00::: is the address of the subnet",
        ),
        (json!(["127.1.0.0/16"]), "overlaps 127.0.0.0/8, the loopback"),
        (json!(["0.0.0.0/0"]), "overlaps 0.0.0.0/8"),
        (json!(["239.0.0.0/24"]), "overlaps 224.0.0.0/3, multicast"),
        (json!(["fe80::/64"]), "overlaps fe80::/10, link-local"),
        (json!(["::/0"]), "overlaps ::/127"),
    ] {
        let refusal = range(ranges.clone()).refusal();
        assert!(refusal.contains(expected), "{ranges}: {refusal}");
    }
}

#[test]
fn a_bridge_that_is_the_gateway_carries_its_address() {
    let plane = json!({"name": "p", "kind": "bridge", "isGateway": true,
        "ipam": {"ranges": [["10.0.0.0/24"]], "gateway": "10.0.0.1"}});
    let plan = Call::chained(json!({"planes": [plane], "default": ["p"]})).plan().unwrap();

    assert!(matches!(&plan.attachments[1].link, LinkPlan::Bridge(bridge)
        if bridge.gateway_addresses == ["10.0.0.1/24".parse::<IpNetwork>().unwrap()]));
}

#[test]
fn a_gateway_belongs_to_the_subnet_it_lies_in() {
    let plan = |edit: Value| {
        let mut plane = json!({"name": "p", "kind": "bridge"});
        plane.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
        Call::chained(json!({"planes": [plane], "default": ["p"]}))
    };
    let two = json!({"ranges": [["10.0.0.0/24"], ["10.0.1.0/24"], ["fd00::/64"]], "gateway": ["10.0.1.1", "fd00::1"]});
    let two = plan(json!({"ipam": two})).plan().unwrap();
    let IpamPlan::Embedded(ipam) = &two.attachments[1].ipam else { panic!("not embedded") };
    let gateways: Vec<Option<String>> =
        ipam.range_sets.iter().map(|set| set.ranges[0].gateway.map(|g| g.to_string())).collect();
    assert_eq!(gateways, [None, Some("10.0.1.1".into()), Some("fd00::1".into())]);
    let by_default = plan(json!({"isGateway": true, "ipam": {"ranges": ["10.0.0.0/24"]}})).plan().unwrap();
    assert!(matches!(&by_default.attachments[1].link, LinkPlan::Bridge(bridge)
        if bridge.gateway_addresses == ["10.0.0.1/24".parse::<IpNetwork>().unwrap()]));

    let statics = |list: Value| json!({"ipam": {"addresses": list}});
    for (edit, expected) in [
        (
            json!({"ipam": {"ranges": ["10.0.0.0/24"], "gateway": "10.0.9.1"}}),
            "ipam.gateway 10.0.9.1: lies outside of the plane's subnets 10.0.0.0/24",
        ),
        (
            json!({"ipam": {"ranges": ["10.0.0.0/24"], "gateway": "fd00::1"}}),
            "ipam.gateway fd00::1: lies outside",
        ),
        (statics(json!(["10.0.0.7/24", "10.0.0.7/24"])), "stands at planes[0].ipam.addresses[0] already"),
        (
            statics(json!(["10.0.0.255/24"])),
            "is the subnet's broadcast address; write one from 10.0.0.1 to 10.0.0.254",
        ),
        (statics(json!(["127.0.0.1/8"])), "the loopback"),
        (
            statics(json!([{"address": "10.0.0.7/24", "gateway": "10.0.1.1"}])),
            "gateway 10.0.1.1: lies outside",
        ),
    ] {
        let refusal = plan(edit.clone()).refusal();
        assert!(refusal.contains(expected), "{edit}: {refusal}");
    }
    assert!(plan(statics(json!(["10.0.0.7/32", "10.0.0.0/31"]))).plan().is_ok());
}

#[test]
fn a_pod_has_a_proxy_when_it_says_so_or_was_injected() {
    let cases: [(&[(&str, &str)], bool); 6] = [
        (&[], false),
        (&[("multiplane.dev/proxy", "enabled")], true),
        (&[("sidecar.istio.io/status", "{}")], true),
        (&[("sidecar.istio.io/status", "{}"), ("multiplane.dev/proxy", "disabled")], false),
        (&[("sidecar.istio.io/status", "{}"), ("sidecar.istio.io/inject", "false")], false),
        (&[("multiplane.dev/proxy", "enabled"), ("sidecar.istio.io/inject", "false")], false),
    ];
    for (annotations, expected) in cases {
        let call =
            annotations.iter().fold(Call::chained(json!({})), |call, (key, text)| call.with(key, text));
        assert_eq!(call.plan().unwrap().proxy.is_some(), expected, "{annotations:?}");
    }
    for uid in ["0", "999", "x", "-1", "4294967295", "1337; drop"] {
        let refusal = Call::chained(json!({})).with("multiplane.dev/proxy-uid", uid).refusal();
        assert!(refusal.contains("system users are refused"), "{uid}: {refusal}");
    }
    let all = Call::chained(json!({"proxy": {"pods": "all"}})).with("multiplane.dev/proxy-uid", "2000");
    assert_eq!(all.plan().unwrap().proxy.unwrap().uids, [2000]);
}

#[test]
fn marks_and_derived_addresses_follow_from_names_alone() {
    let plane = json!({"name": "p", "kind": "bridge", "mac": "derived", "ipam": {"ranges": ["10.0.0.0/24"]}});
    let edit = json!({"planes": [plane], "default": ["p"]});
    let (one, two) = (Call::chained(edit.clone()).plan().unwrap(), Call::chained(edit).plan().unwrap());

    assert_eq!(one, two);
    let mark = one.attachments[1].host_ifname.as_str();
    assert!(mark.len() == 15 && mark.starts_with("mp"), "{mark}");
    assert!(matches!(one.attachments[1].mac, MacPlan::Derived(_)));
}

#[test]
fn knitters_eth0_is_the_primary_that_stands_there() {
    let text = r#"{"ports":[{"attach_to_network":"net_api","attributes":{"nic_name":"eth0"}},
        {"attach_to_network":"control","attributes":{"function":"control","nic_name":"ctl"}}]}"#;
    let call = Call::chained(json!({"select": ["knitter"]})).with("networks", text);

    assert_eq!(call.outline(), ["eth0:eth0:Primary", "control:ctl:Plane"]);
    assert_eq!(call.plan().unwrap().attachments[1].labels["knitter/function"], "control");
    let ours = r#"{"ports":[{"attach_to_network":"control","attributes":{"nic_name":"eth0"}}]}"#;
    let ours = Call::chained(json!({"select": ["knitter"]})).with("networks", ours).refusal();
    assert!(ours.contains("the node decides"), "a declared plane is not dropped unseen: {ours}");
}

#[test]
fn a_plane_is_not_taken_for_the_primary_because_of_its_name() {
    let plane =
        json!({"name": "eth0", "kind": "bridge", "ifname": "x0", "ipam": {"ranges": ["10.0.0.0/24"]}});
    let refusal = Call::chained(json!({"planes": [plane], "default": ["eth0"]})).refusal();

    assert!(refusal.contains("\"eth0\": the pod has this plane already, as eth0"), "{refusal}");
    let undeclared = Call::chained(json!({})).with(PLANES, "eth0,media");
    assert_eq!(undeclared.outline(), ["eth0:eth0:Primary", "media:media:Plane"]);
}

#[test]
fn two_planes_with_the_same_own_address_are_refused_by_name() {
    let (one, two): (PlaneName, PlaneName) = ("a".parse().unwrap(), "b".parse().unwrap());
    let address: IpAddr = "10.0.0.1".parse().unwrap();

    let error = refuse_twins([(&one, address), (&two, address)].into_iter()).unwrap_err().to_string();

    assert!(error.contains("plane b address 10.0.0.1: plane a has the same address"), "{error}");
}

/// Reads a block of the page as what it is: a network, a plane, an overlay or an annotation.
fn understand(block: &str) -> Result<(), ConfError> {
    let value: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
    let asks = |key: &str| {
        let annotations = BTreeMap::from([(key.to_owned(), block.to_owned())]);
        annotation::requests(&[Select::Multiplane, Select::Knitter], &annotations, None).map(drop)
    };
    if value.is_array() {
        asks(PLANES)
    } else if value.get("ports").is_some() {
        asks(annotation::KNITTER_NETWORKS)
    } else if value.get("kind").is_some() {
        let name = value["name"].clone();
        let call = Call::chained(json!({"planes": [value], "default": [name]}));
        call.finding(found("net1", "192.168.10.63/24")).plan().map(drop)
    } else if value.get("planes").is_some_and(Value::is_object) {
        NodeConf::parse(value.as_object().unwrap()).map(drop)
    } else {
        Call { conf: NetConf::parse(value.as_object().unwrap())?, ..Call::chained(json!({})) }
            .plan()
            .map(drop)
    }
}

#[test]
fn the_page_about_planes_is_understood() {
    let page = include_str!("../../../docs/planes.md");
    let blocks: Vec<&str> =
        page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();

    assert!(blocks.len() > 15, "{} blocks", blocks.len());
    for block in blocks {
        assert_eq!(understand(block), Ok(()), "{block}");
    }
}
