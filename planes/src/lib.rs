//! The vocabulary of Multiplane and the planning that happens before any effect: no I/O, no async, no libc.
//!
//! Intent stands on the left ([`conf`] as written, [`plan`] as meant), the fact in the middle
//! ([`PodNetwork`]), and on the right [`ProxyNode`], what the pod's proxy tells its control plane.

pub mod annotation;
pub mod capture;
pub mod conf;
pub mod fields;
pub mod host_port;
pub mod mac;
pub mod name;
pub mod number;
pub mod plan;
pub mod pod_network;
mod prefix;
pub mod proxy_node;
pub mod resolve;

pub use conf::NetConf;
pub use fields::{ConfError, ConfFault};
pub use host_port::HostPort;
pub use mac::MacAddr;
pub use name::{BridgeName, ContainerId, IfName, NameError, NetworkName, PlaneName, PluginName};
pub use number::{Mtu, NumberError, Vlan, Vni};
pub use plan::{Plan, PlannedAttachment};
pub use pod_network::{
    Attachment, AttachmentKey, Layout, OtherMesh, Pod, PodNetwork, Proxy, Role, Route, Traffic,
};
pub use prefix::is_host;
pub use proxy_node::ProxyNode;
pub use resolve::{FoundInterface, Request, resolve};
