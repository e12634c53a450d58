//! Network namespaces, held by an open descriptor: no name in `/run/netns`, nothing to clean up.
//!
//! A thread that changed its namespace is never changed back: work runs on a thread of its own that ends
//! afterwards, so that no error path can leave the process in the wrong namespace.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::statfs::{FsType, fstatfs};

use crate::Error;

/// `NSFS_MAGIC` (linux/magic.h): the file system of namespace files.
const NSFS: FsType = FsType(0x6e73_6673);

nix::ioctl_none!(
    /// `NS_GET_NSTYPE` (linux/nsfs.h, Linux 4.11): the `CLONE_NEW*` flag of a namespace.
    ns_get_nstype,
    0xb7,
    3
);

/// An open network namespace. It lives at least as long as this value.
#[derive(Debug)]
pub struct Netns {
    file: OwnedFd,
}

impl Netns {
    /// Opens a namespace by its path, such as `/run/netns/x` or `/proc/<pid>/ns/net`.
    ///
    /// # Errors
    /// If there is nothing at the path ([`Error::is_absent`]), or something that is no network namespace.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let object = || path.display().to_string();
        // Without O_NONBLOCK a path that leads to a pipe would hang the call.
        let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        let file = opened.map_err(|source| Error::io("open namespace", object(), source))?;
        let kind = fstatfs(&file).map_err(|errno| Error::io("inspect namespace", object(), errno.into()))?;
        // A path whose bind mount is gone is an empty file: setns(2) would only say "invalid argument".
        if kind.filesystem_type() != NSFS || !is_of_networks(&file) {
            return Err(Error::NotANamespace { path: path.to_owned() });
        }
        Ok(Self { file: file.into() })
    }

    /// The calling thread's namespace.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// A new, empty namespace (`ip netns add` without a name).
    ///
    /// # Errors
    /// If the process may not make one (CAP_SYS_ADMIN).
    pub fn anonymous() -> Result<Self, Error> {
        on_own_thread(|| {
            #[expect(clippy::disallowed_methods, reason = "on a thread that ends right after")]
            nix::sched::unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| Error::io("make", "network namespace".to_owned(), errno.into()))?;
            Self::current()
        })?
    }

    /// Does `work` inside the namespace, on a thread of its own. Sockets and processes that it makes stay there.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_own_thread(|| {
            #[expect(clippy::disallowed_methods, reason = "on a thread that ends right after")]
            nix::sched::setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| {
                Error::io("enter namespace", self.path_from_proc().display().to_string(), errno.into())
            })?;
            Ok(work())
        })?
    }

    /// Another handle on the same namespace.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let object = || self.path_from_proc().display().to_string();
        let file =
            self.file.try_clone().map_err(|source| Error::io("keep open namespace", object(), source))?;
        Ok(Self { file })
    }

    /// The namespace's cookie: unique until reboot, where an inode number is reused (`SO_NETNS_COOKIE`,
    /// Linux 5.14).
    ///
    /// # Errors
    /// If the namespace cannot be entered, or the kernel is older.
    pub fn cookie(&self) -> Result<u64, Error> {
        let object = || self.path_from_proc().display().to_string();
        self.run(read_cookie)?.map_err(|source| Error::io("read cookie of namespace", object(), source))
    }

    /// Whether both are the same namespace.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let identity =
            |netns: &Self| nix::sys::stat::fstat(&netns.file).map(|stat| (stat.st_dev, stat.st_ino));
        matches!((identity(self), identity(other)), (Ok(ours), Ok(theirs)) if ours == theirs)
    }

    /// A path by which every process of this machine that sees our `/proc` reaches the namespace, as long as
    /// this value lives (`CNI_NETNS`).
    #[must_use]
    pub fn path_from_proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A panic of `work` goes on in the caller, as if it had been called.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work);
        // A limit on processes is the machine's business, and no reason to panic.
        let started = started
            .map_err(|source| Error::io("start a thread for", "a network namespace".to_owned(), source))?;
        match started.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Whether a namespace file is one of networks, not of mounts or processes.
fn is_of_networks(file: &File) -> bool {
    // SAFETY: the request takes no argument and touches no memory of ours; the descriptor is open.
    let kind = unsafe { ns_get_nstype(file.as_raw_fd()) };
    kind == Ok(CloneFlags::CLONE_NEWNET.bits())
}

/// Any socket tells the cookie of the namespace in which it was made; an `AF_UNIX` one always can be made.
fn read_cookie() -> std::io::Result<u64> {
    let probe = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut cookie = 0_u64;
    let mut length = nix::libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes, the size of `cookie`, and both outlive the call.
    let result = unsafe {
        nix::libc::getsockopt(
            probe.as_raw_fd(),
            nix::libc::SOL_SOCKET,
            nix::libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_inside_and_the_caller_stays_outside() {
        let before = Netns::current().unwrap();
        let inner = Netns::anonymous().unwrap();

        let seen = inner.run(|| Netns::current().unwrap()).unwrap();

        assert!(seen.is_same(&inner));
        assert!(!seen.is_same(&before));
        assert!(Netns::current().unwrap().is_same(&before));
    }

    #[test]
    fn a_cookie_belongs_to_the_namespace_and_not_to_the_handle() {
        let (one, other) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
        let again = Netns::open(&one.path_from_proc()).unwrap();

        assert_eq!(one.cookie().unwrap(), again.cookie().unwrap());
        assert_ne!(one.cookie().unwrap(), other.cookie().unwrap());
    }

    #[test]
    fn what_is_no_namespace_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();

        let refused = Netns::open(file.path()).unwrap_err().to_string();
        let absent = Netns::open(Path::new("/proc/self/ns/none")).unwrap_err();
        let of_mounts = Netns::open(Path::new("/proc/self/ns/mnt")).unwrap_err().to_string();

        assert!(of_mounts.contains("/proc/self/ns/mnt"), "{of_mounts}");
        assert!(refused.contains(&file.path().display().to_string()), "{refused}");
        assert!(absent.is_absent() && !absent.to_string().is_empty());
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();

        assert!(matches!(Netns::open(&pipe), Err(Error::NotANamespace { .. })));
    }

    #[test]
    #[should_panic(expected = "from inside")]
    fn a_panic_inside_reaches_the_caller() {
        Netns::anonymous().unwrap().run(|| panic!("from inside")).unwrap();
    }
}
