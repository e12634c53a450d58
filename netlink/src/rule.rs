//! Policy rules (`ip rule`).

use std::fmt;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::net::Family;
use crate::request::Change;
use crate::route::PROTOCOL;

/// A rule of the shapes that we make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) family: Family,
    pub(crate) priority: u32,
    /// Only what comes from this address (`from`).
    pub(crate) source: Option<IpAddr>,
    pub(crate) table: u32,
    /// Pass over the table's default route (`suppress_prefixlength 0`).
    pub(crate) but_default: bool,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some(source) => write!(f, "from {source}")?,
            None => f.write_str("from all")?,
        }
        write!(f, " lookup {} priority {}", self.table, self.priority)?;
        if self.but_default { f.write_str(" suppress_prefixlength 0") } else { Ok(()) }
    }
}

/// `ip rule add from SOURCE lookup TABLE priority PRIORITY proto 109`
pub(crate) fn adding(rule: Rule) -> Change {
    Change::ensure("add rule", rule.to_string(), RouteNetlinkMessage::NewRule(message(rule)))
}

/// `ip rule del …`
pub(crate) fn removing(rule: Rule) -> Change {
    Change::remove("delete rule", rule.to_string(), RouteNetlinkMessage::DelRule(message(rule)))
}

fn message(rule: Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = rule.family.into();
    message.header.action = RuleAction::ToTable;
    let attributes = &mut message.attributes;
    if let Some(source) = rule.source {
        message.header.src_len = if source.is_ipv4() { 32 } else { 128 };
        attributes.push(RuleAttribute::Source(source));
    }
    attributes.push(RuleAttribute::Table(rule.table));
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    if rule.but_default {
        attributes.push(RuleAttribute::SuppressPrefixLen(0));
    }
    message
}

/// What a rule says, if it is one of ours in a pod.
pub(crate) fn ours(message: &RuleMessage) -> Option<Rule> {
    let mut rule = Rule {
        family: if message.header.family == Family::V4.into() { Family::V4 } else { Family::V6 },
        priority: 0,
        source: None,
        table: u32::from(message.header.table),
        but_default: false,
    };
    let mut protocol = None;
    for attribute in &message.attributes {
        match attribute {
            // A fence of the node is ours, and of another shape.
            RuleAttribute::Iifname(_) => return None,
            RuleAttribute::Source(address) => rule.source = Some(*address),
            RuleAttribute::Table(number) => rule.table = *number,
            RuleAttribute::Priority(number) => rule.priority = *number,
            // The kernel tells "suppress nothing" as all bits set.
            RuleAttribute::SuppressPrefixLen(length) => rule.but_default = *length == 0,
            RuleAttribute::Protocol(number) => protocol = Some(u8::from(*number)),
            _ => {}
        }
    }
    (protocol == Some(PROTOCOL)).then_some(rule)
}
