//! Addresses that a pod gets again under the same name: the one kind of state that outlives a reboot.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use planes::{NetworkName, PlaneName, Pod};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::store::{ensure_directory, write_whole};

/// One pod's place on one plane. The file's name is a hash, as names of pods and namespaces together may be longer than a
/// file's name; the names stand inside for people.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    names: String,
}

impl Place {
    /// `set` tells the range sets of a plane apart.
    pub(crate) fn of(
        directory: &Path,
        network: &NetworkName,
        pod: &Pod,
        plane: &PlaneName,
        set: usize,
    ) -> Self {
        let names = format!("{}/{} {plane} {set}", pod.namespace, pod.name);
        let digest = Sha256::digest(names.as_bytes());
        let path = directory.join(network.as_str()).join(HEXLOWER.encode(&digest[..16]));
        Self { path, names }
    }

    /// The address that the pod had; whatever cannot be read is no memory.
    pub(crate) fn recall(&self) -> Option<IpAddr> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut lines = text.lines();
        let address = lines.next()?.parse().ok()?;
        (lines.next() == Some(self.names.as_str())).then_some(address)
    }

    /// Remembers the address.
    pub(crate) fn keep(&self, address: IpAddr) -> Result<(), Error> {
        if self.recall() == Some(address) {
            return Ok(());
        }
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        ensure_directory(directory).map_err(Error::io("create directory", directory))?;
        let text = format!("{address}\n{}\n", self.names);
        write_whole(&self.path, &text).map_err(Error::io("write sticky address", &self.path))
    }
}
