//! The protocol's state machine under any order of events, against a model of Envoy that keeps its own books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use control_plane::Settings;
use control_plane::registry::object::parse_file;
use control_plane::registry::source::{Change, Content};
use control_plane::registry::{Catalogue, Registry};
use control_plane::resource::Kind;
use control_plane::view::{Own, Snapshot, View, ViewKey};
use control_plane::xds::state::{Answer, Reaction, Request, State};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier as RouteCluster;
use envoy_types::pb::envoy::config::route::v3::VirtualHost;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::service::discovery::v3::Resource;
use planes::ProxyNode;
use prost::Message;
use proptest::prelude::*;
use serde_json::{Map, json};

use super::world::generated;

/// Snapshots of a registry that changes.
struct Source {
    catalogue: Catalogue,
    registry: Arc<Registry>,
    node: ProxyNode,
    view: Option<Arc<View>>,
    updates: u64,
}

impl Source {
    fn new() -> Self {
        let metadata = Map::from_iter([
            ("INSTANCE_IPS".to_owned(), json!("192.168.10.5,10.75.8.5,fd00::5")),
            ("NAMESPACE".to_owned(), json!("shop")),
        ]);
        let node = ProxyNode::parse("sidecar~~a.shop~shop.svc.cluster.local", &metadata).unwrap();
        let registry = Arc::new(Registry::default());
        Self { catalogue: Catalogue::default(), registry, node, view: None, updates: 0 }
    }

    fn take(&mut self, seed: u64) -> Snapshot {
        let content = Content::Objects(parse_file(&generated(seed)).unwrap());
        self.catalogue.apply(vec![Change { unit: "x".to_owned(), content }]);
        self.registry = Arc::new(self.catalogue.build(&self.registry));
        self.updates += 1;
        let settings = Settings::default();
        let key = ViewKey::of(&self.node);
        let view = View::build(&self.registry, &key, &settings, self.updates, self.view.as_deref());
        let view = Arc::new(view);
        self.view = Some(Arc::clone(&view));
        let own = Arc::new(Own::build(&self.registry, &self.node, &settings));
        Snapshot { update: self.updates, view, own }
    }
}

/// Envoy, as far as the protocol goes: it asks for endpoints of clusters and for routes of listeners that it
/// learns of, keeps what it is sent, and warms what is sent again.
#[derive(Default)]
struct Model {
    held: BTreeMap<Kind, BTreeMap<String, Resource>>,
    asked: BTreeMap<Kind, BTreeSet<String>>,
    warming: BTreeSet<(Kind, String)>,
    waiting: Vec<Answer>,
    refused: BTreeSet<(Kind, String, String)>,
}

impl Model {
    fn names(&self, kind: Kind) -> BTreeSet<String> {
        self.held.get(&kind).map(|held| held.keys().cloned().collect()).unwrap_or_default()
    }

    fn has_cluster(&self, name: &str) -> bool {
        self.held.get(&Kind::Cluster).is_some_and(|held| held.contains_key(name))
    }

    fn start(&mut self, state: &mut State, reconnect: bool) {
        for kind in Kind::ALL {
            let subscribe: Vec<String> = self.asked.get(&kind).into_iter().flatten().cloned().collect();
            if !kind.is_wildcard() && subscribe.is_empty() {
                continue;
            }
            let known = |(name, resource): (&String, &Resource)| (name.clone(), resource.version.clone());
            let initial: Vec<(String, String)> = if reconnect {
                self.held.get(&kind).into_iter().flatten().map(known).collect()
            } else {
                Vec::new()
            };
            state.request(kind, Request { subscribe, initial, ..Request::default() }).unwrap();
        }
    }

    /// Takes an answer in and checks what must hold at every moment.
    fn receive(&mut self, state: &mut State, answer: Answer) {
        assert!(
            !self.waiting.iter().any(|other| other.kind == answer.kind),
            "one answer of a kind on its way"
        );
        for bytes in &answer.resources {
            let resource = Resource::decode(bytes.clone()).unwrap();
            let refused = (answer.kind, resource.name.clone(), resource.version.clone());
            let forced = [Kind::Endpoints, Kind::VirtualHost].contains(&answer.kind);
            assert!(forced || !self.refused.contains(&refused), "{refused:?} is not sent again");
            self.forget_refusal(answer.kind, &resource.name);
            self.warm(answer.kind, &resource);
            self.check_references(answer.kind, &resource);
            self.held.entry(answer.kind).or_default().insert(resource.name.clone(), resource);
        }
        for name in &answer.removed {
            self.forget_refusal(answer.kind, name);
            self.held.entry(answer.kind).or_default().remove(&**name);
            // That there are no endpoints ends the waiting for them, too.
            let waits = if answer.kind == Kind::Endpoints { Kind::Cluster } else { answer.kind };
            self.warming.remove(&(waits, name.to_string()));
            if answer.kind == Kind::Cluster {
                self.check_nothing_refers_to(name);
            }
        }
        self.waiting.push(answer);
        self.ask(state);
    }

    /// It changed since, so it may come back as it was.
    fn forget_refusal(&mut self, kind: Kind, name: &str) {
        self.refused.retain(|(other, refused, _)| *other != kind || refused != name);
    }

    fn warm(&mut self, kind: Kind, resource: &Resource) {
        match kind {
            Kind::Cluster if is_eds(resource) => drop(self.warming.insert((kind, resource.name.clone()))),
            Kind::Cluster => drop(self.warming.remove(&(kind, resource.name.clone()))),
            Kind::Endpoints => drop(self.warming.remove(&(Kind::Cluster, resource.name.clone()))),
            Kind::Route => drop(self.warming.insert((kind, resource.name.clone()))),
            Kind::VirtualHost => {
                let route = resource.name.rsplit_once('/').unwrap().0;
                self.warming.remove(&(Kind::Route, route.to_owned()));
            }
            Kind::Listener => {}
        }
    }

    fn check_references(&self, kind: Kind, resource: &Resource) {
        for cluster in clusters_of(kind, resource) {
            assert!(
                self.has_cluster(&cluster),
                "{} refers to {cluster}, which is not there yet",
                resource.name
            );
        }
    }

    fn check_nothing_refers_to(&self, cluster: &str) {
        for kind in [Kind::Listener, Kind::VirtualHost] {
            for resource in self.held.get(&kind).into_iter().flatten().map(|(_, resource)| resource) {
                let named = clusters_of(kind, resource);
                assert!(
                    !named.iter().any(|name| name == cluster),
                    "{} still refers to {cluster}",
                    resource.name
                );
            }
        }
    }

    /// Subscribes to what the held clusters and listeners name, and gives up the rest.
    fn ask(&mut self, state: &mut State) {
        let clusters = self.held.get(&Kind::Cluster).into_iter().flatten();
        let endpoints =
            clusters.filter(|(_, resource)| is_eds(resource)).map(|(name, _)| name.clone()).collect();
        let listeners = self.held.get(&Kind::Listener).into_iter().flatten();
        let routes = listeners.flat_map(|(_, resource)| routes_of(resource)).collect();
        for (kind, wanted) in [(Kind::Endpoints, endpoints), (Kind::Route, routes)] {
            let wanted: BTreeSet<String> = wanted;
            let asked = self.asked.entry(kind).or_default();
            let subscribe: Vec<String> = wanted.difference(asked).cloned().collect();
            let unsubscribe: Vec<String> = asked.difference(&wanted).cloned().collect();
            *asked = wanted;
            for name in &unsubscribe {
                self.held.entry(kind).or_default().remove(name);
                self.warming.remove(&(kind, name.clone()));
                if kind == Kind::Route {
                    let hosts = self.held.entry(Kind::VirtualHost).or_default();
                    hosts.retain(|host, _| !host.starts_with(&format!("{name}/")));
                }
            }
            if !subscribe.is_empty() || !unsubscribe.is_empty() {
                state.request(kind, Request { subscribe, unsubscribe, ..Request::default() }).unwrap();
            }
        }
    }

    fn react(&mut self, state: &mut State, index: usize, refuse: bool) {
        if self.waiting.is_empty() {
            return;
        }
        let answer = self.waiting.remove(index % self.waiting.len());
        let refuse =
            refuse && [Kind::Cluster, Kind::Listener].contains(&answer.kind) && !answer.resources.is_empty();
        if refuse {
            for bytes in &answer.resources {
                let resource = Resource::decode(bytes.clone()).unwrap();
                self.refused.insert((answer.kind, resource.name, resource.version));
            }
        }
        let error = refuse.then(|| "no".to_owned());
        let request = Request { nonce: answer.nonce.clone(), error, ..Request::default() };
        let reaction = state.request(answer.kind, request).unwrap();
        assert_eq!(matches!(reaction, Reaction::Refused { .. }), refuse);
        assert!(!matches!(reaction, Reaction::Stale));
    }

    fn settle(&mut self, state: &mut State) {
        for _ in 0..10_000 {
            if let Some(answer) = state.answer() {
                self.receive(state, answer);
            } else if self.waiting.is_empty() {
                return;
            } else {
                self.react(state, 0, false);
            }
        }
        panic!("never comes to rest");
    }

    /// At rest the model holds exactly what the snapshot says, and nothing warms.
    fn check_at_rest(&self, state: &State, snapshot: &Snapshot) {
        assert!(state.is_settled() && !state.is_ready());
        assert!(self.warming.is_empty(), "warm for ever: {:?}", self.warming);
        for kind in Kind::ALL {
            let all: BTreeSet<String> = snapshot.names(kind).iter().map(ToString::to_string).collect();
            let asked = self.asked.get(&kind).cloned().unwrap_or_default();
            let wanted: BTreeSet<String> = match kind {
                Kind::Cluster | Kind::Listener => all,
                Kind::Endpoints | Kind::Route => all.intersection(&asked).cloned().collect(),
                Kind::VirtualHost => {
                    let routes = self.asked.get(&Kind::Route).cloned().unwrap_or_default();
                    all.into_iter().filter(|name| routes.contains(name.rsplit_once('/').unwrap().0)).collect()
                }
            };
            assert_eq!(self.names(kind), wanted, "{kind:?}");
            for (name, resource) in self.held.get(&kind).into_iter().flatten() {
                assert_eq!(resource.version, *snapshot.get(kind, name).unwrap().version, "{name}");
            }
        }
    }
}

fn content<T: Message + Default>(resource: &Resource) -> T {
    T::decode(resource.resource.as_ref().unwrap().value.as_slice()).unwrap()
}

fn is_eds(resource: &Resource) -> bool {
    content::<Cluster>(resource).eds_cluster_config.is_some()
}

fn chains(resource: &Resource) -> Vec<FilterChain> {
    let listener: Listener = content(resource);
    listener.filter_chains.into_iter().chain(listener.default_filter_chain).collect()
}

fn filters(resource: &Resource) -> Vec<(String, Vec<u8>)> {
    let all = chains(resource).into_iter().flat_map(|chain| chain.filters);
    all.filter_map(|filter| match filter.config_type {
        Some(ConfigType::TypedConfig(any)) => Some((filter.name, any.value)),
        _ => None,
    })
    .collect()
}

fn routes_of(listener: &Resource) -> Vec<String> {
    let managers =
        filters(listener).into_iter().filter(|(name, _)| name.ends_with("http_connection_manager"));
    managers
        .filter_map(|(_, bytes)| {
            match HttpConnectionManager::decode(bytes.as_slice()).unwrap().route_specifier {
                Some(RouteSpecifier::Rds(rds)) => Some(rds.route_config_name),
                _ => None,
            }
        })
        .collect()
}

fn of_host(host: &VirtualHost) -> Vec<String> {
    let action = |action: &Option<Action>| match action {
        Some(Action::Route(route)) => match &route.cluster_specifier {
            Some(RouteCluster::Cluster(name)) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    host.routes.iter().filter_map(|route| action(&route.action)).collect()
}

fn clusters_of(kind: Kind, resource: &Resource) -> Vec<String> {
    match kind {
        Kind::VirtualHost => of_host(&content(resource)),
        Kind::Listener => filters(resource)
            .into_iter()
            .flat_map(|(name, bytes)| {
                if name.ends_with("tcp_proxy") {
                    match TcpProxy::decode(bytes.as_slice()).unwrap().cluster_specifier {
                        Some(ClusterSpecifier::Cluster(name)) => vec![name],
                        _ => Vec::new(),
                    }
                } else {
                    match HttpConnectionManager::decode(bytes.as_slice()).unwrap().route_specifier {
                        Some(RouteSpecifier::RouteConfig(table)) => {
                            table.virtual_hosts.iter().flat_map(of_host).collect()
                        }
                        _ => Vec::new(),
                    }
                }
            })
            .collect(),
        Kind::Cluster | Kind::Endpoints | Kind::Route => Vec::new(),
    }
}

/// Something that may happen.
#[derive(Debug, Clone)]
enum Event {
    Change(u64),
    Answer,
    Acknowledge(usize),
    Refuse(usize),
    Stale(u8),
    Reconnect,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..60_u64).prop_map(Event::Change),
        8 => Just(Event::Answer),
        6 => (0..5_usize).prop_map(Event::Acknowledge),
        1 => (0..5_usize).prop_map(Event::Refuse),
        1 => any::<u8>().prop_map(Event::Stale),
        1 => Just(Event::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_references_hold_and_all_comes_to_rest(
        events in prop::collection::vec(event(), 1..60),
        chunk in prop_oneof![Just(1_usize), Just(700), Just(1 << 20)],
    ) {
        let mut source = Source::new();
        let mut snapshot = source.take(0);
        let mut state = State::new(snapshot.clone()).with_chunk(chunk);
        let mut model = Model::default();
        model.start(&mut state, false);
        for event in events {
            match event {
                Event::Change(seed) => {
                    snapshot = source.take(seed);
                    state.update(snapshot.clone());
                }
                Event::Answer => if let Some(answer) = state.answer() {
                    model.receive(&mut state, answer);
                },
                Event::Acknowledge(index) => model.react(&mut state, index, false),
                Event::Refuse(index) => model.react(&mut state, index, true),
                Event::Stale(nonce) => {
                    let request = Request { nonce: format!("x{nonce}"), ..Request::default() };
                    // A first request of a kind is also a subscription: only kinds already asked for.
                    let reaction = state.request(Kind::Cluster, request).unwrap();
                    prop_assert_eq!(reaction, Reaction::Stale);
                }
                Event::Reconnect => {
                    // What was refused Envoy does not have; the model takes it after all before the stream breaks.
                    model.settle(&mut state);
                    model.refused.clear();
                    state = State::new(snapshot.clone()).with_chunk(chunk);
                    model.start(&mut state, true);
                    prop_assert!(!state.is_ready(), "nothing that is unchanged is sent again");
                }
            }
        }
        model.settle(&mut state);
        model.check_at_rest(&state, &snapshot);
    }
}
