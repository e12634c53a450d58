//! The delta xDS protocol (ADS): a pure state machine per stream, and the gRPC service around it.

pub mod connection;
pub mod node;
pub mod service;
pub mod state;
pub mod wire;
