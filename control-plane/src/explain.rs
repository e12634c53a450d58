//! Why a proxy serves a service or not, for people and for their tools.

use std::fmt::Write;

use planes::ProxyNode;
use serde_json::{Value, json};

use crate::matching::{self, Match};
use crate::registry::Registry;
use crate::registry::service::{Service, Visibility};

/// A node as JSON.
#[must_use]
pub fn node(node: &ProxyNode) -> Value {
    let planes: Vec<Value> = node
        .planes
        .iter()
        .map(|plane| {
            json!({ "plane": plane.plane, "interface": plane.interface, "addresses": plane.addresses, "traffic": plane.traffic })
        })
        .collect();
    json!({
        "name": node.name,
        "namespace": node.namespace,
        "addresses": node.addresses,
        "planes": planes,
        "networkView": node.network_view,
    })
}

/// Each service with its verdict as JSON.
#[must_use]
pub fn verdicts(registry: &Registry, node: &ProxyNode, which: Match) -> Value {
    let list: Vec<Value> = matching::explain_all(registry, node, which)
        .map(|(found, verdict)| {
            json!({
                "service": found.service.label(),
                "matched": verdict.is_matched(),
                "why": verdict.to_string(),
                "details": verdict,
            })
        })
        .collect();
    json!(list)
}

/// The same as lines of text.
#[must_use]
pub fn text(registry: &Registry, node: &ProxyNode, which: Match) -> String {
    let mut text = String::new();
    let width = registry.services.iter().map(|found| found.service.label().len()).max().unwrap_or_default();
    for (found, verdict) in matching::explain_all(registry, node, which) {
        let _ = writeln!(text, "{:width$}  {verdict}", found.service.label());
    }
    if registry.services.is_empty() {
        text.push_str("no services in the registry\n");
    }
    text
}

/// The registry as JSON.
#[must_use]
pub fn registry(registry: &Registry, conflicts: &[String]) -> Value {
    let services: Vec<Value> = registry.services.iter().map(|found| service(&found.service)).collect();
    json!({
        "services": services,
        "faults": faults(registry),
        "ignored": registry.ignored,
        "conflicts": conflicts,
    })
}

/// What a person should mend, as JSON.
#[must_use]
pub fn faults(registry: &Registry) -> Value {
    registry
        .faults
        .iter()
        .map(|fault| {
            json!({
                "unit": fault.unit,
                "line": fault.error.line,
                "field": fault.error.field,
                "problem": fault.error.problem,
                "cure": fault.error.cure,
            })
        })
        .collect()
}

fn service(service: &Service) -> Value {
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|port| {
            json!({ "name": &*port.name, "number": port.number, "target": port.target, "protocol": port.protocol.to_string() })
        })
        .collect();
    let endpoints: Vec<Value> = service
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({ "address": endpoint.host.to_string(), "network": &*endpoint.network, "weight": endpoint.weight })
        })
        .collect();
    let seen_by = match &service.visibility {
        Visibility::Everywhere => json!("*"),
        Visibility::Only(list) => json!(list.iter().map(|name| &**name).collect::<Vec<_>>()),
    };
    json!({
        "host": &*service.host,
        "namespace": &*service.namespace,
        "name": &*service.name,
        "addresses": service.addresses,
        "ports": ports,
        "endpoints": endpoints,
        "exportTo": seen_by,
    })
}
