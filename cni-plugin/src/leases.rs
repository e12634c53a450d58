//! Addresses of one ADD: leases of the embedded store, and what IPAM plugins gave.

use std::net::IpAddr;
use std::time::Duration;

use ipam::{Lease, Locked, Store};
use netlink::Netns;
use netlink::interface::Assigned;
use planes::plan::{EmbeddedIpam, IpamPlan};
use planes::{AttachmentKey, NetworkName, PlaneName};

use crate::error::Error;
use crate::scene::Scene;
use crate::state::{Record, State};

/// How long a call waits for a network's lock: others hold it while they choose addresses, for microseconds.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of one ADD by plane.
#[derive(Debug, Default)]
pub struct Addresses(Vec<(PlaneName, Assigned)>);

impl Addresses {
    /// Those of one plane.
    #[must_use]
    pub fn of(&self, plane: &PlaneName) -> Vec<Assigned> {
        self.0.iter().filter(|(name, _)| name == plane).map(|(_, assigned)| assigned.clone()).collect()
    }

    /// Adds those of one plane.
    pub fn add(&mut self, plane: &PlaneName, assigned: impl IntoIterator<Item = Assigned>) {
        self.0.extend(assigned.into_iter().map(|assigned| (plane.clone(), assigned)));
    }

    /// Adds those of other planes.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Scene {
    /// Takes the network's lock.
    ///
    /// # Errors
    /// Somebody holds it for too long, or the directory cannot be used.
    pub fn lock(&self) -> Result<Locked, Error> {
        Ok(self.store.lock(LOCK_PATIENCE)?)
    }

    /// Chooses the embedded store's addresses; nobody else can while `locked` lives. Attachments whose
    /// namespace is gone give theirs up before a range counts as exhausted: containerd never calls GC.
    ///
    /// # Errors
    /// The attachment exists already, or a range is exhausted.
    pub fn choose(&mut self, locked: &mut Locked) -> Result<(), Error> {
        // Once more under the lock: of two ADDs of one attachment, one comes second.
        if self.state.load(self.key())?.is_some() {
            return Err(Error::exists(self.key()));
        }
        let is_gone = |key: &AttachmentKey| is_gone(&self.state, key);
        let plan = &self.record.plan;
        let mut leases = Vec::new();
        for planned in &plan.attachments {
            if let IpamPlan::Embedded(ipam) = &planned.ipam {
                leases.extend(locked.choose(&plan.key, plan.pod.as_ref(), &planned.plane, ipam, &is_gone)?);
            }
        }
        self.record.leases = leases;
        Ok(())
    }

    /// Links the chosen leases to the record.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn link_leases(&self, locked: &Locked) -> Result<Addresses, Error> {
        locked.link(self.key(), &self.record.leases)?;
        let mut addresses = Addresses::default();
        for Lease { plane, address, gateway } in &self.record.leases {
            addresses.add(plane, [Assigned { address: *address, gateway: *gateway }]);
        }
        Ok(addresses)
    }

    /// Unlinks the leases that are this attachment's.
    pub(crate) fn release_leases(&self) -> Result<(), Error> {
        Ok(self.store.release(self.key(), self.leased())?)
    }

    /// The leases that are no longer this attachment's, one sentence each.
    pub(crate) fn missing_leases(&self) -> Vec<String> {
        let missing =
            self.record.leases.iter().filter(|lease| !self.store.has(self.key(), lease.address.ip()));
        missing
            .map(|lease| format!("lease {} of plane {} is gone", lease.address.ip(), lease.plane))
            .collect()
    }

    /// A lost record takes the list of its leases with it; then the links themselves are asked. That lists a
    /// directory, and is worth it only where the record's file is there but garbled: one that is not there is
    /// that of a repeated DEL, and its leases are nobody's already.
    fn leased(&self) -> Vec<IpAddr> {
        if self.record.is_lost() && self.state.path(self.key()).exists() {
            return self.store.addresses_of(self.key()).unwrap_or_default();
        }
        self.record.leases.iter().map(|lease| lease.address.ip()).collect()
    }
}

/// The ranges in which an ADD would find nothing, if there are any.
///
/// # Errors
/// The store cannot be read.
pub fn exhausted(state: &State, network: &NetworkName, ipam: &EmbeddedIpam) -> Result<Option<String>, Error> {
    let store = Store::new(state.directory(), "");
    Ok(store.exhausted(network, ipam, &|key| is_gone(state, key))?)
}

/// Whether nothing can use an attachment's addresses any more. Doubt means no.
fn is_gone(state: &State, key: &AttachmentKey) -> bool {
    match state.load(key) {
        Ok(Some(record)) => !leads_home(&record),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Whether the record's path still leads to the namespace that was attached. Doubt means yes.
#[must_use]
pub fn leads_home(record: &Record) -> bool {
    match Netns::open(&record.plan.netns) {
        Ok(netns) => netns.cookie().is_ok_and(|cookie| cookie == record.netns_cookie),
        Err(error) => !error.is_absent(),
    }
}
