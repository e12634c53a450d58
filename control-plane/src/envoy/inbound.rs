//! What a proxy does for its own application. These resources hold the pod's own addresses, so they are the
//! only ones that belong to one proxy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch};
use envoy_types::pb::google::protobuf::BoolValue;
use planes::{PlaneName, ProxyNode};

use super::cluster::{INBOUND_PASSTHROUGH, PASSTHROUGH, inbound_name};
use super::outbound::catch_all;
use super::{Families, INBOUND_PORT, OUTBOUND_PORT, access_log, cluster, filter, listener, only};
use crate::matching::Target;
use crate::registry::service::Protocol;
use crate::resource::Resource;
use crate::settings::{Layout, Outbound, Settings};

/// The addresses of each plane of a proxy, in the order of its addresses; a plane with two interfaces once.
fn planes_of(node: &ProxyNode) -> Vec<(&PlaneName, Vec<IpAddr>)> {
    let mut planes: Vec<(&PlaneName, Vec<IpAddr>)> = Vec::new();
    for plane in node.planes.iter().filter(|plane| !plane.addresses.is_empty()) {
        match planes.iter_mut().find(|(name, _)| *name == &plane.plane) {
            Some((_, addresses)) => addresses.extend(&plane.addresses),
            None => planes.push((&plane.plane, plane.addresses.clone())),
        }
    }
    planes
}

/// The clusters of one proxy.
pub(crate) fn clusters(node: &ProxyNode, targets: &[Target], settings: &Settings) -> Vec<Arc<Resource>> {
    let families = Families::of(&node.addresses);
    let mut ports: BTreeMap<u16, Protocol> = BTreeMap::new();
    for target in targets {
        let protocol = ports.entry(target.port).or_insert(target.protocol);
        if target.protocol.is_http() {
            *protocol = target.protocol;
        }
    }
    let mut clusters: Vec<_> = ports
        .into_iter()
        .map(|(port, protocol)| {
            cluster::inbound(&inbound_name(port), port, protocol, families, settings.inbound)
        })
        .collect();
    if settings.layout == Layout::Split && settings.outbound == Outbound::AllowAny {
        clusters.extend(planes_of(node).iter().map(|(plane, addresses)| {
            let stat = stat(PASSTHROUGH, Some(plane));
            cluster::plane_passthrough(&passthrough_name(plane), stat, addresses)
        }));
    }
    clusters
}

fn passthrough_name(plane: &PlaneName) -> String {
    format!("{PASSTHROUGH}|{plane}")
}

/// The listeners of one proxy.
pub(crate) fn listeners(node: &ProxyNode, targets: &[Target], settings: &Settings) -> Vec<Arc<Resource>> {
    match settings.layout {
        Layout::Split => vec![virtual_inbound(node, targets, settings), virtual_outbound(node, settings)],
        Layout::Classic => {
            let mut listeners = vec![classic_virtual(node, settings)];
            listeners.extend(classic_inbound(node, targets, settings));
            listeners
        }
    }
}

/// Port 15006. Its own fields never depend on services or planes: changing one of them would cut every
/// connection on every plane, where changing a chain cuts only those of the chain.
fn virtual_inbound(node: &ProxyNode, targets: &[Target], settings: &Settings) -> Arc<Resource> {
    let families = Families::of(&node.addresses);
    let planes = planes_of(node);
    let mut chains = listener::black_holes("virtualInbound");
    for (port, targets) in by_port(targets) {
        chains.extend(port_chains(port, &targets, &planes, families, settings));
    }
    for (plane, addresses) in &planes {
        let filter = unmatched(Some(plane), settings);
        chains.push(listener::chain(format!("unmatched|{plane}"), listener::to(None, addresses), filter));
    }
    chains.push(listener::chain("virtualInbound-catchall", None, unmatched(None, settings)));
    let mut wildcard =
        listener::wildcard("virtualInbound".to_owned(), families, INBOUND_PORT, TrafficDirection::Inbound);
    wildcard.listener_filters = vec![filter::original_destination()];
    wildcard.filter_chains = chains;
    Resource::encode("virtualInbound", wildcard)
}

/// What is served on each application port.
fn by_port(targets: &[Target]) -> BTreeMap<u16, Vec<&Target>> {
    let mut ports: BTreeMap<u16, Vec<&Target>> = BTreeMap::new();
    for target in targets {
        ports.entry(target.port).or_default().push(target);
    }
    ports
}

/// What answers a call of a port at a place: the service that is registered there, else the port's first. One
/// application listens on the port, so that a service registered on one plane is served on all: that is the cure.
fn served<'a>(targets: &[&'a Target], is_there: impl Fn(&Target) -> bool) -> Option<&'a Target> {
    targets.iter().find(|target| is_there(target)).or(targets.first()).copied()
}

/// The chains of one application port: one for each plane, and one for any other address. Without the last a call
/// there would be reset: Envoy decides by port first and never goes back.
fn port_chains(
    port: u16,
    targets: &[&Target],
    planes: &[(&PlaneName, Vec<IpAddr>)],
    families: Families,
    settings: &Settings,
) -> Vec<FilterChain> {
    let base = listener::wildcard_name(families, port);
    let chain = |plane: Option<&PlaneName>, addresses: &[IpAddr]| {
        let target = served(targets, |target| target.plane.as_ref() == plane)?;
        let suffix = plane.map(|plane| format!("|{plane}")).unwrap_or_default();
        let filter = serve(target, plane, settings);
        Some(listener::chain(format!("{base}{suffix}"), listener::to(Some(port), addresses), filter))
    };
    let on_planes = planes.iter().map(|(plane, addresses)| chain(Some(plane), addresses));
    on_planes.chain([chain(None, &[])]).flatten().collect()
}

/// A stat's prefix that names the plane; a dot would end the tag.
fn stat(prefix: &str, plane: Option<&PlaneName>) -> String {
    match plane {
        Some(plane) => format!("{prefix};plane={}", plane.as_str().replace('.', "_")),
        None => prefix.to_owned(),
    }
}

/// To the application, read as the service says; called on `plane`.
fn serve(target: &Target, plane: Option<&PlaneName>, settings: &Settings) -> Filter {
    let stat = stat(&format!("inbound_{}", target.port), plane);
    let log = access_log::logs(settings.access_log, "inbound", plane.map(PlaneName::as_str));
    let cluster = inbound_name(target.port);
    if target.protocol.is_http() {
        filter::inbound_http(&stat, &cluster, log)
    } else {
        filter::tcp(&stat, &cluster, log)
    }
}

/// To the application, unread: no service is registered on the port that the client called. It works, but without routes,
/// policy and metrics of its own, and that would go unseen if nothing counted it.
fn unmatched(plane: Option<&PlaneName>, settings: &Settings) -> Filter {
    let log = access_log::logs(settings.access_log, "unmatched", plane.map(PlaneName::as_str));
    filter::tcp(&stat("unmatched", plane), INBOUND_PASSTHROUGH, log)
}

/// Port 15001: hands over to the listener of the called address and port; what none of them takes leaves by the
/// plane that the application chose as its source.
fn virtual_outbound(node: &ProxyNode, settings: &Settings) -> Arc<Resource> {
    let mut chains = listener::black_holes("virtualOutbound");
    if settings.outbound == Outbound::AllowAny {
        for (plane, addresses) in planes_of(node) {
            let from = FilterChainMatch {
                source_prefix_ranges: addresses.into_iter().map(only).collect(),
                ..Default::default()
            };
            let log = access_log::logs(settings.access_log, "outbound", Some(plane.as_str()));
            let filter = filter::tcp(&stat("passthrough", Some(plane)), &passthrough_name(plane), log);
            chains.push(listener::chain(format!("virtualOutbound-passthrough|{plane}"), Some(from), filter));
        }
    }
    chains.push(catch_all("virtualOutbound-catchall-tcp", settings));
    outbound_capture("virtualOutbound", node, chains)
}

fn outbound_capture(name: &str, node: &ProxyNode, chains: Vec<FilterChain>) -> Arc<Resource> {
    let families = Families::of(&node.addresses);
    let mut wildcard =
        listener::wildcard(name.to_owned(), families, OUTBOUND_PORT, TrafficDirection::Outbound);
    wildcard.use_original_dst = Some(BoolValue { value: true });
    wildcard.filter_chains = chains;
    Resource::encode(name, wildcard)
}

/// Port 15001 of 2018: both directions arrive here.
fn classic_virtual(node: &ProxyNode, settings: &Settings) -> Arc<Resource> {
    let mut chains = listener::black_holes("virtual");
    chains.push(catch_all("virtual-catchall", settings));
    outbound_capture("virtual", node, chains)
}

/// A listener for each address of the pod and port that it serves: where one is missing, the call falls to an
/// outbound listener.
fn classic_inbound(node: &ProxyNode, targets: &[Target], settings: &Settings) -> Vec<Arc<Resource>> {
    let listener = |port: u16, targets: &[&Target], address: IpAddr| {
        let target = served(targets, |target| target.address == address)?;
        let name = listener::name(address, port);
        let chain = listener::chain(
            name.clone(),
            None,
            serve(target, node.plane_of(address).map(|plane| &plane.plane), settings),
        );
        Some(Resource::encode(name, listener::unbound(address, port, TrafficDirection::Inbound, chain)))
    };
    let addresses = settings.which.addresses(node);
    let ports = by_port(targets).into_iter();
    ports
        .flat_map(|(port, targets)| {
            addresses.iter().filter_map(move |&address| listener(port, &targets, address))
        })
        .collect()
}
