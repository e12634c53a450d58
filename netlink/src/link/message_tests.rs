//! The bytes of kinds that a development kernel may lack, attribute by attribute as the kernel reads them
//! (linux/if_link.h). Integers are in the machine's order; these are of a little-endian one.

#![cfg(target_endian = "little")]

use std::collections::BTreeMap;

use netlink_packet_core::Emitable;
use planes::plan::{Dns, IpamPlan, IpvlanLink, IpvlanMode, LinkPlan, VlanLink};
use planes::{AttachmentKey, Role, Traffic, Vlan};

use super::*;
use crate::link::{bridge_port, ipvlan, vlan};

fn plan(link: LinkPlan) -> PlannedAttachment {
    PlannedAttachment {
        plane: "media".parse().unwrap(),
        role: Role::Plane,
        traffic: Traffic::Capture,
        captured: Default::default(),
        ifname: "net1".parse().unwrap(),
        host_ifname: "mpone".parse().unwrap(),
        link,
        mtu: None,
        mac: MacPlan::Kernel,
        ipam: IpamPlan::None,
        routes: Vec::new(),
        default_route: false,
        dns: Dns::default(),
        sysctls: BTreeMap::new(),
        extra_addresses: Vec::new(),
        forward: false,
        labels: BTreeMap::new(),
    }
}

fn mark() -> Mark {
    Mark::of(&AttachmentKey {
        network: "telecom".parse().unwrap(),
        container: "c1".parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    })
}

fn bytes(message: Message) -> Vec<u8> {
    let message = message.into_inner();
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

/// `struct ifinfomsg` of a link yet to be made: all zero.
const HEADER: [u8; 16] = [0; 16];

/// What every child of interface 7 begins with: IFLA_IFNAME "net1", IFLA_LINK 7, IFLA_GROUP.
fn beginning() -> Vec<u8> {
    let mut expected = HEADER.to_vec();
    expected.extend([9, 0, 3, 0, b'n', b'e', b't', b'1', 0, 0, 0, 0]);
    expected.extend([8, 0, 5, 0, 7, 0, 0, 0]);
    expected.extend([8, 0, 27, 0]);
    expected.extend(mark().get().to_le_bytes());
    expected
}

#[test]
fn a_vlan_child() {
    let link = VlanLink { master: "eth1".parse().unwrap(), vlan: Vlan::try_from(100).unwrap() };

    let made = child(mark(), &plan(LinkPlan::Vlan(link.clone())), 7, vlan::kind(&link));

    let mut expected = beginning();
    // IFLA_LINKINFO { IFLA_INFO_KIND "vlan", IFLA_INFO_DATA { IFLA_VLAN_ID 100 } }
    expected.extend([28, 0, 18, 0]);
    expected.extend([9, 0, 1, 0, b'v', b'l', b'a', b'n', 0, 0, 0, 0]);
    expected.extend([12, 0, 2, 0, 6, 0, 1, 0, 100, 0, 0, 0]);
    assert_eq!(bytes(made), expected);
}

#[test]
fn an_ipvlan_child_in_each_mode() {
    for (mode, number) in [(IpvlanMode::L2, 0), (IpvlanMode::L3, 1), (IpvlanMode::L3s, 2)] {
        let link = IpvlanLink { master: "eth1".parse().unwrap(), mode };

        let made = child(mark(), &plan(LinkPlan::Ipvlan(link.clone())), 7, ipvlan::kind(&link));

        let mut expected = beginning();
        // IFLA_LINKINFO { IFLA_INFO_KIND "ipvlan", IFLA_INFO_DATA { IFLA_IPVLAN_MODE } }
        expected.extend([28, 0, 18, 0]);
        expected.extend([11, 0, 1, 0, b'i', b'p', b'v', b'l', b'a', b'n', 0, 0]);
        expected.extend([12, 0, 2, 0, 6, 0, 1, 0, number, 0, 0, 0]);
        assert_eq!(bytes(made), expected, "{mode:?}");
    }
}

#[test]
fn the_untagged_vlan_of_a_bridge_port() {
    // PVID (2) and UNTAGGED (4) of `struct bridge_vlan_info`, then the identifier.
    let made = bridge_port::vlan_message(7, 100, 2 | 4);

    let mut expected = vec![7, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // IFLA_AF_SPEC { IFLA_BRIDGE_VLAN_INFO }
    expected.extend([12, 0, 26, 0, 8, 0, 2, 0, 6, 0, 100, 0]);
    assert_eq!(bytes(made), expected);
}

#[test]
fn mac_and_mtu_are_asked_for_when_planned() {
    let link = VlanLink { master: "eth1".parse().unwrap(), vlan: Vlan::try_from(100).unwrap() };
    let mut plan = plan(LinkPlan::Vlan(link.clone()));
    plan.mtu = Some(Mtu::try_from(1400).unwrap());
    plan.mac = MacPlan::Fixed("02:00:00:00:00:42".parse().unwrap());

    let made = bytes(child(mark(), &plan, 7, vlan::kind(&link)));

    // IFLA_MTU 1400, then IFLA_ADDRESS padded to four bytes.
    let expected = [8, 0, 4, 0, 120, 5, 0, 0, 10, 0, 1, 0, 2, 0, 0, 0, 0, 0x42, 0, 0];
    assert_eq!(&made[36..56], expected);
}
