//! Vxlan planes: a bridge plane whose uplink is a VXLAN device.
//!
//! ```text
//! ip link add vx10 type vxlan id 10 local 192.0.2.1 dstport 4789 [group 239.1.1.1 dev eth0]
//! bridge fdb append 00:00:00:00:00:00 dev vx10 dst 192.0.2.2             # one per unicast remote
//! ```

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVxlan};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use planes::Mtu;
use planes::plan::{BridgeLink, PlannedAttachment, VxlanLink, VxlanRemotes};

use super::message::Message;
use super::{bridge, master};
use crate::error::or_exists;
use crate::{Drift, Error, Link, Net};

/// What VXLAN adds to each frame: inner Ethernet, VXLAN, UDP, and the outer IPv4 or IPv6 header (RFC 7348, 5).
const OVERHEAD_V4: u32 = 50;
const OVERHEAD_V6: u32 = 70;

/// The bridge part. Unless told otherwise, its MTU leaves room for the tunnel on a network of 1500.
pub(super) fn bridge_of(plan: &VxlanLink) -> BridgeLink {
    let overhead = if plan.local.is_ipv4() { OVERHEAD_V4 } else { OVERHEAD_V6 };
    let room = Mtu::try_from(u64::from(1500 - overhead)).ok();
    BridgeLink { bridge_mtu: plan.bridge.bridge_mtu.or(room), ..plan.bridge.clone() }
}

/// The bridge, the VXLAN device as its port, and the device's remotes.
pub(super) async fn ensure(host: &Net, plan: &VxlanLink) -> Result<(), Error> {
    let bridge = bridge::ensure(host, &bridge_of(plan)).await?;
    let device = match host.link_by_name(&plan.device).await? {
        Some(link) => link,
        None => make(host, plan).await?,
    };
    if !is_ours(&device, plan) {
        return Err(Error::refused(
            format!("vxlan device {:?}", plan.device.as_str()),
            format!(
                "exists with another kind, vni, local address or port than vni {}; choose another name",
                plan.vni
            ),
        ));
    }
    bridge::enslave(host, &bridge, &plan.device).await?;
    match &plan.remotes {
        VxlanRemotes::Unicast(remotes) => {
            for remote in remotes {
                flood_to(host, &device, *remote).await?;
            }
            Ok(())
        }
        VxlanRemotes::Group { .. } => Ok(()),
    }
}

async fn make(host: &Net, plan: &VxlanLink) -> Result<Link, Error> {
    let mut data = vec![InfoVxlan::Id(plan.vni.get()), InfoVxlan::Port(plan.port), local(plan.local)];
    if let VxlanRemotes::Group { address, interface } = &plan.remotes {
        data.push(InfoVxlan::Link(master(host, interface).await?.index));
        data.push(match address {
            IpAddr::V4(group) => InfoVxlan::Group(*group),
            IpAddr::V6(group) => InfoVxlan::Group6(*group),
        });
    }
    let message = Message::named(&plan.device)
        .with_mtu(bridge_of(plan).bridge_mtu)
        .of_kind(InfoKind::Vxlan, Some(InfoData::Vxlan(data)))
        .up();
    let made =
        host.add_link(&plan.device, message).await.map_err(|error| error.lacking("VXLAN (module vxlan)"));
    or_exists(made)?;
    host.existing_link(&plan.device).await
}

fn local(address: IpAddr) -> InfoVxlan {
    match address {
        IpAddr::V4(address) => InfoVxlan::Local(address),
        IpAddr::V6(address) => InfoVxlan::Local6(address),
    }
}

fn is_ours(link: &Link, plan: &VxlanLink) -> bool {
    let wanted = [InfoVxlan::Id(plan.vni.get()), InfoVxlan::Port(plan.port), local(plan.local)];
    matches!(&link.data, Some(InfoData::Vxlan(list)) if wanted.iter().all(|item| list.contains(item)))
}

/// `bridge fdb append 00:00:00:00:00:00 dev DEVICE dst REMOTE`: head-end replication of floods.
async fn flood_to(host: &Net, device: &Link, remote: IpAddr) -> Result<(), Error> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = device.index;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Own;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(vec![0; 6]));
    message.attributes.push(NeighbourAttribute::Destination(match remote {
        IpAddr::V4(remote) => NeighbourAddress::Inet(remote),
        IpAddr::V6(remote) => NeighbourAddress::Inet6(remote),
    }));
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND;
    let object = || format!("{remote} of {}", device.name);
    or_exists(host.change("add remote", object, RouteNetlinkMessage::NewNeighbour(message), flags).await)
}

pub(super) async fn check(
    host: &Net,
    pod_end: &Link,
    plan: &PlannedAttachment,
    vxlan: &VxlanLink,
) -> Result<Vec<Drift>, Error> {
    let mut drift = bridge::check(host, pod_end, plan, &bridge_of(vxlan)).await?;
    let bridge = host.link_by_name(&vxlan.bridge.bridge.as_ifname()).await?;
    match host.link_by_name(&vxlan.device).await? {
        None => drift.push(Drift::new(format!("vxlan device {} is gone", vxlan.device))),
        Some(device) if !is_ours(&device, vxlan) => {
            drift.push(Drift::new(format!(
                "vxlan device {} has another vni, local address or port",
                vxlan.device
            )));
        }
        Some(device) => {
            if !device.is_up {
                drift.push(Drift::new(format!("vxlan device {} is down", vxlan.device)));
            }
            if device.master != bridge.map(|bridge| bridge.index) {
                drift.push(Drift::new(format!("vxlan device {} is no port of its bridge", vxlan.device)));
            }
            drift.extend(check_remotes(host, &device, &vxlan.remotes).await?);
        }
    }
    Ok(drift)
}

async fn check_remotes(host: &Net, device: &Link, remotes: &VxlanRemotes) -> Result<Vec<Drift>, Error> {
    let VxlanRemotes::Unicast(wanted) = remotes else { return Ok(Vec::new()) };
    let found: Vec<IpAddr> = host.forwarding_at(device.index).await?.iter().filter_map(flooded).collect();
    let missing = wanted.iter().filter(|remote| !found.contains(remote));
    Ok(missing.map(|remote| Drift::new(format!("remote {remote} of {} is gone", device.name))).collect())
}

/// The remote of an entry that floods: its Ethernet address is all zeros.
fn flooded(entry: &NeighbourMessage) -> Option<IpAddr> {
    let floods = entry.attributes.contains(&NeighbourAttribute::LinkLayerAddress(vec![0; 6]));
    // The message is of a bridge, so its address comes as mere bytes.
    let remote = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => address_of(bytes),
        _ => None,
    });
    remote.filter(|_| floods)
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

pub(super) async fn remove_unused(host: &Net, plan: &VxlanLink) -> Result<(), Error> {
    let mut bridge = bridge_of(plan);
    bridge.uplink = Some(plan.device.clone());
    bridge::remove_unused(host, &bridge).await?;
    let gone = host.link_by_name(&plan.bridge.bridge.as_ifname()).await?.is_none();
    match host.link_by_name(&plan.device).await? {
        Some(device) if gone && is_ours(&device, plan) => host.remove_link(&plan.device).await,
        Some(_) | None => Ok(()),
    }
}
