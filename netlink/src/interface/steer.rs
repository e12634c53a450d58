//! Source routing: one table per plane and a rule per address.
//!
//! ```text
//! ip route add 10.75.8.0/24 dev ctl0 table 20003
//! ip route add default via 10.75.8.1 dev ctl0 table 20003      # or: unreachable default
//! ip rule add from 10.75.8.7 lookup 20003 priority 20000
//! ```

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::route::RouteMessage;
use planes::plan::PlannedAttachment;
use planes::pod_network::Route;

use super::{
    Assigned, RULE_PRIORITY, any, default_routes, gateway_of, is_beyond_subnets, is_ptp, main_routes,
    others_routes, plain, table_of,
};
use crate::request::Change;
use crate::route::{self, Way};
use crate::rule::{self, Rule};
use crate::{Family, Link};

/// Everything that fills the plane's table and leads to it. `present` is what an adopted interface has in the main table
/// at this moment.
pub(super) fn changes(
    plan: &PlannedAttachment,
    link: &Link,
    assigned: &[Assigned],
    present: &[RouteMessage],
) -> Vec<Change> {
    let table = table_of(link.index);
    let mut changes = Vec::new();
    for family in families(assigned) {
        let others = others_routes(present, family);
        let routes = in_order(others.chain(own_routes(plan, assigned, family)).collect());
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
    changes
}

pub(super) fn families(assigned: &[Assigned]) -> impl Iterator<Item = Family> + '_ {
    let has = |family| assigned.iter().any(move |one| Family::of(one.address.ip()) == family);
    Family::BOTH.into_iter().filter(move |family| has(*family))
}

pub(super) fn has_gateway(assigned: &[Assigned], family: Family) -> bool {
    gateway_of(assigned, family).is_some()
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

/// What the plane itself brings: its subnets, its routes, its default. CHECK compares no more than this, as routes through
/// an adopted interface may come later and are others'.
pub(super) fn own_routes(plan: &PlannedAttachment, assigned: &[Assigned], family: Family) -> Vec<Route> {
    let mut routes = Vec::new();
    if !is_ptp(plan) {
        let subnets = assigned.iter().filter(|one| !planes::is_host(&one.address));
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

pub(super) fn subnet(address: IpNetwork) -> IpNetwork {
    IpNetwork::new(address.network(), address.prefix()).unwrap_or(address)
}
