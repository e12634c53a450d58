//! The control plane: a registry of services and the addresses of proxies in, Envoy's configuration out.
//!
//! ```text
//! registry (YAML) ──► Registry ──┬─► View, shared ──┐
//!                                │                  ├─► Snapshot ──► State (delta xDS) ──► Envoy
//! Envoy's node ─────► ProxyNode ─┴─► Own, matched ──┘
//! ```
//!
//! Everything between the two ends is pure. See docs/control-plane.md.
#![forbid(unsafe_code)]

pub mod admin;
pub mod command;
mod envoy;
pub mod explain;
pub mod hub;
pub mod matching;
pub mod metrics;
pub mod registry;
pub mod resource;
pub mod server;
pub mod settings;
pub mod view;
pub mod xds;

pub use envoy::Families;
pub use server::Server;
pub use settings::Settings;
