//! Network filters: what reads a connection once a chain has taken it.

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, ListenerFilter, listener_filter};
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    CodecType, RouteSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy::ClusterSpecifier,
};
use envoy_types::pb::google::protobuf::BoolValue;
use envoy_types::util::pack_any;
use prost::Name;

use super::{ads, route};

fn filter(name: &str, config: impl Name) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(pack_any(config))) }
}

/// Bytes to a cluster.
pub(crate) fn tcp(stat_prefix: &str, cluster: &str, access_log: Vec<AccessLog>) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        access_log,
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    };
    filter("envoy.filters.network.tcp_proxy", proxy)
}

/// HTTP from outside to the application.
pub(crate) fn inbound_http(stat_prefix: &str, cluster: &str, access_log: Vec<AccessLog>) -> Filter {
    let host = VirtualHost {
        name: cluster.replacen("inbound|", "inbound|http|", 1),
        domains: vec!["*".to_owned()],
        routes: vec![route::everything_to(cluster, "default")],
        ..Default::default()
    };
    let table =
        RouteConfiguration { name: cluster.to_owned(), virtual_hosts: vec![host], ..Default::default() };
    http(stat_prefix, RouteSpecifier::RouteConfig(table), access_log)
}

/// HTTP from the application to wherever its authority leads.
pub(crate) fn outbound_http(stat_prefix: &str, route: &str, access_log: Vec<AccessLog>) -> Filter {
    let rds = Rds { config_source: ads(), route_config_name: route.to_owned() };
    http(stat_prefix, RouteSpecifier::Rds(rds), access_log)
}

fn http(stat_prefix: &str, routes: RouteSpecifier, access_log: Vec<AccessLog>) -> Filter {
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack_any(Router::default()))),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        codec_type: CodecType::Auto.into(),
        stat_prefix: stat_prefix.to_owned(),
        route_specifier: Some(routes),
        http_filters: vec![router],
        access_log,
        use_remote_address: Some(BoolValue { value: false }),
        normalize_path: Some(BoolValue { value: true }),
        ..Default::default()
    };
    filter("envoy.filters.network.http_connection_manager", manager)
}

fn listener_filter(name: &str, config: impl Name) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(pack_any(config))),
        ..Default::default()
    }
}

/// Restores the address that the client called, from the kernel's connection tracking.
pub(crate) fn original_destination() -> ListenerFilter {
    listener_filter("envoy.filters.listener.original_dst", OriginalDst::default())
}

/// Tells HTTP from other bytes by looking at the first ones: never where a server may speak first.
pub(crate) fn http_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.http_inspector", HttpInspector::default())
}
