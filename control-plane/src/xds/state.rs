//! One proxy's side of the delta protocol, without any input or output: what it asked for, what it holds, what
//! it is owed, and in which order it must learn it.
//!
//! What must hold:
//! - additions go clusters, endpoints, listeners, routes, virtual hosts; what is referred to comes first;
//! - removals go the other way: a cluster leaves when everything that may refer to it has been acknowledged;
//! - endpoints wait for nothing: Envoy acknowledges clusters only when they are warm, and they warm by endpoints;
//! - a cluster that is sent again needs its endpoints again, a route its virtual hosts: Envoy warms them anew but
//!   asks for nothing anew;
//! - what was refused is not sent again until it changes;
//! - at most one answer of each kind is on its way, so a slow reader costs one answer of memory.
//!
//! Source: Envoy `docs/root/api-docs/xds_protocol.rst`, "Incremental xDS".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::bytes::Bytes;

use crate::resource::{Kind, PerKind, Resource, Table};
use crate::view::Snapshot;

/// How much of one kind is sent at once: enough for thousands of resources, little enough to keep per proxy.
const CHUNK_BYTES: usize = 1 << 20;
/// More names than any registry makes.
const MAX_NAMES: usize = 200_000;
/// Longer than any name that we make (Envoy bounds stat names far below).
const MAX_NAME_BYTES: usize = 1024;

/// A request of one kind, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Names that the proxy wants to know from now on; `*` for all.
    pub subscribe: Vec<String>,
    /// Names that it no longer wants.
    pub unsubscribe: Vec<String>,
    /// What it has from a former stream: name and version. Counts in the first request of a kind alone.
    pub initial: Vec<(String, String)>,
    /// The answer that this acknowledges or refuses; empty if none.
    pub nonce: String,
    /// Why it refuses it.
    pub error: Option<String>,
}

/// What a request meant for the answer before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// It answers nothing.
    Subscription,
    /// The answer was taken.
    Acknowledged,
    /// The answer was refused.
    Refused {
        /// What the answer held.
        names: Vec<Arc<str>>,
        /// What the proxy said.
        error: String,
    },
    /// It names an answer that is no longer waited for.
    Stale,
}

/// A request that cannot be served: the stream ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unservable {
    /// A name that no resource of ours can have.
    #[error("resource name of {0} bytes: at most {MAX_NAME_BYTES}")]
    LongName(usize),
    /// More subscriptions than any registry has resources.
    #[error("more than {MAX_NAMES} names of {0}: subscribe to \"*\"")]
    TooManyNames(&'static str),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of which kind.
    pub kind: Kind,
    /// Encoded resources, added or changed.
    pub resources: Vec<Bytes>,
    /// Names of those that do not exist, any more or at all.
    pub removed: Vec<Arc<str>>,
    /// What the proxy will repeat.
    pub nonce: String,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    names: Vec<Arc<str>>,
}

/// One kind of one stream. For every name, `add` and `gone` say how what the proxy holds differs from what it
/// should hold; they are brought up to date by [`State::look`] whenever one of the two changes.
#[derive(Debug, Default)]
struct Subscription {
    active: bool,
    /// Whether the proxy came with resources of a former stream.
    kept: bool,
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
    held: Table,
    add: BTreeSet<Arc<str>>,
    gone: BTreeSet<Arc<str>>,
    /// Names that do not exist but were asked for: "no" is an answer too.
    owed: BTreeSet<Arc<str>>,
    in_flight: Option<InFlight>,
    refused: BTreeMap<Arc<str>, String>,
}

impl Subscription {
    fn is_settled(&self) -> bool {
        self.add.is_empty() && self.gone.is_empty() && self.in_flight.is_none()
    }
}

/// One proxy's side of the protocol.
#[derive(Debug)]
pub struct State {
    snapshot: Snapshot,
    kinds: PerKind<Subscription>,
    answers: u64,
    chunk: usize,
}

impl State {
    /// A stream on which nothing was asked yet.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, kinds: PerKind::default(), answers: 0, chunk: CHUNK_BYTES }
    }

    /// The same with another size of answers, for tests.
    #[must_use]
    pub fn with_chunk(self, chunk: usize) -> Self {
        Self { chunk, ..self }
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// The stream asks for something that nobody may.
    pub fn request(&mut self, kind: Kind, request: Request) -> Result<Reaction, Unservable> {
        let Request { subscribe, unsubscribe, initial, nonce, error } = request;
        check(self.kinds.get(kind), kind, &subscribe, &initial)?;
        let reaction = self.react(kind, &nonce, error);
        let first = !self.kinds.get(kind).active;
        if first {
            self.begin(kind, subscribe.is_empty(), &initial);
        }
        for name in subscribe {
            let has = first && self.kinds.get(kind).held.get(&name).is_some();
            self.subscribe(kind, name.into(), !has);
        }
        for name in unsubscribe {
            self.unsubscribe(kind, &name);
        }
        Ok(reaction)
    }

    fn react(&mut self, kind: Kind, nonce: &str, error: Option<String>) -> Reaction {
        if nonce.is_empty() {
            return Reaction::Subscription;
        }
        let subscription = self.kinds.get_mut(kind);
        let Some(answer) = subscription.in_flight.take_if(|answer| answer.nonce == nonce) else {
            return Reaction::Stale;
        };
        match error {
            None => {
                for name in &answer.names {
                    subscription.refused.remove(name);
                }
                Reaction::Acknowledged
            }
            Some(error) => {
                for name in &answer.names {
                    subscription.refused.insert(Arc::clone(name), error.clone());
                }
                Reaction::Refused { names: answer.names, error }
            }
        }
    }

    /// The first request of a kind also tells what the proxy has kept from a former stream.
    fn begin(&mut self, kind: Kind, no_names: bool, initial: &[(String, String)]) {
        let subscription = self.kinds.get_mut(kind);
        subscription.active = true;
        subscription.kept = !initial.is_empty();
        subscription.held =
            Table::new(initial.iter().map(|(name, version)| Resource::known(name, version)).collect());
        if no_names && kind.is_wildcard() {
            self.want_all(kind);
        }
        self.look_at_held(kind);
    }

    fn want_all(&mut self, kind: Kind) {
        self.kinds.get_mut(kind).wildcard = true;
        for name in self.snapshot.names(kind) {
            self.look(kind, &name);
        }
    }

    fn look_at_held(&mut self, kind: Kind) {
        let held: Vec<Arc<str>> =
            self.kinds.get(kind).held.all().iter().map(|resource| Arc::clone(&resource.name)).collect();
        for name in held {
            self.look(kind, &name);
        }
    }

    fn subscribe(&mut self, kind: Kind, name: Arc<str>, resend: bool) {
        if &*name == "*" {
            self.want_all(kind);
            return;
        }
        let known = self.snapshot.get(kind, &name).map(|resource| Arc::clone(&resource.name));
        let name = known.unwrap_or(name);
        let subscription = self.kinds.get_mut(kind);
        subscription.names.insert(Arc::clone(&name));
        if resend {
            subscription.held.remove(&name);
            subscription.owed.insert(Arc::clone(&name));
        }
        self.look(kind, &name);
    }

    fn unsubscribe(&mut self, kind: Kind, name: &str) {
        let subscription = self.kinds.get_mut(kind);
        if name == "*" {
            subscription.wildcard = false;
        } else {
            subscription.names.remove(name);
            subscription.owed.remove(name);
        }
        // The proxy forgets what it unsubscribes from; nobody tells it again.
        let dropped: Vec<Arc<str>> = if name == "*" {
            subscription.held.all().iter().map(|resource| Arc::clone(&resource.name)).collect()
        } else {
            vec![name.into()]
        };
        for name in dropped {
            if !self.is_wanted(kind, &name) {
                self.forget(kind, &name);
            }
        }
        if kind == Kind::Route {
            self.forget_virtual_hosts(name);
        }
    }

    fn forget(&mut self, kind: Kind, name: &str) {
        let subscription = self.kinds.get_mut(kind);
        subscription.held.remove(name);
        subscription.add.remove(name);
        subscription.gone.remove(name);
        subscription.refused.remove(name);
    }

    fn forget_virtual_hosts(&mut self, route: &str) {
        let prefix = format!("{route}/");
        let hosts = self.kinds.get(Kind::VirtualHost).held.starting_with(&prefix).to_vec();
        for host in hosts {
            if !self.is_wanted(Kind::VirtualHost, &host.name) {
                self.forget(Kind::VirtualHost, &host.name);
            }
        }
    }

    fn is_wanted(&self, kind: Kind, name: &str) -> bool {
        let subscription = self.kinds.get(kind);
        if !subscription.active {
            return false;
        }
        if subscription.names.contains(name) {
            return true;
        }
        subscription.wildcard
            && match kind {
                Kind::VirtualHost => route_of(name).is_some_and(|route| self.is_wanted(Kind::Route, route)),
                Kind::Cluster | Kind::Endpoints | Kind::Listener | Kind::Route => true,
            }
    }

    /// Compares what the proxy holds under `name` with what it should hold.
    fn look(&mut self, kind: Kind, name: &Arc<str>) {
        let target = if self.is_wanted(kind, name) { self.snapshot.get(kind, name).cloned() } else { None };
        let subscription = self.kinds.get_mut(kind);
        subscription.add.remove(name);
        subscription.gone.remove(name);
        match (target, subscription.held.get(name)) {
            (Some(target), Some(held)) if target.version == held.version => {
                subscription.owed.remove(name);
                // Shares the name and version with everybody instead of keeping its own.
                subscription.held.insert(target);
            }
            (Some(target), _) => drop(subscription.add.insert(Arc::clone(&target.name))),
            (None, Some(_)) => drop(subscription.gone.insert(Arc::clone(name))),
            (None, None) if subscription.owed.contains(name) => {
                subscription.gone.insert(Arc::clone(name));
            }
            (None, None) => {}
        }
    }

    /// Takes a new snapshot in; looks only at what differs.
    pub fn update(&mut self, next: Snapshot) {
        let previous = std::mem::replace(&mut self.snapshot, next);
        let next = self.snapshot.clone();
        for kind in Kind::ALL {
            if !self.kinds.get(kind).active {
                continue;
            }
            let mut names = previous.own.table(kind).differing(next.own.table(kind));
            if next.view.generation == previous.view.generation {
                // Nothing shared has changed.
            } else if next.view.replaces == previous.view.generation {
                names.extend(next.view.differing.get(kind).iter().cloned());
            } else {
                names.extend(previous.view.table(kind).differing(next.view.table(kind)));
            }
            for name in names {
                self.look(kind, &name);
            }
        }
    }

    /// Whether [`State::answer`] has something to say now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.next().is_some()
    }

    /// The kind of the next answer.
    fn next(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.can_add(*kind) || self.can_remove(*kind))
    }

    fn can_add(&self, kind: Kind) -> bool {
        let subscription = self.kinds.get(kind);
        let none_to_add = |kind: Kind| self.kinds.get(kind).add.is_empty();
        subscription.in_flight.is_none()
            && (!subscription.add.is_empty() || !subscription.gone.is_disjoint(&subscription.owed))
            && match kind {
                Kind::Cluster | Kind::Endpoints => true,
                Kind::Listener | Kind::Route => none_to_add(Kind::Cluster),
                Kind::VirtualHost => none_to_add(Kind::Cluster) && none_to_add(Kind::Route),
            }
    }

    fn can_remove(&self, kind: Kind) -> bool {
        let subscription = self.kinds.get(kind);
        let settled = |kinds: &[Kind]| kinds.iter().all(|kind| self.kinds.get(*kind).is_settled());
        // On a new stream a proxy asks kind by kind: until it has asked for listeners, those that it kept may refer to what
        // else it kept.
        let listeners_known = self.kinds.get(Kind::Listener).active || !subscription.kept;
        subscription.in_flight.is_none()
            && !subscription.gone.is_empty()
            && match kind {
                Kind::Listener | Kind::VirtualHost => true,
                Kind::Route => listeners_known && settled(&[Kind::Listener]),
                Kind::Cluster => {
                    listeners_known && settled(&[Kind::Listener, Kind::Route, Kind::VirtualHost])
                }
                Kind::Endpoints => settled(&[Kind::Cluster]),
            }
    }

    /// The next answer, if one may go now.
    pub fn answer(&mut self) -> Option<Answer> {
        let kind = self.next()?;
        let resources = if self.can_add(kind) { self.take_additions(kind) } else { Vec::new() };
        let removed = self.take_removals(kind);
        self.answers += 1;
        let nonce = self.answers.to_string();
        let names = resources.iter().map(|resource| Arc::clone(&resource.name)).collect();
        self.kinds.get_mut(kind).in_flight = Some(InFlight { nonce: nonce.clone(), names });
        let resources = resources.iter().map(|resource| resource.bytes.clone()).collect();
        Some(Answer { kind, resources, removed, nonce })
    }

    fn take_additions(&mut self, kind: Kind) -> Vec<Arc<Resource>> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < self.chunk {
            let Some(name) = self.kinds.get_mut(kind).add.pop_first() else { break };
            let Some(resource) = self.snapshot.get(kind, &name).cloned() else { continue };
            bytes += resource.bytes.len();
            let subscription = self.kinds.get_mut(kind);
            subscription.owed.remove(&name);
            subscription.held.insert(Arc::clone(&resource));
            taken.push(resource);
        }
        for resource in &taken {
            self.owe_dependents(kind, &resource.name);
        }
        taken
    }

    /// What Envoy warms anew without asking anew.
    fn owe_dependents(&mut self, kind: Kind, name: &Arc<str>) {
        match kind {
            Kind::Cluster => {
                if self.is_wanted(Kind::Endpoints, name) {
                    self.kinds.get_mut(Kind::Endpoints).held.remove(name);
                    self.look(Kind::Endpoints, name);
                }
            }
            Kind::Route => {
                let prefix = format!("{name}/");
                let hosts = self.snapshot.view.table(Kind::VirtualHost).starting_with(&prefix).to_vec();
                for host in hosts {
                    self.kinds.get_mut(Kind::VirtualHost).held.remove(&host.name);
                    self.look(Kind::VirtualHost, &host.name);
                }
            }
            Kind::Endpoints | Kind::Listener | Kind::VirtualHost => {}
        }
    }

    fn take_removals(&mut self, kind: Kind) -> Vec<Arc<str>> {
        let all = self.can_remove(kind);
        let subscription = self.kinds.get_mut(kind);
        let gone = std::mem::take(&mut subscription.gone);
        let (now, later): (BTreeSet<_>, BTreeSet<_>) =
            gone.into_iter().partition(|name| all || subscription.owed.contains(name));
        subscription.gone = later;
        for name in &now {
            subscription.held.remove(name);
            subscription.owed.remove(name);
            subscription.refused.remove(name);
        }
        now.into_iter().collect()
    }

    /// The number of the registry that the proxy is being told.
    #[must_use]
    pub fn update_number(&self) -> u64 {
        self.snapshot.update
    }

    /// What the proxy holds of a kind.
    #[must_use]
    pub fn held(&self, kind: Kind) -> &Table {
        &self.kinds.get(kind).held
    }

    /// Resources that the proxy refused, with what it said; until they change or it takes them.
    #[must_use]
    pub fn refused(&self, kind: Kind) -> &BTreeMap<Arc<str>, String> {
        &self.kinds.get(kind).refused
    }

    /// Whether the proxy has taken everything that it should hold.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.kinds.get(kind).is_settled())
    }
}

/// A virtual host belongs to the route before the last slash of its name.
fn route_of(virtual_host: &str) -> Option<&str> {
    virtual_host.rsplit_once('/').map(|(route, _)| route)
}

fn check(
    subscription: &Subscription,
    kind: Kind,
    subscribe: &[String],
    initial: &[(String, String)],
) -> Result<(), Unservable> {
    let names = subscribe.iter().chain(initial.iter().map(|(name, _)| name));
    if let Some(name) = names.into_iter().find(|name| name.len() > MAX_NAME_BYTES) {
        return Err(Unservable::LongName(name.len()));
    }
    if subscription.names.len() + subscribe.len() > MAX_NAMES || initial.len() > MAX_NAMES {
        return Err(Unservable::TooManyNames(kind.short()));
    }
    Ok(())
}
