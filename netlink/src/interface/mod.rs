//! The pod's side of a plane: sysctls, addresses, routes, source rules, announcement.
//!
//! Replies leave by the plane they came in on: each plane has its own table ([`table_of`]) and `from <address>` rules.
//! The main table keeps the plane's own subnet, so that unbound sockets still take the plane that reaches the endpoint.
//! A wildcard UDP server answers clients beyond the plane's subnet only if the plane's `routes` cover them: the source
//! of its reply is chosen from the main table.

mod announce;
mod apply;
mod check;
mod defaults;
mod restore;
mod steer;
mod tune;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::route::{RouteMessage, RouteType};
use planes::IfName;
use planes::MacAddr;
use planes::plan::{LinkPlan, PlannedAttachment};
use planes::pod_network::{Role, Route};

use crate::address::network;
use crate::identity::is_global;
use crate::link::Message;
use crate::route::{self, destination, gateway, metric};
use crate::{Error, Family, Link, Net};

pub use announce::announce;
pub use apply::{Target, configure, configure_all};
pub use check::check;
pub use restore::{Before, release, restore};
pub use tune::settings_before;

/// `RT_TABLE_MAIN` (linux/rtnetlink.h).
pub const MAIN_TABLE: u32 = 254;
/// Priority of our source rules: before the main table's 32766, away from Istio's 32764.
pub const RULE_PRIORITY: u32 = 20_000;
/// Priorities of the two rules that give a plane the default route although another plugin's stands: what the main
/// table knows better comes first.
const SPECIFIC_PRIORITY: u32 = RULE_PRIORITY + 1;
const DEFAULT_PRIORITY: u32 = RULE_PRIORITY + 2;
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
    /// The Ethernet address, which may have given way to another since the link was made.
    pub mac: Option<MacAddr>,
    /// What was there before and has to be put back when the interface is not ours to delete.
    pub before: Before,
}

/// Whether replies are steered. On the primary too: another plane's `routes` in the main table may lead to a client
/// that came in by the primary.
fn is_steered(plan: &PlannedAttachment) -> bool {
    match plan.role {
        Role::Primary | Role::Plane => true,
        Role::Undeclared => false,
    }
}

fn is_adopted(plan: &PlannedAttachment) -> bool {
    matches!(plan.link, LinkPlan::Adopted)
}

/// Whether another plugin made the pod's primary: its default route and its router advertisements are that one's affair.
fn is_adopted_primary(plan: &PlannedAttachment) -> bool {
    is_adopted(plan) && plan.role == Role::Primary
}

/// Whether the gateway stands alone on the link, with the plane's subnet behind it.
fn is_ptp(plan: &PlannedAttachment) -> bool {
    matches!(plan.link, LinkPlan::Ptp)
}

/// Brings `lo` up: a runtime may do so only later.
///
/// # Errors
/// If the kernel refuses.
pub async fn raise_loopback(pod: &Net) -> Result<(), Error> {
    let Some(lo) = pod.link_by_index(1).await? else { return Ok(()) };
    if lo.is_up { Ok(()) } else { pod.set_link(&lo.name, Message::at(lo.index).up()).await }
}

/// Puts an address on `lo`, which every pod has at index 1 (`ip address add ADDRESS dev lo`). Idempotent.
///
/// # Errors
/// If the kernel refuses: with IPv6 off on `lo`, it has no IPv6 addresses.
pub async fn ensure_on_loopback(pod: &Net, address: IpNetwork) -> Result<(), Error> {
    match pod.link_by_index(1).await? {
        Some(lo) => pod.ensure_address(&lo, address).await,
        None => Ok(()),
    }
}

/// Takes an address from `lo`; succeeds if it is gone.
///
/// # Errors
/// If the kernel refuses.
pub async fn remove_from_loopback(pod: &Net, address: IpNetwork) -> Result<(), Error> {
    match pod.link_by_index(1).await? {
        Some(lo) => pod.remove_address(&lo, address).await,
        None => Ok(()),
    }
}

/// Whether `lo` has the address.
///
/// # Errors
/// If the kernel refuses to answer.
pub async fn is_on_loopback(pod: &Net, address: IpNetwork) -> Result<bool, Error> {
    let Some(lo) = pod.link_by_index(1).await? else { return Ok(false) };
    Ok(pod.addresses_of(&lo).await?.contains(&address))
}

/// Brings an interface up before it has addresses, for an address plugin that asks over it
/// (`ip link set IFNAME up`).
///
/// # Errors
/// If the kernel refuses, or there is no such interface.
pub async fn raise(pod: &Net, ifname: &IfName) -> Result<(), Error> {
    let link = pod.existing_link(ifname).await?;
    pod.set_link(&link.name, Message::at(link.index).up()).await
}

/// Whether the route's gateway lies in no subnet of the interface, so that the kernel has to be told that it is on
/// the link all the same. Link-local ones of IPv6 always are.
fn is_beyond_subnets(plan: &PlannedAttachment, assigned: &[Assigned], route: &Route) -> bool {
    let Some(gateway) = route.gw else { return false };
    let inside = !is_ptp(plan) && assigned.iter().any(|one| one.address.contains(gateway));
    !inside && !is_link_local(gateway)
}

/// The routes of the main table that lead out of an adopted interface, both families: its plugin's, before ours.
async fn adopted_routes(pod: &Net, link: &Link) -> Result<Vec<RouteMessage>, Error> {
    let mut routes = Vec::new();
    for family in Family::BOTH {
        routes.extend(pod.routes_out_of(family, link.index).await?);
    }
    Ok(routes)
}

fn of_family(routes: &[RouteMessage], family: Family) -> impl Iterator<Item = &RouteMessage> {
    routes.iter().filter(move |route| route.header.address_family == family.into())
}

/// What an adopted interface has: its addresses of global scope and the gateways of its default routes.
async fn adopted_addresses(pod: &Net, link: &Link, routes: &[RouteMessage]) -> Result<Vec<Assigned>, Error> {
    let found = pod.addresses_at(link.index).await?;
    let addresses: Vec<IpNetwork> =
        found.iter().filter(|message| is_global(message)).filter_map(network).collect();
    let of = |family| {
        let default = of_family(routes, family).find(|route| is_default(route)).and_then(gateway);
        let here = addresses.iter().filter(move |address| Family::of(address.ip()) == family);
        here.map(move |address| Assigned { address: *address, gateway: default })
    };
    Ok(Family::BOTH.into_iter().flat_map(of).collect())
}

fn is_default(route: &RouteMessage) -> bool {
    destination(route).is_some_and(|destination| destination.prefix() == 0)
}

/// The routes of a plane in the main table but for its default: what stands for the subnet of a ptp plane, and the
/// plane's own `routes`.
fn main_routes(plan: &PlannedAttachment, assigned: &[Assigned]) -> Vec<Route> {
    let mut routes = on_link_routes(plan, assigned);
    routes.extend(plan.routes.iter().map(|route| with_gateway(route, assigned)));
    // A gateway must be on link before a route may name it.
    routes.sort_by_key(|route| route.gw.is_some());
    routes.dedup();
    routes
}

/// A ptp plane's gateway stands alone on the link, and its subnet lies behind it.
fn on_link_routes(plan: &PlannedAttachment, assigned: &[Assigned]) -> Vec<Route> {
    if !is_ptp(plan) {
        return Vec::new();
    }
    let gateways = assigned.iter().filter_map(|one| Some((one, one.gateway?)));
    gateways
        .flat_map(|(one, gateway)| {
            [plain(IpNetwork::from(gateway), None), plain(steer::subnet(one.address), Some(gateway))]
        })
        .collect()
}

pub(crate) fn plain(dst: IpNetwork, gw: Option<IpAddr>) -> Route {
    Route { dst, gw, mtu: None, advmss: None, priority: None }
}

/// A route without a gateway of its own takes the plane's, if there is one of its family.
fn with_gateway(route: &Route, assigned: &[Assigned]) -> Route {
    let gateway = || gateway_of(assigned, Family::of(route.dst.ip()));
    Route { gw: route.gw.or_else(gateway), ..route.clone() }
}

fn default_routes(assigned: &[Assigned]) -> Vec<Route> {
    Family::BOTH
        .into_iter()
        .filter_map(|family| Some(plain(any(family), Some(gateway_of(assigned, family)?))))
        .collect()
}

/// The plane's gateway of one family.
fn gateway_of(assigned: &[Assigned], family: Family) -> Option<IpAddr> {
    assigned.iter().filter_map(|one| one.gateway).find(|gateway| Family::of(*gateway) == family)
}

/// `0.0.0.0/0` or `::/0`.
pub(crate) fn any(family: Family) -> IpNetwork {
    let text = match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    };
    text.parse().expect("a constant that is a network")
}

/// Others' routes among those of an adopted interface, but for a default by a gateway, which is added as such.
fn others_routes(routes: &[RouteMessage], family: Family) -> impl Iterator<Item = Route> {
    of_family(routes, family).filter(|route| is_plain_unicast(route) && !route::is_ours(route)).filter_map(
        |route| {
            let dst = destination(route).filter(|dst| dst.prefix() > 0 || gateway(route).is_none())?;
            Some(Route { priority: metric(route), ..plain(dst, gateway(route)) })
        },
    )
}

fn is_plain_unicast(route: &RouteMessage) -> bool {
    route.header.kind == RouteType::Unicast && destination(route).is_some_and(|dst| !is_link_local(dst.ip()))
}

/// Whether the kernel takes the address as on the link, and makes routes to it by itself: link-local or multicast IPv6.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    }
}
