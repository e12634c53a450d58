//! What can go wrong with leases.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use planes::PlaneName;

use crate::delegate;

/// An address cannot be leased or given back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{operation} {path}", path = path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process held the lock all the time.
    #[error("lock {path}: another process has held it for {waited:?}; see who with: fuser {path}", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// Nothing is free.
    #[error("plane {plane}: every address of {ranges} is leased; delete pods or widen the plane's ranges")]
    Exhausted {
        /// The plane.
        plane: PlaneName,
        /// The set's ranges.
        ranges: String,
    },
    /// The one address that would do is somebody else's.
    #[error("plane {plane}: address {address} is leased to {owner}; ask for another or delete that pod")]
    Taken {
        /// The plane.
        plane: PlaneName,
        /// The address.
        address: IpAddr,
        /// The attachment that has it, `<container>@<interface>`.
        owner: String,
    },
    /// An IPAM plugin failed.
    #[error(transparent)]
    Delegate(#[from] delegate::Error),
}

impl Error {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// Whether trying again later may help, when pods have gone (CNI SPEC 1.1.0, code 11).
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        matches!(self, Self::Exhausted { .. })
    }

    /// What an IPAM plugin itself said, if it did.
    #[must_use]
    pub fn refusal(&self) -> Option<&delegate::Refusal> {
        match self {
            Self::Delegate(error) => error.refusal(),
            Self::Io { .. } | Self::Locked { .. } | Self::Exhausted { .. } | Self::Taken { .. } => None,
        }
    }

    /// Whether the lock could not be had in time.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}
