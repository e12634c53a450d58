//! Everything a namespace has, as sorted lines: for tests that prove "exactly as before", and for people.

use netlink_packet_route::address::AddressFlags;

use crate::address::{flags, network};
use crate::interface::is_link_local;
use crate::route::{destination, gateway, metric, out, table};
use crate::rule;
use crate::{Error, Family, Net};

/// `RT_TABLE_LOCAL` (linux/rtnetlink.h).
const LOCAL_TABLE: u32 = 255;

/// Reads links, addresses, routes of all tables and rules. Indexes are resolved to names, counters are left out, so two
/// snapshots of an unchanged namespace are equal.
///
/// Left out too is what the kernel does in its own time, when a carrier comes or goes and when duplicate detection ends:
/// link-local addresses of IPv6, its link-local and multicast routes, its table `local` (which follows from the
/// addresses), and the flags of addresses that are on their way.
///
/// # Errors
/// If the kernel refuses to answer.
pub async fn snapshot(net: &Net) -> Result<Vec<String>, Error> {
    let links = net.links().await?;
    let name = |index: u32| {
        links
            .iter()
            .find(|link| link.index == index)
            .map_or_else(|| format!("#{index}"), |link| link.name.to_string())
    };
    let mut lines = Vec::new();
    for link in &links {
        let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        lines.push(format!(
            "link {} index {} kind {} mac {mac} mtu {} up {} master {} group {} alias {}",
            link.name,
            link.index,
            link.kind.as_deref().unwrap_or("-"),
            link.mtu,
            link.is_up,
            link.master.map(name).unwrap_or_default(),
            link.group,
            link.alias.as_deref().unwrap_or("-"),
        ));
    }
    for message in net.addresses().await? {
        if let Some(address) = network(&message).filter(|address| !is_link_local(address.ip())) {
            lines.push(format!(
                "address {address} dev {} flags {:?}",
                name(message.header.index),
                flags(&message) - (AddressFlags::Tentative | AddressFlags::Optimistic)
            ));
        }
    }
    for family in Family::BOTH {
        for route in net.routes(family).await? {
            let follows = family == Family::V6 && table(&route) == LOCAL_TABLE;
            if follows || destination(&route).is_some_and(|destination| is_link_local(destination.ip())) {
                continue;
            }
            lines.push(format!(
                "route {} via {} dev {} table {} metric {} kind {:?}",
                destination(&route).map(|dst| dst.to_string()).unwrap_or_default(),
                gateway(&route).map(|gateway| gateway.to_string()).unwrap_or_default(),
                out(&route).map(name).unwrap_or_default(),
                table(&route),
                metric(&route).map(|metric| metric.to_string()).unwrap_or_default(),
                route.header.kind,
            ));
        }
        for rule in net.rules(family).await? {
            lines.push(match rule::ours(&rule) {
                Some(rule) => format!("rule {rule}"),
                None => format!("rule {family:?} table {} {:?}", rule.header.table, rule.attributes),
            });
        }
    }
    lines.sort();
    Ok(lines)
}
