//! The only crate that changes interfaces or enters namespaces. See docs/architecture.md.

pub mod error;
pub mod netns;

pub use error::Error;
pub use netns::Netns;
