//! Listeners for calls of services: TCP by virtual address, HTTP by port, the host name deciding later.
//! Nothing here knows a proxy, so all proxies with the same view share it.

use std::net::IpAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch};
use envoy_types::pb::google::protobuf::BoolValue;
use ipnetwork::IpNetwork;

use super::cluster::{BLACK_HOLE, PASSTHROUGH, outbound_name};
use super::{Families, access_log, cidr, filter, listener, seconds};
use crate::registry::service::{Service, ServicePort};
use crate::resource::Resource;
use crate::settings::{Outbound, Settings};

/// As Istio names the chain of a wildcard listener that no service takes.
const PASSTHROUGH_CHAIN: &str = "PassthroughFilterChain";

fn tcp_chain(service: &Service, port: &ServicePort, settings: &Settings) -> FilterChain {
    let name = outbound_name(port.number, &service.host);
    let log = access_log::logs(settings.access_log, "outbound", None);
    listener::chain(name.clone(), None, filter::tcp(&name, &name, log))
}

/// A TCP service at one of its virtual addresses. No inspector looks at it: the server may speak first.
pub(crate) fn tcp_listener(
    service: &Service,
    port: &ServicePort,
    address: IpAddr,
    settings: &Settings,
) -> Arc<Resource> {
    let chain = tcp_chain(service, port, settings);
    let name = listener::name(address, port.number);
    Resource::encode(name, listener::unbound(address, port.number, TrafficDirection::Outbound, chain))
}

/// What the wildcard listener of one port is made of.
#[derive(Debug, Default)]
pub(crate) struct Port<'a> {
    /// HTTP services call for a route.
    pub(crate) http: bool,
    /// TCP services with whole networks as their addresses.
    pub(crate) networks: Vec<(&'a Service, &'a ServicePort, Vec<IpNetwork>)>,
    /// The TCP service without any address.
    pub(crate) any: Option<(&'a Service, &'a ServicePort)>,
}

/// The wildcard listener of one port: takes whatever no listener with an address takes.
pub(crate) fn wildcard(
    number: u16,
    port: &Port<'_>,
    families: Families,
    settings: &Settings,
) -> Arc<Resource> {
    let name = listener::wildcard_name(families, number);
    let mut made = listener::wildcard(name.clone(), families, number, TrafficDirection::Outbound);
    made.bind_to_port = Some(BoolValue { value: false });
    for (service, port, networks) in &port.networks {
        let matches = FilterChainMatch {
            prefix_ranges: networks.iter().map(|network| cidr(network.network(), network.prefix())).collect(),
            ..Default::default()
        };
        made.filter_chains
            .push(FilterChain { filter_chain_match: Some(matches), ..tcp_chain(service, port, settings) });
    }
    if port.http {
        http(&mut made, number, &name, settings);
    } else if let Some((service, port)) = port.any {
        made.default_filter_chain = Some(tcp_chain(service, port, settings));
    } else {
        made.default_filter_chain = Some(catch_all(PASSTHROUGH_CHAIN, settings));
    }
    Resource::encode(name, made)
}

/// HTTP is told from other bytes, which pass: an address outside the registry may use the same port.
fn http(
    made: &mut envoy_types::pb::envoy::config::listener::v3::Listener,
    number: u16,
    name: &str,
    settings: &Settings,
) {
    let matches = FilterChainMatch {
        application_protocols: ["http/1.1", "http/1.0", "h2c"].map(ToOwned::to_owned).to_vec(),
        ..Default::default()
    };
    let log = access_log::logs(settings.access_log, "outbound", None);
    let manager = filter::outbound_http(&format!("outbound_{name}"), &number.to_string(), log);
    made.filter_chains.push(listener::chain(name, Some(matches), manager));
    made.default_filter_chain = Some(catch_all(PASSTHROUGH_CHAIN, settings));
    made.listener_filters = vec![filter::http_inspector()];
    // A client may open a connection and speak much later: its silence does not make it something else.
    made.listener_filters_timeout = seconds(0);
}

/// Takes a call that no service takes.
pub(crate) fn catch_all(name: &str, settings: &Settings) -> FilterChain {
    let cluster = match settings.outbound {
        Outbound::AllowAny => PASSTHROUGH,
        Outbound::RegistryOnly => BLACK_HOLE,
    };
    let log = access_log::logs(settings.access_log, "outbound", None);
    listener::chain(name, None, filter::tcp(cluster, cluster, log))
}
