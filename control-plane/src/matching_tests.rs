use planes::proxy_node::INSTANCE_IPS;
use serde_json::{Map, json};

use super::*;
use crate::registry::Catalogue;
use crate::registry::object::parse_file;
use crate::registry::source::{Change, Content};

fn node(addresses: &str, namespace: &str) -> ProxyNode {
    let metadata = Map::from_iter([
        (INSTANCE_IPS.to_owned(), json!(addresses)),
        ("NAMESPACE".to_owned(), json!(namespace)),
        (
            "PLANES".to_owned(),
            json!({"control": {"interface": "ctl0", "addresses": ["10.75.8.5"], "role": "plane"}}),
        ),
    ]);
    ProxyNode::parse("sidecar~~a~shop.svc.cluster.local", &metadata).unwrap()
}

fn registry(endpoints: &str) -> Registry {
    let yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: shop}}\nspec:\n  \
         hosts: [a.shop.svc]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 9080}}, \
         {{number: 15006, name: own, protocol: TCP}}]\n  endpoints: [{endpoints}]\n"
    );
    let mut catalogue = Catalogue::default();
    let content = Content::Objects(parse_file(&yaml).unwrap());
    catalogue.apply(vec![Change { unit: "a.yaml".to_owned(), content }]);
    catalogue.build(&Registry::default())
}

#[test]
fn every_address_of_the_proxy_counts_and_the_first_alone_with_match_first() {
    #[rustfmt::skip]
    let cases = [
        // addresses of the proxy, endpoint, matched by all, matched by the first
        ("192.168.10.5,10.75.8.5", "10.75.8.5", true, false),
        ("10.75.8.5,192.168.10.5", "10.75.8.5", true, true),
        ("192.168.10.5,fd00::5", "fd00::5", true, false),
        ("192.168.10.5,fd00::5", "FD00:0::5", true, false),
        ("192.168.10.5,fd00:0:0::0005", "fd00::5", true, false),
        ("192.168.10.5", "::ffff:192.168.10.5", true, true),
        ("::ffff:192.168.10.5", "192.168.10.5", true, true),
        ("192.168.10.5", "10.75.8.5", false, false),
    ];
    for (addresses, endpoint, all, first) in cases {
        let registry = registry(&format!("{{address: \"{endpoint}\"}}"));
        let node = node(addresses, "shop");
        let matched = |which| !targets(&registry, &node, which).is_empty();
        assert_eq!(matched(Match::All), all, "{addresses} {endpoint}");
        assert_eq!(matched(Match::First), first, "{addresses} {endpoint}");
        let verdict = explain(&registry.services[0].service, &node, Match::All);
        assert_eq!(verdict.is_matched(), all, "the reason agrees with the fact: {verdict}");
    }
}

#[test]
fn a_proxy_serves_services_of_its_own_namespace() {
    let registry = registry("{address: 10.75.8.5}");

    assert!(!targets(&registry, &node("10.75.8.5", "shop"), Match::All).is_empty());
    assert!(targets(&registry, &node("10.75.8.5", "other"), Match::All).is_empty());
    let verdict = explain(&registry.services[0].service, &node("10.75.8.5", "other"), Match::All);
    assert_eq!(verdict, Verdict::OtherNamespace { address: "10.75.8.5".parse().unwrap() });
}

#[test]
fn a_target_has_the_port_of_the_application_and_the_plane_of_its_address() {
    let registry = registry("{address: 10.75.8.5}, {address: 192.168.10.5, ports: {http: 7000}}");

    let targets = targets(&registry, &node("192.168.10.5,10.75.8.5", "shop"), Match::All);

    let shown: Vec<String> = targets
        .iter()
        .map(|target| {
            let plane = target.plane.as_ref().map_or("-", PlaneName::as_str);
            format!("{}:{} {plane}", target.address, target.port)
        })
        .collect();
    assert_eq!(shown, ["192.168.10.5:7000 -", "10.75.8.5:9080 control"]);
}

#[test]
fn the_ports_of_the_proxy_itself_are_nobodys() {
    let registry = registry("{address: 10.75.8.5, ports: {http: 15001}}");

    assert!(targets(&registry, &node("10.75.8.5", "shop"), Match::All).is_empty());
}

#[test]
fn each_verdict_says_why() {
    let registry = registry("{address: 10.75.8.5}");
    let service = &registry.services[0].service;

    let says = |addresses: &str, which| explain(service, &node(addresses, "shop"), which).to_string();

    assert_eq!(
        says("10.75.8.5", Match::All),
        "matched: endpoint 10.75.8.5 on plane control, port 9080, 15006"
    );
    assert_eq!(says("10.0.0.1", Match::All), "not matched: no endpoint has an address of the proxy");
    assert_eq!(
        says("10.0.0.1,10.75.8.5", Match::First),
        "not matched: endpoint 10.75.8.5 is the proxy's, but not its first (--match first)"
    );
}
