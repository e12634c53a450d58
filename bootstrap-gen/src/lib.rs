//! From a pod's networks to the bootstrap of its proxy: [`generate`] is pure, [`place`], [`check`] and
//! [`withdraw`] put the file where the pod's sidecar mounts it, watch over it and take it away.

#![forbid(unsafe_code)]

mod envoy;
mod file;

pub use envoy::{Bootstrap, DiscoveryError, generate};
pub use file::{Drift, Error, check, directory_of, place, withdraw};
