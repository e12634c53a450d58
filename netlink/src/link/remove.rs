//! Removal: what DEL, GC and the undo of ADD share. Succeeds for whatever is gone already.
//!
//! Unregistering a veth waits for RCU; a delete by group unregisters all of an attachment's links in one batch with
//! one wait. The node's ends go with their peers.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use planes::IfName;
use planes::plan::{LinkPlan, PlannedAttachment};

use super::message::Message;
use super::{Home, Mark, host_device};
use crate::request::{CHANGE, Change};
use crate::{Error, Net};

/// Removes every link of one attachment: devices of the node go back first, the rest is deleted by group inside
/// the pod, and what is left on the node is deleted by name. `pod` is `None` when its namespace is gone; `homes` are the
/// saved ones, if any are.
///
/// Returns what could not be removed; goes on after each failure.
pub async fn remove(
    host: &Net,
    pod: Option<&Net>,
    mark: Mark,
    plans: &[PlannedAttachment],
    homes: &[Home],
) -> Vec<Error> {
    let mut errors = Vec::new();
    for plan in plans.iter().filter(|plan| matches!(plan.link, LinkPlan::HostDevice(_))) {
        errors.extend(host_device::give_back(host, pod, mark, plan, homes).await.err());
    }
    if let Some(pod) = pod {
        errors.extend(remove_group(pod, mark, plans).await);
    }
    let ends = plans.iter().filter(|plan| has_host_end(plan)).map(|plan| removing(&plan.host_ifname));
    errors.extend(host.change_each(ends.collect()).await.into_iter().filter_map(Result::err));
    errors
}

fn removing(name: &IfName) -> Change {
    let message = RouteNetlinkMessage::DelLink(Message::named(name).into_inner());
    Change::remove("delete interface", name.to_string(), message)
}

/// Whether the kind has an end on the node that is deleted with us.
fn has_host_end(plan: &PlannedAttachment) -> bool {
    match &plan.link {
        LinkPlan::Bridge(_) | LinkPlan::Vxlan(_) | LinkPlan::Ptp => true,
        LinkPlan::Macvlan(_)
        | LinkPlan::Ipvlan(_)
        | LinkPlan::Vlan(_)
        | LinkPlan::HostDevice(_)
        | LinkPlan::Adopted => false,
    }
}

/// Deletes by group; one member that cannot be deleted (somebody put `lo` there) makes the kernel refuse all, so
/// then by name, as far as the group says that the link is ours.
async fn remove_group(pod: &Net, mark: Mark, plans: &[PlannedAttachment]) -> Vec<Error> {
    let ours = |plan: &&PlannedAttachment| !matches!(plan.link, LinkPlan::HostDevice(_) | LinkPlan::Adopted);
    if !plans.iter().any(|plan| ours(&plan)) {
        return Vec::new();
    }
    let message = Message::default().with(LinkAttribute::Group(mark.get())).into_inner();
    let deleted = pod
        .change(
            "delete interfaces of group",
            || mark.get().to_string(),
            RouteNetlinkMessage::DelLink(message),
            CHANGE,
        )
        .await;
    if deleted.is_ok() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    for plan in plans.iter().filter(ours) {
        match pod.link_by_name(&plan.ifname).await {
            Ok(Some(link)) if link.group == mark.get() => {
                errors.extend(pod.remove_link(&plan.ifname).await.err())
            }
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    errors
}
