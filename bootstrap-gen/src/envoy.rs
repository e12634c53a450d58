//! The `istio` flavour: Istio's node metadata over plaintext ADS, for stock Envoy.
//!
//! Shapes: `envoy.config.bootstrap.v3.Bootstrap`. Keys come out sorted, so the same input gives the same bytes.

use std::net::IpAddr;

use planes::plan::{BootstrapFlavour, BootstrapPlan};
use planes::{HostPort, ProxyNode};
use serde_json::{Value, json};

/// Envoy's admin interface: loopback only, as Istio's.
const ADMIN_PORT: u16 = 15000;
/// Where kubelet asks for readiness.
const READINESS_PORT: u16 = 15021;

/// A finished bootstrap.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap(Value);

/// The discovery address is not `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bootstrap.discovery {value:?}: write HOST:PORT, for example istiod.istio-system.svc:15010")]
pub struct DiscoveryError {
    value: String,
}

impl Bootstrap {
    /// The file's content: indented JSON with sorted keys and a final newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{:#}\n", self.0)
    }

    /// The content as a JSON value.
    #[must_use]
    pub fn as_json(&self) -> &Value {
        &self.0
    }
}

/// Makes the bootstrap of one proxy.
///
/// # Errors
/// [`DiscoveryError`] if `plan.discovery` is not `host:port`.
pub fn generate(node: &ProxyNode, plan: &BootstrapPlan) -> Result<Bootstrap, DiscoveryError> {
    let discovery = plan
        .discovery
        .parse()
        .map_err(|_| DiscoveryError { value: plan.discovery.chars().take(64).collect() })?;
    match plan.flavour {
        BootstrapFlavour::Istio => Ok(Bootstrap(istio(node, plan, &discovery))),
    }
}

fn istio(node: &ProxyNode, plan: &BootstrapPlan, discovery: &HostPort) -> Value {
    json!({
        "node": {
            "id": node.id(),
            "cluster": format!("{}.{}", node.name, node.namespace),
            "metadata": node.metadata(),
        },
        "admin": {"address": socket_address("127.0.0.1", ADMIN_PORT)},
        "stats_config": {
            // `inbound_9080;plane=control` becomes the label plane="control".
            "stats_tags": [{"tag_name": "plane", "regex": "(;plane=([^.;]+))"}],
        },
        "overload_manager": {"resource_monitors": [connection_limit(plan.max_connections)]},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": ads(),
            "lds_config": ads(),
        },
        "static_resources": {
            "clusters": [discovery_cluster(discovery), admin_cluster()],
            "listeners": node.addresses.first().map(readiness_listener).into_iter().collect::<Vec<_>>(),
        },
    })
}

/// The second line against a loop under a uid that the kernel's rules do not know: each hop holds descriptors.
fn connection_limit(limit: u32) -> Value {
    json!({
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": limit.to_string(),
        },
    })
}

fn ads() -> Value {
    json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"})
}

fn socket_address(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

fn load_assignment(cluster: &str, address: &str, port: u16) -> Value {
    json!({
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(address, port)}}]}],
    })
}

fn admin_cluster() -> Value {
    json!({
        "name": "admin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": load_assignment("admin", "127.0.0.1", ADMIN_PORT),
    })
}

/// kubelet cannot reach a loopback admin: readiness has a listener of its own on the primary address, that
/// stays open when the connection limit is reached.
fn readiness_listener(primary: &IpAddr) -> Value {
    let route = json!({
        "match": {"path": "/healthz/ready"},
        "route": {"cluster": "admin", "prefix_rewrite": "/ready"},
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "readiness",
        "route_config": {
            "name": "readiness",
            "virtual_hosts": [{"name": "readiness", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    json!({
        "name": "readiness",
        "address": socket_address(&primary.to_string(), READINESS_PORT),
        "ignore_global_conn_limit": true,
        "filter_chains": [{
            "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
        }],
    })
}

fn discovery_cluster(discovery: &HostPort) -> Value {
    let kind = if discovery.host().parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    json!({
        "name": "xds-grpc",
        "type": kind,
        "connect_timeout": "1s",
        "load_assignment": load_assignment("xds-grpc", discovery.host(), discovery.port()),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {
                    "connection_keepalive": {"interval": "30s", "timeout": "10s"},
                }},
            },
        },
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 300}},
    })
}
