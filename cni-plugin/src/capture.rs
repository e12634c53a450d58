//! Traffic capture and isolation: the pod's rules, all of them in one table, set in one transaction.

use iptables::{Policy, TABLE, table};
use planes::PodNetwork;

use crate::error::Error;
use crate::scene::Scene;

impl Scene {
    /// Sets the pod's rules: isolation for every pod, capture where there is a proxy.
    ///
    /// # Errors
    /// The kernel refuses them, all together.
    pub async fn capture(&self, network: &PodNetwork) -> Result<(), Error> {
        let pod = self.pod()?.netns();
        for chain in iptables::foreign(pod)? {
            tracing::warn!(
                "{chain} is another mesh's: of two that redirect the first wins; let one mesh have this pod"
            );
        }
        Ok(iptables::apply(pod, &table(&Policy::of(network)))?)
    }

    /// How the pod's rules differ from what ADD set.
    pub(crate) async fn capture_drift(&self, network: &PodNetwork) -> Result<Vec<String>, Error> {
        Ok(iptables::check(self.pod()?.netns(), &table(&Policy::of(network)))?)
    }

    /// Removes the pod's rules. Connections that they redirected end. A kernel without nf_tables has none.
    pub(crate) async fn release_traffic(&self) -> Result<(), Error> {
        let Some(pod) = &self.pod else { return Ok(()) };
        match iptables::remove(pod.netns(), TABLE) {
            Err(error) if !error.is_unsupported() => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
