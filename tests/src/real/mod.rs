//! Real peers, each started in a world of its own and gone with the value that stands for it: Envoy,
//! containerd, Multus, cnitool, the reference plugins, and a microVM with another kernel.

#![expect(clippy::panic, reason = "a peer that does not start fails the test that needs it")]

pub mod cnitool;
pub mod containerd;
pub mod cri;
pub mod envoy;
pub mod http;
pub mod microvm;
pub mod multus;
pub mod node_root;
pub mod parts;
pub mod poll;
pub mod process;

pub use cnitool::Cnitool;
pub use containerd::Containerd;
pub use envoy::Envoy;
pub use node_root::NodeRoot;
