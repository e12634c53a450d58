//! What can go wrong in the kernel's networks: operation, object, cause and, where known, the cure.

use std::path::PathBuf;

use nix::libc;

/// An operation on namespaces, links, addresses, routes or rules failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call or a netlink request failed.
    #[error("{operation} {object}{}", cure(operation, source))]
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

/// The usual cause of an error number, in brackets: the kernel's own explanation does not reach us, as
/// netlink-packet-core keeps only the number.
fn cure(operation: &str, source: &std::io::Error) -> &'static str {
    let about = |word| operation.contains(word);
    match source.raw_os_error() {
        Some(libc::EPERM) => " (run as root, with CAP_NET_ADMIN over both namespaces)",
        Some(libc::ENOENT) if about("sysctl") => " (this kernel knows no such setting of an interface)",
        Some(libc::EINVAL) if about("sysctl") => " (the kernel takes no such value)",
        Some(libc::EAGAIN) if about("thread") => " (raise the limit of processes of the runtime's service)",
        Some(libc::EMFILE | libc::ENFILE) => " (raise the limit of open files)",
        Some(libc::EROFS) => " (mount /proc/sys read-write into the plugin's container)",
        Some(libc::EEXIST) if about("route") => " (a route to there leads another way; drop one of the two)",
        Some(libc::EEXIST) if about("create") => " (the name is taken; choose another or remove what has it)",
        Some(libc::EADDRINUSE) => " (another interface holds the same Ethernet address or VNI)",
        Some(libc::EBUSY) => " (the interface serves something else already, another bridge or a passthru)",
        Some(libc::ENETDOWN) => " (bring the master up)",
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => " (the gateway must lie inside the plane's subnet)",
        Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT) if about("rule") => {
            " (this kernel lacks policy routing, CONFIG_IP_MULTIPLE_TABLES)"
        }
        Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT) if about("address") || about("route") => {
            " (this kernel lacks IPv6; is it switched off by ipv6.disable=1?)"
        }
        Some(libc::EACCES) if about("address") => " (is IPv6 switched off in this kernel?)",
        Some(libc::ENODEV) if about("change") => " (the interface is gone; was it removed meanwhile?)",
        Some(_) | None => "",
    }
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

    /// Whether the kernel said that it does not know what was asked.
    pub(crate) fn errno_is_unsupported(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_unsupported(source))
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
    source
        .raw_os_error()
        .is_some_and(|errno| [libc::EOPNOTSUPP, libc::EPROTONOSUPPORT, libc::EAFNOSUPPORT].contains(&errno))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(operation: &'static str, errno: i32) -> Error {
        Error::io(operation, "net1".to_owned(), std::io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn a_refusal_names_operation_object_and_cure() {
        let text = refusal("create interface", libc::EEXIST).to_string();

        assert_eq!(text, "create interface net1 (the name is taken; choose another or remove what has it)");
    }

    #[test]
    fn an_unknown_number_gets_no_invented_cure() {
        assert_eq!(refusal("create interface", libc::EIO).to_string(), "create interface net1");
    }

    #[test]
    fn what_the_kernel_lacks_is_named() {
        let error = refusal("create interface", libc::EOPNOTSUPP).lacking("ipvlan (module ipvlan)");

        assert!(error.is_unsupported() && !error.is_absent() && !error.is_exists());
        assert_eq!(error.to_string(), "create interface net1: this kernel lacks ipvlan (module ipvlan)");
    }
}
