//! Traffic capture: the seam to the crate `iptables`.

use planes::PodNetwork;

use crate::error::Error;
use crate::scene::Scene;

impl Scene {
    /// Sets the pod's rules, in one transaction.
    ///
    /// # Errors
    /// The kernel refuses them.
    pub async fn capture(&self, _network: &PodNetwork) -> Result<(), Error> {
        Ok(())
    }

    /// How the pod's rules differ from what ADD set.
    pub(crate) async fn capture_drift(&self, _network: &PodNetwork) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    /// Removes the pod's rules.
    pub(crate) async fn release_traffic(&self) -> Result<(), Error> {
        Ok(())
    }
}
