//! With real peers: containerd, Multus, cnitool, the reference plugins, Envoy.

mod chains;
mod deploy;
mod kernel;
mod kinds;
mod main_job;
mod peers;
pub(crate) mod telecom;
