//! Where a bootstrap lies: `<directory>/<pod uid, else container id>/envoy.json`, a directory that the sidecar
//! mounts by `subPathExpr: $(POD_UID)`.
//!
//! A pod's UID outlives its sandbox, and kubelet sends late DELs for dead sandboxes with the living pod's UID.
//! So `owner.json` beside the file says which container it belongs to, and only that container's DEL takes it.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use planes::name::is_plain_name;
use planes::{ContainerId, Pod};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::envoy::Bootstrap;

const FILE: &str = "envoy.json";
const OWNER: &str = "owner.json";
/// Readable for the proxy's user, whatever the umask: there is no secret inside.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// How often a directory that vanished is made anew.
const RACES: usize = 3;

/// A bootstrap could not be placed or taken away.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod's UID cannot be a directory's name.
    #[error("K8S_POD_UID {value:?}: use 1 to 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit")]
    Uid {
        /// The UID, cut to 64 characters.
        value: String,
    },
    /// The file system refused.
    #[error("{operation} {path}", path = path.display())]
    Io {
        /// What was tried, for example `write bootstrap`.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// How a bootstrap differs from what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// There is no such file.
    Missing(PathBuf),
    /// Somebody changed it.
    Edited(PathBuf),
    /// It belongs to another container, or to nobody.
    Foreign(PathBuf),
    /// The proxy's user cannot read it.
    Mode(PathBuf, u32),
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "bootstrap {} is missing", path.display()),
            Self::Edited(path) => write!(f, "bootstrap {} was edited", path.display()),
            Self::Foreign(path) => write!(f, "bootstrap {} belongs to another container", path.display()),
            Self::Mode(path, mode) => write!(f, "bootstrap {} has mode {mode:o}, not 644", path.display()),
        }
    }
}

/// Whose file it is and what was written into it.
#[derive(Serialize, Deserialize)]
struct Owner {
    container: ContainerId,
    sha256: String,
}

/// The pod's directory below `directory`.
///
/// # Errors
/// [`Error::Uid`]: a UID comes from outside and must not lead elsewhere.
pub fn directory_of(directory: &Path, pod: Option<&Pod>, container: &ContainerId) -> Result<PathBuf, Error> {
    let Some(uid) = pod.and_then(|pod| pod.uid.as_deref()) else {
        return Ok(directory.join(container.as_str()));
    };
    if is_plain_name(uid, 64) {
        Ok(directory.join(uid))
    } else {
        Err(Error::Uid { value: uid.chars().take(64).collect() })
    }
}

/// Writes the bootstrap and returns its path. The owner goes first, so that after a kill in between the
/// container's DEL finds what it must take away.
///
/// # Errors
/// [`Error`]: nothing of a half-written file is left under its name.
pub fn place(
    directory: &Path,
    pod: Option<&Pod>,
    container: &ContainerId,
    bootstrap: &Bootstrap,
) -> Result<PathBuf, Error> {
    let home = directory_of(directory, pod, container)?;
    let text = bootstrap.to_text();
    let owner = Owner { container: container.clone(), sha256: digest(text.as_bytes()) };
    let owner = serde_json::to_vec(&owner).map_err(|e| io_error("encode owner of", &home)(e.into()))?;
    let write = || {
        make_directories(&home)?;
        write_whole(&home, OWNER, container, &owner)?;
        write_whole(&home, FILE, container, text.as_bytes())
    };
    // A late DEL of the pod's dead sandbox may remove the empty directory between two of our steps.
    let written = (0..RACES).map(|_| write()).find(|result| !result.as_ref().is_err_and(Error::is_absent));
    written.unwrap_or_else(write)?;
    Ok(home.join(FILE))
}

/// Takes away what belongs to `container`, and nothing else. Succeeds if there is nothing.
///
/// # Errors
/// [`Error::Io`] if something of ours cannot be removed.
pub fn withdraw(directory: &Path, pod: Option<&Pod>, container: &ContainerId) -> Result<(), Error> {
    let home = directory_of(directory, pod, container)?;
    // What a kill left half written carries the container's ID in its name.
    remove_file(&home.join(temporary(FILE, container)))?;
    remove_file(&home.join(temporary(OWNER, container)))?;
    match read_owner(&home)? {
        Some(owner) if owner.container != *container => return Ok(()),
        Some(_) => {
            remove_file(&home.join(FILE))?;
            remove_file(&home.join(OWNER))?;
        }
        None => {}
    }
    match fs::remove_dir(&home) {
        Err(error) if !is_absent(&error) && !is_not_empty(&error) => {
            Err(io_error("remove directory", &home)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Compares the file with what was written at ADD (not with what a newer version of us would write).
///
/// # Errors
/// [`Error`] if the directory cannot be read.
pub fn check(directory: &Path, pod: Option<&Pod>, container: &ContainerId) -> Result<Vec<Drift>, Error> {
    let home = directory_of(directory, pod, container)?;
    let path = home.join(FILE);
    let content = match fs::read(&path) {
        Ok(content) => content,
        Err(error) if is_absent(&error) => return Ok(vec![Drift::Missing(path)]),
        Err(error) => return Err(io_error("read bootstrap", &path)(error)),
    };
    let mut drift = Vec::new();
    match read_owner(&home)? {
        Some(owner) if owner.container == *container => {
            if owner.sha256 != digest(&content) {
                drift.push(Drift::Edited(path.clone()));
            }
        }
        Some(_) | None => drift.push(Drift::Foreign(path.clone())),
    }
    let mode =
        fs::metadata(&path).map_err(io_error("inspect bootstrap", &path))?.permissions().mode() & 0o777;
    if mode != FILE_MODE {
        drift.push(Drift::Mode(path, mode));
    }
    Ok(drift)
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { operation, path, source }
}

/// Below a file there is nothing either: a directory that was configured where a file stands never held a bootstrap.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn is_not_empty(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::DirectoryNotEmpty
}

fn digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// An owner that cannot be read as ours is nobody's: a half-written one never exists under this name.
fn read_owner(home: &Path) -> Result<Option<Owner>, Error> {
    let path = home.join(OWNER);
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(io_error("read owner of bootstrap", &path)(error)),
    }
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(io_error("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes what is missing, with our mode; an existing directory keeps its own.
fn make_directories(home: &Path) -> Result<(), Error> {
    if home.is_dir() {
        return Ok(());
    }
    if let Some(parent) = home.parent() {
        make_directories(parent)?;
    }
    match fs::create_dir(home) {
        Ok(()) => fs::set_permissions(home, Permissions::from_mode(DIRECTORY_MODE))
            .map_err(io_error("set mode of directory", home)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && home.is_dir() => Ok(()),
        Err(error) => Err(io_error("create directory", home)(error)),
    }
}

fn temporary(name: &str, container: &ContainerId) -> String {
    format!(".{name}.{container}")
}

/// Temporary file, explicit mode, rename: readers see the old content or the new, never a part.
fn write_whole(home: &Path, name: &str, container: &ContainerId, content: &[u8]) -> Result<(), Error> {
    let temporary = home.join(temporary(name, container));
    let write = || -> io::Result<()> {
        // One container's ADDs do not overlap (the attachment is locked), so a leftover is a killed ADD's.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.write_all(content)?;
        fs::rename(&temporary, home.join(name))
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        io_error("write bootstrap", &home.join(name))(error)
    })
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
