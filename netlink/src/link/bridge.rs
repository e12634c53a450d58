//! The bridge of a bridge plane: a fixture of the node, made on demand.
//!
//! ```text
//! ip link add mp-control address 02:… type bridge; ip link set mp-control mtu 1500 up
//! ip address add 10.1.0.1/24 dev mp-control                           # gateway
//! ip link set eth1 master mp-control                                  # uplink
//! ```

use ipnetwork::IpNetwork;
use netlink_packet_route::link::{InfoBridge, InfoData, InfoKind, LinkAttribute};
use planes::plan::{BridgeLink, PlannedAttachment};
use planes::{IfName, MacAddr, Mtu};

use super::message::Message;
use super::{bridge_port, fence, veth};
use crate::error::or_exists;
use crate::{Drift, Error, Link, Net};

pub(super) const VLAN_FILTERING: &str = "bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)";
const DEFAULT_MTU: u32 = 1500;

fn wanted_mtu(plan: &BridgeLink) -> u32 {
    plan.bridge_mtu.map_or(DEFAULT_MTU, Mtu::get)
}

/// The MTU that a bridge of ours is made with: one beside the wanted one, and never below IPv4's least.
fn first_mtu(plan: &BridgeLink) -> u32 {
    let wanted = wanted_mtu(plan);
    if wanted > 68 { wanted - 1 } else { wanted + 1 }
}

/// A bridge of ours has an address of its own: a bridge without one takes a port's, and changes when that pod goes.
/// It follows from the name and the node's boot, as bridges of one name on two nodes may share a wire.
fn own_mac(name: &IfName) -> MacAddr {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    MacAddr::derived(&["bridge", boot.trim(), name.as_str()])
}

/// The bridge, made if it is not there, with its addresses and its uplink.
pub(super) async fn ensure(host: &Net, plan: &BridgeLink) -> Result<Link, Error> {
    let name = plan.bridge.as_ifname();
    let link = match host.link_by_name(&name).await? {
        Some(link) => link,
        None => make(host, &name, plan).await?,
    };
    if !link.is_kind("bridge") {
        let kind = link.kind.as_deref().unwrap_or("device");
        return Err(Error::refused(
            format!("bridge {:?}", name.as_str()),
            format!("an interface of that name exists and is a {kind}; choose another \"bridge\""),
        ));
    }
    settle(host, &link, plan).await?;
    for address in &plan.gateway_addresses {
        host.ensure_address(&link, *address).await?;
    }
    if let Some(uplink) = &plan.uplink {
        enslave(host, &link, uplink).await?;
    }
    Ok(link)
}

async fn make(host: &Net, name: &IfName, plan: &BridgeLink) -> Result<Link, Error> {
    // A bridge follows its smallest port until its MTU is *changed* once, so it starts with another one.
    let mut message =
        Message::named(name).with_mac(Some(own_mac(name))).with(LinkAttribute::Mtu(first_mtu(plan))).up();
    let data = plan.vlan.map(|_| InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]));
    message = message.of_kind(InfoKind::Bridge, data);
    let made = host.add_link(name, message).await;
    let feature = if plan.vlan.is_some() { VLAN_FILTERING } else { "bridges (module bridge)" };
    or_exists(made).map_err(|error| error.lacking(feature))?;
    host.existing_link(name).await
}

/// Brings a bridge of ours to its MTU, whoever made it just now; one of the administrator's is left as it is. A plane
/// that names no MTU only finishes what was begun, as another plane of the same bridge may have named one.
async fn settle(host: &Net, link: &Link, plan: &BridgeLink) -> Result<(), Error> {
    let mtu = link.mtu.get();
    let wrong_mtu = mtu == first_mtu(plan) || (plan.bridge_mtu.is_some() && mtu != wanted_mtu(plan));
    // A plane that routes is one with the others. A bridge that another plane had fenced before stays so.
    let unfenced = link.group != fence::GROUP && !plan.forward;
    if (wrong_mtu || unfenced) && link.mac == Some(own_mac(&link.name)) {
        let mtu = Mtu::try_from(u64::from(wanted_mtu(plan))).ok().filter(|_| wrong_mtu);
        let mut message = Message::at(link.index).with_mtu(mtu);
        if unfenced {
            // The group comes after its rules: who has the group has them.
            fence::ensure(host, &link.name).await?;
            message = message.with(LinkAttribute::Group(fence::GROUP));
        }
        host.set_link(&link.name, message).await?;
    }
    if !link.is_up {
        host.set_link(&link.name, Message::at(link.index).up()).await?;
    }
    if plan.vlan.is_some() && !filters_vlans(link) {
        let data = InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]);
        let message = Message::at(link.index).of_kind(InfoKind::Bridge, Some(data));
        host.set_link(&link.name, message).await.map_err(|error| error.lacking(VLAN_FILTERING))?;
    }
    Ok(())
}

fn filters_vlans(link: &Link) -> bool {
    matches!(&link.data, Some(InfoData::Bridge(list)) if list.contains(&InfoBridge::VlanFiltering(true)))
}

/// Makes `uplink` a port of the bridge.
pub(super) async fn enslave(host: &Net, bridge: &Link, uplink: &IfName) -> Result<(), Error> {
    let link = host.link_by_name(uplink).await?.ok_or_else(|| {
        Error::refused(
            format!("uplink {:?}", uplink.as_str()),
            "no such interface on this node; create it or correct the plane's \"uplink\"",
        )
    })?;
    match link.master {
        Some(master) if master == bridge.index => {}
        Some(_) => {
            return Err(Error::refused(
                format!("uplink {:?}", uplink.as_str()),
                format!("belongs to another bridge or bond, not to {}", bridge.name),
            ));
        }
        None => {
            let message = Message::at(link.index).with(LinkAttribute::Controller(bridge.index));
            host.set_link(uplink, message).await?;
        }
    }
    if link.is_up { Ok(()) } else { host.set_link(uplink, Message::at(link.index).up()).await }
}

pub(super) async fn check(
    host: &Net,
    pod_end: &Link,
    plan: &PlannedAttachment,
    bridge: &BridgeLink,
) -> Result<Vec<Drift>, Error> {
    let name = bridge.bridge.as_ifname();
    let Some(link) = host.link_by_name(&name).await? else {
        return Ok(vec![Drift::new(format!("bridge {name} is gone"))]);
    };
    let (port, mut drift) = veth::check(host, pod_end, plan).await?;
    if !link.is_up {
        drift.push(Drift::new(format!("bridge {name} is down")));
    }
    if let Some(port) = port {
        drift.extend(bridge_port::check(&port, &link, bridge));
    }
    if let Some(uplink) = &bridge.uplink {
        let found = host.link_by_name(uplink).await?;
        if found.is_none_or(|found| found.master != Some(link.index)) {
            drift.push(Drift::new(format!("uplink {uplink} is no port of bridge {name}")));
        }
    }
    drift.extend(check_gateways(host, &link, &bridge.gateway_addresses).await?);
    Ok(drift)
}

async fn check_gateways(host: &Net, link: &Link, wanted: &[IpNetwork]) -> Result<Vec<Drift>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let found = host.addresses_of(link).await?;
    let missing = wanted.iter().filter(|address| !found.contains(address));
    Ok(missing
        .map(|address| Drift::new(format!("address {address} on bridge {} is gone", link.name)))
        .collect())
}

/// Removes a bridge of ours that has no port but, perhaps, its uplink.
pub(super) async fn remove_unused(host: &Net, plan: &BridgeLink) -> Result<(), Error> {
    let name = plan.bridge.as_ifname();
    let Some(link) = host.link_by_name(&name).await? else { return fence::remove(host, &name).await };
    if link.mac != Some(own_mac(&name)) || !link.is_kind("bridge") {
        return Ok(());
    }
    // GC is no hot path, and a bridge does not count its ports.
    let links = host.links().await?;
    let used =
        links.iter().any(|port| port.master == Some(link.index) && Some(&port.name) != plan.uplink.as_ref());
    if used {
        return Ok(());
    }
    // The rules last: while the bridge stands, it is fenced.
    host.remove_link(&name).await?;
    fence::remove(host, &name).await
}
