//! What a verb works with: the saved state and the two sides of the links, with one method per step of ADD.
//! Their order is the pipeline's business; the ways back are in `retreat.rs`.

use std::path::Path;
use std::time::{Duration, Instant};

use ipam::Store;
use netlink::interface::{Applied, Before, Target};
use netlink::link::{Created, Mark};
use netlink::{Net, Netns, identity, interface, link};
use planes::plan::LinkPlan;
use planes::resolve::refuse_twins;
use planes::{AttachmentKey, PlannedAttachment, PodNetwork};

use crate::delegation::Delegates;
use crate::error::Error;
use crate::leases::Addresses;
use crate::observe::observe;
use crate::request::{self, Request};
use crate::spec::Input;
use crate::spec::env::Variables;
use crate::state::{Owner, Record, State};

/// How long ADD waits for IPv6 duplicate address detection, which takes one to two seconds where it is on.
const DAD_PATIENCE: Duration = Duration::from_secs(5);

/// The pod, the node and what is known of their connection.
#[derive(Debug)]
pub struct Scene {
    /// Where the record lies.
    pub state: State,
    /// What ADD set out to do, and what it has made so far.
    pub record: Record,
    /// Where the leases lie.
    pub store: Store,
    /// The node's side.
    pub host: Net,
    /// The pod's side; a DEL may come after its end.
    pub pod: Option<Net>,
    /// How IPAM plugins are called.
    pub delegates: Delegates,
}

/// Opens a path if it leads to the namespace that was attached. Where the record is lost, any namespace that
/// nobody else has claimed will do, but for the node's own: everything of ours in it carries the attachment's mark.
fn home(path: &Path, node: &Netns, state: &State, record: &Record) -> Option<Netns> {
    let netns = Netns::open(path).ok()?;
    let cookie = netns.cookie().ok()?;
    let is_home = if record.is_lost() {
        let owner = state.owner_of(cookie);
        !netns.is_same(node) && owner.is_none_or(|owner| owner == state.owner(&record.plan.key))
    } else {
        cookie == record.netns_cookie
    };
    is_home.then_some(netns)
}

/// What was made for each attachment of the plan, in its order.
pub type Links = Vec<Created>;

impl Scene {
    /// The scene of an ADD.
    ///
    /// # Errors
    /// The state directory cannot be made.
    pub fn enter(request: Request, variables: &Variables, input: &Input) -> Result<Self, Error> {
        let state = request::state(input);
        state.create()?;
        let Request { conf, plan, netns_cookie, pod, host } = request;
        let store = Store::new(state.directory(), conf.sticky_directory);
        let record = Record {
            netns_cookie,
            plan,
            leases: Vec::new(),
            before: Vec::new(),
            homes: Vec::new(),
            network: None,
        };
        Ok(Self { state, record, store, host, pod: Some(pod), delegates: Delegates::new(variables, input) })
    }

    /// The scene of what was attached, as far as it still exists. `netns` is the caller's idea of the pod's
    /// namespace; it counts only as far as it is the one that was attached.
    ///
    /// # Errors
    /// The node's own side cannot be opened.
    pub fn revisit(
        state: State,
        record: Record,
        netns: Option<&Path>,
        variables: &Variables,
        input: &Input,
    ) -> Result<Self, Error> {
        let host = Net::open(Netns::current()?)?;
        let told = netns.and_then(|path| home(path, host.netns(), &state, &record));
        let pod = told.or_else(|| home(&record.plan.netns, host.netns(), &state, &record));
        let pod = pod.map(Net::open).transpose()?;
        // sticky addresses outlive their attachments: nothing of theirs is read or written here
        let store = Store::new(state.directory(), "");
        Ok(Self { state, record, store, host, pod, delegates: Delegates::new(variables, input) })
    }

    /// The attachment that this is about.
    #[must_use]
    pub fn key(&self) -> &AttachmentKey {
        &self.record.plan.key
    }

    /// The mark on everything that is made for it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark::of(self.key())
    }

    /// The pod's side, where the verb cannot do without.
    ///
    /// # Errors
    /// Its namespace is gone.
    pub fn pod(&self) -> Result<&Net, Error> {
        self.pod.as_ref().ok_or_else(|| Error::namespace_gone(&self.record.plan))
    }

    /// What is meant for each plane.
    pub(crate) fn planned(&self) -> &[PlannedAttachment] {
        &self.record.plan.attachments
    }

    /// An interface that stands where a plane's shall be is somebody else's: found out before anything is
    /// changed (CNI SPEC 1.1.0, "ADD": a name that is taken is an error).
    ///
    /// # Errors
    /// The name and the plane.
    pub async fn refuse_taken_names(&self) -> Result<(), Error> {
        for planned in self.planned().iter().filter(|planned| planned.link != LinkPlan::Adopted) {
            if self.pod()?.link_by_name(&planned.ifname).await?.is_some() {
                let (plane, ifname) = (planned.plane.clone(), planned.ifname.clone());
                return Err(Error::NameTaken { plane, ifname });
            }
        }
        Ok(())
    }

    /// Claims the namespace: one namespace, one attachment of ours.
    ///
    /// # Errors
    /// Another attachment has it.
    pub fn claim(&self) -> Result<(), Error> {
        match self.state.claim(self.record.netns_cookie, self.key())? {
            None => Ok(()),
            Some(Owner { network, attachment: owner }) => {
                Err(Error::Claimed { netns: self.record.plan.netns.clone(), owner, network })
            }
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn save(&self) -> Result<(), Error> {
        Ok(self.state.save(&self.record)?)
    }

    /// Makes the fixtures and the links, or finds what is adopted.
    ///
    /// # Errors
    /// The first link that cannot be made.
    pub async fn create_links(&mut self) -> Result<Links, Error> {
        self.remember_homes().await?;
        let pod = self.pod()?;
        interface::raise_loopback(pod).await?;
        let mut links = Vec::with_capacity(self.planned().len());
        for planned in self.planned() {
            link::ensure_fixtures(&self.host, planned).await?;
            links.push(link::create(&self.host, pod, self.mark(), planned).await?);
            tracing::info!(plane = %planned.plane, pod_ifname = %planned.ifname, "link ready");
        }
        Ok(links)
    }

    /// Saves what devices of the node are, before the pod gets them: what stands on the device itself, a pod may
    /// have rewritten.
    async fn remember_homes(&mut self) -> Result<(), Error> {
        let homes = link::homes(&self.host, self.planned()).await?;
        if homes.is_empty() {
            return Ok(());
        }
        self.record.homes = homes;
        self.save()
    }

    /// Saves the settings of interfaces that are not ours to delete, before they are changed: after a kill nobody
    /// could tell them.
    fn remember_settings(&mut self) -> Result<(), Error> {
        let befores = interface::settings_before(self.pod()?, self.planned())?;
        let names = self.planned().iter().map(|planned| planned.ifname.clone());
        let adopted = names.zip(befores).filter(|(_, before)| *before != Before::default());
        let adopted: Vec<_> = adopted.collect();
        if adopted.is_empty() {
            return Ok(());
        }
        self.record.before = adopted;
        self.save()
    }

    /// Sets addresses, routes, rules and sysctls. What interfaces had before that are not ours to delete is
    /// kept in the record.
    ///
    /// # Errors
    /// The first interface that cannot be configured.
    pub async fn configure(&mut self, links: &Links, addresses: &Addresses) -> Result<Vec<Applied>, Error> {
        self.remember_settings()?;
        let pod = self.pod.as_ref().ok_or_else(|| Error::namespace_gone(&self.record.plan))?;
        let plans = &self.record.plan.attachments;
        let assigned: Vec<_> = plans.iter().map(|planned| addresses.of(&planned.plane)).collect();
        let targets: Vec<Target<'_>> = plans
            .iter()
            .zip(links)
            .zip(&assigned)
            .map(|((plan, link), assigned)| Target { plan, index: link.index, assigned })
            .collect();
        let all = interface::configure_all(pod, &targets).await?;
        for target in &targets {
            link::configure_host(&self.host, target.plan, target.assigned).await?;
        }
        interface::announce(&self.host, pod, plans).await?;
        Ok(all)
    }

    /// Reads from the kernel what the pod is now.
    ///
    /// # Errors
    /// The kernel refuses to answer, or the pod's addresses are ambiguous.
    pub async fn observe(&self, links: &Links, applied: &[Applied]) -> Result<PodNetwork, Error> {
        let found = identity::enumerate(self.pod()?, Instant::now() + DAD_PATIENCE).await?;
        let network = observe(&self.record, links, applied, found);
        let attachments = network.attachments.iter();
        refuse_twins(
            attachments.flat_map(|one| one.addresses.iter().map(|address| (&one.plane, address.ip()))),
        )?;
        Ok(network)
    }

    /// Writes the bootstrap, if the configuration asks for one and there is a pod to name in it.
    ///
    /// # Errors
    /// The pod's networks make no proxy, or the file system refuses.
    pub fn place_bootstrap(&self, network: &PodNetwork) -> Result<(), Error> {
        let plan = &self.record.plan;
        let Some(bootstrap) = &plan.bootstrap else { return Ok(()) };
        let node = planes::ProxyNode::from_pod_network(network)?;
        let file = bootstrap_gen::generate(&node, bootstrap)?;
        let path = bootstrap_gen::place(&bootstrap.directory, plan.pod.as_ref(), &plan.key.container, &file)?;
        tracing::info!(path = %path.display(), "bootstrap written");
        Ok(())
    }

    /// Saves what was made.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn finish(&mut self, network: &PodNetwork) -> Result<(), Error> {
        self.record.network = Some(network.clone());
        self.save()
    }
}
