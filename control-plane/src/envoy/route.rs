//! Routes and virtual hosts. A route holds no virtual host itself: each is a resource of its own (VHDS), so that
//! a new service costs its own size and not that of all others.

use std::net::IpAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteAction, RouteConfiguration, RouteMatch, Vhds, VirtualHost,
};

use super::cluster::{PASSTHROUGH, outbound_name};
use super::{ads, seconds};
use crate::registry::service::{Service, ServicePort};
use crate::resource::Resource;
use crate::settings::Outbound;

/// The route of all HTTP services on one port; named by the port, as Istio names it.
pub(crate) fn configuration(port: u16) -> Arc<Resource> {
    let name = port.to_string();
    let configuration = RouteConfiguration {
        name: name.clone(),
        vhds: Some(Vhds { config_source: ads() }),
        ignore_port_in_host_matching: true,
        ..Default::default()
    };
    Resource::encode(name, configuration)
}

/// One route for everything under `/`, to one cluster.
pub(crate) fn everything_to(cluster: &str, name: &str) -> Route {
    route(
        name,
        Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
            // Streams may last: a limit is the caller's business.
            timeout: seconds(0),
            ..Default::default()
        }),
    )
}

fn route(name: &str, action: Action) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        action: Some(action),
        ..Default::default()
    }
}

/// The virtual addresses of `service` as a client writes them in a request's authority.
pub(crate) fn address_domains(service: &Service) -> Vec<String> {
    service
        .addresses
        .iter()
        .filter(|network| planes::is_host(network))
        .map(|network| match network.ip() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        })
        .collect()
}

/// A service's virtual host; the name's part before the slash is the route it belongs to (VHDS demands that).
pub(crate) fn virtual_host(service: &Service, port: &ServicePort, addresses: &[String]) -> Arc<Resource> {
    let name = format!("{0}/{1}:{0}", port.number, service.host);
    let mut domains = vec![service.host.to_string()];
    domains.extend_from_slice(addresses);
    let host = VirtualHost {
        name: name.clone(),
        domains,
        routes: vec![everything_to(&outbound_name(port.number, &service.host), "default")],
        include_request_attempt_count: true,
        ..Default::default()
    };
    Resource::encode(name, host)
}

/// What requests for unknown hosts meet; also what lets a route without services become warm.
pub(crate) fn catch_all(port: u16, policy: Outbound) -> Arc<Resource> {
    let (name, route) = match policy {
        Outbound::AllowAny => ("allow_any", everything_to(PASSTHROUGH, "allow_any")),
        Outbound::RegistryOnly => {
            let refuse = DirectResponseAction { status: 502, body: None, ..Default::default() };
            ("block_all", route("block_all", Action::DirectResponse(refuse)))
        }
    };
    let name = format!("{port}/{name}");
    let host = VirtualHost {
        name: name.clone(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..Default::default()
    };
    Resource::encode(name, host)
}
