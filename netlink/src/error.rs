//! What can go wrong in the kernel's networks: operation, object, cause and, where known, the cure.

use std::path::PathBuf;

use nix::libc;

/// An operation on namespaces, links, addresses, routes or rules failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call or a netlink request failed.
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
    /// The kernel does not have what is asked for.
    #[error("{operation} {object}: this kernel lacks {feature}")]
    Unsupported {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// The missing part and how to get it.
        feature: &'static str,
    },
    /// The path leads to something that is no network namespace.
    #[error("namespace {}: is no network namespace; has its pod gone?", path.display())]
    NotANamespace {
        /// The path.
        path: PathBuf,
    },
    /// The node is not as the configuration says.
    #[error("{object}: {reason}")]
    Refused {
        /// On what.
        object: String,
        /// Why not, and what to do.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(operation: &'static str, object: String, source: std::io::Error) -> Self {
        Self::Io { operation, object, source }
    }

    pub(crate) fn refused(object: impl ToString, reason: impl Into<String>) -> Self {
        Self::Refused { object: object.to_string(), reason: reason.into() }
    }

    /// Turns "operation not supported" into the name of what the kernel lacks.
    pub(crate) fn lacking(self, feature: &'static str) -> Self {
        match self {
            Self::Io { operation, object, source } if is_unsupported(&source) => {
                Self::Unsupported { operation, object, feature }
            }
            other => other,
        }
    }

    fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Unsupported { .. } | Self::NotANamespace { .. } | Self::Refused { .. } => None,
        }
    }

    /// Whether the thing is not there, or no longer.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let gone = [libc::ENOENT, libc::ENODEV, libc::ESRCH, libc::ENXIO, libc::EADDRNOTAVAIL];
        match self {
            Self::NotANamespace { .. } => true,
            Self::Io { .. } => self.errno().is_some_and(|errno| gone.contains(&errno)),
            Self::Unsupported { .. } | Self::Refused { .. } => false,
        }
    }

    /// Whether the thing is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// Whether somebody else holds the thing.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.errno().is_some_and(|errno| [libc::EBUSY, libc::EADDRINUSE].contains(&errno))
    }

    /// Whether the kernel lacks the feature.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}

/// The kernel answers an unknown link kind with EOPNOTSUPP, a missing option of a known kind likewise.
fn is_unsupported(source: &std::io::Error) -> bool {
    source.raw_os_error().is_some_and(|errno| [libc::EOPNOTSUPP, libc::EPROTONOSUPPORT].contains(&errno))
}

/// Success if the thing was there already: for what is made idempotently.
pub(crate) fn or_exists(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_exists() => Ok(()),
        other => other,
    }
}

/// Success if the thing is not there: for what is removed idempotently.
pub(crate) fn or_absent(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}
