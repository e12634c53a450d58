//! What ADD leaves for DEL, CHECK and GC: `<stateDirectory>/<network>/attachments/<container>@<ifname>.json`.
//!
//! The record holds the plan before the first kernel change and the pod's networks after the last one, so
//! that a call killed at any instruction can be cleaned up by whoever comes next. It lies on tmpfs: what it
//! describes dies with the node, and so shall it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ipam::Lease;
use netlink::interface::Before;
use netlink::link::Home;
use nix::unistd::{AccessFlags, access};
use planes::{AttachmentKey, IfName, NetworkName, Plan, PodNetwork};
use serde::{Deserialize, Serialize};

const ATTACHMENTS: &str = "attachments";
/// A network's name starts with a letter or digit, so this is none.
const NAMESPACES: &str = ".namespaces";
/// Open, because the bootstraps lie below the same /run/multiplane; the records themselves are closed.
const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o600;

/// Saved state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
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
    /// A record that is not ours to read.
    #[error("read attachment record {path}", path = path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// What is known of one attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The namespace's cookie: a path that leads to another namespace by now is not touched.
    pub netns_cookie: u64,
    /// What ADD set out to do.
    pub plan: Plan,
    /// The embedded store's leases, chosen before they are linked.
    pub leases: Vec<Lease>,
    /// What interfaces that are not ours to delete had before, by name.
    #[serde(default)]
    pub before: Vec<(IfName, Before)>,
    /// What devices of the node were before the pod got them.
    #[serde(default)]
    pub homes: Vec<Home>,
    /// What ADD made; absent while it works, or when it was killed.
    pub network: Option<PodNetwork>,
}

impl Record {
    /// What stands in for a record that is gone or garbled: no namespace has the cookie 0.
    #[must_use]
    pub fn lost(plan: Plan) -> Self {
        Self {
            netns_cookie: 0,
            plan,
            leases: Vec::new(),
            before: Vec::new(),
            homes: Vec::new(),
            network: None,
        }
    }

    /// Whether this stands in for a lost record.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.netns_cookie == 0
    }
}

/// Whose a namespace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The network.
    pub network: String,
    /// `container@ifname`.
    pub attachment: String,
}

impl Owner {
    /// From a record's path: `<root>/<network>/attachments/<attachment>.json`.
    fn of(record: &Path) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        Self { network: text(record.iter().rev().nth(2)), attachment: text(record.file_stem()) }
    }
}

/// The state of one network on this node.
#[derive(Debug, Clone)]
pub struct State {
    root: PathBuf,
    network: PathBuf,
}

impl State {
    /// The state of `network` below `root`. Touches nothing.
    #[must_use]
    pub fn new(root: &Path, network: &NetworkName) -> Self {
        Self { root: root.to_owned(), network: root.join(network.as_str()) }
    }

    /// The network's directory, where the leases lie too.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.network
    }

    /// Makes the directories; `main` has set the umask.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn create(&self) -> Result<(), StateError> {
        for directory in [self.network.join(ATTACHMENTS), self.root.join(NAMESPACES)] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(&directory)
                .map_err(io_error("create state directory", &directory))?;
        }
        Ok(())
    }

    /// Why no record could be written, if so. Touches nothing.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let existing = self.network.ancestors().find(|path| path.exists())?;
        let reason = if existing.is_dir() {
            access(existing, AccessFlags::W_OK | AccessFlags::X_OK).err()?.desc()
        } else {
            "not a directory"
        };
        Some(format!(
            "state directory {} cannot be written: {}: {reason}",
            self.network.display(),
            existing.display()
        ))
    }

    /// Where the record of `key` lies.
    #[must_use]
    pub fn path(&self, key: &AttachmentKey) -> PathBuf {
        self.network.join(ATTACHMENTS).join(key.file_name())
    }

    /// Writes the record whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// [`StateError::Io`]; the old record, if any, is then still there.
    pub fn save(&self, record: &Record) -> Result<(), StateError> {
        let path = self.path(&record.plan.key);
        let temporary = temporary(&path);
        let text =
            serde_json::to_vec(record).map_err(|source| StateError::Decode { path: path.clone(), source })?;
        write_new(&temporary, &text).and_then(|()| fs::rename(&temporary, &path)).map_err(|error| {
            let _ = fs::remove_file(&temporary);
            io_error("write attachment record", &path)(error)
        })
    }

    /// The record of `key`, if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or was not written by us.
    pub fn load(&self, key: &AttachmentKey) -> Result<Option<Record>, StateError> {
        load(&self.path(key))
    }

    /// Removes claims whose record is gone.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn sweep_claims(&self) -> Result<(), StateError> {
        let Ok(entries) = fs::read_dir(self.root.join(NAMESPACES)) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            // Following the link: it dangles if the record is gone.
            if path.is_symlink() && !path.exists() {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the record of `key`. Succeeds if there is none.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn remove(&self, key: &AttachmentKey) -> Result<(), StateError> {
        let path = self.path(key);
        remove(&temporary(&path))?;
        remove(&path)
    }

    /// Removes what a kill left of a record that was never there. Call it under the network's lock: ADD writes its first
    /// record under it.
    ///
    /// # Errors
    /// [`StateError::Io`]; a directory that does not exist holds nothing.
    pub fn sweep_unfinished(&self) -> Result<(), StateError> {
        let directory = self.network.join(ATTACHMENTS);
        let Ok(entries) = fs::read_dir(&directory) else { return Ok(()) };
        for name in entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            let record = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
            if record.is_some_and(|record| !directory.join(record).exists()) {
                remove(&directory.join(&name))?;
            }
        }
        Ok(())
    }

    /// The keys of all records of this network, in order of their file names.
    ///
    /// # Errors
    /// [`StateError::Io`]; a directory that does not exist holds no records.
    pub fn keys(&self, network: &NetworkName) -> Result<Vec<AttachmentKey>, StateError> {
        let directory = self.network.join(ATTACHMENTS);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("list attachment records", &directory)(error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io_error("list attachment records", &directory))?;
            keys.extend(entry.file_name().to_str().and_then(|name| AttachmentKey::of_file(name, network)));
        }
        keys.sort();
        Ok(keys)
    }

    /// Takes the namespace for `key`: one namespace, one attachment of ours, whatever the network, because
    /// the rules, the bootstrap and the identity are the namespace's. Returns whose it is already. A claim whose
    /// record is gone is taken over.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn claim(&self, cookie: u64, key: &AttachmentKey) -> Result<Option<Owner>, StateError> {
        let claim = self.claim_path(cookie);
        let target = self.path(key);
        match link_claim(&target, &claim)? {
            None => Ok(None),
            Some(owner) if owner == target => Ok(None),
            Some(owner) if owner.exists() => Ok(Some(Owner::of(&owner))),
            Some(_) => Ok(self.take_over(&target, &claim)?.map(|owner| Owner::of(&owner))),
        }
    }

    /// Replaces a claim whose record is gone. Under a lock, so that of two takers one sees the other's.
    fn take_over(&self, target: &Path, claim: &Path) -> Result<Option<PathBuf>, StateError> {
        let directory = self.root.join(NAMESPACES);
        let lock = File::open(&directory).map_err(io_error("open state directory", &directory))?;
        // Held for microseconds: whoever finds it taken is told so instead of waiting without a bound.
        lock.try_lock().map_err(|error| io_error("lock state directory", &directory)(error.into()))?;
        match link_claim(target, claim)? {
            Some(owner) if owner != target && !owner.exists() => {
                remove(claim)?;
                link_claim(target, claim)
            }
            other => Ok(other.filter(|owner| owner != target)),
        }
    }

    /// Whose the namespace is, if anybody's.
    #[must_use]
    pub fn owner_of(&self, cookie: u64) -> Option<Owner> {
        let owner = fs::read_link(self.claim_path(cookie)).ok()?;
        owner.exists().then(|| Owner::of(&owner))
    }

    /// How a claim names the attachment of `key`.
    #[must_use]
    pub fn owner(&self, key: &AttachmentKey) -> Owner {
        Owner::of(&self.path(key))
    }

    /// Gives the namespace back if `key` has it.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn disclaim(&self, cookie: u64, key: &AttachmentKey) -> Result<(), StateError> {
        self.give_back(&self.claim_path(cookie), key)
    }

    /// Gives every namespace back that `key` has: lists them, for a record that is garbled.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn disclaim_all(&self, key: &AttachmentKey) -> Result<(), StateError> {
        let Ok(entries) = fs::read_dir(self.root.join(NAMESPACES)) else { return Ok(()) };
        entries.flatten().try_for_each(|claim| self.give_back(&claim.path(), key))
    }

    fn give_back(&self, claim: &Path, key: &AttachmentKey) -> Result<(), StateError> {
        if fs::read_link(claim).is_ok_and(|owner| owner == self.path(key)) { remove(claim) } else { Ok(()) }
    }

    fn claim_path(&self, cookie: u64) -> PathBuf {
        self.root.join(NAMESPACES).join(cookie.to_string())
    }
}

/// Makes the claim, or returns whose it is.
fn link_claim(target: &Path, claim: &Path) -> Result<Option<PathBuf>, StateError> {
    match symlink(target, claim) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::read_link(claim).map(Some).map_err(io_error("read claim of namespace", claim))
        }
        Err(error) => Err(io_error("claim namespace", claim)(error)),
    }
}

/// A container ID starts with a letter or digit, so no record has this name.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    file.write_all(bytes)
}

/// Reads a record by its path, as a claim names it.
///
/// # Errors
/// The file cannot be read, or was not written by us.
pub fn load(path: &Path) -> Result<Option<Record>, StateError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read attachment record", path)(error)),
    };
    let decode = |source| StateError::Decode { path: path.to_owned(), source };
    serde_json::from_slice(&bytes).map(Some).map_err(decode)
}

fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { operation, path, source }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
