//! See docs/architecture.md.

pub mod real;
