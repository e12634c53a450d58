//! Traffic capture and isolation: the pod's rules, all of them in one table, set in one transaction.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use iptables::{Policy, TABLE, table};
use netlink::interface;
use planes::capture::INBOUND_SOURCES;
use planes::{OtherMesh, PodNetwork, Traffic};

use crate::error::Error;
use crate::scene::Scene;

/// Nobody else adds it to `lo`, and without it every captured IPv6 connection ends in an error of the proxy.
const INBOUND_SOURCE: IpAddr = INBOUND_SOURCES[1];

impl Scene {
    /// Sets the pod's rules: isolation for every pod, capture where there is a proxy.
    ///
    /// # Errors
    /// The kernel refuses them, all together.
    pub async fn capture(&self, network: &PodNetwork) -> Result<(), Error> {
        let pod = self.pod()?;
        let others = iptables::foreign(pod.netns())?;
        let refused = network.proxy.as_ref().is_some_and(|proxy| proxy.other_mesh == OtherMesh::Refuse);
        if refused && !others.is_empty() {
            return Err(iptables::Error::OtherMesh(others).into());
        }
        for chain in others {
            tracing::warn!(
                "{chain} is another mesh's: of two that redirect the first wins; let one mesh have this pod"
            );
        }
        if captures_v6(network) {
            interface::ensure_on_loopback(pod, IpNetwork::from(INBOUND_SOURCE)).await?;
        }
        Ok(iptables::apply(pod.netns(), &table(&Policy::of(network)))?)
    }

    /// How the pod's rules differ from what ADD set.
    pub(crate) async fn capture_drift(&self, network: &PodNetwork) -> Result<Vec<String>, Error> {
        let pod = self.pod()?;
        let mut drifts = iptables::check(pod.netns(), &table(&Policy::of(network)))?;
        let source = IpNetwork::from(INBOUND_SOURCE);
        if captures_v6(network) && !interface::is_on_loopback(pod, source).await? {
            drifts.push(format!("address {source} of lo is gone: capture of IPv6 needs it"));
        }
        Ok(drifts)
    }

    /// Removes the pod's rules. Connections that they redirected end. A kernel without nf_tables has none.
    pub(crate) async fn release_traffic(&self) -> Result<(), Error> {
        let Some(pod) = &self.pod else { return Ok(()) };
        if self.record.plan.proxy.is_some() {
            interface::remove_from_loopback(pod, IpNetwork::from(INBOUND_SOURCE)).await?;
        }
        match iptables::remove(pod.netns(), TABLE) {
            Err(error) if !error.is_unsupported() => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn captures_v6(network: &PodNetwork) -> bool {
    let mut captured = network.attachments.iter().filter(|one| one.traffic == Traffic::Capture);
    network.proxy.is_some() && captured.any(|one| one.addresses.iter().any(IpNetwork::is_ipv6))
}
