//! The kernel's state as iproute2 reads it: a second pair of eyes, independent of our own netlink code.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink::Netns;
use serde_json::Value;

use crate::world::command;

/// What `ip -json <arguments>` says inside a namespace; an empty list where it prints nothing.
///
/// # Panics
/// If `ip` fails; its message is shown.
#[must_use]
pub fn ip(netns: &Netns, arguments: &str) -> Value {
    run("ip", netns, arguments)
}

/// What `bridge -json <arguments>` says inside a namespace.
///
/// # Panics
/// If `bridge` fails; its message is shown.
#[must_use]
pub fn bridge(netns: &Netns, arguments: &str) -> Value {
    run("bridge", netns, arguments)
}

fn run(tool: &str, netns: &Netns, arguments: &str) -> Value {
    let shown = command(netns, tool, &format!("-json {arguments}"));
    serde_json::from_str(&shown).unwrap_or_else(|_| Value::Array(Vec::new()))
}

/// The names of a namespace's links, without `lo`.
#[must_use]
pub fn links(netns: &Netns) -> BTreeSet<String> {
    let links = ip(netns, "link show");
    let names = list(&links).iter().filter_map(|link| link["ifname"].as_str()).filter(|name| *name != "lo");
    names.map(ToOwned::to_owned).collect()
}

/// Every global address of a namespace.
#[must_use]
pub fn addresses(netns: &Netns) -> BTreeSet<IpAddr> {
    let links = ip(netns, "address show scope global");
    let addresses = list(&links).iter().flat_map(|link| list(&link["addr_info"]));
    addresses.filter_map(|address| address["local"].as_str()?.parse().ok()).collect()
}

/// Links, addresses, routes of all tables and rules of both families, for a comparison of before and after.
#[must_use]
pub fn everything(netns: &Netns) -> Vec<(&'static str, Value)> {
    let views = [
        "link show",
        "address show",
        "-4 route show table all",
        "-6 route show table all",
        "-4 rule show",
        "-6 rule show",
    ];
    views.map(|view| (view, ip(netns, view))).to_vec()
}

/// The items of a JSON list; none if it is something else.
#[must_use]
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
