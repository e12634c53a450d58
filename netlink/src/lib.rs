//! The only crate that changes interfaces or enters network namespaces. See docs/architecture.md.
//!
//! [`Netns`] is an open namespace, [`Net`] a connection into one. [`link`] makes, checks and removes links (one
//! file per plane kind), [`interface`] configures what is inside the pod, [`identity`] reads back which
//! addresses the pod *is*, and [`snapshot`] reads everything, for tests that compare before and after.

mod address;
mod drift;
pub mod error;
mod found;
pub mod identity;
pub mod interface;
pub mod link;
mod net;
pub mod netns;
mod request;
mod route;
mod rule;
pub mod snapshot;
mod sysctl;

pub use drift::Drift;
pub use error::Error;
pub use found::Link;
pub use net::{Family, Net};
pub use netns::Netns;
