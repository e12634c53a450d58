//! Who has which address: the embedded store of leases, and the protocol by which other IPAM plugins are asked.

// One call is not to be had without: `delegate::orphan`, where the parent's death becomes the plugin's.
#![deny(unsafe_code)]

pub mod delegate;
mod error;
mod range;
mod sticky;
mod store;

pub use error::Error;
pub use store::{Lease, Locked, Store};
