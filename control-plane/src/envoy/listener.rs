//! The shapes that all listeners and filter chains share.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{
    AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener,
};
use envoy_types::pb::google::protobuf::BoolValue;

use super::cluster::BLACK_HOLE;
use super::{Families, INBOUND_PORT, OUTBOUND_PORT, filter, number, only, place};

/// As Istio names a listener: address and port, without brackets.
pub(crate) fn name(address: IpAddr, port: u16) -> String {
    format!("{address}_{port}")
}

/// The name of a listener on a wildcard address, which is the first family's.
pub(crate) fn wildcard_name(families: Families, port: u16) -> String {
    name(families.first_wildcard(), port)
}

/// A listener on one port of every family that the proxy has.
pub(crate) fn wildcard(name: String, families: Families, port: u16, direction: TrafficDirection) -> Listener {
    let mut addresses = families.wildcards().iter().map(|address| place(*address, port));
    Listener {
        name,
        address: addresses.next(),
        additional_addresses: addresses
            .map(|address| AdditionalAddress { address: Some(address), ..Default::default() })
            .collect(),
        traffic_direction: direction.into(),
        ..Default::default()
    }
}

/// A listener without a socket: Envoy hands it what another listener accepted for this address and port.
pub(crate) fn unbound(
    address: IpAddr,
    port: u16,
    direction: TrafficDirection,
    chain: FilterChain,
) -> Listener {
    Listener {
        name: name(address, port),
        address: Some(place(address, port)),
        bind_to_port: Some(BoolValue { value: false }),
        traffic_direction: direction.into(),
        filter_chains: vec![chain],
        ..Default::default()
    }
}

pub(crate) fn chain(name: impl Into<String>, matches: Option<FilterChainMatch>, last: Filter) -> FilterChain {
    FilterChain { name: name.into(), filter_chain_match: matches, filters: vec![last], ..Default::default() }
}

/// Matches a destination port, and addresses if any are given.
pub(crate) fn to(port: Option<u16>, addresses: &[IpAddr]) -> Option<FilterChainMatch> {
    Some(FilterChainMatch {
        destination_port: port.and_then(|port| number(port.into())),
        prefix_ranges: addresses.iter().copied().map(only).collect(),
        ..Default::default()
    })
}

/// A call of one of the proxy's own ports would reach the proxy again: it ends here.
pub(crate) fn black_holes(listener: &str) -> Vec<FilterChain> {
    [INBOUND_PORT, OUTBOUND_PORT]
        .into_iter()
        .map(|port| {
            let name = format!("{listener}-blackhole-{port}");
            chain(name, to(Some(port), &[]), filter::tcp("blackhole", BLACK_HOLE, Vec::new()))
        })
        .collect()
}
