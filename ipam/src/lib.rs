//! Who has which address: the embedded store of leases, and the protocol by which other IPAM plugins are asked.

#![forbid(unsafe_code)]

mod error;
mod range;
mod sticky;
mod store;

pub use error::Error;
pub use store::{Lease, Locked, Store};
