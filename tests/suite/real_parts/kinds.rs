//! Plane kinds that not every kernel has, through the built binary: ADD, what the kernel then has, DEL.
//! On a kernel without them each test skips, and runs in the microVM.

use std::path::Path;

use netlink::Netns;
use serde_json::{Value, json};
use testbed::iproute::{self, list};
use testbed::plugin::{Environment, Plugin};
use testbed::real::NodeRoot;
use testbed::requires::{self, Feature};
use testbed::world::command;

use super::kernel::spare_nics;

/// A node with a network card `up0` (one end of a veth) and an empty pod.
struct World {
    node: Netns,
    pod: Netns,
    root: NodeRoot,
}

impl World {
    fn new() -> Self {
        let world = Self {
            node: Netns::anonymous().unwrap(),
            pod: Netns::anonymous().unwrap(),
            root: NodeRoot::new(),
        };
        command(&world.node, "ip", "link add up0 type veth peer name wire0");
        for end in ["up0", "wire0"] {
            // No link-local addresses, whose duplicate detection would change the node while a test compares it.
            command(&world.node, "ip", &format!("link set {end} addrgenmode none"));
            command(&world.node, "ip", &format!("link set {end} up"));
        }
        world
    }

    /// The same with the card under a bond `trunk0`.
    fn with_bond() -> Self {
        let world = Self::new();
        command(&world.node, "ip", "link set up0 down");
        command(&world.node, "ip", "link add trunk0 type bond mode active-backup");
        command(&world.node, "ip", "link set up0 master trunk0");
        command(&world.node, "ip", "link set trunk0 up");
        world
    }

    /// ADD of one plane as the primary, checked by CHECK; returns the interface as `ip -d` shows it.
    fn add(&self, plane: &Value) -> Value {
        let plugin = Plugin::new(&self.node, &self.root);
        let add =
            plugin.call("ADD", &environment(&self.pod.path_from_proc()), &conf(plane)).success().unwrap();
        let mut conf = conf(plane);
        conf["prevResult"] = add.stdout;
        plugin.call("CHECK", &environment(&self.pod.path_from_proc()), &conf).success().unwrap();
        let shown = iproute::ip(&self.pod, "-d address show dev eth0");
        list(&shown)[0].clone()
    }

    /// DEL, twice, after which the pod has nothing but `lo`.
    fn delete(&self, plane: &Value) {
        let plugin = Plugin::new(&self.node, &self.root);
        for _ in 0..2 {
            plugin.call("DEL", &environment(&self.pod.path_from_proc()), &conf(plane)).success().unwrap();
        }
        assert!(iproute::links(&self.pod).is_empty(), "{:?}", iproute::links(&self.pod));
    }
}

fn environment(netns: &Path) -> Environment {
    Environment::of("c1", netns)
}

/// A network with one plane, whose addresses are this node's own.
fn conf(plane: &Value) -> Value {
    let mut plane = plane.clone();
    plane["name"] = json!("p");
    plane["ipam"] = json!({"ranges": [["10.20.0.0/24"]], "scope": "node"});
    json!({"cniVersion": "1.1.0", "name": "kinds", "type": "multiplane", "planes": [plane], "primary": "p",
           "default": ["p"]})
}

fn address(shown: &Value) -> &str {
    let ipv4 = list(&shown["addr_info"]).iter().find(|address| address["family"] == "inet");
    ipv4.and_then(|address| address["local"].as_str()).unwrap_or("none")
}

#[test]
fn a_vlan_plane_is_tagged_and_goes_with_del() {
    if !requires::has(Feature::Vlan) {
        return;
    }
    let world = World::new();
    let plane = json!({"kind": "vlan", "master": "up0", "vlan": 100});
    let before = iproute::everything(&world.node);

    let shown = world.add(&plane);

    assert_eq!((&shown["linkinfo"]["info_kind"], address(&shown)), (&json!("vlan"), "10.20.0.1"));
    assert_eq!(shown["linkinfo"]["info_data"]["id"], 100);
    world.delete(&plane);
    assert!(iproute::everything(&world.node) == before, "the node is as before");
}

#[test]
fn a_vlan_plane_on_a_bond_follows_the_bond() {
    if !requires::has(Feature::Bonding) || !requires::has(Feature::Vlan) {
        return;
    }
    let world = World::with_bond();
    let plane = json!({"kind": "vlan", "master": "trunk0", "vlan": 7});

    let shown = world.add(&plane);

    assert_eq!((&shown["linkinfo"]["info_kind"], address(&shown)), (&json!("vlan"), "10.20.0.1"));
    world.delete(&plane);
    assert!(iproute::links(&world.node).contains("trunk0"));
}

#[test]
fn a_macvlan_plane_on_a_bond_comes_up() {
    if !requires::has(Feature::Bonding) {
        return;
    }
    let world = World::with_bond();
    let plane = json!({"kind": "macvlan", "master": "trunk0"});

    let shown = world.add(&plane);

    assert_eq!((&shown["linkinfo"]["info_kind"], address(&shown)), (&json!("macvlan"), "10.20.0.1"));
    world.delete(&plane);
}

#[test]
fn ipvlan_planes_come_in_every_mode() {
    if !requires::has(Feature::Ipvlan) {
        return;
    }
    for mode in ["l2", "l3", "l3s"] {
        let world = World::new();
        let plane = json!({"kind": "ipvlan", "master": "up0", "mode": mode});
        let before = iproute::everything(&world.node);

        let shown = world.add(&plane);

        assert_eq!(
            (&shown["linkinfo"]["info_kind"], address(&shown)),
            (&json!("ipvlan"), "10.20.0.1"),
            "{mode}"
        );
        assert_eq!(shown["linkinfo"]["info_data"]["mode"], mode);
        world.delete(&plane);
        assert!(iproute::everything(&world.node) == before, "{mode}: the node is as before");
    }
}

#[test]
fn a_bridge_port_carries_its_vlan_untagged() {
    if !requires::has(Feature::BridgeVlan) {
        return;
    }
    let world = World::new();
    let plane = json!({"kind": "bridge", "bridge": "mp-br", "vlan": 42});

    let _ = world.add(&plane);

    let port = iproute::links(&world.node)
        .into_iter()
        .find(|name| name.len() == 15 && name.starts_with("mp"))
        .unwrap();
    let vlans = iproute::bridge(&world.node, &format!("vlan show dev {port}"));
    let vlan = &list(&list(&vlans)[0]["vlans"])[0];
    assert_eq!(
        (&vlan["vlan"], list(&vlans)[0]["vlans"].as_array().unwrap().len()),
        (&json!(42), 1),
        "{vlans}"
    );
    let flags = vlan["flags"].to_string();
    assert!(flags.contains("PVID") && flags.contains("Egress Untagged"), "{flags}");
    world.delete(&plane);
}

#[test]
fn a_network_card_is_lent_by_its_pci_address_and_given_back_under_its_old_name() {
    if !requires::has(Feature::SpareNic) {
        return;
    }
    // The card is in the guest's own namespace: that is the node here.
    let world =
        World { node: Netns::current().unwrap(), pod: Netns::anonymous().unwrap(), root: NodeRoot::new() };
    let (name, pci) = spare_nics().into_iter().next().unwrap();
    let plane = json!({"kind": "host-device", "pciBusID": pci});
    let before = iproute::links(&world.node);

    let shown = world.add(&plane);

    assert_eq!(address(&shown), "10.20.0.1");
    assert!(!iproute::links(&world.node).contains(&name));
    world.delete(&plane);
    assert_eq!(iproute::links(&world.node), before);
    let back = iproute::ip(&world.node, &format!("address show dev {name}"));
    assert_eq!(address(&list(&back)[0]), "none", "a card comes back without the pod's addresses");
}
