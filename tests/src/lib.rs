//! See docs/architecture.md.

pub mod binary;
pub mod iproute;
pub mod plugin;
pub mod real;
pub mod requires;
