//! Routes (`ip route`).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use planes::pod_network::Route;

use crate::interface::MAIN_TABLE;
use crate::net::Family;
use crate::request::Change;
use crate::{Error, Link, Net};

/// Who made a route or a rule (`rtm_protocol`, `FRA_PROTOCOL`): ours are told from all others by it, without a
/// record and after any kill. Above `RTPROT_STATIC` the numbers are for routing daemons, and this one is free
/// (linux/rtnetlink.h, iproute2's rt_protos).
pub(crate) const PROTOCOL: u8 = 109;

/// The default metric of an IPv6 route (`IP6_RT_PRIO_USER`, linux/ipv6_route.h).
const V6_METRIC: u32 = 1024;

/// What a route needs beyond its destination and gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// Index of the link.
    pub(crate) index: u32,
    /// The table.
    pub(crate) table: u32,
    /// The gateway is on the link though no subnet says so (`onlink`).
    pub(crate) onlink: bool,
}

/// `ip route add DST [via GW [onlink]] dev LINK table TABLE proto 109`
///
/// Never replaces: a route of another plugin would be lost.
pub(crate) fn adding(link: &Link, route: &Route, way: Way) -> Change {
    let object = describe(route, link.name.as_str(), way.table);
    Change::create("add route", object, RouteNetlinkMessage::NewRoute(message(route, way)))
}

/// `ip route add unreachable default table TABLE`: what the plane cannot reach does not leave by another one.
pub(crate) fn ending(family: Family, table: u32) -> Change {
    let object = format!("unreachable default in table {table}");
    Change::ensure("add route", object, RouteNetlinkMessage::NewRoute(unreachable(family, table)))
}

/// Removes a route that was read.
pub(crate) fn removing(route: RouteMessage) -> Change {
    let destination = destination(&route).map_or_else(|| "default".to_owned(), |dst| dst.to_string());
    let object = format!("{destination} in table {}", table(&route));
    Change::remove("delete route", object, RouteNetlinkMessage::DelRoute(route))
}

impl Net {
    /// `ip route replace DST dev LINK`: the same route twice is one route. For the node's side of a ptp plane.
    pub(crate) async fn ensure_route(&self, link: &Link, route: &Route) -> Result<(), Error> {
        let way = Way { index: link.index, table: MAIN_TABLE, onlink: false };
        let message = RouteNetlinkMessage::NewRoute(message(route, way));
        let object = || describe(route, link.name.as_str(), MAIN_TABLE);
        self.change("add route", object, message, crate::request::REPLACE).await
    }

    /// Whether a host route to `address` leads out of `link` (`ip route show ADDRESS dev LINK`).
    pub(crate) async fn has_route_to(&self, link: &Link, address: IpAddr) -> Result<bool, Error> {
        let routes = self.routes_out_of(Family::of(address), link.index).await?;
        Ok(routes.iter().any(|route| destination(route) == Some(address.into())))
    }
}

fn describe(route: &Route, link: &str, table: u32) -> String {
    let via = route.gw.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    let table = if table == MAIN_TABLE { String::new() } else { format!(" table {table}") };
    format!("{}{via} dev {link}{table}", route.dst)
}

fn message(route: &Route, way: Way) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = Family::of(route.dst.ip()).into();
    message.header.destination_prefix_length = route.dst.prefix();
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    message.header.kind = RouteType::Unicast;
    // IPv4 refuses a gateway that is not on link in a route of global scope; a route without one is of link scope.
    message.header.scope =
        if route.gw.is_none() && route.dst.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    message.header.table = small_table(way.table);
    if way.onlink {
        message.header.flags = RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(way.table));
    if route.dst.prefix() > 0 {
        attributes.push(RouteAttribute::Destination(RouteAddress::from(route.dst.network())));
    }
    attributes.extend(route.gw.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    attributes.push(RouteAttribute::Oif(way.index));
    attributes.extend(route.priority.map(RouteAttribute::Priority));
    let metrics: Vec<RouteMetric> =
        route.mtu.map(RouteMetric::Mtu).into_iter().chain(route.advmss.map(RouteMetric::Advmss)).collect();
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

fn unreachable(family: Family, table: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family.into();
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    message.header.kind = RouteType::Unreachable;
    message.header.table = small_table(table);
    message.attributes.push(RouteAttribute::Table(table));
    // Behind every route that could stand beside it.
    message.attributes.push(RouteAttribute::Priority(u32::MAX));
    message
}

/// The header has eight bits for the table; larger numbers stand in the attribute alone (`RT_TABLE_UNSPEC`).
fn small_table(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(0)
}

/// The table of a route, wherever it stands.
pub(crate) fn table(message: &RouteMessage) -> u32 {
    let attribute = message
        .attributes
        .iter()
        .find_map(|a| if let RouteAttribute::Table(table) = a { Some(*table) } else { None });
    attribute.unwrap_or(u32::from(message.header.table))
}

/// The index of the link that a route leads out of.
pub(crate) fn out(message: &RouteMessage) -> Option<u32> {
    message
        .attributes
        .iter()
        .find_map(|a| if let RouteAttribute::Oif(index) = a { Some(*index) } else { None })
}

/// The destination of a route; a default has none in the message.
pub(crate) fn destination(message: &RouteMessage) -> Option<IpNetwork> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(IpAddr::from(*ip)),
        RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(IpAddr::from(*ip)),
        _ => None,
    });
    let any = match message.header.address_family {
        netlink_packet_route::AddressFamily::Inet => IpAddr::from([0; 4]),
        _ => IpAddr::from([0; 16]),
    };
    IpNetwork::new(address.unwrap_or(any), message.header.destination_prefix_length).ok()
}

/// The gateway of a route.
pub(crate) fn gateway(message: &RouteMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(ip)) => Some(IpAddr::from(*ip)),
        RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => Some(IpAddr::from(*ip)),
        _ => None,
    })
}

/// The metric of a route, as it would have to be asked for.
pub(crate) fn metric(message: &RouteMessage) -> Option<u32> {
    let found = message
        .attributes
        .iter()
        .find_map(|a| if let RouteAttribute::Priority(metric) = a { Some(*metric) } else { None });
    let is_v6 = message.header.address_family == netlink_packet_route::AddressFamily::Inet6;
    found.filter(|metric| !(is_v6 && *metric == V6_METRIC))
}

/// Whether the route is ours.
pub(crate) fn is_ours(message: &RouteMessage) -> bool {
    u8::from(message.header.protocol) == PROTOCOL
}
