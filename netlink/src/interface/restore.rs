//! What is undone inside a pod that lives on: rules and tables belong to no link, and an adopted interface is not ours
//! to delete.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteMessage;
use planes::IfName;
use planes::plan::PlannedAttachment;
use planes::pod_network::Route;
use serde::{Deserialize, Serialize};

use super::{Assigned, FIRST_TABLE, MAIN_TABLE, RULE_PRIORITY, plain, table_of};
use crate::error::or_absent;
use crate::net::CHANGE;
use crate::route::{destination, gateway, metric, out, source_rule, table};
use crate::{Error, Family, Link, Net};

/// What an interface that is not ours had before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Sysctls by path below `/proc/sys/net`.
    pub sysctls: BTreeMap<String, String>,
    /// Default routes that gave way.
    pub moved_defaults: Vec<MovedRoute>,
    /// Routes that we added to the main table.
    pub added_routes: Vec<Route>,
}

/// A route of the main table and the interface it led out of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedRoute {
    /// The interface.
    pub ifname: IfName,
    /// The route.
    pub route: Route,
}

/// Takes the default routes of other interfaces away, for the families in which this plane has a gateway.
pub(super) async fn move_defaults(
    pod: &Net,
    link: &Link,
    assigned: &[Assigned],
    before: &mut Before,
) -> Result<(), Error> {
    for family in Family::BOTH {
        if !assigned.iter().filter_map(|one| one.gateway).any(|gateway| Family::of(gateway) == family) {
            continue;
        }
        for route in pod.routes(family).await? {
            let is_default = destination(&route).is_some_and(|dst| dst.prefix() == 0);
            let Some(index) = out(&route).filter(|index| *index != link.index) else { continue };
            if table(&route) != MAIN_TABLE || !is_default {
                continue;
            }
            let Some(other) = pod.link_by_index(index).await? else { continue };
            let moved = Route { priority: metric(&route), ..plain(super::any(family), gateway(&route)) };
            before.moved_defaults.push(MovedRoute { ifname: other.name, route: moved });
            delete(pod, route).await?;
        }
    }
    Ok(())
}

async fn delete(pod: &Net, route: RouteMessage) -> Result<(), Error> {
    let object = format!(
        "{} in table {}",
        destination(&route).map_or_else(|| "default".to_owned(), |dst| dst.to_string()),
        table(&route)
    );
    or_absent(pod.change("delete route", || object, RouteNetlinkMessage::DelRoute(route), CHANGE).await)
}

/// Removes the source rules and tables of an attachment from a pod that lives on, found by the links that still exist
/// and by the attachment's addresses. Succeeds if there are none.
///
/// # Errors
/// The first removal that failed; the others were tried.
pub async fn release(pod: &Net, plans: &[PlannedAttachment], addresses: &[IpAddr]) -> Result<(), Error> {
    let mut tables = BTreeSet::new();
    for plan in plans {
        tables.extend(pod.link_by_name(&plan.ifname).await?.map(|link| table_of(link.index)));
    }
    let mut result = Ok(());
    for family in Family::BOTH {
        for rule in pod.rules(family).await?.iter().filter_map(source_rule) {
            let ours = rule.priority == RULE_PRIORITY && rule.table > FIRST_TABLE;
            if ours && (tables.contains(&rule.table) || addresses.contains(&rule.source)) {
                tables.insert(rule.table);
                result = result.and(pod.remove_rule(rule).await);
            }
        }
        for route in pod.routes(family).await? {
            if tables.contains(&table(&route)) {
                result = result.and(delete(pod, route).await);
            }
        }
    }
    result
}

/// Puts back what an interface had before. Succeeds if the interface is gone.
///
/// # Errors
/// The first step that failed; the others were tried.
pub async fn restore(pod: &Net, ifname: &IfName, before: &Before) -> Result<(), Error> {
    let mut result = Ok(());
    if let Some(link) = pod.link_by_name(ifname).await? {
        for route in &before.added_routes {
            result = result.and(pod.remove_route(&link, route, MAIN_TABLE).await);
        }
        result = result.and(pod.write_sysctls(&before.sysctls).map(drop));
    }
    for moved in &before.moved_defaults {
        if let Some(link) = pod.link_by_name(&moved.ifname).await? {
            result = result.and(pod.add_route(&link, &moved.route, MAIN_TABLE).await);
        }
    }
    result
}
