//! What shall happen to a pod's traffic: the part of its networks that the rules depend on.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use planes::capture::Captured;
use planes::{Attachment, IfName, PodNetwork, Proxy, Traffic};

/// Hops of the proxy over `lo` beyond which a loop is cut. More than any honest use, far fewer than descriptors.
pub(crate) const FUSE: u32 = 256;

/// A pod's capture policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The proxy, if the pod's traffic is captured. Isolation holds without one too.
    pub proxy: Option<Proxy>,
    /// Every interface that is known, in the order of the pod's identity.
    pub planes: Vec<Plane>,
    /// What happens to interfaces that nobody knows, also when they appear later.
    pub undeclared: Traffic,
}

/// One interface of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    /// Its name: rules match names, which survive a link's re-creation, and not indexes.
    pub ifname: IfName,
    /// What happens to its traffic.
    pub traffic: Traffic,
    /// Which of its connections are captured, if they are.
    pub captured: Captured,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Further addresses that it may receive.
    pub extra: Vec<IpNetwork>,
    /// Whether it may receive what the pod then routes to other planes.
    pub forward: bool,
}

impl Policy {
    /// The policy of a pod's networks.
    #[must_use]
    pub fn of(network: &PodNetwork) -> Self {
        let planes = network.attachments.iter().map(|attachment| Plane {
            ifname: attachment.ifname.clone(),
            traffic: traffic_of(attachment, network.proxy.as_ref()),
            captured: attachment.captured.clone(),
            addresses: attachment.addresses.iter().map(IpNetwork::ip).collect(),
            extra: attachment.extra_addresses.clone(),
            forward: attachment.forward,
        });
        Self { proxy: network.proxy.clone(), planes: planes.collect(), undeclared: network.undeclared }
    }

    /// The interfaces with that fate.
    pub(crate) fn with(&self, traffic: Traffic) -> impl Iterator<Item = &Plane> {
        self.planes.iter().filter(move |plane| plane.traffic == traffic)
    }
}

/// An interface that the pod excludes (Istio's `excludeInterfaces`) is bypassed, whatever its plane says; `deny` is the
/// node's word and stays.
fn traffic_of(attachment: &Attachment, proxy: Option<&Proxy>) -> Traffic {
    let excluded = proxy.is_some_and(|proxy| proxy.options.exclude_interfaces.contains(&attachment.ifname));
    match attachment.traffic {
        Traffic::Capture if excluded => Traffic::Bypass,
        other => other,
    }
}
