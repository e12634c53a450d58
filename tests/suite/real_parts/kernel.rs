//! What the microVM is for: each of these skips on a kernel without the feature, and runs in the microVM.

use netlink::Netns;
use testbed::requires::{self, Feature};
use testbed::world::command;

/// A feature that is said to be there can be used: guards against probes that pass for the wrong reason.
#[test]
fn a_bond_of_two_links_carries_a_vlan() {
    if !requires::has(Feature::Bonding) || !requires::has(Feature::Vlan) {
        return;
    }
    let netns = Netns::anonymous().unwrap();

    let ip = |arguments| command(&netns, "ip", arguments);
    ip("link add bond0 type bond mode active-backup");
    ip("link add d0 type dummy");
    ip("link set d0 master bond0");
    ip("link add link bond0 name bond0.5 type vlan id 5");

    assert!(ip("-d link show bond0.5").contains("vlan protocol 802.1Q id 5"));
}

#[test]
fn the_spare_network_card_is_a_pci_device() {
    if !requires::has(Feature::SpareNic) {
        return;
    }

    assert_eq!(spare_nics().len(), 1);
}

/// Name and PCI address of the cards that stand behind `/sys/class/net/<name>/device/..`.
pub(super) fn spare_nics() -> Vec<(String, String)> {
    let card = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let parent = std::fs::canonicalize(entry.path().join("device/..")).ok()?;
        let pci = parent.file_name()?.to_str()?.to_owned();
        pci.starts_with("0000:").then(|| (entry.file_name().to_str().unwrap().to_owned(), pci))
    };
    std::fs::read_dir("/sys/class/net").unwrap().filter_map(card).collect()
}
