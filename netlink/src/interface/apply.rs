//! Configuring the pod's side of all planes at once: one thread writes every sysctl, and every change of the pod's
//! tables is queued before the first answer is awaited. On a busy node each wait costs more than the kernel's work.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteMessage;
use planes::MacAddr;
use planes::plan::{LinkPlan, MacPlan, PlannedAttachment};
use planes::pod_network::Route;

use super::{
    Applied, Assigned, Before, MAIN_TABLE, adopted_addresses, adopted_routes, defaults, is_adopted,
    is_beyond_subnets, is_ptp, is_steered, main_routes, restore, steer, table_of, tune,
};
use crate::address::{self, Prefix};
use crate::link::Message;
use crate::request::Change;
use crate::route::{self, Way, destination, gateway};
use crate::rule;
use crate::{Error, Link, Net};

/// An interface to be configured.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its plane.
    pub plan: &'a PlannedAttachment,
    /// Its index inside the pod.
    pub index: u32,
    /// Its addresses; an adopted interface keeps its own, and these are ignored.
    pub assigned: &'a [Assigned],
}

/// As [`configure_all`], for one plane.
///
/// # Errors
/// Operation and object of the step that failed.
pub async fn configure(
    pod: &Net,
    plan: &PlannedAttachment,
    index: u32,
    assigned: &[Assigned],
) -> Result<Applied, Error> {
    let mut applied = configure_all(pod, &[Target { plan, index, assigned }]).await?;
    applied.pop().ok_or_else(|| Error::refused(format!("interface {}", plan.ifname), "was not configured"))
}

/// Configures the pod's side of planes, in their order: sysctls, addresses, up, routes, rules.
///
/// What was changed already when an error comes is undone by [`super::release`] or goes with the link; sysctls of
/// adopted interfaces are put back here, as the caller does not know them yet.
///
/// # Errors
/// Operation and object of the step that failed.
pub async fn configure_all(pod: &Net, targets: &[Target<'_>]) -> Result<Vec<Applied>, Error> {
    let links = links(pod, targets).await?;
    // Before the links are up: the first frame that arrives may be a router advertisement.
    let befores = tune::apply(pod, targets, &links).await?;
    match apply_all(pod, targets, &links, &befores).await {
        Ok(applied) => Ok(applied),
        Err(error) => {
            for (target, before) in targets.iter().zip(&befores) {
                // The first error is the one to report.
                let _ = restore(pod, &target.plan.ifname, before).await;
            }
            Err(error)
        }
    }
}

async fn links(pod: &Net, targets: &[Target<'_>]) -> Result<Vec<Link>, Error> {
    let mut links = Vec::with_capacity(targets.len());
    for Target { plan, index, assigned } in targets {
        let link = pod.existing_link(&plan.ifname).await?;
        if link.index != *index {
            let object = format!("interface {}", plan.ifname);
            return Err(Error::refused(object, "was replaced while it was configured"));
        }
        refuse_gatewayless_ptp(plan, assigned)?;
        links.push(link);
    }
    Ok(links)
}

/// Without a gateway nothing at all is reached over a ptp link.
fn refuse_gatewayless_ptp(plan: &PlannedAttachment, assigned: &[Assigned]) -> Result<(), Error> {
    let lonely = assigned.iter().find(|one| one.gateway.is_none());
    match lonely.filter(|_| is_ptp(plan)) {
        Some(one) => Err(Error::refused(
            format!("address {} of ptp plane {}", one.address, plan.plane),
            "has no gateway; give its range a \"gateway\"",
        )),
        None => Ok(()),
    }
}

async fn apply_all(
    pod: &Net,
    targets: &[Target<'_>],
    links: &[Link],
    befores: &[Before],
) -> Result<Vec<Applied>, Error> {
    let mut changes = Vec::new();
    let mut all = Vec::with_capacity(targets.len());
    for ((target, link), before) in targets.iter().zip(links).zip(befores) {
        // Read once: nothing that is queued here changes it.
        let present = if is_adopted(target.plan) { adopted_routes(pod, link).await? } else { Vec::new() };
        let assigned = bring_up(pod, target, link, &present, &mut changes).await?;
        let routes = add_routes(pod, target.plan, link, &assigned, &present, &mut changes).await?;
        all.push(Applied {
            table: is_steered(target.plan).then(|| table_of(link.index)),
            gateways: assigned.iter().filter_map(|one| one.gateway).collect(),
            routes,
            mac: link.mac,
            before: before.clone(),
        });
    }
    pod.change_all(changes).await?;
    for (applied, target) in all.iter_mut().zip(targets).filter(|(_, target)| is_contended(target.plan)) {
        applied.mac = pod.existing_link(&target.plan.ifname).await?.mac;
    }
    Ok(all)
}

/// Queues addresses and then up, so that the kernel announces them when the link rises (`arp_notify`). Returns the
/// addresses that the interface has then.
async fn bring_up(
    pod: &Net,
    target: &Target<'_>,
    link: &Link,
    present: &[RouteMessage],
    changes: &mut Vec<Change>,
) -> Result<Vec<Assigned>, Error> {
    let Target { plan, assigned, .. } = target;
    if is_adopted(plan) {
        return adopted_addresses(pod, link, present).await;
    }
    let addresses = assigned.iter().map(|one| address::adding(link, one.address, prefix_of(plan)));
    if is_contended(plan) {
        pod.change_all(addresses.collect()).await?;
        rise_under_another_mac(pod, plan, link).await?;
    } else {
        changes.extend(addresses);
        changes.push(set_up(link));
    }
    Ok(assigned.to_vec())
}

/// Queues the routes of the main table, the plane's own table, and the rules. Returns the first of them.
async fn add_routes(
    pod: &Net,
    plan: &PlannedAttachment,
    link: &Link,
    assigned: &[Assigned],
    present: &[RouteMessage],
    changes: &mut Vec<Change>,
) -> Result<Vec<Route>, Error> {
    let (defaults, rules) = defaults::of(pod, plan, link, assigned).await?;
    let mut routes = main_routes(plan, assigned);
    routes.extend(defaults);
    // What the plugin that made an adopted interface has set already is not ours to add, and later to remove.
    routes.retain(|route| {
        !present.iter().any(|found| destination(found) == Some(route.dst) && gateway(found) == route.gw)
    });
    changes.extend(routes.iter().map(|route| {
        let onlink = is_beyond_subnets(plan, assigned, route);
        route::adding(link, route, Way { index: link.index, table: MAIN_TABLE, onlink })
    }));
    if is_steered(plan) {
        changes.extend(steer::changes(plan, link, assigned, present));
    }
    changes.extend(rules.into_iter().map(rule::adding));
    Ok(routes)
}

/// On a point-to-point plane nothing but the gateway is on the link.
fn prefix_of(plan: &PlannedAttachment) -> Prefix {
    if is_ptp(plan) { Prefix::Routed } else { Prefix::Connected }
}

fn set_up(link: &Link) -> Change {
    let message = RouteNetlinkMessage::NewLink(Message::at(link.index).up().into_inner());
    Change::set("change interface", format!("{} to up", link.name), message)
}

/// Whether another link may hold the interface's Ethernet address: two macvlan children of one master cannot both be
/// up with one address, and the pod's old sandbox may live on for a while with the address derived from its name.
fn is_contended(plan: &PlannedAttachment) -> bool {
    matches!((&plan.link, plan.mac), (LinkPlan::Macvlan(_), MacPlan::Derived(_)))
}

/// Brings the link up; if its address is held, then under one that is derived from this sandbox alone.
async fn rise_under_another_mac(pod: &Net, plan: &PlannedAttachment, link: &Link) -> Result<(), Error> {
    match pod.change_all(vec![set_up(link)]).await {
        Err(error) if error.is_busy() => {
            let own = MacAddr::derived(&["sandbox", plan.host_ifname.as_str()]);
            tracing::info!(ifname = %link.name, mac = %own, "the derived address is held, taking another");
            pod.set_link(&link.name, Message::at(link.index).with_mac(Some(own)).up()).await
        }
        risen => risen,
    }
}
