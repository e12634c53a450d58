//! Which services a proxy serves: every address of the proxy against every address of every endpoint.
//!
//! A control plane that looks at one address sees a service on another plane as somebody else's, sends the proxy
//! an outbound listener for itself, and one request becomes a loop. [`Match::First`] does just that, on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use planes::{PlaneName, ProxyNode};
use serde::Serialize;

use crate::envoy::is_reserved;
use crate::registry::service::{Endpoint, Protocol, Service};
use crate::registry::{Registered, Registry};

/// Which addresses of a proxy are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, clap::ValueEnum)]
pub enum Match {
    /// All of them.
    #[default]
    All,
    /// Only the first, as in 2018: reproduces the bug, and exists to be refuted.
    First,
}

impl Match {
    /// The addresses of `node` that count.
    #[must_use]
    pub fn addresses(self, node: &ProxyNode) -> &[IpAddr] {
        match self {
            Self::All => &node.addresses,
            Self::First => node.addresses.get(..1).unwrap_or_default(),
        }
    }
}

/// One address and port where the proxy's own application serves something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The application's address.
    pub address: IpAddr,
    /// The application's port.
    pub port: u16,
    /// The plane of the address, if the proxy told it.
    pub plane: Option<PlaneName>,
    /// The service's host.
    pub host: Arc<str>,
    /// The port that clients call.
    pub service_port: u16,
    /// What travels on it.
    pub protocol: Protocol,
}

/// Whether a proxy serves a service, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It serves it.
    Matched {
        /// The endpoint's address that is one of the proxy's.
        address: IpAddr,
        /// The plane of that address, if the proxy told it.
        plane: Option<String>,
        /// The ports its application listens on.
        ports: Vec<u16>,
    },
    /// An endpoint is at one of its addresses, but the service belongs to another namespace.
    OtherNamespace {
        /// The common address.
        address: IpAddr,
    },
    /// An endpoint is at one of its addresses, but only the first address is looked at.
    NotFirst {
        /// The common address.
        address: IpAddr,
    },
    /// No endpoint is at any of its addresses.
    OtherAddresses,
    /// The service has no endpoint with an address.
    NoAddresses,
}

impl Verdict {
    /// Whether the proxy serves the service.
    #[must_use]
    pub fn is_matched(&self) -> bool {
        match self {
            Self::Matched { .. } => true,
            Self::OtherNamespace { .. }
            | Self::NotFirst { .. }
            | Self::OtherAddresses
            | Self::NoAddresses => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched { address, plane, ports } => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                write!(f, "matched: endpoint {address}")?;
                if let Some(plane) = plane {
                    write!(f, " on plane {plane}")?;
                }
                write!(f, ", port {}", ports.join(", "))
            }
            Self::OtherNamespace { address } => {
                write!(
                    f,
                    "not matched: endpoint {address} is the proxy's, the service is of another namespace"
                )
            }
            Self::NotFirst { address } => {
                write!(f, "not matched: endpoint {address} is the proxy's, but not its first (--match first)")
            }
            Self::OtherAddresses => f.write_str("not matched: no endpoint has an address of the proxy"),
            Self::NoAddresses => f.write_str("not matched: no endpoint has an address"),
        }
    }
}

/// Istio's rule: a proxy without a namespace serves any service, another one only services of its own.
fn same_namespace(service: &Service, node: &ProxyNode) -> bool {
    node.namespace.is_empty() || *service.namespace == *node.namespace
}

/// The addresses and ports that the proxy's own application serves, in order, each once: where two services name
/// the same address and port, the first by namespace and host wins.
#[must_use]
pub fn targets(registry: &Registry, node: &ProxyNode, which: Match) -> Vec<Target> {
    let mut found: BTreeMap<(u16, usize), Target> = BTreeMap::new();
    for (order, address) in which.addresses(node).iter().enumerate() {
        for registered in registry.at(*address) {
            let service = &registered.service;
            if !same_namespace(service, node) {
                continue;
            }
            let served = service_targets(service, *address, node);
            for target in served.into_iter().filter(|target| !is_reserved(target.port)) {
                found.entry((target.port, order)).or_insert(target);
            }
        }
    }
    found.into_values().collect()
}

fn service_targets(service: &Service, address: IpAddr, node: &ProxyNode) -> Vec<Target> {
    let endpoints = service.endpoints.iter().filter(|endpoint| endpoint.address() == Some(address));
    endpoints
        .flat_map(|endpoint| {
            service.ports.iter().map(|port| Target {
                address,
                port: endpoint.port(port),
                plane: node.plane_of(address).map(|plane| plane.plane.clone()),
                host: Arc::clone(&service.host),
                service_port: port.number,
                protocol: port.protocol,
            })
        })
        .collect()
}

/// Whether `node` serves `service`, and why.
#[must_use]
pub fn explain(service: &Service, node: &ProxyNode, which: Match) -> Verdict {
    let mut addresses = service.endpoints.iter().filter_map(Endpoint::address).peekable();
    if addresses.peek().is_none() {
        return Verdict::NoAddresses;
    }
    let common: Vec<IpAddr> = addresses.filter(|address| node.addresses.contains(address)).collect();
    let Some(first) = common.first().copied() else { return Verdict::OtherAddresses };
    if !same_namespace(service, node) {
        return Verdict::OtherNamespace { address: first };
    }
    let counted = which.addresses(node);
    let Some(address) = common.iter().copied().find(|address| counted.contains(address)) else {
        return Verdict::NotFirst { address: first };
    };
    let mut ports: Vec<u16> =
        service_targets(service, address, node).iter().map(|target| target.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let plane = node.plane_of(address).map(|plane| plane.plane.to_string());
    Verdict::Matched { address, plane, ports }
}

/// All services with their verdicts, in the registry's order.
pub fn explain_all<'a>(
    registry: &'a Registry,
    node: &'a ProxyNode,
    which: Match,
) -> impl Iterator<Item = (&'a Arc<Registered>, Verdict)> {
    registry.services.iter().map(move |found| (found, explain(&found.service, node, which)))
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
