//! A pod's port of a bridge: a veth whose node end is in the bridge.
//!
//! ```text
//! ip link add mp… master mp-control up type veth peer name net1 netns POD
//! ip link set mp… type bridge_slave hairpin on isolated on            # port options
//! bridge vlan add dev mp… vid 10 pvid untagged                        # vlan
//! ```

use netlink_packet_core::DefaultNla;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeVlanInfoFlags, InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo,
};
use planes::Vlan;
use planes::plan::{BridgeLink, PlannedAttachment};
use planes::pod_network::HostSide;

use super::bridge::VLAN_FILTERING;
use super::message::Message;
use super::{Created, Mark, veth};
use crate::request::CHANGE;
use crate::{Drift, Error, Link, Net};

/// A port for the pod.
pub(super) async fn create(
    host: &Net,
    pod: &Net,
    mark: Mark,
    plan: &PlannedAttachment,
    bridge: &BridgeLink,
) -> Result<Created, Error> {
    let name = bridge.bridge.as_ifname();
    let link = host.existing_link(&name).await?;
    let mtu = plan.mtu.or(bridge.bridge_mtu).or(Some(link.mtu));
    let pod_end = veth::create(host, pod, mark, plan, Some(link.index), mtu).await?;
    let port = async {
        set_port(host, plan, bridge).await?;
        match bridge.vlan {
            Some(vlan) => set_vlan(host, plan, vlan).await,
            None => Ok(()),
        }
    };
    if let Err(error) = port.await {
        // Half a port is none: the first error is the one to report.
        let _ = host.remove_link(&plan.host_ifname).await;
        return Err(error);
    }
    let host_side = HostSide { ifname: plan.host_ifname.clone(), bridge: Some(name) };
    Ok(Created::from_link(&pod_end, Some(host_side)))
}

async fn set_port(host: &Net, plan: &PlannedAttachment, bridge: &BridgeLink) -> Result<(), Error> {
    let mut options = Vec::new();
    if bridge.hairpin {
        options.push(InfoBridgePort::HairpinMode(true));
    }
    if bridge.isolated {
        options.push(InfoBridgePort::Isolated(true));
    }
    if options.is_empty() {
        return Ok(());
    }
    let infos =
        vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(InfoPortData::BridgePort(options))];
    let message = Message::named(&plan.host_ifname).with(LinkAttribute::LinkInfo(infos));
    host.set_link(&plan.host_ifname, message).await
}

/// `bridge vlan add dev PORT vid N pvid untagged` and, as the port had it by default, `bridge vlan del … vid 1`.
async fn set_vlan(host: &Net, plan: &PlannedAttachment, vlan: Vlan) -> Result<(), Error> {
    let port = host.existing_link(&plan.host_ifname).await?;
    let untagged = BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged;
    let add = vlan_message(port.index, vlan.get(), untagged.bits());
    host.change(
        "set vlan of interface",
        || plan.host_ifname.to_string(),
        RouteNetlinkMessage::SetLink(add.into_inner()),
        CHANGE,
    )
    .await
    .map_err(|error| error.lacking(VLAN_FILTERING))?;
    if vlan.get() == 1 {
        return Ok(());
    }
    let delete = RouteNetlinkMessage::DelLink(vlan_message(port.index, 1, 0).into_inner());
    crate::error::or_absent(
        host.change("leave vlan 1 on interface", || plan.host_ifname.to_string(), delete, CHANGE).await,
    )
}

/// `struct bridge_vlan_info` inside `IFLA_AF_SPEC` of an `AF_BRIDGE` message (linux/if_bridge.h).
pub(super) fn vlan_message(index: u32, vid: u16, flags: u16) -> Message {
    const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
    let mut value = flags.to_ne_bytes().to_vec();
    value.extend(vid.to_ne_bytes());
    let entry =
        netlink_packet_route::link::AfSpecBridge::Other(DefaultNla::new(IFLA_BRIDGE_VLAN_INFO, value));
    let mut message = Message::at(index).with(LinkAttribute::AfSpecBridge(vec![entry])).into_inner();
    message.header.interface_family = AddressFamily::Bridge;
    Message::from_inner(message)
}

pub(super) fn check(port: &Link, bridge: &Link, plan: &BridgeLink) -> Vec<Drift> {
    let mut drift = Vec::new();
    let object = format!("interface {} on the node", port.name);
    if port.master != Some(bridge.index) {
        drift.push(Drift::new(format!("{object} is no port of bridge {}", bridge.name)));
        return drift;
    }
    let Some(InfoPortData::BridgePort(options)) = &port.port else { return drift };
    for option in options {
        match option {
            InfoBridgePort::HairpinMode(found) => {
                Drift::compare(&mut drift, &object, "hairpin", &plan.hairpin, found);
            }
            InfoBridgePort::Isolated(found) => {
                Drift::compare(&mut drift, &object, "isolated", &plan.isolated, found);
            }
            _ => {}
        }
    }
    drift
}
