//! The pod's side of a plane: sysctls, addresses, routes, source rules, announcement.
//!
//! Replies leave by the plane they came in on: each plane has its own table ([`table_of`]) and `from <address>` rules.
//! The main table keeps the plane's own subnet, so that unbound sockets still take the plane that reaches the endpoint.
//! A wildcard UDP server answers clients beyond the plane's subnet only if the plane's `routes` cover them: the source
//! of its reply is chosen from the main table.

mod check;
mod restore;
mod steer;
mod tune;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use planes::plan::{LinkPlan, PlannedAttachment};
use planes::pod_network::{Role, Route};

use crate::address::{Prefix, network};
use crate::link::Message;
use crate::route::{destination, gateway, metric, out, table};
use crate::{Error, Family, Link, Net};

pub use check::check;
pub use restore::{Before, MovedRoute, release, restore};

/// `RT_TABLE_MAIN` (linux/rtnetlink.h).
pub const MAIN_TABLE: u32 = 254;
/// Priority of our source rules: before the main table's 32766, away from Istio's 32764.
pub const RULE_PRIORITY: u32 = 20_000;
/// Plane tables are numbered from here, away from `sbr`'s 100 and up, and from Istio's 133.
const FIRST_TABLE: u32 = 20_000;

/// The routing table of the plane on the link with that index.
#[must_use]
pub const fn table_of(index: u32) -> u32 {
    FIRST_TABLE.saturating_add(index)
}

/// An address to put on an interface, with the gateway of its subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Address and prefix length.
    pub address: IpNetwork,
    /// The subnet's gateway, if it has one.
    pub gateway: Option<IpAddr>,
}

/// What was done to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The plane's routing table, if replies are steered.
    pub table: Option<u32>,
    /// Gateways of the addresses.
    pub gateways: Vec<IpAddr>,
    /// Routes added beyond the connected ones.
    pub routes: Vec<Route>,
    /// What was there before and has to be put back when the interface is not ours to delete.
    pub before: Before,
}

/// Whether replies must be steered: not for the interface that has the default route, as main does it.
fn is_steered(plan: &PlannedAttachment) -> bool {
    match plan.role {
        Role::Primary => !plan.default_route,
        Role::Plane => true,
        Role::Undeclared => false,
    }
}

fn is_adopted(plan: &PlannedAttachment) -> bool {
    matches!(plan.link, LinkPlan::Adopted)
}

/// Brings `lo` up: a runtime may do so only later.
///
/// # Errors
/// If the kernel refuses.
pub async fn raise_loopback(pod: &Net) -> Result<(), Error> {
    let Some(lo) = pod.link_by_index(1).await? else { return Ok(()) };
    if lo.is_up { Ok(()) } else { pod.set_link(&lo.name, Message::at(lo.index).up()).await }
}

/// Configures the pod's side of one plane. An adopted interface keeps its addresses, and `assigned` is ignored.
///
/// What was changed already when an error comes is undone by [`release`] and [`restore`] or goes with the link.
///
/// # Errors
/// Operation and object of the step that failed.
pub async fn configure(
    pod: &Net,
    plan: &PlannedAttachment,
    index: u32,
    assigned: &[Assigned],
) -> Result<Applied, Error> {
    let mut before = Before::default();
    let result = apply(pod, plan, index, assigned, &mut before).await;
    match result {
        Ok((table, gateways, routes)) => Ok(Applied { table, gateways, routes, before }),
        Err(error) => {
            // The caller has no `before` yet to restore from; the first error is the one to report.
            let _ = restore(pod, &plan.ifname, &before).await;
            Err(error)
        }
    }
}

type Result3 = Result<(Option<u32>, Vec<IpAddr>, Vec<Route>), Error>;

async fn apply(
    pod: &Net,
    plan: &PlannedAttachment,
    index: u32,
    assigned: &[Assigned],
    before: &mut Before,
) -> Result3 {
    let link = pod.existing_link(&plan.ifname).await?;
    if link.index != index {
        return Err(Error::refused(
            format!("interface {}", plan.ifname),
            "was replaced while it was configured",
        ));
    }
    tune::apply(pod, plan, &link, before).await?;
    let assigned = if is_adopted(plan) {
        adopted_addresses(pod, &link).await?
    } else {
        for one in assigned {
            pod.add_address_as(&link, one.address, prefix_of(plan)).await?;
        }
        pod.set_link(&plan.ifname, Message::at(index).up()).await?;
        assigned.to_vec()
    };
    let routes = main_routes(plan, &assigned);
    if plan.default_route && plan.role != Role::Primary {
        restore::move_defaults(pod, &link, &assigned, before).await?;
    }
    for route in &routes {
        pod.add_route(&link, route, MAIN_TABLE).await?;
        if is_adopted(plan) {
            before.added_routes.push(route.clone());
        }
    }
    let table = if is_steered(plan) { Some(steer::apply(pod, plan, &link, &assigned).await?) } else { None };
    if !is_adopted(plan) {
        announce(pod, &link, &assigned).await?;
    }
    Ok((table, assigned.iter().filter_map(|one| one.gateway).collect(), routes))
}

/// On a point-to-point plane nothing but the gateway is on the link.
fn prefix_of(plan: &PlannedAttachment) -> Prefix {
    if matches!(plan.link, LinkPlan::Ptp) { Prefix::Routed } else { Prefix::Connected }
}

/// What an adopted interface has: its addresses of global scope and the gateways of its default routes.
async fn adopted_addresses(pod: &Net, link: &Link) -> Result<Vec<Assigned>, Error> {
    let mut assigned = Vec::new();
    let addresses = pod.addresses().await?;
    for family in Family::BOTH {
        let default = main_default(pod, family, link).await?;
        let found = addresses.iter().filter(|message| {
            message.header.index == link.index
                && message.header.scope == netlink_packet_route::address::AddressScope::Universe
        });
        for address in found.filter_map(network).filter(|address| Family::of(address.ip()) == family) {
            assigned.push(Assigned { address, gateway: default });
        }
    }
    Ok(assigned)
}

async fn main_default(pod: &Net, family: Family, link: &Link) -> Result<Option<IpAddr>, Error> {
    let routes = pod.routes(family).await?;
    let default = routes.iter().find(|route| {
        table(route) == MAIN_TABLE
            && out(route) == Some(link.index)
            && destination(route).is_some_and(|destination| destination.prefix() == 0)
    });
    Ok(default.and_then(gateway))
}

/// The routes of a plane in the main table: gateway routes where nothing else is on the link, the plane's own
/// `routes`, and the default if the pod's lies here.
fn main_routes(plan: &PlannedAttachment, assigned: &[Assigned]) -> Vec<Route> {
    let mut routes = on_link_routes(plan, assigned);
    routes.extend(plan.routes.iter().map(|route| with_gateway(route, assigned)));
    if plan.default_route && !(is_adopted(plan) && plan.role == Role::Primary) {
        routes.extend(default_routes(assigned));
    }
    routes
}

/// A ptp plane's gateway stands alone on the link, and its subnet lies behind it.
fn on_link_routes(plan: &PlannedAttachment, assigned: &[Assigned]) -> Vec<Route> {
    if !matches!(plan.link, LinkPlan::Ptp) {
        return Vec::new();
    }
    let gateways = assigned.iter().filter_map(|one| Some((one, one.gateway?)));
    gateways
        .flat_map(|(one, gateway)| {
            let subnet = IpNetwork::new(one.address.network(), one.address.prefix()).unwrap_or(one.address);
            [plain(IpNetwork::from(gateway), None), plain(subnet, Some(gateway))]
        })
        .collect()
}

pub(crate) fn plain(dst: IpNetwork, gw: Option<IpAddr>) -> Route {
    Route { dst, gw, mtu: None, advmss: None, priority: None }
}

/// A route without a gateway of its own takes the plane's, if there is one of its family.
fn with_gateway(route: &Route, assigned: &[Assigned]) -> Route {
    let gateway =
        assigned.iter().filter_map(|one| one.gateway).find(|gw| gw.is_ipv4() == route.dst.is_ipv4());
    Route { gw: route.gw.or(gateway), ..route.clone() }
}

fn default_routes(assigned: &[Assigned]) -> Vec<Route> {
    Family::BOTH
        .into_iter()
        .filter_map(|family| {
            let gateway =
                assigned.iter().filter_map(|one| one.gateway).find(|gw| Family::of(*gw) == family)?;
            Some(plain(any(family), Some(gateway)))
        })
        .collect()
}

/// `0.0.0.0/0` or `::/0`.
pub(crate) fn any(family: Family) -> IpNetwork {
    let text = match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    };
    text.parse().expect("a constant that is a network")
}

/// IPv4 was announced when the link came up with `arp_notify` set. For IPv6, a hardware address that is set once more
/// makes the kernel send unsolicited neighbour advertisements (`ndisc_notify`), and ARP once more.
async fn announce(pod: &Net, link: &Link, assigned: &[Assigned]) -> Result<(), Error> {
    let has_v6 = assigned.iter().any(|one| one.address.is_ipv6());
    if let (true, Some(mac)) = (has_v6, link.mac) {
        // Some kinds (ipvlan) do not let their address be set, not even to what it is: then nobody is told, and
        // neighbours ask as for any new address.
        let _ = pod.set_link(&link.name, Message::at(link.index).with_mac(Some(mac))).await;
    }
    Ok(())
}

/// The routes of the main table that lead out of `link`, but for defaults.
pub(crate) async fn routes_through(pod: &Net, family: Family, link: &Link) -> Result<Vec<Route>, Error> {
    let routes = pod.routes(family).await?;
    let through = routes.iter().filter(|route| {
        table(route) == MAIN_TABLE && out(route) == Some(link.index) && is_plain_unicast(route)
    });
    Ok(through
        .filter_map(|route| {
            let dst = destination(route).filter(|dst| dst.prefix() > 0)?;
            Some(Route { priority: metric(route), ..plain(dst, gateway(route)) })
        })
        .collect())
}

fn is_plain_unicast(route: &netlink_packet_route::route::RouteMessage) -> bool {
    route.header.kind == netlink_packet_route::route::RouteType::Unicast
        && destination(route).is_some_and(|dst| !is_link_local(dst.ip()))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0) == 0xfe80 || v6.is_multicast(),
    }
}
