//! Source routing: one table per plane and a rule per address.
//!
//! ```text
//! ip route add 10.75.8.0/24 dev ctl0 table 20003
//! ip route add default via 10.75.8.1 dev ctl0 table 20003      # or: unreachable default
//! ip rule add from 10.75.8.7 lookup 20003 priority 20000
//! ```

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use planes::plan::PlannedAttachment;
use planes::pod_network::Route;

use super::{
    Assigned, RULE_PRIORITY, any, default_routes, is_adopted, is_beyond_subnets, main_routes, plain,
    routes_through,
};
use crate::request::Change;
use crate::route::{self, Way};
use crate::rule::{self, Rule};
use crate::{Error, Family, Link, Net};

/// Everything that fills the plane's table and leads to it.
pub(super) async fn changes(
    pod: &Net,
    plan: &PlannedAttachment,
    link: &Link,
    assigned: &[Assigned],
    table: u32,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for family in families(assigned) {
        let routes = routes(pod, plan, link, assigned, family).await?;
        changes.extend(routes.iter().map(|one| {
            let onlink = is_beyond_subnets(plan, assigned, one);
            route::adding(link, one, Way { index: link.index, table, onlink })
        }));
        // A layer-3 link may have a default without a gateway.
        if !routes.iter().any(|route| route.dst == any(family)) {
            changes.push(route::ending(family, table));
        }
    }
    changes.extend(rules(assigned.iter().map(|one| one.address.ip()), table).map(rule::adding));
    Ok(changes)
}

pub(super) fn families(assigned: &[Assigned]) -> impl Iterator<Item = Family> + '_ {
    let has = |family| assigned.iter().any(move |one| Family::of(one.address.ip()) == family);
    Family::BOTH.into_iter().filter(move |family| has(*family))
}

pub(super) fn has_gateway(assigned: &[Assigned], family: Family) -> bool {
    assigned.iter().filter_map(|one| one.gateway).any(|gateway| Family::of(gateway) == family)
}

pub(super) fn rules(addresses: impl Iterator<Item = IpAddr>, table: u32) -> impl Iterator<Item = Rule> {
    addresses.map(move |source| Rule {
        family: Family::of(source),
        priority: RULE_PRIORITY,
        source: Some(source),
        table,
        but_default: false,
    })
}

/// The plane's table: what the plane itself brings, and what an adopted interface has in the main table at this moment.
async fn routes(
    pod: &Net,
    plan: &PlannedAttachment,
    link: &Link,
    assigned: &[Assigned],
    family: Family,
) -> Result<Vec<Route>, Error> {
    let mut routes = if is_adopted(plan) { routes_through(pod, family, link).await? } else { Vec::new() };
    routes.extend(own_routes(plan, assigned, family));
    Ok(in_order(routes))
}

/// What the plane itself brings: its subnets, its routes, its default. CHECK compares no more than this, as routes through
/// an adopted interface may come later and are others'.
pub(super) fn own_routes(plan: &PlannedAttachment, assigned: &[Assigned], family: Family) -> Vec<Route> {
    let mut routes = Vec::new();
    if !matches!(plan.link, planes::plan::LinkPlan::Ptp) {
        let subnets = assigned.iter().filter(|one| !is_host(one.address));
        routes.extend(subnets.map(|one| plain(subnet(one.address), None)));
    }
    routes.extend(main_routes(plan, assigned));
    routes.extend(default_routes(assigned));
    routes.retain(|route| Family::of(route.dst.ip()) == family);
    if !has_gateway(assigned, family) {
        routes.retain(|route| route.dst != any(family));
    }
    in_order(routes)
}

/// Each destination once, and a gateway's own route before one that names it.
fn in_order(mut routes: Vec<Route>) -> Vec<Route> {
    routes.sort_by_key(|route| route.gw.is_some());
    let mut seen = Vec::new();
    routes.retain(|route| {
        let fresh = !seen.contains(&(route.dst, route.priority));
        seen.push((route.dst, route.priority));
        fresh
    });
    routes
}

fn subnet(address: IpNetwork) -> IpNetwork {
    IpNetwork::new(address.network(), address.prefix()).unwrap_or(address)
}

fn is_host(address: IpNetwork) -> bool {
    address.prefix() == if address.is_ipv4() { 32 } else { 128 }
}
