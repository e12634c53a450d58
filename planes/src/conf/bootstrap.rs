//! The `bootstrap` object: the file that the pod's proxy starts from.

use super::read::{path, word};
use crate::fields::{ConfError, Fields};
use crate::host_port::HostPort;
use crate::plan::{BootstrapFlavour, BootstrapPlan};

pub(super) fn bootstrap(fields: &mut Fields<'_>) -> Result<Option<BootstrapPlan>, ConfError> {
    let Some(mut object) = fields.object("bootstrap")? else { return Ok(None) };
    let discovery: Option<HostPort> = object.parsed("discovery")?;
    let cure = "write HOST:PORT of the control plane, for example istiod.istio-system.svc:15010";
    let plan = BootstrapPlan {
        flavour: word(&mut object, "flavour", &[("istio", BootstrapFlavour::Istio)])?.unwrap_or_default(),
        discovery: object.required("discovery", discovery, cure)?.to_string(),
        directory: path(&mut object, "directory")?.unwrap_or_else(|| "/run/multiplane/pods".into()),
        max_connections: connections(&mut object)?,
    };
    object.finish(|_| false)?;
    Ok(Some(plan))
}

/// A limit of 0 would close the proxy.
fn connections(fields: &mut Fields<'_>) -> Result<u32, ConfError> {
    match fields.number("maxConnections")? {
        None => Ok(20_000),
        Some(0) => Err(ConfError::invalid(fields.path("maxConnections"), 0, "write at least 1")),
        Some(other) => Ok(other),
    }
}
