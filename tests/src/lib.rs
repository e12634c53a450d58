//! See docs/architecture.md.

pub mod binary;
pub mod real;
pub mod requires;
