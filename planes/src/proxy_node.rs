//! What a proxy tells its control plane about itself: Envoy's `node`, written by `bootstrap-gen`, read by
//! `control-plane`. Sources: Istio's node metadata (facts/istio-bootstrap.md, 1), Envoy's
//! `config.core.v3.Node`.

use std::net::IpAddr;

use crate::name::{IfName, PlaneName};
use crate::pod_network::{Role, Traffic};

/// A sidecar's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyNode {
    /// Pod name.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Every address, primary first; never empty.
    pub addresses: Vec<IpAddr>,
    /// The planes, in the order of their addresses.
    pub planes: Vec<NodePlane>,
}

/// One plane as a proxy reports it (our metadata key `PLANES`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlane {
    /// The plane.
    pub plane: PlaneName,
    /// The interface inside the pod.
    pub interface: IfName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Primary, additional or undeclared.
    pub role: Role,
    /// What happens to its traffic.
    pub traffic: Traffic,
}
