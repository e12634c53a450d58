//! What is meant: every default applied, every cross-check made, nothing left to decide but what only the
//! kernel and the lease store know.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::capture::Captured;
use crate::mac::MacAddr;
use crate::name::{BridgeName, IfName, PlaneName, PluginName};
use crate::number::{Mtu, Vlan, Vni};
use crate::pod_network::{AttachmentKey, Pod, Proxy, Role, Route, Traffic};

/// One ADD as it shall happen. Saved before the first kernel change, so that DEL and GC can clean up after a
/// kill at any instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Which attachment this is.
    pub key: AttachmentKey,
    /// Path of the pod's network namespace, as given in `CNI_NETNS`.
    pub netns: PathBuf,
    /// The pod, if the runtime told us (Kubernetes does, cnitool and podman do not).
    pub pod: Option<Pod>,
    /// The pod's proxy, if its traffic is to be captured.
    pub proxy: Option<Proxy>,
    /// Primary first, then the planes in the order asked for.
    pub attachments: Vec<PlannedAttachment>,
    /// What happens to interfaces that no plane claims.
    pub undeclared: Traffic,
    /// The bootstrap to write, if any.
    pub bootstrap: Option<BootstrapPlan>,
}

/// One plane of one pod as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedAttachment {
    /// The plane it attaches to.
    pub plane: PlaneName,
    /// Primary or additional plane.
    pub role: Role,
    /// What happens to the plane's traffic.
    pub traffic: Traffic,
    /// Which of its connections are captured, if they are.
    #[serde(default, skip_serializing_if = "Captured::is_all")]
    pub captured: Captured,
    /// Name of the interface inside the pod.
    pub ifname: IfName,
    /// Name of the end on the node, where the kind has one: `mp` + 13 base32 characters, unique to this
    /// attachment, and the one mark that exists from the moment of creation.
    pub host_ifname: IfName,
    /// The kind of link and its options.
    pub link: LinkPlan,
    /// MTU inside the pod; `None` follows the bridge's or the master's.
    pub mtu: Option<Mtu>,
    /// Which Ethernet address the interface gets.
    pub mac: MacPlan,
    /// Where its addresses come from.
    pub ipam: IpamPlan,
    /// Further routes through this plane, in the pod's main table and in the plane's own.
    pub routes: Vec<Route>,
    /// Whether the pod's default route lies on this plane. At most one attachment per family.
    pub default_route: bool,
    /// Name servers of this plane.
    pub dns: Dns,
    /// Interface sysctls beyond those a multi-homed pod always gets, by name below
    /// `net.ipv4.conf.<ifname>` or `net.ipv6.conf.<ifname>`, for example `ipv4.rp_filter`.
    pub sysctls: BTreeMap<String, String>,
    /// Further addresses that this plane may receive (VIPs).
    pub extra_addresses: Vec<IpNetwork>,
    /// Whether the pod routes between this plane and others.
    pub forward: bool,
    /// Labels kept as metadata only (Knitter's `function`, `ip_group_name` and so on).
    pub labels: BTreeMap<String, String>,
}

/// The kind of a link with its resolved options: one variant per plane kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LinkPlan {
    /// A veth whose host end is a port of a bridge on the node.
    Bridge(BridgeLink),
    /// A veth whose host end carries the gateway's addresses and a route to the pod.
    Ptp,
    /// A MAC-VLAN child of an interface of the node.
    Macvlan(MacvlanLink),
    /// An IP-VLAN child of an interface of the node.
    Ipvlan(IpvlanLink),
    /// An 802.1Q child of an interface of the node.
    Vlan(VlanLink),
    /// A veth on a bridge whose uplink is a VXLAN device.
    Vxlan(VxlanLink),
    /// An interface of the node, moved into the pod and given back on DEL.
    HostDevice(HostDeviceLink),
    /// An interface that exists in the pod already, made by another plugin.
    Adopted,
}

/// Options of a bridge plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeLink {
    /// The bridge, made on demand.
    pub bridge: BridgeName,
    /// The bridge's own MTU, fixed at creation; `None` is 1500.
    pub bridge_mtu: Option<Mtu>,
    /// Addresses that the bridge itself carries on the node (gateways).
    pub gateway_addresses: Vec<IpNetwork>,
    /// An interface of the node that becomes a port of the bridge.
    pub uplink: Option<IfName>,
    /// Frames may leave by the port they came in on (`ip link set … type bridge_slave hairpin on`).
    pub hairpin: bool,
    /// Ports of pods do not reach each other, only the uplink (`… type bridge_slave isolated on`).
    pub isolated: bool,
    /// Untagged VLAN of the pod's port (`bridge vlan add … pvid untagged`).
    pub vlan: Option<Vlan>,
    /// The node may forward between this bridge and those of other planes.
    #[serde(default)]
    pub forward: bool,
}

/// Options of a macvlan plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacvlanLink {
    /// The parent on the node.
    pub master: IfName,
    /// How children reach each other.
    pub mode: MacvlanMode,
}

/// Modes of macvlan (`enum macvlan_mode`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Children reach each other directly.
    Bridge,
    /// Children never reach each other.
    Private,
    /// Children reach each other through the switch.
    Vepa,
    /// One child, which takes over the master.
    Passthru,
}

/// Options of an ipvlan plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpvlanLink {
    /// The parent on the node.
    pub master: IfName,
    /// On which layer frames are demultiplexed.
    pub mode: IpvlanMode,
}

/// Modes of ipvlan (`enum ipvlan_mode`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// Switched.
    L2,
    /// Routed by the master's namespace, no broadcast.
    L3,
    /// As `L3`, with the node's netfilter and conntrack.
    L3s,
}

/// Options of a vlan plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanLink {
    /// The parent on the node.
    pub master: IfName,
    /// The tag on the wire.
    pub vlan: Vlan,
}

/// Options of a vxlan plane: a bridge plane whose uplink is a VXLAN device, both fixtures of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VxlanLink {
    /// The bridge part.
    pub bridge: BridgeLink,
    /// Name of the VXLAN device, made on demand.
    pub device: IfName,
    /// The network identifier.
    pub vni: Vni,
    /// The node's own tunnel address.
    pub local: IpAddr,
    /// Unicast tunnel addresses of the other nodes, or one multicast group.
    pub remotes: VxlanRemotes,
    /// UDP port, 4789 unless told (RFC 7348, 5).
    pub port: u16,
}

/// Where a VXLAN device floods to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VxlanRemotes {
    /// Head-end replication to each of these addresses (may be empty).
    Unicast(Vec<IpAddr>),
    /// A multicast group, joined on the given interface.
    Group {
        /// The group's address.
        address: IpAddr,
        /// The interface of the node that joins it.
        interface: IfName,
    },
}

/// Options of a host-device plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDeviceLink {
    /// How the device is found on the node.
    pub device: DeviceSelector,
    /// A virtual device dies with the pod's namespace: refused unless the node's administrator accepts that.
    pub allow_loss: bool,
}

/// How a device of the node is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceSelector {
    /// By interface name.
    Name(IfName),
    /// By Ethernet address.
    Mac(MacAddr),
    /// By PCI address such as `0000:3b:00.1`.
    Pci(String),
}

/// Which Ethernet address a link gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacPlan {
    /// Whatever the kernel chooses.
    Kernel,
    /// This one, or ADD fails.
    Fixed(MacAddr),
    /// This one, derived from the pod's name; gives way to the kernel's choice while the old sandbox holds it.
    Derived(MacAddr),
}

/// Where a plane's addresses come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpamPlan {
    /// From nobody: layer 2 only, or adopted with what it has.
    None,
    /// From the embedded store.
    Embedded(EmbeddedIpam),
    /// From another plugin by the CNI protocol.
    Delegated(DelegatedIpam),
}

/// The embedded allocator's orders for one attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedIpam {
    /// One address is leased from each set.
    pub range_sets: Vec<RangeSet>,
    /// Addresses that are leased as they are, besides those of the sets.
    pub static_addresses: Vec<StaticAddress>,
    /// Addresses that the pod asked for; each lies inside a set.
    pub requested: Vec<IpAddr>,
    /// The same pod name gets the same address again.
    pub sticky: bool,
}

impl EmbeddedIpam {
    /// The gateways of its ranges and static addresses, with the prefix lengths of their subnets.
    pub fn gateways(&self) -> impl Iterator<Item = IpNetwork> + '_ {
        let of_ranges = self.range_sets.iter().flat_map(|set| &set.ranges);
        let of_ranges = of_ranges.map(|range| (range.gateway, range.subnet.prefix()));
        let of_static = self.static_addresses.iter().map(|one| (one.gateway, one.address.prefix()));
        of_ranges.chain(of_static).filter_map(|(gateway, prefix)| IpNetwork::new(gateway?, prefix).ok())
    }
}

/// A pool of ranges of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSet {
    /// At least one range; they do not overlap.
    pub ranges: Vec<AddressRange>,
}

/// A run of addresses inside one subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    /// The subnet; its prefix length is the leased addresses'.
    pub subnet: IpNetwork,
    /// First address that may be leased.
    pub first: IpAddr,
    /// Last address that may be leased.
    pub last: IpAddr,
    /// The gateway: never leased.
    pub gateway: Option<IpAddr>,
    /// Never leased either.
    pub exclude: Vec<IpNetwork>,
}

impl AddressRange {
    /// Whether the address lies from the first to the last; `IpAddr` orders by family, then by number.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        (self.first..=self.last).contains(&address)
    }
}

/// `10.75.8.1-10.75.8.254`.
impl Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A fixed address with its gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticAddress {
    /// Address and prefix length.
    pub address: IpNetwork,
    /// The gateway of that subnet, if any.
    pub gateway: Option<IpAddr>,
}

/// Another IPAM plugin's orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedIpam {
    /// The binary, looked up in `CNI_PATH`.
    pub plugin: PluginName,
    /// The plane's `ipam` object as written.
    pub conf: serde_json::Map<String, serde_json::Value>,
}

/// Resolver settings in the CNI result's shape.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers in order of preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The bootstrap to write for the pod's proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapPlan {
    /// Who shall understand the file.
    pub flavour: BootstrapFlavour,
    /// `host:port` of the discovery server.
    pub discovery: String,
    /// Below it lies one directory per pod.
    pub directory: PathBuf,
    /// Downstream connections that the proxy accepts in all. Each may hold two descriptors and some: keep it
    /// at or below 40 % of the proxy's `RLIMIT_NOFILE`.
    pub max_connections: u32,
}

/// Flavours of the bootstrap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootstrapFlavour {
    /// Istio's node metadata over plaintext ADS.
    #[default]
    Istio,
}
