//! What can go wrong in the kernel's networks: operation, object, cause.

use std::path::PathBuf;

/// An operation on namespaces or links failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{operation} {object}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The path leads to something that is no network namespace.
    #[error("namespace {}: is no network namespace; has its pod gone?", path.display())]
    NotANamespace {
        /// The path.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(operation: &'static str, object: String, source: std::io::Error) -> Self {
        Self::Io { operation, object, source }
    }

    /// Whether the thing is not there, or no longer.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::NotANamespace { .. } => true,
        }
    }
}
