//! The noun in the middle: which addresses a pod *is*, on which plane, and what happens to each plane's traffic.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::capture::{CaptureOptions, Captured};
use crate::mac::MacAddr;
use crate::name::{ContainerId, IfName, NetworkName, PlaneName};
use crate::number::Mtu;

/// A pod's networks as the kernel has them: everything the projections (rules, bootstrap, result) need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNetwork {
    /// Which attachment made it.
    pub key: AttachmentKey,
    /// Path of the pod's network namespace.
    pub netns: PathBuf,
    /// The namespace's cookie (`SO_NETNS_COOKIE`), unique until reboot, where an inode number is not.
    pub netns_cookie: u64,
    /// The pod, if the runtime told us.
    pub pod: Option<Pod>,
    /// The pod's proxy, if its traffic is captured.
    pub proxy: Option<Proxy>,
    /// Primary first, then planes in the order asked for, then adopted ones by name.
    pub attachments: Vec<Attachment>,
    /// What happens to interfaces that no plane claims.
    pub undeclared: Traffic,
}

impl PodNetwork {
    /// Every address of every plane that is not `deny`, in order, without its prefix length.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.attachments
            .iter()
            .filter(|attachment| attachment.traffic != Traffic::Deny)
            .flat_map(|attachment| attachment.addresses.iter().map(IpNetwork::ip))
    }
}

/// The key of all state (CNI SPEC 0.4.0, "Parameters": network name, container ID, interface name).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttachmentKey {
    /// The network's name.
    pub network: NetworkName,
    /// The container's ID; a restarted sandbox has a new one.
    pub container: ContainerId,
    /// `CNI_IFNAME`.
    pub ifname: IfName,
}

impl AttachmentKey {
    /// `container@ifname`: what people read, and what the attachment's record is named after. A container ID has no
    /// `@`, so the first one parts the two.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}@{}", self.container, self.ifname)
    }

    /// The file name of the attachment's record.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.json", self.name())
    }

    /// Inverse of [`AttachmentKey::file_name`] within one network; `None` for temporary and foreign files.
    #[must_use]
    pub fn of_file(name: &str, network: &NetworkName) -> Option<Self> {
        let (container, ifname) = name.strip_suffix(".json")?.split_once('@')?;
        Some(Self {
            network: network.clone(),
            container: container.parse().ok()?,
            ifname: ifname.parse().ok()?,
        })
    }
}

/// The Kubernetes identity of a pod, as the runtime gives it in `CNI_ARGS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's UID: survives sandbox restarts. Old runtimes do not send it.
    pub uid: Option<String>,
}

/// The sidecar whose traffic capture serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// Users the proxy runs as; the first is the usual one.
    pub uids: Vec<u32>,
    /// Groups the proxy runs as.
    pub gids: Vec<u32>,
    /// Port that receives captured inbound connections.
    pub inbound_port: u16,
    /// Port that receives captured outbound connections.
    pub outbound_port: u16,
    /// How its listeners are laid out.
    #[serde(default)]
    pub layout: Layout,
    /// What is done where another mesh's chains are in the pod.
    #[serde(default)]
    pub other_mesh: OtherMesh,
    /// Which of the captured planes' connections are captured.
    #[serde(default)]
    pub options: CaptureOptions,
}

/// How a proxy's listeners are laid out, which decides what becomes of its calls to its own pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One port for inbound and one for outbound, as Istio today: the proxy's call to its own pod is inbound.
    #[default]
    Split,
    /// One port for both, with a listener per address, as in 2018: the proxy's call to its own pod is never captured, as it
    /// would come back to the same port for ever.
    Classic,
}

/// What ADD does where another mesh's chains are in the pod. Of two that redirect the first wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtherMesh {
    /// Names them in its log.
    #[default]
    Warn,
    /// Refuses.
    Refuse,
}

/// One interface of the pod on its plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The plane.
    pub plane: PlaneName,
    /// Primary, additional or adopted.
    pub role: Role,
    /// What happens to the plane's traffic.
    pub traffic: Traffic,
    /// Which of its connections are captured, if they are.
    #[serde(default, skip_serializing_if = "Captured::is_all")]
    pub captured: Captured,
    /// The interface inside the pod.
    pub ifname: IfName,
    /// Its index inside the pod's namespace.
    pub index: u32,
    /// Its Ethernet address; layer-3 devices have none.
    pub mac: Option<MacAddr>,
    /// Its MTU.
    pub mtu: Mtu,
    /// Global addresses with prefix lengths, IPv4 before IPv6, in the kernel's order.
    pub addresses: Vec<IpNetwork>,
    /// Gateways by the address's position in `addresses`; shorter or empty where unknown.
    pub gateways: Vec<IpAddr>,
    /// Routes of this plane beyond the connected ones.
    pub routes: Vec<Route>,
    /// The plane's own routing table, where replies are steered by source address.
    pub table: Option<u32>,
    /// What was made on the node for it.
    pub host_side: Option<HostSide>,
    /// Further addresses that this plane may receive (VIPs).
    pub extra_addresses: Vec<IpNetwork>,
    /// Whether the pod routes between this plane and others.
    pub forward: bool,
    /// Labels kept as metadata only.
    pub labels: BTreeMap<String, String>,
}

/// What an attachment has on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSide {
    /// The node's end of the link, or the device's old name.
    pub ifname: IfName,
    /// The bridge that it is a port of.
    pub bridge: Option<IfName>,
}

/// The part an interface plays in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The pod's main interface: the one whose address Kubernetes knows.
    Primary,
    /// A further plane that the configuration declares.
    Plane,
    /// An interface that no plane claims, named after itself.
    Undeclared,
}

/// What happens to a plane's traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Traffic {
    /// TCP goes through the proxy.
    #[default]
    Capture,
    /// The proxy never sees it.
    Bypass,
    /// Nothing passes, and the plane's addresses are no part of the pod's identity.
    Deny,
}

/// A route, in the CNI result's shape (CNI SPEC 1.1.0, "ADD success", `routes`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination prefix.
    pub dst: IpNetwork,
    /// Next hop; `None` is on-link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// Path MTU in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Advertised TCP MSS in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Metric; lower wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}
