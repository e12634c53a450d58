//! The control plane from outside: over the wire with a client of our own, with the real Envoy, and as a command.
#![expect(unreachable_pub, reason = "a test has no public face")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "as inside test functions: a failed helper is a failed test"
)]

mod bad_input;
mod client;
mod command;
mod envoy;
mod property;
mod real_envoy;
mod wire;
mod world;
