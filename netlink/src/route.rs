//! Routes and policy rules (`ip route`, `ip rule`).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use planes::pod_network::Route;

use crate::error::{or_absent, or_exists};
use crate::net::{CHANGE, CREATE, Family};
use crate::{Error, Link, Net};

/// The default metric of an IPv6 route (`IP6_RT_PRIO_USER`, linux/ipv6_route.h).
const V6_METRIC: u32 = 1024;

/// A rule `from ADDRESS lookup TABLE` at a priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceRule {
    pub(crate) source: IpAddr,
    pub(crate) table: u32,
    pub(crate) priority: u32,
}

impl Net {
    /// `ip route replace DST [via GW] dev LINK table TABLE`: the same route twice is one route.
    pub(crate) async fn add_route(&self, link: &Link, route: &Route, table: u32) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(message(Some(link.index), route, table));
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let object = || describe(route, link.name.as_str(), table);
        self.change("add route", object, message, flags).await
    }

    /// `ip route del DST dev LINK table TABLE`; succeeds if it is gone.
    pub(crate) async fn remove_route(&self, link: &Link, route: &Route, table: u32) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRoute(message(Some(link.index), route, table));
        let object = || describe(route, link.name.as_str(), table);
        or_absent(self.change("delete route", object, message, CHANGE).await)
    }

    /// `ip route add unreachable default table TABLE`: what the plane cannot reach does not leave by another one.
    pub(crate) async fn add_unreachable_default(&self, family: Family, table: u32) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(unreachable(family, table));
        let object = || format!("unreachable default in table {table}");
        or_exists(self.change("add route", object, message, CREATE).await)
    }

    /// `ip rule add from SOURCE lookup TABLE priority PRIORITY`.
    pub(crate) async fn add_rule(&self, rule: SourceRule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRule(rule_message(rule));
        or_exists(self.change("add rule", || describe_rule(rule), message, CREATE).await)
            .map_err(|error| error.lacking("policy routing (CONFIG_IP_MULTIPLE_TABLES)"))
    }

    /// `ip rule del …`; succeeds if it is gone.
    pub(crate) async fn remove_rule(&self, rule: SourceRule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRule(rule_message(rule));
        or_absent(self.change("delete rule", || describe_rule(rule), message, CHANGE).await)
    }

    /// Whether a host route to `address` leads out of `link` (`ip route show ADDRESS dev LINK`).
    pub(crate) async fn has_route_to(&self, link: &Link, address: IpAddr) -> Result<bool, Error> {
        let routes = self.routes(Family::of(address)).await?;
        Ok(routes
            .iter()
            .any(|route| out(route) == Some(link.index) && destination(route) == Some(address.into())))
    }
}

fn describe(route: &Route, link: &str, table: u32) -> String {
    match route.gw {
        Some(gateway) => format!("{} via {gateway} dev {link} table {table}", route.dst),
        None => format!("{} dev {link} table {table}", route.dst),
    }
}

pub(crate) fn describe_rule(rule: SourceRule) -> String {
    format!("from {} lookup {} priority {}", rule.source, rule.table, rule.priority)
}

fn message(index: Option<u32>, route: &Route, table: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = Family::of(route.dst.ip()).into();
    message.header.destination_prefix_length = route.dst.prefix();
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    // IPv4 refuses a gateway that is not on link in a route of global scope; a route without one is of link scope.
    message.header.scope =
        if route.gw.is_none() && route.dst.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    message.header.table = small_table(table);
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(table));
    if route.dst.prefix() > 0 {
        attributes.push(RouteAttribute::Destination(RouteAddress::from(route.dst.network())));
    }
    attributes.extend(route.gw.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    attributes.extend(index.map(RouteAttribute::Oif));
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
    message.header.protocol = RouteProtocol::Static;
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

fn rule_message(rule: SourceRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = Family::of(rule.source).into();
    message.header.src_len = if rule.source.is_ipv4() { 32 } else { 128 };
    message.header.action = RuleAction::ToTable;
    message.attributes.push(RuleAttribute::Source(rule.source));
    message.attributes.push(RuleAttribute::Table(rule.table));
    message.attributes.push(RuleAttribute::Priority(rule.priority));
    message.attributes.push(RuleAttribute::Protocol(RouteProtocol::Static));
    message
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

/// What a rule says, if it is one of the shape that we make.
pub(crate) fn source_rule(message: &RuleMessage) -> Option<SourceRule> {
    let mut source = None;
    let mut table = u32::from(message.header.table);
    let mut priority = 0;
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => source = Some(*address),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Priority(number) => priority = *number,
            _ => {}
        }
    }
    Some(SourceRule { source: source?, table, priority })
}
