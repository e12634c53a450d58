//! What the microVM is for: each of these skips on a kernel without the feature, and runs in the microVM.

use std::process::Command;

use netlink::Netns;
use testbed::requires::{self, Feature};

/// A feature that is said to be there can be used: guards against probes that pass for the wrong reason.
fn ip(netns: &Netns, arguments: &str) -> String {
    let output = netns.run(|| Command::new("ip").args(arguments.split(' ')).output().unwrap()).unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_bond_of_two_links_carries_a_vlan() {
    if !requires::has(Feature::Bonding) || !requires::has(Feature::Vlan) {
        return;
    }
    let netns = Netns::anonymous().unwrap();

    ip(&netns, "link add bond0 type bond mode active-backup");
    ip(&netns, "link add d0 type dummy");
    ip(&netns, "link set d0 master bond0");
    ip(&netns, "link add link bond0 name bond0.5 type vlan id 5");

    assert!(ip(&netns, "-d link show bond0.5").contains("vlan protocol 802.1Q id 5"));
}

#[test]
fn the_spare_network_card_is_a_pci_device() {
    if !requires::has(Feature::SpareNic) {
        return;
    }

    let cards = std::fs::read_dir("/sys/class/net").unwrap().filter_map(|entry| {
        let device = std::fs::canonicalize(entry.unwrap().path().join("device/..")).ok()?;
        device.file_name()?.to_str()?.starts_with("0000:").then_some(device)
    });

    assert_eq!(cards.count(), 1);
}
