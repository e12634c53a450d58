//! Keys, names, kinds and their own keys.

use serde_json::json;
use testbed::plugin::Environment;

use super::{Case, Scene, faults_of_message, of_kind, plane};

#[test]
fn keys_that_nobody_defined_are_code_2_with_the_nearest_one() {
    let cases: &[Case<'_>] = &[
        (json!({"defualt": []}), ["defualt", "[]", "did you mean \"default\""]),
        (json!({"plane": []}), ["plane", "[]", "did you mean \"planes\""]),
        (json!({"vendor": {"x": 1}}), ["vendor", "{\"x\":1}", "unknown key"]),
        (json!({"../../x": 1}), ["../../x", "1", "unknown key"]),
        (json!({"a\nb": 1}), ["a b", "1", "unknown key"]),
        (json!({"proxy": {"port": 1}}), ["proxy.port", "1", "unknown key"]),
        (json!({"bootstrap": {"discovery": "a:1", "dir": "/x"}}), ["bootstrap.dir", "/x", "unknown key"]),
        (plane(json!({"brigde": "x"})), ["planes[0].brigde", "x", "did you mean \"bridge\""]),
        (plane(json!({"master": "eth1"})), ["planes[0].master", "eth1", "unknown key"]),
        (
            plane(json!({"ipam": {"ranges": ["10.60.0.0/24"], "dataDir": "/x"}})),
            ["planes[0].ipam.dataDir", "/x", "unknown"],
        ),
        (
            plane(json!({"routes": [{"dst": "10.0.0.0/8", "via": "x"}]})),
            ["planes[0].routes[0].via", "x", "unknown key"],
        ),
        (of_kind(json!({"kind": "ptp", "vlan": 7})), ["planes[0].vlan", "7", "unknown key"]),
    ];

    Scene::new().refuses_each(2, cases);
}

#[test]
fn values_of_the_network_that_cannot_stand_are_code_7() {
    let cases: &[Case<'_>] = &[
        (json!({"planes": {}}), ["planes", "{}", "list"]),
        (json!({"planes": "bridge"}), ["planes", "bridge", "list"]),
        (json!({"planes": [7]}), ["planes[0]", "7", "object"]),
        (json!({"planes": [[]]}), ["planes[0]", "[]", "object"]),
        (json!({"default": "control"}), ["default", "control", "list"]),
        (json!({"default": ["nope"]}), ["default", "nope", "declares control, media, oam"]),
        (json!({"default": [7]}), ["default[0]", "7", "text"]),
        (json!({"always": ["nope"]}), ["always", "nope", "declares control, media, oam"]),
        (json!({"primary": "nope"}), ["primary", "nope", "declares control, media, oam"]),
        (json!({"primary": "../x"}), ["primary", "../x", "use"]),
        (json!({"undeclared": "drop"}), ["undeclared", "drop", "capture, bypass, deny"]),
        (json!({"select": "npwg"}), ["select", "npwg", "list"]),
        (json!({"select": ["multus"]}), ["select[0]", "multus", "multiplane, npwg, knitter"]),
        (json!({"stateDirectory": "run"}), ["stateDirectory", "run", "absolute path"]),
        (json!({"stateDirectory": "/run/../etc"}), ["stateDirectory", "/run/../etc", "without \"..\""]),
        (json!({"stateDirectory": 7}), ["stateDirectory", "7", "text"]),
        (json!({"stickyDirectory": "../x"}), ["stickyDirectory", "../x", "absolute path"]),
        (json!({"nodeConfig": "node.json"}), ["nodeConfig", "node.json", "absolute path"]),
        (json!({"report": "some"}), ["report", "some", "primary, all"]),
        (json!({"deadline": 0}), ["deadline", "0", "1 to 100"]),
        (json!({"deadline": 1.5}), ["deadline", "1.5", "whole number"]),
        (json!({"deadline": "soon"}), ["deadline", "soon", "whole number"]),
        (
            json!({"deadline": 18_446_744_073_709_551_615_u64}),
            ["deadline", "18446744073709551615", "1 to 100"],
        ),
        (json!({"strict": "yes"}), ["strict", "yes", "true or false"]),
        (json!({"proxy": []}), ["proxy", "[]", "object"]),
        (json!({"proxy": {"uid": -1}}), ["proxy.uid", "-1", "not negative"]),
        (json!({"proxy": {"uid": 4_294_967_296_u64}}), ["proxy.uid", "4294967296", ""]),
        (json!({"proxy": {"inboundPort": 0}}), ["proxy.inboundPort", "0", "1 to 65535"]),
        (json!({"proxy": {"outboundPort": 65_536}}), ["proxy.outboundPort", "65536", ""]),
        (json!({"proxy": {"outboundPort": 15_006}}), ["proxy.outboundPort", "15006", "must differ"]),
        (json!({"proxy": {"pods": "some"}}), ["proxy.pods", "some", "annotated, all, none"]),
        (json!({"bootstrap": {}}), ["bootstrap.discovery", "missing", "HOST:PORT"]),
        (
            json!({"bootstrap": {"discovery": "a:1", "flavour": "linkerd"}}),
            ["bootstrap.flavour", "linkerd", "istio"],
        ),
        (
            json!({"bootstrap": {"discovery": "a:1", "directory": "/x/../y"}}),
            ["bootstrap.directory", "/x/../y", "without \"..\""],
        ),
        (
            json!({"planes": [{"name": "p", "kind": "bridge", "bridge": "b1"}, {"name": "p", "kind": "bridge", "bridge": "b2"}],
                "default": []}),
            ["planes[1].name", "p", "twice"],
        ),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn values_of_a_plane_that_cannot_stand_are_code_7() {
    let cases: &[Case<'_>] = &[
        (plane(json!({"name": "DELETE"})), ["planes[0].name", "missing", "write the plane's name"]),
        (plane(json!({"name": "../../etc"})), ["planes[0].name", "../../etc", "use"]),
        (plane(json!({"name": "a b"})), ["planes[0].name", "a b", "use"]),
        (plane(json!({"name": 7})), ["planes[0].name", "7", "text"]),
        (plane(json!({"ifname": "0123456789abcdef"})), ["planes[0].ifname", "0123456789abcdef", "15"]),
        (plane(json!({"ifname": "../x"})), ["planes[0].ifname", "../x", "not allowed"]),
        (plane(json!({"ifname": "lo"})), ["interface", "lo", "choose another name"]),
        (plane(json!({"ifname": "eth0"})), ["interface", "eth0", "another name"]),
        (plane(json!({"mtu": 20})), ["planes[0].mtu", "20", "68"]),
        (plane(json!({"mtu": -1})), ["planes[0].mtu", "-1", "not negative"]),
        (plane(json!({"mtu": 4_294_967_296_u64})), ["planes[0].mtu", "4294967296", "68"]),
        (plane(json!({"mac": "01:00:5e:00:00:01"})), ["planes[0].mac", "01:00:5e:00:00:01", "unicast"]),
        (plane(json!({"mac": "00:00:00:00:00:00"})), ["planes[0].mac", "00:00:00:00:00:00", "unicast"]),
        (plane(json!({"mac": "random"})), ["planes[0].mac", "random", "unicast"]),
        (plane(json!({"traffic": "mesh"})), ["planes[0].traffic", "mesh", "capture, bypass, deny"]),
        (plane(json!({"forward": 1})), ["planes[0].forward", "1", "true or false"]),
        (plane(json!({"bridge": "a/b"})), ["planes[0].bridge", "a/b", "not allowed"]),
        (plane(json!({"bridge": "sixteen-bytes-xx"})), ["planes[0].bridge", "sixteen-bytes-xx", "use"]),
        (plane(json!({"hairpin": "maybe"})), ["planes[0].hairpin", "maybe", "true or false"]),
        (plane(json!({"dns": {"nameservers": ["x"]}})), ["planes[0].dns.nameservers[0]", "x", ""]),
        (plane(json!({"sysctls": {"ipv4.rp_filter": 1}})), ["sysctls.ipv4.rp_filter", "1", "text"]),
        (plane(json!({"sysctls": {"ipv4.conf/../../x": "1"}})), ["sysctls", "ipv4.conf", "ipv4.NAME"]),
        (
            plane(json!({"sysctls": {"kernel.core_pattern": "|/x"}})),
            ["sysctls", "kernel.core_pattern", "ipv4.NAME"],
        ),
        (plane(json!({"sysctls": {"ipv4.forwarding": "1\n"}})), ["sysctls", "ipv4.forwarding", "number"]),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn kinds_and_their_own_keys_that_cannot_stand_are_code_7() {
    let cases: &[Case<'_>] = &[
        (of_kind(json!({})), ["planes[0].kind", "missing", "bridge, ptp, macvlan"]),
        (of_kind(json!({"kind": "sriov"})), ["planes[0].kind", "sriov", "bridge, ptp, macvlan"]),
        (of_kind(json!({"kind": "Bridge"})), ["planes[0].kind", "Bridge", "bridge, ptp, macvlan"]),
        (of_kind(json!({"kind": ["bridge"]})), ["planes[0].kind", "bridge", "bridge, ptp, macvlan"]),
        (of_kind(json!({"kind": "macvlan"})), ["planes[0].master", "missing", "parent interface"]),
        (of_kind(json!({"kind": "macvlan", "master": "a/b"})), ["planes[0].master", "a/b", "not allowed"]),
        (
            of_kind(json!({"kind": "macvlan", "master": "e", "mode": "source"})),
            ["planes[0].mode", "source", "bridge, private, vepa"],
        ),
        (
            of_kind(json!({"kind": "ipvlan", "master": "e", "mode": "l4"})),
            ["planes[0].mode", "l4", "l2, l3, l3s"],
        ),
        (of_kind(json!({"kind": "vlan", "master": "e"})), ["planes[0].vlan", "missing", "1 to 4094"]),
        (of_kind(json!({"kind": "vlan", "master": "e", "vlan": 0})), ["planes[0].vlan", "0", "1 to 4094"]),
        (
            of_kind(json!({"kind": "vlan", "master": "e", "vlan": 4095})),
            ["planes[0].vlan", "4095", "1 to 4094"],
        ),
        (of_kind(json!({"kind": "vxlan"})), ["planes[0].vni", "missing", "16777215"]),
        (of_kind(json!({"kind": "vxlan", "vni": 16_777_216})), ["planes[0].vni", "16777216", "16777215"]),
        (of_kind(json!({"kind": "vxlan", "vni": 1, "remotes": ["x"]})), ["planes[0].remotes[0]", "x", ""]),
        (
            of_kind(json!({"kind": "vxlan", "vni": 1, "group": "10.0.0.1"})),
            ["planes[0].group", "10.0.0.1", "multicast"],
        ),
        (
            of_kind(json!({"kind": "vxlan", "vni": 1, "group": "239.1.1.1"})),
            ["planes[0].groupInterface", "missing", "joins the group"],
        ),
        (of_kind(json!({"kind": "vxlan", "vni": 1, "remotes": []})), ["local", "missing", "tunnel address"]),
        (
            of_kind(json!({"kind": "vxlan", "vni": 1, "local": "fd00::1", "remotes": ["192.0.2.1"]})),
            ["remotes", "192.0.2.1", "another family"],
        ),
        (of_kind(json!({"kind": "host-device"})), ["planes[0]", "device, hwaddr, pciBusID", "exactly one"]),
        (
            of_kind(json!({"kind": "host-device", "device": "a", "hwaddr": "0a:58:0a:4b:08:07"})),
            ["planes[0]", "device, hwaddr, pciBusID", "exactly one"],
        ),
        (
            of_kind(json!({"kind": "host-device", "pciBusID": "../../../etc"})),
            ["planes[0].pciBusID", "../../../etc", "0000:3b:00.1"],
        ),
        (of_kind(json!({"kind": "adopted"})), ["planes[0].match", "missing", "recognise"]),
        (of_kind(json!({"kind": "adopted", "match": {}})), ["planes[0].match", "", "recognise"]),
        (
            of_kind(json!({"kind": "adopted", "match": {"subnet": "10.0.0.1/8"}})),
            ["planes[0].match.subnet", "10.0.0.1/8", "10.0.0.0/8"],
        ),
        (
            of_kind(json!({"kind": "bridge", "name": "a-very-long-plane-name"})),
            ["planes[0].bridge", "mp-a-very-long-plane-name", "write the bridge's name"],
        ),
    ];

    Scene::new().refuses_each(7, cases);
}

#[test]
fn what_add_refuses_check_and_status_refuse_in_the_same_words() {
    let scene = Scene::new();
    for (edit, code, words) in [
        (json!({"defualt": []}), 2, ["defualt", "[]", "did you mean"]),
        (json!({"default": ["nope"]}), 7, ["default", "nope", "declares"]),
        (plane(json!({"kind": "sriov"})), 7, ["planes[0].kind", "sriov", "write one of"]),
    ] {
        let conf = scene.conf(edit);
        for verb in ["CHECK", "STATUS"] {
            let environment = if verb == "CHECK" { scene.pod.environment() } else { Environment::none() };
            let answer = scene.world.call(verb, &environment, &conf);
            assert_eq!(faults_of_message(&answer, code, words), Vec::<String>::new(), "{verb}");
        }
    }
    assert_eq!(scene.before.difference(&scene.world.state(&[&scene.pod])), Vec::<String>::new());
}
