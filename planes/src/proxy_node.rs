//! What a proxy tells its control plane about itself: Envoy's `node`, written by `bootstrap-gen`, read by
//! `control-plane`. Sources: Istio's node metadata (`pkg/model/proxy.go`, `NodeMetadata`; the node id is
//! taken apart by `ParseServiceNodeWithMetadata`) and Envoy's `config.core.v3.Node`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::name::{IfName, PlaneName};
use crate::pod_network::{PodNetwork, Role, Traffic};

/// Node metadata: every address, comma-joined without blanks, primary first.
pub const INSTANCE_IPS: &str = "INSTANCE_IPS";
/// The name that [`INSTANCE_IPS`] had when it was introduced (Istio 1.1).
pub const ISTIO_META_INSTANCE_IPS: &str = "ISTIO_META_INSTANCE_IPS";
/// Node metadata of our own: plane → interface, addresses, role, traffic.
pub const PLANES: &str = "PLANES";
/// Node metadata: the networks (for us: planes) whose endpoints the proxy can reach, comma-joined.
pub const REQUESTED_NETWORK_VIEW: &str = "REQUESTED_NETWORK_VIEW";

/// More addresses than any pod has, few enough that a hostile node cannot occupy us.
const MAX_ADDRESSES: usize = 512;
/// More planes than any pod has.
const MAX_PLANES: usize = 128;

/// A sidecar's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyNode {
    /// Pod name, or the container's ID where the runtime told no pod.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Every address in canonical form, primary first, without duplicates; never empty.
    pub addresses: Vec<IpAddr>,
    /// The planes, in the order of their addresses. Empty for a proxy that is not ours.
    pub planes: Vec<NodePlane>,
    /// The planes whose endpoints this proxy can reach; `None` means all.
    pub network_view: Option<BTreeSet<String>>,
}

/// One plane as a proxy reports it.
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

/// A node cannot be written, or was not understood. Says which part and, for a writer, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// There is nothing to identify the pod by.
    #[error("node has no address: at least one plane that is not \"deny\" needs a global address")]
    NoAddress,
    /// One bad item makes istiod drop the whole list, so none is ever written or accepted.
    #[error("{field} item {value:?}: {reason}")]
    Address {
        /// Where the item stood.
        field: &'static str,
        /// The item, cut to 64 characters.
        value: String,
        /// Why it cannot stand there.
        reason: &'static str,
    },
    /// The node id is not `TYPE~IP~NAME~DOMAIN`.
    #[error("node id {value:?}: {reason}")]
    Id {
        /// The id, cut to 64 characters.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A metadata key has another shape than Istio gives it.
    #[error("node metadata {key}: {reason}")]
    Metadata {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// The value under one key of [`PLANES`].
#[derive(Serialize, Deserialize)]
struct PlaneEntry {
    interface: IfName,
    addresses: Vec<IpAddr>,
    role: Role,
    #[serde(default)]
    traffic: Traffic,
}

impl ProxyNode {
    /// Projects a pod's networks onto its proxy's identity.
    ///
    /// # Errors
    /// [`NodeError::NoAddress`] and [`NodeError::Address`]: a list that istiod would drop is not written.
    pub fn from_pod_network(network: &PodNetwork) -> Result<Self, NodeError> {
        let mut addresses = Vec::new();
        for address in network.addresses() {
            push_identity(&mut addresses, INSTANCE_IPS, address)?;
        }
        if addresses.is_empty() {
            return Err(NodeError::NoAddress);
        }
        let planes: Vec<NodePlane> = network
            .attachments
            .iter()
            .filter(|attachment| attachment.traffic != Traffic::Deny)
            .map(|attachment| NodePlane {
                plane: attachment.plane.clone(),
                interface: attachment.ifname.clone(),
                addresses: attachment.addresses.iter().map(IpNetwork::ip).collect(),
                role: attachment.role,
                traffic: attachment.traffic,
            })
            .collect();
        let (name, namespace) = match &network.pod {
            Some(pod) => (pod.name.clone(), pod.namespace.clone()),
            None => (network.key.container.to_string(), "default".to_owned()),
        };
        let network_view = Some(planes.iter().map(|plane| plane.plane.to_string()).collect());
        Ok(Self { name, namespace, addresses, planes, network_view })
    }

    /// Envoy's `node.id`: `sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local`.
    #[must_use]
    pub fn id(&self) -> String {
        let first = self.addresses.first().map(ToString::to_string).unwrap_or_default();
        let Self { name, namespace, .. } = self;
        format!("sidecar~{first}~{name}.{namespace}~{namespace}.svc.cluster.local")
    }

    /// Envoy's `node.metadata`.
    #[must_use]
    pub fn metadata(&self) -> Map<String, Value> {
        let instance_ips = join(self.addresses.iter());
        let mut metadata = Map::from_iter([
            (INSTANCE_IPS.to_owned(), json!(instance_ips)),
            (ISTIO_META_INSTANCE_IPS.to_owned(), json!(instance_ips)),
            ("NAME".to_owned(), json!(self.name)),
            ("NAMESPACE".to_owned(), json!(self.namespace)),
            ("INTERCEPTION_MODE".to_owned(), json!("REDIRECT")),
            (PLANES.to_owned(), Value::Object(self.planes_object())),
        ]);
        if let Some(view) = &self.network_view {
            metadata.insert(REQUESTED_NETWORK_VIEW.to_owned(), json!(join(view.iter())));
        }
        metadata
    }

    /// A plane that a pod has twice is told apart by its interface, `plane@interface`.
    fn planes_object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for plane in &self.planes {
            let entry = json!(PlaneEntry {
                interface: plane.interface.clone(),
                addresses: plane.addresses.clone(),
                role: plane.role,
                traffic: plane.traffic,
            });
            let name = plane.plane.to_string();
            let key = if object.contains_key(&name) { format!("{name}@{}", plane.interface) } else { name };
            object.insert(key, entry);
        }
        object
    }

    /// Reads what a proxy sent: ours, Istio's agent's, or something hostile.
    ///
    /// # Errors
    /// Names the part that cannot be understood. A list with one bad item is refused as a whole, where istiod
    /// silently falls back to one address: the silence is the bug this project exists for.
    pub fn parse(id: &str, metadata: &Map<String, Value>) -> Result<Self, NodeError> {
        let (id_address, name, id_namespace) = parse_id(id)?;
        let namespace = match text(metadata, "NAMESPACE")? {
            Some(namespace) if !namespace.is_empty() => namespace.to_owned(),
            _ => id_namespace,
        };
        let mut addresses = Vec::new();
        let list = match text(metadata, INSTANCE_IPS)? {
            Some(list) => Some((INSTANCE_IPS, list)),
            None => text(metadata, ISTIO_META_INSTANCE_IPS)?.map(|list| (ISTIO_META_INSTANCE_IPS, list)),
        };
        if let Some((field, list)) = list.filter(|(_, list)| !list.is_empty()) {
            for item in list.split(',') {
                push_identity(&mut addresses, field, parse_address(field, item)?)?;
            }
        } else if let Some(address) = id_address {
            push_identity(&mut addresses, "node id", parse_address("node id", address)?)?;
        }
        if addresses.is_empty() {
            return Err(NodeError::NoAddress);
        }
        let network_view = text(metadata, REQUESTED_NETWORK_VIEW)?
            .filter(|view| !view.is_empty())
            .map(|view| view.split(',').take(MAX_PLANES).map(ToOwned::to_owned).collect());
        let planes = parse_planes(metadata, &addresses)?;
        Ok(Self { name, namespace, addresses, planes, network_view })
    }

    /// The plane that an address of this node lies on.
    #[must_use]
    pub fn plane_of(&self, address: IpAddr) -> Option<&NodePlane> {
        self.planes.iter().find(|plane| plane.addresses.contains(&address))
    }
}

/// The canonical form of an address: an IPv4-mapped IPv6 address is the IPv4 address.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn join(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Appends an address that can identify a workload; a duplicate is dropped, anything else is refused.
fn push_identity(list: &mut Vec<IpAddr>, field: &'static str, address: IpAddr) -> Result<(), NodeError> {
    let address = canonical(address);
    let refuse = |reason| Err(NodeError::Address { field, value: address.to_string(), reason });
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return refuse("not an address of a network plane");
    }
    if is_link_local(address) {
        return refuse("link-local addresses identify nobody");
    }
    if list.len() >= MAX_ADDRESSES {
        return refuse("too many addresses (512 at most)");
    }
    if !list.contains(&address) {
        list.push(address);
    }
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn parse_address(field: &'static str, item: &str) -> Result<IpAddr, NodeError> {
    item.parse().map_err(|_| NodeError::Address {
        field,
        value: cut(item),
        reason: "not an IP address (no blanks, no prefix length, no zone)",
    })
}

/// Splits `TYPE~IP~NAME.NAMESPACE~DOMAIN`; the address may be empty.
fn parse_id(id: &str) -> Result<(Option<&str>, String, String), NodeError> {
    let refuse = |reason| NodeError::Id { value: cut(id), reason };
    let parts: Vec<&str> = id.splitn(5, '~').collect();
    let [kind, address, workload, domain] = parts[..] else {
        return Err(refuse("write TYPE~IP~POD.NAMESPACE~DOMAIN"));
    };
    if kind != "sidecar" {
        return Err(refuse("only proxies of type sidecar are served"));
    }
    let (name, workload_namespace) = workload.rsplit_once('.').unwrap_or((workload, ""));
    let namespace = if workload_namespace.is_empty() {
        domain.split('.').next().unwrap_or_default()
    } else {
        workload_namespace
    };
    let address = Some(address).filter(|address| !address.is_empty());
    Ok((address, name.to_owned(), namespace.to_owned()))
}

fn text<'a>(metadata: &'a Map<String, Value>, key: &'static str) -> Result<Option<&'a str>, NodeError> {
    match metadata.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(NodeError::Metadata { key, reason: "must be a string".to_owned() }),
    }
}

fn parse_planes(metadata: &Map<String, Value>, addresses: &[IpAddr]) -> Result<Vec<NodePlane>, NodeError> {
    let refuse = |reason: String| NodeError::Metadata { key: PLANES, reason };
    let object = match metadata.get(PLANES) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(object)) => object,
        Some(_) => return Err(refuse("must be an object: plane to interface, addresses, role".to_owned())),
    };
    if object.len() > MAX_PLANES {
        return Err(refuse(format!("{} planes, at most {MAX_PLANES}", object.len())));
    }
    let mut planes = Vec::new();
    for (key, value) in object {
        let name = key.split_once('@').map_or(key.as_str(), |(name, _)| name);
        let plane: PlaneName = name.parse().map_err(|error| refuse(format!("{error}")))?;
        let entry = PlaneEntry::deserialize(value)
            .map_err(|error| refuse(format!("{plane}: {}", cut(&error.to_string()))))?;
        let known = entry.addresses.into_iter().map(canonical).filter(|address| addresses.contains(address));
        planes.push(NodePlane {
            plane,
            interface: entry.interface,
            addresses: known.collect(),
            role: entry.role,
            traffic: entry.traffic,
        });
    }
    // A protobuf Struct keeps no order; the addresses do.
    planes.sort_by_key(|plane| {
        addresses.iter().position(|address| plane.addresses.contains(address)).unwrap_or(usize::MAX)
    });
    Ok(planes)
}

#[cfg(test)]
#[path = "proxy_node_tests.rs"]
mod tests;
