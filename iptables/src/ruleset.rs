//! The rules of a pod, as one pure function of its policy, readable from top to bottom. docs/capture.md tells the
//! packet's way through them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink::Family;
use planes::capture::{Captured, INBOUND_SOURCES, PortRange, Scope};
use planes::{IfName, Layout, Proxy, Traffic};

use crate::policy::{FUSE, Plane, Policy};
use crate::rules::{Action, Chain, Hook, Kind, Match, Reach, Rule, Table};

/// The one table of ours in a namespace.
pub const TABLE: &str = "multiplane";

/// Telemetry and health checks of the sidecar: for kubelet and Prometheus, never captured.
const NEVER_CAPTURED: [u16; 3] = [15020, 15021, 15090];

/// The whole table.
#[must_use]
pub fn table(policy: &Policy) -> Table {
    let mut chains = vec![isolate_in(policy), isolate_out(policy)];
    if let Some(proxy) = &policy.proxy {
        chains.push(untrack(policy, "untrack_in", Hook::Prerouting));
        chains.push(untrack(policy, "untrack_out", Hook::Output));
        chains.push(capture_in(policy, proxy));
        chains.push(fuse(proxy));
        chains.push(capture_out(policy, proxy));
    }
    chains.retain(|chain| !chain.rules.is_empty());
    Table { name: TABLE, chains }
}

/// Media planes must never touch connection tracking: it costs memory and breaks what it does not understand.
fn untrack(policy: &Policy, name: &'static str, hook: Hook) -> Chain {
    let mut rules: Vec<Rule> = policy
        .with(Traffic::Bypass)
        .map(|plane| rule([by(hook, &plane.ifname)], Action::Notrack, "bypass: never tracked"))
        .collect();
    if policy.undeclared == Traffic::Bypass {
        rules.push(rule(stranger(policy, hook), Action::Notrack, "undeclared: bypass"));
    }
    Chain { name, kind: Kind::Filter, hook, priority: -300, rules }
}

/// Strong host: an address answers on its own plane alone. Before NAT, so that what the proxy would get is judged by
/// where it was sent to.
fn isolate_in(policy: &Policy) -> Chain {
    let mut rules = vec![rule([Match::In(lo())], Action::Accept, "the pod's own")];
    for plane in policy.with(Traffic::Deny) {
        rules.push(rule([Match::In(plane.ifname.clone())], Action::Drop, "deny"));
    }
    if policy.undeclared == Traffic::Deny {
        rules.push(rule(stranger(policy, Hook::Prerouting), Action::Drop, "undeclared: deny"));
    }
    if let Some(proxy) = &policy.proxy {
        let mut ports = vec![proxy.inbound_port, proxy.outbound_port];
        ports.dedup();
        for port in ports {
            rules.push(rule([to_port(port)], Action::Drop, "the proxy's port is closed from outside"));
        }
    }
    for plane in policy.planes.iter().filter(|plane| plane.traffic != Traffic::Deny) {
        let here = Match::In(plane.ifname.clone());
        if plane.forward {
            rules.push(rule([here.clone()], Action::Accept, "forward: the pod routes"));
        }
        for extra in &plane.extra {
            rules.push(rule([here.clone(), Match::To(*extra)], Action::Accept, "addresses: declared"));
        }
    }
    rules.extend(strangers_in(policy));
    for reach in [Reach::Local, Reach::Broadcast, Reach::Multicast, Reach::Anycast] {
        rules.push(rule([Match::Reaches(reach)], Action::Accept, "it is this plane's"));
    }
    rules.push(rule([], Action::Drop, "strong host: not an address of this plane"));
    Chain { name: "isolate_in", kind: Kind::Filter, hook: Hook::Prerouting, priority: -150, rules }
}

/// Interfaces that a pod makes for itself, such as a bridge for containers or a VM's tap, carry transit by nature. They get at
/// no plane's address, and else are the pod's own affair.
fn strangers_in(policy: &Policy) -> Vec<Rule> {
    if policy.undeclared == Traffic::Deny {
        return Vec::new();
    }
    let stranger = stranger(policy, Hook::Prerouting);
    let with = |more: Option<Match>| stranger.iter().cloned().chain(more).collect::<Vec<_>>();
    let of = |plane: &Plane| -> Vec<IpNetwork> {
        plane.addresses.iter().copied().map(IpNetwork::from).chain(plane.extra.iter().copied()).collect()
    };
    let addresses = policy.planes.iter().flat_map(of);
    let shut = |to| rule(with(Some(Match::To(to))), Action::Drop, "strong host: an address of a plane");
    let mut rules: Vec<Rule> = addresses.map(shut).collect();
    rules.push(rule(with(None), Action::Accept, "undeclared: the pod's own affair"));
    rules
}

fn isolate_out(policy: &Policy) -> Chain {
    let mut rules: Vec<Rule> = policy
        .with(Traffic::Deny)
        .map(|plane| rule([Match::Out(plane.ifname.clone())], Action::Drop, "deny"))
        .collect();
    if policy.undeclared == Traffic::Deny {
        rules.push(rule(stranger(policy, Hook::Output), Action::Drop, "undeclared: deny"));
    }
    Chain { name: "isolate_out", kind: Kind::Filter, hook: Hook::Output, priority: -150, rules }
}

/// Connections that come in by a captured plane go to the proxy's inbound port.
fn capture_in(policy: &Policy, proxy: &Proxy) -> Chain {
    let mut rules = never_captured();
    let options = &proxy.options;
    // As with Istio, exclusions count only where everything else is included.
    for range in options.exclude_inbound_ports.iter().filter(|_| options.include_inbound_ports.is_none()) {
        rules.push(rule([Match::Ports(*range)], Action::Accept, "the pod excludes the port"));
    }
    let planes = captured(policy, |captured| &captured.inbound);
    for port in included(options.include_inbound_ports.as_deref(), |range| Match::Ports(*range)) {
        for (plane, own) in &planes {
            for family in Family::BOTH {
                let mut opens = vec![Match::In(plane.ifname.clone()), Match::Family(family)];
                opens.extend(own.clone().into_iter().chain(port.clone()).chain([Match::Opens]));
                rules.push(rule(opens, inbound(plane, family, proxy), "capture: inbound"));
            }
        }
        if policy.undeclared == Traffic::Capture {
            let mut opens = stranger(policy, Hook::Prerouting);
            opens.extend(port.into_iter().chain([Match::Opens]));
            rules.push(rule(opens, Action::Redirect(proxy.inbound_port), "undeclared: capture"));
        }
    }
    Chain { name: "capture_in", kind: Kind::Nat, hook: Hook::Prerouting, priority: -100, rules }
}

/// `redirect` goes to the interface's own address of the family. Where there is none but a declared one, that is named,
/// as else the packet is dropped.
fn inbound(plane: &Plane, family: Family, proxy: &Proxy) -> Action {
    let is_own = plane.addresses.iter().any(|address| Family::of(*address) == family);
    let hosts = plane.extra.iter().filter(|extra| planes::is_host(extra));
    let declared = hosts.map(IpNetwork::ip).find(|address| Family::of(*address) == family);
    match declared {
        Some(address) if !is_own => Action::Dnat(address, proxy.inbound_port),
        Some(_) | None => Action::Redirect(proxy.inbound_port),
    }
}

/// Connections of the pod go to the proxy's outbound port; the proxy's own do not, but for those to the pod itself.
fn capture_out(policy: &Policy, proxy: &Proxy) -> Chain {
    let mut rules = never_captured();
    for source in INBOUND_SOURCES {
        let from_inbound = [Match::Out(lo()), Match::From(IpNetwork::from(source))];
        rules.push(rule(from_inbound, Action::Accept, "the proxy's call to the application"));
    }
    let to_itself: &[u32] = match proxy.layout {
        Layout::Split => &proxy.uids,
        Layout::Classic => &[],
    };
    let inwards = captured(policy, |captured| &captured.inbound);
    for uid in to_itself {
        for (plane, port) in &inwards {
            for address in &plane.addresses {
                let mut call =
                    vec![Match::Out(lo()), Match::User(*uid), Match::To(IpNetwork::from(*address))];
                call.extend(port.clone().into_iter().chain([Match::Opens]));
                let inbound = Action::Redirect(proxy.inbound_port);
                rules.push(rule(call, inbound, "the proxy calls its own pod: inbound"));
            }
        }
    }
    rules.push(rule([Match::Out(lo())], Action::Accept, "the pod's own"));
    for uid in &proxy.uids {
        rules.push(rule([Match::User(*uid)], Action::Accept, "the proxy's own"));
    }
    for gid in &proxy.gids {
        rules.push(rule([Match::Group(*gid)], Action::Accept, "the proxy's own"));
    }
    rules.extend(excluded(proxy));
    let outbound = Action::Redirect(proxy.outbound_port);
    let outwards = captured(policy, |captured| &captured.outbound);
    for place in places(proxy) {
        for (plane, own) in &outwards {
            let mut opens = vec![Match::Out(plane.ifname.clone())];
            opens.extend(own.clone().into_iter().chain(place.clone()).chain([Match::Opens]));
            rules.push(rule(opens, outbound, "capture: outbound"));
        }
        if policy.undeclared == Traffic::Capture {
            let mut opens = stranger(policy, Hook::Output);
            opens.extend(place.into_iter().chain([Match::Opens]));
            rules.push(rule(opens, outbound, "undeclared: capture"));
        }
    }
    Chain { name: "capture_out", kind: Kind::Nat, hook: Hook::Output, priority: -100, rules }
}

/// Whatever else goes wrong, the proxy cannot call itself more often than this at a time: a loop ends in a refused
/// connection instead of in the last descriptor.
fn fuse(proxy: &Proxy) -> Chain {
    let honest: [&[IpNetwork]; 2] = [
        &[net(Ipv4Addr::new(127, 0, 0, 0).into(), 8)],
        &[net(Ipv6Addr::LOCALHOST.into(), 128), net(INBOUND_SOURCES[1], 128)],
    ];
    let mut rules = Vec::new();
    for uid in &proxy.uids {
        for honest in honest {
            let mut hop = vec![Match::Out(lo()), Match::User(*uid), Match::Opens];
            hop.extend(honest.iter().map(|source| Match::NotFrom(*source)));
            hop.push(Match::MoreThan(FUSE));
            rules.push(rule(hop, Action::Reset, "fuse: the proxy calls itself in a loop"));
        }
    }
    Chain { name: "fuse", kind: Kind::Filter, hook: Hook::Output, priority: -110, rules }
}

/// The planes of which something is captured in a direction, with what the plane itself says of ports.
fn captured(policy: &Policy, direction: fn(&Captured) -> &Scope) -> Vec<(&Plane, Option<Match>)> {
    let planes = policy.with(Traffic::Capture);
    planes
        .flat_map(|plane| {
            let ports = direction(&plane.captured).ports();
            ports.into_iter().map(move |port| (plane, port.map(Match::Ports)))
        })
        .collect()
}

fn never_captured() -> Vec<Rule> {
    NEVER_CAPTURED.iter().map(|port| rule([to_port(*port)], Action::Accept, "never captured")).collect()
}

fn to_port(port: u16) -> Match {
    Match::Ports(PortRange { first: port, last: port })
}

/// One match per included item; `None` alone where everything is included.
fn included<T>(list: Option<&[T]>, as_match: fn(&T) -> Match) -> Vec<Option<Match>> {
    list.map_or_else(|| vec![None], |list| list.iter().map(|item| Some(as_match(item))).collect())
}

/// What the pod's annotations keep away from the proxy's outbound side.
fn excluded(proxy: &Proxy) -> Vec<Rule> {
    let ports = proxy.options.exclude_outbound_ports.iter().map(|range| Match::Ports(*range));
    let subnets = proxy.options.exclude_outbound_ranges.iter().map(|subnet| Match::To(*subnet));
    ports.chain(subnets).map(|one| rule([one], Action::Accept, "the pod excludes it")).collect()
}

/// Where to outbound connections are captured. Istio's ports come on top of its prefixes.
fn places(proxy: &Proxy) -> Vec<Option<Match>> {
    let options = &proxy.options;
    let mut places = included(options.include_outbound_ranges.as_deref(), |subnet| Match::To(*subnet));
    if options.include_outbound_ranges.is_some() {
        places.extend(options.include_outbound_ports.iter().map(|range| Some(Match::Ports(*range))));
    }
    places
}

/// An interface that is neither known nor the loopback.
fn stranger(policy: &Policy, hook: Hook) -> Vec<Match> {
    let known = std::iter::once(lo()).chain(policy.planes.iter().map(|plane| plane.ifname.clone()));
    known
        .map(|ifname| match hook {
            Hook::Prerouting => Match::NotIn(ifname),
            Hook::Output => Match::NotOut(ifname),
        })
        .collect()
}

fn by(hook: Hook, ifname: &IfName) -> Match {
    match hook {
        Hook::Prerouting => Match::In(ifname.clone()),
        Hook::Output => Match::Out(ifname.clone()),
    }
}

fn rule(matches: impl Into<Vec<Match>>, action: Action, why: &'static str) -> Rule {
    Rule { matches: matches.into(), action, why }
}

fn lo() -> IfName {
    "lo".parse().expect("a constant that is an interface name")
}

fn net(address: IpAddr, prefix: u8) -> IpNetwork {
    IpNetwork::new(address, prefix).unwrap_or_else(|_| IpNetwork::from(address))
}
