//! The ways back: one per step of ADD. Each succeeds when there is nothing to undo, so that DEL and GC can
//! take all of them whatever ADD got done.

use std::net::IpAddr;

use netlink::{interface, link};

use crate::error::Error;
use crate::scene::Scene;
use crate::undo::Step;

impl Scene {
    /// Opens both sides anew, before a retreat: what made ADD fail may have been the connection itself. Where that does
    /// not work, the old one has to do.
    pub fn reconnect(&mut self) {
        for net in std::iter::once(&mut self.host).chain(&mut self.pod) {
            if let Err(error) = net.reconnect() {
                tracing::warn!(%error, "undoing through the old netlink connection");
            }
        }
    }

    /// Undoes one step.
    pub async fn undo(&self, step: Step) -> Vec<Error> {
        match step {
            // The record of a finished ADD is the record of its plan, and goes with it.
            Step::Saved => Vec::new(),
            Step::Bootstrap => errors(self.withdraw_bootstrap()),
            Step::Capture => errors(self.release_traffic().await),
            Step::Interfaces => errors(self.release_rules().await),
            Step::Links => self.remove_links().await,
            Step::LateDelegates | Step::Delegates => self.return_delegated(step).await,
            Step::Leases => errors(self.release_leases()),
            Step::Claim => errors(self.disclaim()),
            Step::Record => errors(self.state.remove(self.key())),
        }
    }

    fn withdraw_bootstrap(&self) -> Result<(), Error> {
        let plan = &self.record.plan;
        let Some(bootstrap) = &plan.bootstrap else { return Ok(()) };
        Ok(bootstrap_gen::withdraw(&bootstrap.directory, plan.pod.as_ref(), &plan.key.container)?)
    }

    /// Rules and tables belong to no link; they go while the links can still tell their numbers.
    async fn release_rules(&self) -> Result<(), Error> {
        let Some(pod) = &self.pod else { return Ok(()) };
        let attachments = self.record.network.iter().flat_map(|network| &network.attachments);
        let observed =
            attachments.flat_map(|attachment| attachment.addresses.iter().map(|address| address.ip()));
        let leased = self.record.leases.iter().map(|lease| lease.address.ip());
        let addresses: Vec<IpAddr> = observed.chain(leased).collect();
        Ok(interface::release(pod, &self.record.plan.attachments, &addresses).await?)
    }

    /// A garbled record takes the cookie with it; then the claims themselves are asked whose they are.
    fn disclaim(&self) -> Result<(), Error> {
        if !self.record.is_lost() {
            return Ok(self.state.disclaim(self.record.netns_cookie, self.key())?);
        }
        if self.state.path(self.key()).exists() { Ok(self.state.disclaim_all(self.key())?) } else { Ok(()) }
    }

    /// Removes our links, then puts back what had given way to them: a default route that still stands would
    /// keep its predecessor out.
    async fn remove_links(&self) -> Vec<Error> {
        let plans = &self.record.plan.attachments;
        let homes = &self.record.homes;
        let mut errors = link::remove(&self.host, self.pod.as_ref(), self.mark(), plans, homes).await;
        if let Some(pod) = &self.pod {
            for (ifname, before) in self.record.before.iter().rev() {
                errors.extend(interface::restore(pod, ifname, before).await.err());
            }
        }
        errors.into_iter().map(Error::from).collect()
    }
}

fn errors<E: Into<Error>>(result: Result<(), E>) -> Vec<Error> {
    result.err().map(Into::into).into_iter().collect()
}
