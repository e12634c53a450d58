//! Leases on tmpfs: `leases/<address>` is a symbolic link to the record of the attachment that has it.
//!
//! A link is made atomically and exclusively and is never half written, so two processes never share an address, and
//! `ls -l` shows who has which. Nothing here lists a directory but the search of a nearly full range and the return of a
//! lost record's leases.
//!
//! Order: ADD chooses, writes the record and links its leases under the lock; DEL unlinks the leases, then the record. So a
//! lease whose record is missing belongs to nobody and may be taken.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use planes::plan::{EmbeddedIpam, RangeSet, StaticAddress};
use planes::{AttachmentKey, NetworkName, PlaneName, Pod};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::range::{describe, range_of, round};
use crate::sticky::Place;

/// Probes that fail before the directory is read once: cheaper than each further probe when a range is nearly full.
const PROBES: usize = 300;
/// How long a release waits for the lock: others hold it for about a millisecond.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
/// How often a taken lock is tried again.
const PACE: Duration = Duration::from_millis(2);

/// An address that an attachment has on a plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The plane.
    pub plane: PlaneName,
    /// Address and prefix length.
    pub address: IpNetwork,
    /// The subnet's gateway, if it has one.
    pub gateway: Option<IpAddr>,
}

/// The leases of one network on this node.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    sticky: PathBuf,
}

/// The store while addresses are chosen: no other process chooses.
#[derive(Debug)]
pub struct Locked {
    store: Store,
    /// Chosen and not yet linked: planes of one attachment may draw from the same ranges.
    chosen: HashSet<IpAddr>,
    remember: Vec<(Place, IpAddr)>,
    last: Vec<(PathBuf, IpAddr)>,
    /// Released when this value goes.
    _lock: File,
}

impl Store {
    /// The store in `<stateDirectory>/<network>`; sticky addresses lie below `sticky`. Touches nothing.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, sticky: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), sticky: sticky.into() }
    }

    /// Takes the lock, waiting at most `patience`.
    ///
    /// # Errors
    /// [`Error::Locked`] after that time; [`Error::Io`] if the directory cannot be written.
    pub fn lock(&self, patience: Duration) -> Result<Locked, Error> {
        let leases = self.leases();
        ensure_directory(&leases).map_err(Error::io("create directory", &leases))?;
        let path = self.directory.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open lock", &path))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < patience => std::thread::sleep(PACE),
                Err(fs::TryLockError::WouldBlock) => return Err(Error::Locked { path, waited: patience }),
                Err(fs::TryLockError::Error(source)) => return Err(Error::io("lock", path)(source)),
            }
        }
        Ok(Locked {
            store: self.clone(),
            chosen: HashSet::new(),
            remember: Vec::new(),
            last: Vec::new(),
            _lock: file,
        })
    }

    /// Gives addresses back. A lease that is another's by now, or nobody's, is left alone: under the lock, as an ADD may
    /// take over the lease of a dead pod while that pod's late DEL looks at it.
    ///
    /// # Errors
    /// The lock is held for too long; or the first lease that cannot be removed, and the others were tried.
    pub fn release(
        &self,
        key: &AttachmentKey,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), Error> {
        let ours: Vec<IpAddr> = addresses.into_iter().filter(|address| self.has(key, *address)).collect();
        if ours.is_empty() {
            return Ok(()); // a repeated DEL makes no directory
        }
        let _lock = self.lock(RELEASE_PATIENCE)?;
        let mut result = Ok(());
        for address in ours.into_iter().filter(|address| self.has(key, *address)) {
            result = result.and(remove(&self.path(address)));
        }
        result
    }

    /// Whether the attachment has the address.
    #[must_use]
    pub fn has(&self, key: &AttachmentKey, address: IpAddr) -> bool {
        fs::read_link(self.path(address)).is_ok_and(|target| target == target_of(key))
    }

    /// Every address of an attachment whose record is lost. Lists the directory: not for the common path.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn addresses_of(&self, key: &AttachmentKey) -> Result<Vec<IpAddr>, Error> {
        Ok(self.all()?.into_iter().filter(|address| self.has(key, *address)).collect())
    }

    /// Removes leases whose record is missing. Lists the directory: for GC.
    ///
    /// # Errors
    /// The first that cannot be removed; the others were tried.
    pub fn sweep(&self, patience: Duration) -> Result<(), Error> {
        if !self.leases().is_dir() {
            return Ok(());
        }
        let _lock = self.lock(patience)?;
        let mut result = Ok(());
        for address in self.all()? {
            let path = self.path(address);
            // Following the link: it dangles if the record is gone.
            if !path.exists() {
                result = result.and(remove(&path));
            }
        }
        result
    }

    /// The ranges of a plane in which nothing is free and nothing is left over from pods that ended without a DEL. Looks
    /// without the lock, and lists the directory: for STATUS.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn exhausted(
        &self,
        network: &NetworkName,
        ipam: &EmbeddedIpam,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> Result<Option<String>, Error> {
        let taken = self.all()?;
        // whose namespace is gone costs some system calls to find out: asked only where nothing is free at all
        let is_full = |set: &&RangeSet| {
            round(set, None).all(|ip| taken.contains(&ip))
                && !round(set, None).any(|ip| self.is_left(network, ip, is_gone))
        };
        Ok(ipam.range_sets.iter().find(is_full).map(describe))
    }

    /// Whether a lease's record is missing, or its pod has ended.
    fn is_left(
        &self,
        network: &NetworkName,
        address: IpAddr,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> bool {
        let Ok(target) = fs::read_link(self.path(address)) else { return false };
        let record = self.leases().join(target);
        !record.exists() || owner_of(&record, network).is_some_and(|owner| is_gone(&owner))
    }

    fn all(&self) -> Result<HashSet<IpAddr>, Error> {
        let leases = self.leases();
        let entries = match fs::read_dir(&leases) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
            Err(error) => return Err(Error::io("list leases", leases)(error)),
        };
        entries
            .map(|entry| Ok(entry?.file_name().to_str().and_then(|name| name.parse().ok())))
            .filter_map(Result::transpose)
            .collect::<io::Result<_>>()
            .map_err(Error::io("list leases", leases))
    }

    fn leases(&self) -> PathBuf {
        self.directory.join("leases")
    }

    fn path(&self, address: IpAddr) -> PathBuf {
        self.leases().join(address.to_string())
    }
}

impl Locked {
    /// Chooses addresses for one plane of an attachment: one per range set, and the fixed ones. They are the attachment's
    /// once they are linked. `is_gone` tells of an attachment whether its pod has ended without a DEL; it is asked before
    /// anything counts as exhausted or taken.
    ///
    /// # Errors
    /// [`Error::Exhausted`], [`Error::Taken`], or the file system's.
    pub fn choose(
        &mut self,
        key: &AttachmentKey,
        pod: Option<&Pod>,
        plane: &PlaneName,
        ipam: &EmbeddedIpam,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> Result<Vec<Lease>, Error> {
        let mut leases = Vec::new();
        for fixed in &ipam.static_addresses {
            self.claim(key, plane, fixed.address.ip(), is_gone)?;
            leases.push(lease_of(plane, fixed));
        }
        for (number, set) in ipam.range_sets.iter().enumerate() {
            let place = pod
                .filter(|_| ipam.sticky)
                .map(|pod| Place::of(&self.store.sticky, &key.network, pod, plane, number));
            let address = self.one_of(key, plane, ipam, set, place.as_ref(), is_gone)?;
            self.remember.extend(place.map(|place| (place, address)));
            let range = range_of(set, address).or(set.ranges.first());
            if let Some(range) = range {
                let prefix = range.subnet.prefix();
                let address = IpNetwork::new(address, prefix).unwrap_or(IpNetwork::from(address));
                leases.push(Lease { plane: plane.clone(), address, gateway: range.gateway });
            }
        }
        Ok(leases)
    }

    fn one_of(
        &mut self,
        key: &AttachmentKey,
        plane: &PlaneName,
        ipam: &EmbeddedIpam,
        set: &RangeSet,
        place: Option<&Place>,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> Result<IpAddr, Error> {
        let requested = ipam.requested.iter().copied().find(|ip| range_of(set, *ip).is_some());
        if let Some(address) = requested {
            self.claim(key, plane, address, is_gone)?;
            return Ok(address);
        }
        let known = place.and_then(Place::recall).filter(|ip| range_of(set, *ip).is_some());
        if let Some(address) = known.filter(|ip| self.may_take(key, *ip, is_gone)) {
            self.chosen.insert(address);
            return Ok(address);
        }
        let last = self.store.directory.join(last_name(set));
        let found = match self.search(key, set, &last)? {
            None => self.reclaim(key, set, is_gone)?,
            free => free,
        };
        let address =
            found.ok_or_else(|| Error::Exhausted { plane: plane.clone(), ranges: describe(set) })?;
        self.chosen.insert(address);
        self.last.push((last, address));
        Ok(address)
    }

    /// The next free address behind the last one given.
    fn search(&self, key: &AttachmentKey, set: &RangeSet, last: &Path) -> Result<Option<IpAddr>, Error> {
        let last = fs::read_to_string(last).ok().and_then(|text| text.trim().parse().ok());
        let mut round = round(set, last);
        if let Some(free) = round.by_ref().take(PROBES).find(|ip| self.is_free(key, *ip)) {
            return Ok(Some(free));
        }
        let mut rest = round.peekable();
        if rest.peek().is_none() {
            return Ok(None);
        }
        let taken = self.store.all()?;
        Ok(rest.find(|ip| !taken.contains(ip) && !self.chosen.contains(ip)))
    }

    /// An address of an attachment that ended without a DEL: containerd never calls GC.
    fn reclaim(
        &self,
        key: &AttachmentKey,
        set: &RangeSet,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> Result<Option<IpAddr>, Error> {
        let taken = self.store.all()?;
        let mut candidates: Vec<IpAddr> =
            taken.into_iter().filter(|ip| range_of(set, *ip).is_some()).collect();
        candidates.sort();
        Ok(candidates.into_iter().find(|ip| self.may_take(key, *ip, is_gone)))
    }

    /// Takes one certain address or says whose it is.
    fn claim(
        &mut self,
        key: &AttachmentKey,
        plane: &PlaneName,
        address: IpAddr,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> Result<(), Error> {
        if self.may_take(key, address, is_gone) {
            self.chosen.insert(address);
            return Ok(());
        }
        let target = fs::read_link(self.store.path(address)).unwrap_or_else(|_| target_of(key));
        let owner = target.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Err(Error::Taken { plane: plane.clone(), address, owner })
    }

    /// Whether an address is free or left, and not chosen for another plane of this pod already.
    fn may_take(
        &self,
        key: &AttachmentKey,
        address: IpAddr,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> bool {
        !self.chosen.contains(&address) && (self.is_free(key, address) || self.is_left(key, address, is_gone))
    }

    /// Nobody's, or this attachment's own from an ADD that was killed.
    fn is_free(&self, key: &AttachmentKey, address: IpAddr) -> bool {
        let is_nobodys = match fs::read_link(self.store.path(address)) {
            Ok(target) => target == target_of(key),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        is_nobodys && !self.chosen.contains(&address)
    }

    /// Whether a lease's record is missing, or its pod has ended.
    fn is_left(
        &self,
        key: &AttachmentKey,
        address: IpAddr,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> bool {
        self.store.is_left(&key.network, address, is_gone)
    }

    /// Makes the chosen addresses the attachment's. Its record must be written already.
    ///
    /// # Errors
    /// If a link cannot be made; those made so far are [`Store::release`]d by the undo of ADD.
    pub fn link(&self, key: &AttachmentKey, leases: &[Lease]) -> Result<(), Error> {
        for lease in leases {
            let path = self.store.path(lease.address.ip());
            put_link(&target_of(key), &path).map_err(Error::io("lease", path))?;
        }
        for (path, address) in &self.last {
            // In place: a file that a kill left empty only starts the round anew, and nothing else is left behind.
            fs::write(path, format!("{address}\n")).map_err(Error::io("write", path))?;
        }
        for (place, address) in &self.remember {
            place.keep(*address)?;
        }
        Ok(())
    }
}

fn lease_of(plane: &PlaneName, fixed: &StaticAddress) -> Lease {
    Lease { plane: plane.clone(), address: fixed.address, gateway: fixed.gateway }
}

/// Relative, so that the state directory can be looked at from elsewhere.
fn target_of(key: &AttachmentKey) -> PathBuf {
    Path::new("../attachments").join(key.file_name())
}

/// The attachment whose record that is; inverse of [`target_of`] within one network.
fn owner_of(record: &Path, network: &NetworkName) -> Option<AttachmentKey> {
    AttachmentKey::of_file(record.file_name()?.to_str()?, network)
}

/// The first and last address name a set's file: a set that changes starts anew.
fn last_name(set: &RangeSet) -> String {
    let first = set.ranges.first().map(|range| range.first.to_string()).unwrap_or_default();
    let last = set.ranges.last().map(|range| range.last.to_string()).unwrap_or_default();
    format!("last.{first}-{last}")
}

/// Makes the directory and its parents with mode 0755, whatever the umask.
pub(crate) fn ensure_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        ensure_directory(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Makes the link, replacing one that was found to be nobody's.
fn put_link(target: &Path, path: &Path) -> io::Result<()> {
    match symlink(target, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_link(path)? == target {
                return Ok(());
            }
            // Under the lock; a rename replaces the old link in one step.
            let fresh =
                path.with_file_name(format!(".{}", path.file_name().unwrap_or_default().to_string_lossy()));
            remove_if_there(&fresh)?;
            symlink(target, &fresh)?;
            fs::rename(&fresh, path)
        }
        other => other,
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    remove_if_there(path).map_err(Error::io("give back lease", path))
}

/// Temporary file and rename, mode 0644 whatever the umask.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let temporary =
        path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
