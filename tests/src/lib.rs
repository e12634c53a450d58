//! Worlds of network namespaces in which the built plugin runs among real peers. See docs/testing.md.

pub mod binary;
pub mod iproute;
pub mod plugin;
pub mod probe;
pub mod real;
pub mod requires;
pub mod story;
pub mod tap;
pub mod trace;
pub mod world;
