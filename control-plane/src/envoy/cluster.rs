//! Clusters and their endpoints.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::core::v3::{
    Address, BindConfig, ExtraSourceAddress, Http1ProtocolOptions, Http2ProtocolOptions, Locality,
    SocketAddress, address::Address as Place, socket_address::PortSpecifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as EnvoyEndpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use envoy_types::util::pack_any;

use super::{Families, ads, number, place, seconds, socket};
use crate::registry::service::{Endpoint, Host, Protocol, Resolution, Service, ServicePort};
use crate::resource::Resource;
use crate::settings::Inbound;

/// The name under which Envoy keeps the HTTP options of a cluster.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A connection to an address that no service has ends here.
pub(crate) const BLACK_HOLE: &str = "BlackHoleCluster";
/// Connections that leave as they are.
pub(crate) const PASSTHROUGH: &str = "PassthroughCluster";
/// Connections to the application that no service describes.
pub(crate) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";

/// As Istio names it.
pub(crate) fn outbound_name(port: u16, host: &str) -> String {
    format!("outbound|{port}||{host}")
}

/// As Istio names it: by the application's port alone.
pub(crate) fn inbound_name(port: u16) -> String {
    format!("inbound|{port}||")
}

fn base(name: &str, discovery: DiscoveryType) -> Cluster {
    Cluster {
        name: name.to_owned(),
        connect_timeout: seconds(10),
        circuit_breakers: Some(unlimited()),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery.into())),
        ..Default::default()
    }
}

/// As istiod sends them: limits belong to whoever knows the service. What bounds a loop is in the kernel and in
/// the bootstrap, not here.
fn unlimited() -> CircuitBreakers {
    let thresholds = Thresholds {
        max_connections: number(u32::MAX),
        max_pending_requests: number(u32::MAX),
        max_requests: number(u32::MAX),
        max_retries: number(u32::MAX),
        ..Default::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }
}

fn original_destination(name: &str) -> Cluster {
    Cluster { lb_policy: LbPolicy::ClusterProvided.into(), ..base(name, DiscoveryType::OriginalDst) }
}

/// One source per family: Envoy refuses two of the same.
fn bind(sources: &[IpAddr]) -> Option<BindConfig> {
    let (first, rest) = sources.split_first()?;
    let extra =
        |address: &IpAddr| ExtraSourceAddress { address: Some(socket(*address, 0)), socket_options: None };
    Some(BindConfig {
        source_address: Some(socket(*first, 0)),
        extra_source_addresses: rest.iter().map(extra).collect(),
        ..Default::default()
    })
}

pub(crate) fn black_hole() -> Arc<Resource> {
    Resource::encode(BLACK_HOLE, base(BLACK_HOLE, DiscoveryType::Static))
}

/// Unbound: the kernel's plane routes choose the source.
pub(crate) fn passthrough() -> Arc<Resource> {
    Resource::encode(PASSTHROUGH, original_destination(PASSTHROUGH))
}

pub(crate) fn inbound_passthrough(families: Families) -> Arc<Resource> {
    let cluster = Cluster {
        upstream_bind_config: bind(families.loop_breakers()),
        ..original_destination(INBOUND_PASSTHROUGH)
    };
    Resource::encode(INBOUND_PASSTHROUGH, cluster)
}

/// Leaves by the plane whose address the application chose as its source.
pub(crate) fn plane_passthrough(name: &str, stat: String, sources: &[IpAddr]) -> Arc<Resource> {
    let first = |v4: bool| sources.iter().copied().find(|source| source.is_ipv4() == v4);
    let one_each: Vec<IpAddr> = [first(true), first(false)].into_iter().flatten().collect();
    let cluster =
        Cluster { alt_stat_name: stat, upstream_bind_config: bind(&one_each), ..original_destination(name) };
    Resource::encode(name, cluster)
}

/// The application behind the proxy, at one port.
pub(crate) fn inbound(
    name: &str,
    port: u16,
    protocol: Protocol,
    families: Families,
    setting: Inbound,
) -> Arc<Resource> {
    let mut cluster = match setting {
        Inbound::Original => {
            Cluster { upstream_bind_config: bind(families.loop_breakers()), ..original_destination(name) }
        }
        Inbound::Localhost => {
            let address = match families {
                Families::V4 | Families::Dual => IpAddr::V4(Ipv4Addr::LOCALHOST),
                Families::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            let group = LocalityLbEndpoints {
                lb_endpoints: vec![lb_endpoint(place(address, port), 0)],
                ..Default::default()
            };
            let load = ClusterLoadAssignment {
                cluster_name: name.to_owned(),
                endpoints: vec![group],
                ..Default::default()
            };
            Cluster { load_assignment: Some(load), ..base(name, DiscoveryType::Static) }
        }
    };
    if protocol.is_http() {
        // The application is spoken to as the client speaks.
        let follow = UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
            http_protocol_options: Some(Http1ProtocolOptions::default()),
            http2_protocol_options: Some(Http2ProtocolOptions::default()),
            ..Default::default()
        });
        cluster.typed_extension_protocol_options = http_options(follow);
    }
    Resource::encode(name, cluster)
}

fn http_options(options: UpstreamProtocolOptions) -> HashMap<String, envoy_types::pb::google::protobuf::Any> {
    let options = HttpProtocolOptions { upstream_protocol_options: Some(options), ..Default::default() };
    HashMap::from([(HTTP_OPTIONS.to_owned(), pack_any(options))])
}

/// A service as others call it.
pub(crate) fn outbound(
    service: &Service,
    port: &ServicePort,
    families: Families,
    endpoints: &[&Endpoint],
) -> Arc<Resource> {
    let name = outbound_name(port.number, &service.host);
    let mut cluster = match service.resolution {
        Resolution::Static => eds(&name),
        Resolution::None => original_destination(&name),
        Resolution::Dns => dns(&name, DiscoveryType::StrictDns, families, service, port, endpoints),
        Resolution::DnsRoundRobin => {
            dns(&name, DiscoveryType::LogicalDns, families, service, port, endpoints)
        }
    };
    if port.protocol.is_http2() {
        let explicit = ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default())),
        };
        cluster.typed_extension_protocol_options =
            http_options(UpstreamProtocolOptions::ExplicitHttpConfig(explicit));
    }
    Resource::encode(name, cluster)
}

fn eds(name: &str) -> Cluster {
    Cluster {
        eds_cluster_config: Some(EdsClusterConfig { eds_config: ads(), service_name: String::new() }),
        ..base(name, DiscoveryType::Eds)
    }
}

/// Without endpoints the host itself is asked for, as in Istio.
fn dns(
    name: &str,
    discovery: DiscoveryType,
    families: Families,
    service: &Service,
    port: &ServicePort,
    endpoints: &[&Endpoint],
) -> Cluster {
    let mut endpoints = assignment(name, port, endpoints);
    if endpoints.endpoints.is_empty() {
        let target = port.target.unwrap_or(port.number);
        let lb_endpoints = vec![lb_endpoint(named(&service.host, target), 0)];
        endpoints.endpoints.push(LocalityLbEndpoints { lb_endpoints, ..Default::default() });
    }
    if discovery == DiscoveryType::LogicalDns {
        // Envoy takes exactly one endpoint for this type.
        endpoints.endpoints.truncate(1);
        endpoints.endpoints.iter_mut().for_each(|group| group.lb_endpoints.truncate(1));
    }
    let family = match families {
        Families::V4 => DnsLookupFamily::V4Only,
        Families::V6 => DnsLookupFamily::V6Only,
        Families::Dual => DnsLookupFamily::All,
    };
    Cluster { load_assignment: Some(endpoints), dns_lookup_family: family.into(), ..base(name, discovery) }
}

/// The endpoints of one port, as an EDS resource.
pub(crate) fn endpoints(service: &Service, port: &ServicePort, endpoints: &[&Endpoint]) -> Arc<Resource> {
    let name = outbound_name(port.number, &service.host);
    let assignment = assignment(&name, port, endpoints);
    Resource::encode(name, assignment)
}

fn assignment(name: &str, port: &ServicePort, endpoints: &[&Endpoint]) -> ClusterLoadAssignment {
    let mut groups: BTreeMap<&str, Vec<LbEndpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        let target = endpoint.port(port);
        let at = match &endpoint.host {
            Host::Address(address) => place(*address, target),
            Host::Name(name) => named(name, target),
        };
        groups.entry(&endpoint.locality).or_default().push(lb_endpoint(at, endpoint.weight));
    }
    let endpoints =
        groups.into_iter().map(|(locality, lb_endpoints)| group(locality, lb_endpoints)).collect();
    ClusterLoadAssignment { cluster_name: name.to_owned(), endpoints, ..Default::default() }
}

fn group(locality: &str, lb_endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    let mut parts = locality.splitn(3, '/').map(ToOwned::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let locality =
        (!locality.is_empty()).then(|| Locality { region: next(), zone: next(), sub_zone: next() });
    LocalityLbEndpoints { locality, lb_endpoints, ..Default::default() }
}

fn named(name: &str, port: u16) -> Address {
    let socket = SocketAddress {
        address: name.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    Address { address: Some(Place::SocketAddress(socket)) }
}

fn lb_endpoint(address: Address, weight: u32) -> LbEndpoint {
    let endpoint = EnvoyEndpoint { address: Some(address), ..Default::default() };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        load_balancing_weight: if weight > 0 { number(weight) } else { None },
        ..Default::default()
    }
}
