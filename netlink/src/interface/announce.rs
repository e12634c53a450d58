//! Telling the neighbours who has the addresses now: a restarted pod often gets the address of its predecessor, and
//! they would go on sending to that one's Ethernet address.

use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{BridgePortState, InfoBridgePort, InfoPortData};
use planes::plan::{LinkPlan, PlannedAttachment};
use planes::pod_network::Role;
use tokio::time::Instant;

use super::is_adopted;
use crate::link::Message;
use crate::request::Change;
use crate::{Error, Link, Net};

/// How long a bridge port may take until it forwards. Without spanning tree it is a matter of the kernel's next
/// breath; with it of half a minute, and nobody waits for that.
const PATIENCE: Duration = Duration::from_millis(500);
const PACE: Duration = Duration::from_millis(1);

/// Announces the addresses of our interfaces, by ARP and by neighbour advertisement, once their bridge ports forward:
/// what is sent before is lost, though the link is up.
///
/// A hardware address that is set once more, to what it is, makes the kernel announce (`arp_notify`, `ndisc_notify`).
/// Kinds that refuse that (ipvlan) share their master's address, and there is nothing new to tell.
///
/// # Errors
/// If the kernel does not answer.
pub async fn announce(host: &Net, pod: &Net, plans: &[PlannedAttachment]) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut again = Vec::new();
    for plan in plans.iter().filter(|plan| !is_adopted(plan) && plan.role != Role::Undeclared) {
        wait_for_port(host, plan, deadline).await?;
        let link = pod.link_by_name(&plan.ifname).await?;
        again.extend(link.filter(|link| link.mac.is_some()).map(|link| same_address(&link)));
    }
    for refused in pod.change_each(again).await.into_iter().filter_map(Result::err) {
        tracing::debug!(error = %refused, "not announced");
    }
    Ok(())
}

fn same_address(link: &Link) -> Change {
    let message = RouteNetlinkMessage::NewLink(Message::at(link.index).with_mac(link.mac).into_inner());
    Change::set("announce interface", link.name.to_string(), message)
}

async fn wait_for_port(host: &Net, plan: &PlannedAttachment, deadline: Instant) -> Result<(), Error> {
    let has_port = match &plan.link {
        LinkPlan::Bridge(_) | LinkPlan::Vxlan(_) => true,
        LinkPlan::Ptp
        | LinkPlan::Macvlan(_)
        | LinkPlan::Ipvlan(_)
        | LinkPlan::Vlan(_)
        | LinkPlan::HostDevice(_)
        | LinkPlan::Adopted => false,
    };
    while has_port && Instant::now() < deadline {
        let forwards = host.link_by_name(&plan.host_ifname).await?.is_none_or(|port| forwards(&port));
        if forwards {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

fn forwards(port: &Link) -> bool {
    matches!(&port.port, Some(InfoPortData::BridgePort(list))
        if list.contains(&InfoBridgePort::State(BridgePortState::Forwarding)))
}
