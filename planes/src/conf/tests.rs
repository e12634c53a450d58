//! Tables of configurations: what is understood, and how each refusal names field, value and cure.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::capture::{Captured, Scope};
use crate::fields::ConfFault;

fn parse(value: Value) -> Result<NetConf, ConfError> {
    NetConf::parse(value.as_object().unwrap())
}

/// The runnable example of the design, with `edit` laid over its top level.
fn telecom(edit: Value) -> Value {
    let mut conf = json!({
        "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.0.0"], "name": "telecom", "type": "multiplane",
        "capabilities": {"io.kubernetes.cri.pod-annotations": true},
        "planes": [
            {"name": "control", "kind": "bridge", "bridge": "mp-control", "mtu": 1500, "ifname": "ctl0",
             "ipam": {"ranges": [["10.75.8.0/24"]], "routes": [{"dst": "10.76.0.0/16"}], "gateway": "10.75.8.1"},
             "traffic": "capture", "addresses": [], "forward": false},
            {"name": "media", "kind": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "any": 1},
             "traffic": "bypass"},
            {"name": "oam", "kind": "adopted", "match": {"subnet": "192.168.10.0/24"}}
        ],
        "default": ["control"], "undeclared": "deny", "select": ["multiplane", "npwg"],
        "bootstrap": {"discovery": "istiod.istio-system.svc:15010"},
        "runtimeConfig": {}, "prevResult": {}, "args": {}, "cni.dev/x": 1, "ipMasq": false
    });
    conf.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
    conf
}

#[test]
fn the_designs_example_is_understood() {
    let conf = parse(telecom(json!({}))).unwrap();

    assert_eq!(conf.planes.len(), 3);
    assert_eq!(conf.default, ["control".parse().unwrap()]);
    assert_eq!(conf.undeclared, Traffic::Deny);
    assert_eq!(conf.select, [Select::Multiplane, Select::Npwg]);
    assert_eq!(conf.proxy, ProxyConf::default());
    assert_eq!(conf.bootstrap.unwrap().directory, PathBuf::from("/run/multiplane/pods"));
    assert!(
        matches!(&conf.planes[1].ipam, IpamConf::Delegated(plugin, conf) if plugin.as_str() == "host-local" && conf["any"] == 1)
    );
}

#[test]
fn go_writes_keys_in_any_case_and_null_for_nothing() {
    let conf = parse(telecom(
        json!({"Undeclared": "capture", "undeclared": null, "default": null, "strict": "true"}),
    ));

    // An exact key that is null hides nothing: it is absent, and so is its value.
    assert_eq!(conf.as_ref().unwrap().undeclared, Traffic::Bypass);
    assert!(conf.as_ref().unwrap().default.is_empty() && conf.unwrap().strict);
}

#[test]
fn the_classic_layout_has_one_port_for_both_directions() {
    let ports = |proxy: Value| {
        let proxy = parse(telecom(json!({"proxy": proxy}))).unwrap().proxy;
        (proxy.inbound_port, proxy.outbound_port)
    };

    assert_eq!(ports(json!({"layout": "classic"})), (15001, 15001));
    assert_eq!(ports(json!({"layout": "classic", "outboundPort": 15101})), (15101, 15101));
    assert_eq!(ports(json!({"layout": "split"})), (15006, 15001));
}

#[test]
fn each_refusal_names_the_field_and_the_cure() {
    let plane = |edit: Value| {
        let mut plane = json!({"name": "p", "kind": "bridge", "ipam": {"ranges": ["10.0.0.0/24"]}});
        plane.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
        json!({"planes": [plane], "default": []})
    };
    let ipam = |ipam: Value| plane(json!({"ipam": ipam}));
    let kind = |edit: Value| {
        let mut plane = json!({"name": "p"});
        plane.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
        json!({"planes": [plane], "default": []})
    };
    let pair = |mut a: Value, mut b: Value| {
        (a["name"], b["name"]) = (json!("a"), json!("b"));
        json!({"planes": [a, b], "default": []})
    };
    let cases = [
        (json!({"name": null}), "name: is missing"),
        (json!({"name": "../x"}), "network name \"../x\""),
        (json!({"defualt": []}), "defualt []: unknown key; did you mean \"default\"?"),
        (json!({"planes": {}}), "planes {}: write a list"),
        (json!({"planes": [7]}), "planes[0] 7: write an object"),
        (
            json!({"default": ["nope"]}),
            "default \"nope\": no such plane; this network declares control, media, oam",
        ),
        (json!({"always": ["nope"]}), "always \"nope\""),
        (json!({"primary": "nope"}), "primary \"nope\""),
        (json!({"undeclared": "drop"}), "undeclared \"drop\": write one of capture, bypass, deny"),
        (json!({"select": ["multus"]}), "select[0] \"multus\": write one of multiplane, npwg, knitter"),
        (json!({"stateDirectory": "run"}), "stateDirectory \"run\": write an absolute path"),
        (json!({"stateDirectory": "/run/../etc"}), "without \"..\""),
        (json!({"nodeConfig": 7}), "nodeConfig 7: write a text"),
        (json!({"report": "some"}), "report \"some\": write one of primary, all"),
        (json!({"deadline": 0}), "deadline 0: write 1 to 100 seconds"),
        (json!({"deadline": "soon"}), "deadline \"soon\": write a whole number"),
        (json!({"deadline": -1}), "deadline -1: write a whole number, not negative"),
        (json!({"strict": "yes"}), "strict \"yes\": write true or false"),
        (json!({"proxy": {"uid": -1}}), "proxy.uid -1"),
        (json!({"proxy": {"inboundPort": 0}}), "proxy.inboundPort 0: write a port from 1 to 65535"),
        (json!({"proxy": {"inboundPort": 70000}}), "proxy.inboundPort 70000"),
        (json!({"proxy": {"outboundPort": 15006}}), "proxy.outboundPort 15006: must differ"),
        (json!({"proxy": {"pods": "some"}}), "proxy.pods \"some\""),
        (json!({"proxy": {"mode": "tproxy"}}), "proxy.mode \"tproxy\": write one of redirect"),
        (json!({"proxy": {"layout": "2018"}}), "proxy.layout \"2018\": write one of split, classic"),
        (json!({"proxy": {"otherMesh": true}}), "proxy.otherMesh true: write one of warn, refuse"),
        (json!({"proxy": {"port": 1}}), "proxy.port 1: unknown key"),
        (json!({"bootstrap": {}}), "bootstrap.discovery: is missing"),
        (json!({"bootstrap": {"discovery": "istiod"}}), "bootstrap.discovery \"istiod\": write HOST:PORT"),
        (
            json!({"bootstrap": {"discovery": "a:1", "maxConnections": 0}}),
            "bootstrap.maxConnections 0: write at least 1",
        ),
        (json!({"default": ["control", "control"]}), "default[1] \"control\": stands twice"),
        (json!({"bootstrap": {"discovery": "a:1", "flavour": "linkerd"}}), "bootstrap.flavour \"linkerd\""),
        (json!({"bootstrap": {"discovery": "a:1", "directory": "x"}}), "bootstrap.directory \"x\""),
        (plane(json!({"traffic": "drop"})), "planes[0].traffic \"drop\": write one of capture, bypass, deny"),
        (plane(json!({"traffic": 7})), "planes[0].traffic 7: write one of"),
        (
            plane(json!({"traffic": {"in": "deny"}})),
            "planes[0].traffic.in \"deny\": a plane is denied as a whole",
        ),
        (plane(json!({"traffic": {"out": "deny"}})), "write \"traffic\": \"deny\""),
        (
            plane(json!({"traffic": {"in": "all"}})),
            "planes[0].traffic.in \"all\": write one of capture, bypass",
        ),
        (plane(json!({"traffic": {"both": "capture"}})), "planes[0].traffic.both \"capture\": unknown key"),
        (plane(json!({"traffic": {"inPorts": []}})), "planes[0].traffic.inPorts 0: write 1 to 64 ports"),
        (
            plane(json!({"traffic": {"inPorts": vec![1; 65]}})),
            "planes[0].traffic.inPorts 65: write 1 to 64 ports",
        ),
        (plane(json!({"traffic": {"inPorts": 80}})), "planes[0].traffic.inPorts 80: write a list"),
        (
            plane(json!({"traffic": {"inPorts": ["x"]}})),
            "planes[0].traffic.inPorts[0] \"x\": write a port from 1",
        ),
        (
            plane(json!({"traffic": {"outPorts": [0]}})),
            "planes[0].traffic.outPorts[0] \"0\": write a port from 1",
        ),
        (plane(json!({"traffic": {"outPorts": ["90-80"]}})), "planes[0].traffic.outPorts[0] \"90-80\""),
        (plane(json!({"traffic": {"outPorts": [70000]}})), "planes[0].traffic.outPorts[0] \"70000\""),
        (plane(json!({"traffic": {"outPorts": ["80; drop"]}})), "planes[0].traffic.outPorts[0] \"80; drop\""),
        (plane(json!({"traffic": {"outPorts": [{}]}})), "planes[0].traffic.outPorts[0] {}: write a port"),
        (
            plane(json!({"traffic": {"in": "bypass", "inPorts": [80]}})),
            "planes[0].traffic.inPorts: says which ports are captured, and \"in\" is bypass: remove one of them",
        ),
        (kind(json!({})), "planes[0].kind: is missing: write one of bridge, ptp"),
        (kind(json!({"kind": "sriov"})), "planes[0].kind \"sriov\": write one of bridge"),
        (kind(json!({"kind": "macvlan"})), "planes[0].master: is missing"),
        (kind(json!({"kind": "macvlan", "master": "a/b"})), "planes[0].master \"a/b\""),
        (
            kind(json!({"kind": "macvlan", "master": "e", "mode": "x"})),
            "planes[0].mode \"x\": write one of bridge, private, vepa",
        ),
        (kind(json!({"kind": "ipvlan", "master": "e", "mode": "l4"})), "planes[0].mode \"l4\""),
        (kind(json!({"kind": "vlan", "master": "e"})), "planes[0].vlan: is missing"),
        (
            kind(json!({"kind": "vlan", "master": "e", "vlan": 4095})),
            "planes[0].vlan 4095: vlan 4095: use 1 to 4094",
        ),
        (kind(json!({"kind": "vxlan"})), "planes[0].vni: is missing"),
        (
            kind(json!({"kind": "vxlan", "vni": 1, "group": "10.0.0.1"})),
            "planes[0].group 10.0.0.1: write a multicast",
        ),
        (
            kind(json!({"kind": "vxlan", "vni": 1, "group": "239.1.1.1"})),
            "planes[0].groupInterface: is missing",
        ),
        (kind(json!({"kind": "vxlan", "vni": 1, "remotes": ["x"]})), "planes[0].remotes[0] \"x\""),
        (kind(json!({"kind": "host-device"})), "write exactly one of device, hwaddr, pciBusID"),
        (
            kind(json!({"kind": "host-device", "device": "a", "hwaddr": "0a:58:0a:4b:08:07"})),
            "exactly one of",
        ),
        (
            kind(json!({"kind": "host-device", "pciBusID": "../../x"})),
            "planes[0].pciBusID \"../../x\": write it as 0000:3b:00.1",
        ),
        (kind(json!({"kind": "adopted"})), "planes[0].match: is missing"),
        (kind(json!({"kind": "adopted", "match": {}})), "planes[0].match: write how to recognise"),
        (
            kind(json!({"kind": "adopted", "match": {"subnet": "10.0.0.1/8"}})),
            "without host bits, for example 10.0.0.0/8",
        ),
        (
            kind(json!({"kind": "adopted", "match": {"name": "net1"}, "ipam": {"type": "host-local"}})),
            "planes[0].ipam {\"type\":\"host-local\"}: an adopted interface keeps what it has; remove it",
        ),
        (
            kind(json!({"kind": "adopted", "match": {"name": "net1"}, "ifname": "x"})),
            "planes[0].ifname \"x\": an adopted",
        ),
        (
            kind(json!({"kind": "ipvlan", "master": "e", "mac": "derived"})),
            "planes[0].mac \"derived\": an ipvlan interface has its master's; remove it",
        ),
        (kind(json!({"kind": "bridge", "name": "a-very-long-plane-name"})), "write the bridge's name"),
        (plane(json!({"name": "a b"})), "planes[0].name \"a b\""),
        (plane(json!({"brigde": "x"})), "did you mean \"bridge\"?"),
        (plane(json!({"master": "eth1"})), "planes[0].master \"eth1\": unknown key"),
        (plane(json!({"mtu": 20})), "planes[0].mtu 20: mtu 20: use 68 to 65535"),
        (plane(json!({"mtu": 4294967296_u64})), "planes[0].mtu 4294967296"),
        (plane(json!({"mac": "01:00:5e:00:00:01"})), "planes[0].mac \"01:00:5e:00:00:01\""),
        (plane(json!({"ifname": "0123456789abcdef"})), "planes[0].ifname \"0123456789abcdef\""),
        (plane(json!({"ifname": "a b"})), "planes[0].ifname \"a b\""),
        (plane(json!({"traffic": "mesh"})), "planes[0].traffic \"mesh\""),
        (plane(json!({"routes": [{}]})), "planes[0].routes[0].dst: is missing"),
        (plane(json!({"routes": [{"dst": "10.0.0.1/8"}]})), "planes[0].routes[0].dst"),
        (plane(json!({"routes": [{"dst": "0.0.0.0/0"}]})), "give the plane a gateway"),
        (
            plane(json!({"routes": [{"dst": "10.0.0.0/8", "gw": "::1"}]})),
            "planes[0].routes[0].gw: is of another family",
        ),
        (
            plane(json!({"routes": [{"dst": "10.0.0.0/8", "via": "x"}]})),
            "planes[0].routes[0].via \"x\": unknown key",
        ),
        (plane(json!({"dns": {"nameservers": ["x"]}})), "planes[0].dns.nameservers[0] \"x\""),
        (
            plane(json!({"sysctls": {"ipv4.rp_filter": 1}})),
            "planes[0].sysctls.ipv4.rp_filter 1: write a text",
        ),
        (plane(json!({"sysctls": {"ipv4/../x": "1"}})), "write ipv4.NAME or ipv6.NAME"),
        (plane(json!({"sysctls": {"kernel.x": "1"}})), "write ipv4.NAME or ipv6.NAME"),
        (plane(json!({"sysctls": {"ipv4.x": "1\n"}})), "write a number in quotes"),
        (plane(json!({"addresses": ["10.0.0.1/8"]})), "planes[0].addresses[0]"),
        (plane(json!({"forward": 1})), "planes[0].forward 1: write true or false"),
        (ipam(json!({})), "planes[0].ipam.ranges: is missing"),
        (ipam(json!({"type": "../x"})), "planes[0].ipam.type \"../x\""),
        (ipam(json!({"ranges": [[]]})), "planes[0].ipam.ranges[0] []: write at least one range"),
        (ipam(json!({"ranges": [["10.0.0.0"]]})), "write a prefix with its length"),
        (ipam(json!({"ranges": [["10.0.0.1/24"]]})), "without host bits, for example 10.0.0.0/24"),
        (
            ipam(json!({"ranges": [[{"rangeStart": "10.0.0.1"}]]})),
            "planes[0].ipam.ranges[0][0].subnet: is missing",
        ),
        (ipam(json!({"ranges": [[{"subnet": "10.0.0.0/24", "start": "x"}]]})), "unknown key"),
        (
            ipam(json!({"ranges": ["10.0.0.0/24"], "scope": "cluster"})),
            "planes[0].ipam.scope \"cluster\": write one of node",
        ),
        (ipam(json!({"ranges": ["10.0.0.0/24"], "exclude": ["x"]})), "planes[0].ipam.exclude[0] \"x\""),
        (
            ipam(json!({"ranges": ["10.0.0.0/24"], "gateway": ["10.0.0.1", "10.0.0.2"]})),
            "at most one gateway per family",
        ),
        (ipam(json!({"addresses": ["10.0.0.1"]})), "write the prefix length too"),
        (
            ipam(json!({"addresses": [{"gateway": "10.0.0.1"}]})),
            "planes[0].ipam.addresses[0].address: is missing",
        ),
        (
            ipam(json!({"ranges": ["10.0.0.0/24"], "dataDir": "/x"})),
            "planes[0].ipam.dataDir \"/x\": unknown key",
        ),
        (
            json!({"planes": [{"name": "p", "kind": "ptp"}, {"name": "p", "kind": "ptp"}], "default": []}),
            "planes[1].name \"p\": is declared twice",
        ),
        (
            pair(
                json!({"kind": "bridge", "bridge": "br"}),
                json!({"kind": "bridge", "bridge": "br", "vlan": 7}),
            ),
            "planes[1].bridge \"br\": plane a has it already",
        ),
        (
            pair(json!({"kind": "bridge", "uplink": "eth1"}), json!({"kind": "bridge", "uplink": "eth1"})),
            "planes[1].uplink \"eth1\": plane a has it already",
        ),
        (
            pair(json!({"kind": "vxlan", "vni": 7}), json!({"kind": "vxlan", "vni": 7, "device": "other"})),
            "planes[1].vni \"7\": plane a has it already",
        ),
    ];
    for (edit, expected) in cases {
        let error = parse(telecom(edit.clone())).unwrap_err();
        let text = error.to_string();

        assert!(text.contains(expected), "{edit}: {text:?} does not say {expected:?}");
        assert_eq!(text.lines().count(), 1);
        assert_eq!(error.kind == ConfFault::UnknownKey, text.contains("unknown key"), "{text}");
    }
}

#[test]
fn vlans_keep_planes_of_one_bridge_apart() {
    let plane = |name: &str, vlan: u16| json!({"name": name, "kind": "bridge", "bridge": "br", "uplink": "eth1", "vlan": vlan});

    assert!(parse(telecom(json!({"planes": [plane("a", 7), plane("b", 8)], "default": []}))).is_ok());
    assert!(parse(telecom(json!({"planes": [plane("a", 7), plane("b", 7)], "default": []}))).is_err());
}

#[test]
fn a_nodes_overlay_names_its_own_fields() {
    let good =
        json!({"planes": {"media": {"ranges": ["10.9.0.0/24"], "master": "ens5", "remotes": ["192.0.2.2"]}}});
    let overlay = NodeConf::parse(good.as_object().unwrap()).unwrap();
    assert_eq!(overlay.plane(&"media".parse().unwrap()).unwrap().master, Some("ens5".parse().unwrap()));

    for (bad, expected) in [
        (
            json!({"planes": {"media": {"rangs": []}}}),
            "nodeConfig.planes.media.rangs []: unknown key; did you mean \"ranges\"?",
        ),
        (json!({"planes": ["media"]}), "nodeConfig.planes [\"media\"]: write an object in braces"),
        (json!({"media": {}}), "nodeConfig.media {}: unknown key; known are planes"),
    ] {
        let error = NodeConf::parse(bad.as_object().unwrap()).unwrap_err().to_string();
        assert_eq!(error, expected);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9./:-]{0,20}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("planes"),
        Just("name"),
        Just("kind"),
        Just("ipam"),
        Just("ranges"),
        Just("routes"),
        Just("match"),
        Just("vni"),
        Just("proxy"),
        Just("bootstrap"),
        Just("bridge"),
        Just("ptp"),
        Just("gateway"),
        Just("addresses"),
        Just("mtu"),
    ]
    .prop_map(ToOwned::to_owned);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_configuration_makes_the_parser_panic(value in any_json()) {
        if let Value::Object(map) = &value {
            let _ = NetConf::parse(map);
            let _ = NodeConf::parse(map);
        }
    }
}

#[test]
fn a_plane_is_captured_by_direction_and_port() {
    let of = |traffic: Value| {
        let plane = json!({"name": "p", "kind": "bridge", "traffic": traffic});
        let conf = parse(telecom(json!({"planes": [plane], "default": []}))).unwrap();
        (conf.planes[0].traffic, conf.planes[0].captured.clone())
    };
    let ports = |list: &[&str]| Scope::Ports(list.iter().map(|text| text.parse().unwrap()).collect());

    assert_eq!(of(json!("capture")), (Traffic::Capture, Captured::default()));
    assert_eq!(
        of(json!({})),
        (Traffic::Capture, Captured::default()),
        "a direction is captured if nothing is said"
    );
    assert_eq!(of(json!({"in": "bypass", "out": "bypass"})), (Traffic::Bypass, Captured::default()));
    let (traffic, captured) = of(json!({"in": "capture", "inPorts": [80, "8000-8010"], "out": "bypass"}));
    assert_eq!(traffic, Traffic::Capture);
    assert_eq!(captured, Captured { inbound: ports(&["80", "8000-8010"]), outbound: Scope::Nothing });
}
