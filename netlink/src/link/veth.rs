//! A veth pair in one message (`ip link add HOST mtu M master BRIDGE up type veth peer name POD netns PID …`): the
//! peer's name, address, MTU, group and namespace are nested. Its up-flag cannot be (ENOTCONN).

use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};
use planes::Mtu;
use planes::plan::PlannedAttachment;

use super::Mark;
use super::message::{Message, planned_mac};
use crate::{Drift, Error, Link, Net};

/// Makes the pair and returns the pod's end. The node's end is up, and a port of `bridge` if there is one.
pub(super) async fn create(
    host: &Net,
    pod: &Net,
    mark: Mark,
    plan: &PlannedAttachment,
    bridge: Option<u32>,
    mtu: Option<Mtu>,
) -> Result<Link, Error> {
    let peer = Message::named(&plan.ifname)
        .with_mac(planned_mac(plan))
        .with_mtu(mtu)
        .with_mark(mark)
        .in_netns(pod.netns());
    let mut message = Message::named(&plan.host_ifname)
        .with_mtu(mtu)
        .of_kind(InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(peer.into_inner()))))
        .up();
    if let Some(bridge) = bridge {
        message = message.with(LinkAttribute::Controller(bridge));
    }
    host.add_link(&plan.host_ifname, message).await.map_err(|error| error.lacking("veth (module veth)"))?;
    pod.existing_link(&plan.ifname).await
}

/// The node's end, and what is wrong with it.
pub(super) async fn check(
    host: &Net,
    pod_end: &Link,
    plan: &PlannedAttachment,
) -> Result<(Option<Link>, Vec<Drift>), Error> {
    let Some(link) = host.link_by_name(&plan.host_ifname).await? else {
        let drift = Drift::new(format!("interface {} on the node is gone", plan.host_ifname));
        return Ok((None, vec![drift]));
    };
    let mut drift = Vec::new();
    if !link.is_up {
        drift.push(Drift::new(format!("interface {} on the node is down", link.name)));
    }
    if link.parent != Some(pod_end.index) {
        drift.push(Drift::new(format!(
            "interface {} is not the other end of {} on the node",
            pod_end.name, link.name
        )));
    }
    Ok((Some(link), drift))
}
