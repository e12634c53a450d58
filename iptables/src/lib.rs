//! Traffic capture. A pod's networks become a [`Policy`], the policy becomes typed [`rules`], and the rules become one
//! nf_tables transaction ([`apply`]) or text for people ([`Table::to_text`]). Nothing of a configuration or an annotation
//! ever becomes rule text: names are interface names, addresses are addresses, ports are numbers.

#![forbid(unsafe_code)]

mod kernel;
mod policy;
pub mod rules;
mod ruleset;
#[cfg(test)]
mod sample;
mod text;
mod wire;

pub use kernel::{Error, apply, check, foreign, remove};
pub use policy::{Plane, Policy};
pub use rules::Table;
pub use ruleset::{TABLE, table};
