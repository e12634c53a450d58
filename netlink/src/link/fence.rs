//! Plane bridges never forward to one another, whatever the node forwards otherwise: two planes are two networks, and a
//! node with gateway addresses on both would join them.
//!
//! ```text
//! ip rule add iif mp-control lookup main suppress_ifgroup 28016 priority 32000 protocol 109
//! ip rule add iif mp-control unreachable priority 32001 protocol 109
//! ```
//!
//! All bridges of ours but those of `forward` planes are in one interface group, so two rules per bridge and family do,
//! however many planes there are.
//! What is for the node itself is decided before, by its table `local`; what is for anywhere else than a plane goes its way.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use planes::IfName;

use crate::interface::MAIN_TABLE;
use crate::net::Family;
use crate::request::Change;
use crate::route::PROTOCOL;
use crate::{Error, Net};

/// The group of every fenced bridge of ours ("mp"). A bridge that has it is fenced already.
pub(super) const GROUP: u32 = 0x6d70;
/// After the rules of whoever routes by policy on the node, before the main table's own.
const PRIORITY: u32 = 32_000;

/// Fences a bridge that is not in the group yet.
pub(super) async fn ensure(host: &Net, bridge: &IfName) -> Result<(), Error> {
    let rules = rules(bridge).into_iter().map(|(family, message)| {
        let message = RouteNetlinkMessage::NewRule(message);
        match family {
            Family::V4 => Change::ensure("add rule", describe(bridge), message),
            Family::V6 => Change::ensure_if_known("add rule", describe(bridge), message),
        }
    });
    host.change_all(rules.collect()).await
}

/// Takes the fence away; succeeds if there is none.
pub(super) async fn remove(host: &Net, bridge: &IfName) -> Result<(), Error> {
    let rules = rules(bridge).into_iter().map(|(_, message)| {
        Change::remove("delete rule", describe(bridge), RouteNetlinkMessage::DelRule(message))
    });
    host.change_each(rules.collect()).await.into_iter().collect()
}

fn describe(bridge: &IfName) -> String {
    format!("that keeps bridge {bridge} from other planes")
}

fn rules(bridge: &IfName) -> Vec<(Family, RuleMessage)> {
    Family::BOTH
        .into_iter()
        .flat_map(|family| [(family, others(family, bridge)), (family, end(family, bridge))])
        .collect()
}

fn others(family: Family, bridge: &IfName) -> RuleMessage {
    let mut message = beginning(family, bridge, PRIORITY);
    message.header.action = RuleAction::ToTable;
    message.attributes.push(RuleAttribute::Table(MAIN_TABLE));
    message.attributes.push(RuleAttribute::SuppressIfGroup(GROUP));
    message
}

fn end(family: Family, bridge: &IfName) -> RuleMessage {
    let mut message = beginning(family, bridge, PRIORITY + 1);
    message.header.action = RuleAction::Unreachable;
    message
}

fn beginning(family: Family, bridge: &IfName, priority: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family.into();
    message.attributes.push(RuleAttribute::Iifname(bridge.to_string()));
    message.attributes.push(RuleAttribute::Priority(priority));
    message.attributes.push(RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    message
}
