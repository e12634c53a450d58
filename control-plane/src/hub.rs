//! Where the registry and the connected proxies meet: who is connected, which view each has, and who is
//! concerned by a change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use planes::ProxyNode;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::resource::{Kind, PerKind};
use crate::settings::Settings;
use crate::view::{Own, Snapshot, View, ViewKey};
use crate::xds::state::{Answer, Reaction, State};

/// What is known of one kind on one stream, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindStatus {
    /// Resources that the proxy holds.
    pub held: usize,
    /// Answers sent.
    pub answers: u64,
    /// Answers taken.
    pub acknowledged: u64,
    /// Answers refused.
    pub refused: u64,
    /// Resources that it refused and that have not changed since, with what it said.
    pub rejected: Vec<(Arc<str>, String)>,
}

/// What is known of one stream, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// By kind.
    pub kinds: PerKind<KindStatus>,
    /// Whether everything was taken.
    pub settled: bool,
    /// The number of the registry that this is about.
    pub update: u64,
}

#[derive(Debug)]
struct Proxy {
    node: Arc<ProxyNode>,
    key: ViewKey,
    own: Arc<Own>,
    sender: watch::Sender<Snapshot>,
    status: Arc<Mutex<Status>>,
}

#[derive(Debug, Default)]
struct Inner {
    registry: Arc<Registry>,
    updates: u64,
    generation: u64,
    last_id: u64,
    views: BTreeMap<ViewKey, Arc<View>>,
    proxies: BTreeMap<u64, Proxy>,
    by_address: HashMap<IpAddr, HashSet<u64>>,
}

/// Everything that is served, to everybody who is connected.
#[derive(Debug, Default)]
pub struct Hub {
    settings: Settings,
    inner: Mutex<Inner>,
    /// Counters.
    pub metrics: Metrics,
}

/// What a change of the registry meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// The number of the registry now in force.
    pub update: u64,
    /// Views that differ now.
    pub views: usize,
    /// Proxies whose own resources were made anew, because one of their addresses was touched.
    pub recomputed: usize,
    /// Proxies that have something new to learn.
    pub concerned: usize,
}

impl Hub {
    /// A hub with an empty registry and nobody connected.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, ..Self::default() })
    }

    /// What the operator chose.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is behind the lock is replaced whole: a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry in force.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.lock().registry)
    }

    /// Replaces the registry and tells everybody concerned, nobody else.
    pub fn update(&self, next: Registry) -> Effect {
        let mut inner = self.lock();
        let touched = inner.registry.touched(&next);
        inner.registry = Arc::new(next);
        inner.updates += 1;
        let changed = inner.rebuild_views(&self.settings);
        let recompute: HashSet<u64> =
            touched.iter().filter_map(|address| inner.by_address.get(address)).flatten().copied().collect();
        let mut effect =
            Effect { update: inner.updates, views: changed.len(), recomputed: recompute.len(), concerned: 0 };
        let Inner { registry, views, proxies, updates, .. } = &mut *inner;
        for (id, proxy) in proxies.iter_mut() {
            let mut concerned = changed.contains(&proxy.key);
            if recompute.contains(id) {
                let own = Own::build(registry, &proxy.node, &self.settings);
                if own != *proxy.own {
                    proxy.own = Arc::new(own);
                    concerned = true;
                }
            }
            if let Some(view) = views.get(&proxy.key).filter(|_| concerned) {
                effect.concerned += 1;
                let (view, own) = (Arc::clone(view), Arc::clone(&proxy.own));
                proxy.sender.send_replace(Snapshot { update: *updates, view, own });
            }
        }
        effect
    }

    /// Takes a proxy in; it leaves when the membership is dropped.
    pub fn join(self: &Arc<Self>, node: ProxyNode) -> (Member, watch::Receiver<Snapshot>) {
        let mut inner = self.lock();
        let node = Arc::new(node);
        let key = ViewKey::of(&node);
        let view = inner.view(&key, &self.settings);
        let own = Arc::new(Own::build(&inner.registry, &node, &self.settings));
        let (sender, receiver) =
            watch::channel(Snapshot { update: inner.updates, view, own: Arc::clone(&own) });
        let status = Arc::new(Mutex::new(Status::default()));
        inner.last_id += 1;
        let id = inner.last_id;
        for address in &node.addresses {
            inner.by_address.entry(*address).or_default().insert(id);
        }
        let member =
            Member { hub: Arc::clone(self), id, node: Arc::clone(&node), status: Arc::clone(&status) };
        inner.proxies.insert(id, Proxy { node, key, own, sender, status });
        self.metrics.joined();
        (member, receiver)
    }

    fn leave(&self, id: u64) {
        let mut inner = self.lock();
        let Some(proxy) = inner.proxies.remove(&id) else { return };
        for address in &proxy.node.addresses {
            if let Some(ids) = inner.by_address.get_mut(address) {
                ids.remove(&id);
                if ids.is_empty() {
                    inner.by_address.remove(address);
                }
            }
        }
        if !inner.proxies.values().any(|other| other.key == proxy.key) {
            inner.views.remove(&proxy.key);
        }
        self.metrics.left();
    }

    /// The connected proxies, in the order in which they came, with what is known of each.
    #[must_use]
    pub fn proxies(&self) -> Vec<(u64, Arc<ProxyNode>, Status)> {
        let inner = self.lock();
        let status = |proxy: &Proxy| proxy.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        inner.proxies.iter().map(|(id, proxy)| (*id, Arc::clone(&proxy.node), status(proxy))).collect()
    }

    /// What lost against something of the same name in any view.
    #[must_use]
    pub fn conflicts(&self) -> Vec<String> {
        let inner = self.lock();
        let mut conflicts: Vec<String> =
            inner.views.values().flat_map(|view| view.conflicts.iter().cloned()).collect();
        conflicts.sort_unstable();
        conflicts.dedup();
        conflicts
    }
}

impl Inner {
    fn view(&mut self, key: &ViewKey, settings: &Settings) -> Arc<View> {
        if let Some(view) = self.views.get(key) {
            return Arc::clone(view);
        }
        self.generation += 1;
        let view = Arc::new(View::build(&self.registry, key, settings, self.generation, None));
        self.views.insert(key.clone(), Arc::clone(&view));
        view
    }

    /// Makes every view anew from what the services that did not change have ready; returns the keys of those
    /// that differ.
    fn rebuild_views(&mut self, settings: &Settings) -> HashSet<ViewKey> {
        let mut changed = HashSet::new();
        for (key, view) in &mut self.views {
            self.generation += 1;
            let next = View::build(&self.registry, key, settings, self.generation, Some(view));
            if Kind::ALL.into_iter().any(|kind| !next.differing.get(kind).is_empty()) {
                *view = Arc::new(next);
                changed.insert(key.clone());
            }
        }
        changed
    }
}

/// A connected proxy's place in the hub.
#[derive(Debug)]
pub struct Member {
    hub: Arc<Hub>,
    id: u64,
    node: Arc<ProxyNode>,
    status: Arc<Mutex<Status>>,
}

impl Member {
    /// `namespace/name`, for logs.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.node.namespace, self.node.name)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the proxy holds.
    pub(crate) fn report(&self, state: &State) {
        let mut status = self.status();
        status.settled = state.is_settled();
        status.update = state.update_number();
        for kind in Kind::ALL {
            let kind_status = status.kinds.get_mut(kind);
            kind_status.held = state.held(kind).all().len();
            let few = state.refused(kind).iter().take(20);
            kind_status.rejected = few.map(|(name, error)| (Arc::clone(name), error.clone())).collect();
        }
    }

    /// Notes an answer.
    pub(crate) fn sent(&self, answer: &Answer) {
        self.status().kinds.get_mut(answer.kind).answers += 1;
        self.hub.metrics.sent(answer);
    }

    /// Notes what an answer met.
    pub(crate) fn reacted(&self, kind: Kind, reaction: &Reaction) {
        let mut status = self.status();
        let kind_status = status.kinds.get_mut(kind);
        match reaction {
            Reaction::Acknowledged => kind_status.acknowledged += 1,
            Reaction::Refused { .. } => kind_status.refused += 1,
            Reaction::Subscription | Reaction::Stale => {}
        }
        self.hub.metrics.reacted(kind, reaction);
    }

    /// Notes a request for something that is not served.
    pub(crate) fn unknown_kind(&self, type_url: &str) {
        let type_url: String = type_url.chars().take(100).collect();
        tracing::debug!(proxy = self.label(), type_url, "asked for a kind that is not served");
        self.hub.metrics.unknown_kind();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.hub.leave(self.id);
    }
}
