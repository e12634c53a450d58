//! Whatever a pod's author writes, the plan holds nothing but what the node's administrator offered.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::plan::EmbeddedIpam;

fn catalogue() -> NetConf {
    let conf = json!({
        "name": "telecom", "select": ["multiplane", "npwg"], "default": ["control"], "always": ["media"],
        "planes": [
            {"name": "control", "kind": "bridge", "ifname": "ctl0",
             "ipam": {"ranges": [["10.75.8.0/28"], ["fd00:75::/64"]], "gateway": "10.75.8.1", "exclude": ["10.75.8.9"]}},
            {"name": "media", "kind": "ptp", "ipam": {"ranges": ["10.80.0.0/24"], "gateway": "10.80.0.1"}, "traffic": "bypass"},
            {"name": "lan", "kind": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts"}, "traffic": "deny"},
            {"name": "bulk", "kind": "ipvlan", "master": "eth1"},
            {"name": "fast", "kind": "host-device", "device": "ens5"},
            {"name": "oam", "kind": "adopted", "match": {"subnet": "192.168.10.0/24"}}
        ]
    });
    NetConf::parse(conf.as_object().unwrap()).unwrap()
}

fn found() -> Vec<FoundInterface> {
    [("eth0", "10.244.0.5/24"), ("net1", "192.168.10.63/24"), ("net2", "172.16.0.2/24")]
        .map(|(name, address)| FoundInterface {
            name: name.parse().unwrap(),
            mac: None,
            addresses: vec![address.parse().unwrap()],
        })
        .to_vec()
}

fn plan(annotations: &BTreeMap<String, String>) -> Result<Plan, ConfError> {
    let key = AttachmentKey {
        network: "telecom".parse().unwrap(),
        container: "c1".parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    };
    let pod = Some(Pod { namespace: "core".into(), name: "amf-0".into(), uid: None });
    let netns = Path::new("/run/netns/x");
    resolve(
        &catalogue(),
        &Request { key, netns, pod, annotations, chained: true, found: &found(), node: None },
    )
}

/// One item of an annotation: right, wrong and hostile words mixed.
fn item() -> impl Strategy<Value = Value> {
    let plane =
        prop::sample::select(vec!["control", "media", "lan", "bulk", "fast", "oam", "nope", "eth0", "../x"]);
    let ifname = prop::sample::select(vec!["eth0", "net1", "net9", "lo", "a/b", "a", "b", "mp0"]);
    let ip = prop::sample::select(vec![
        "10.75.8.7",
        "10.75.8.1",
        "10.75.8.9",
        "10.75.8.15",
        "10.75.8.7/28",
        "10.75.8.7/8",
        "10.80.0.4",
        "fd00:75::7",
        "127.0.0.1",
        "8.8.8.8",
        "::1",
        "0.0.0.0",
    ]);
    let mac = prop::sample::select(vec!["0a:58:0a:4b:08:07", "ff:ff:ff:ff:ff:ff"]);
    let gateway = prop::sample::select(vec!["10.75.8.1", "10.80.0.1", "8.8.8.8"]);
    let host_key =
        prop::sample::select(vec!["bridge", "master", "device", "uplink", "vlan", "path", "kind", "traffic"]);
    let few = |strategy: prop::sample::Select<&'static str>| prop::collection::vec(strategy, 0..3);
    let rare = |share: f64| prop::bool::weighted(share);
    (
        plane,
        prop::option::of(ifname),
        prop::option::of(few(ip)),
        prop::option::weighted(0.2, mac),
        prop::option::weighted(0.2, few(gateway)),
        (rare(0.05), host_key),
    )
        .prop_map(|(plane, ifname, ips, mac, gateways, (is_hostile, host_key))| {
            let mut item = json!({"name": plane, "interface": ifname, "ips": ips, "mac": mac, "default-route": gateways});
            if is_hostile {
                item[host_key] = json!("br-host");
            }
            item
        })
}

/// The link that a plane has when nobody asks for anything.
fn offered(name: &PlaneName) -> LinkPlan {
    let conf = catalogue();
    conf.plane(name).map_or(LinkPlan::Adopted, |plane| link::plan(plane, None).unwrap())
}

fn requested(planned: &PlannedAttachment) -> &[IpAddr] {
    match &planned.ipam {
        IpamPlan::Embedded(EmbeddedIpam { requested, .. }) => requested,
        IpamPlan::None | IpamPlan::Delegated(_) => &[],
    }
}

proptest! {
    #[test]
    fn no_request_makes_the_parser_panic_or_reach_beyond_the_catalogue(items in prop::collection::vec(item(), 0..4), npwg in any::<bool>()) {
        let key = if npwg { annotation::NPWG_NETWORKS } else { annotation::PLANES };
        let text = Value::from(items.clone()).to_string();
        let annotations = BTreeMap::from([(key.to_owned(), text)]);
        let plan = match plan(&annotations) {
            Ok(plan) => plan,
            Err(error) => {
                prop_assert_eq!(error.kind, crate::ConfFault::Annotation, "{}", error);
                return Ok(());
            }
        };

        prop_assert_eq!(plan.attachments[0].ifname.as_str(), "eth0");
        prop_assert_eq!(&plan.attachments[0].link, &LinkPlan::Adopted);
        let names: BTreeSet<&IfName> = plan.attachments.iter().map(|one| &one.ifname).collect();
        prop_assert_eq!(names.len(), plan.attachments.len(), "each interface once");
        prop_assert!(plan.attachments.iter().any(|one| one.plane.as_str() == "media"), "always is always");
        prop_assert!(plan.attachments.iter().filter(|one| one.default_route).count() == 1);
        for one in &plan.attachments {
            prop_assert_eq!(&one.link, &offered(&one.plane));
            let declared = catalogue().plane(&one.plane).map(|plane| plane.traffic);
            prop_assert!(declared.is_none_or(|traffic| traffic == one.traffic));
            let free = |ip: &IpAddr| {
                let text = ip.to_string();
                text.starts_with("fd00:75::") || ["10.75.8.7", "10.80.0.4"].contains(&text.as_str())
            };
            prop_assert!(requested(one).iter().all(free), "{:?}", requested(one));
        }
        let saved = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&saved).unwrap(), plan, "DEL reads the plan that ADD saved");
    }
}
