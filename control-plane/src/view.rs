//! What a proxy is told: the view it shares with all proxies of its kind, and what is its own.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use planes::ProxyNode;

use crate::envoy::{self, Families, inbound, outbound};
use crate::matching;
use crate::registry::service::{Endpoint, Resolution, Service, ServicePort};
use crate::registry::{Registered, Registry};
use crate::resource::{Kind, PerKind, Resource, Table};
use crate::settings::Settings;

/// What decides which services and endpoints a proxy sees. Proxies that agree in it share one view.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewKey {
    /// The proxy's namespace: some services are not exported to all.
    pub namespace: String,
    /// The planes that it has; `None` means all.
    pub networks: Option<BTreeSet<String>>,
    /// The address families that it has.
    pub families: Families,
}

impl ViewKey {
    /// The key of a proxy's view.
    #[must_use]
    pub fn of(node: &ProxyNode) -> Self {
        Self {
            namespace: node.namespace.clone(),
            networks: node.network_view.clone(),
            families: Families::of(&node.addresses),
        }
    }

    fn reaches(&self, endpoint: &Endpoint) -> bool {
        let network = &endpoint.network;
        let on_plane = network.is_empty()
            || self.networks.as_ref().is_none_or(|networks| networks.contains::<str>(network.as_ref()));
        on_plane && endpoint.address().is_none_or(|address| self.families.has(address))
    }
}

/// The resources of one port of a service.
#[derive(Debug)]
struct PortPart {
    cluster: Arc<Resource>,
    endpoints: Option<Arc<Resource>>,
    virtual_host: Option<Arc<Resource>>,
    listeners: Vec<Arc<Resource>>,
}

/// The resources of one service, as seen by proxies that reach the same endpoints: for each of its ports, in order.
#[derive(Debug)]
pub(crate) struct Part(Vec<PortPart>);

/// What a part depends on besides the service: families, and which endpoints are reached.
type PartKey = (Families, Vec<bool>);

/// The parts of a service made so far.
#[derive(Debug, Default)]
pub(crate) struct Parts(Mutex<Vec<(PartKey, Arc<Part>)>>);

impl Parts {
    /// The part for `key`, made at the first call. Parts that no view holds any more are forgotten.
    fn get(&self, service: &Service, key: &ViewKey, settings: &Settings) -> Arc<Part> {
        let reached: Vec<bool> = service.endpoints.iter().map(|endpoint| key.reaches(endpoint)).collect();
        let part_key = (key.families, reached);
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, part)) = parts.iter().find(|(known, _)| *known == part_key) {
            return Arc::clone(part);
        }
        parts.retain(|(_, part)| Arc::strong_count(part) > 1);
        let reached = service.endpoints.iter().zip(&part_key.1).filter(|(_, reached)| **reached);
        let endpoints: Vec<&Endpoint> = reached.map(|(endpoint, _)| endpoint).collect();
        let part = Arc::new(make_part(service, key.families, &endpoints, settings));
        parts.push((part_key, Arc::clone(&part)));
        part
    }
}

fn make_part(service: &Service, families: Families, endpoints: &[&Endpoint], settings: &Settings) -> Part {
    let domains = envoy::route::address_domains(service);
    let make = |port: &ServicePort| {
        let http = port.protocol.is_http();
        let singles = service.addresses.iter().filter(|network| planes::is_host(network));
        let tcp = singles.filter(|network| !http && families.has(network.ip()));
        PortPart {
            cluster: envoy::cluster::outbound(service, port, families, endpoints),
            endpoints: (service.resolution == Resolution::Static)
                .then(|| envoy::cluster::endpoints(service, port, endpoints)),
            virtual_host: http.then(|| envoy::route::virtual_host(service, port, &domains)),
            listeners: tcp
                .map(|network| outbound::tcp_listener(service, port, network.ip(), settings))
                .collect(),
        }
    };
    Part(service.ports.iter().map(make).collect())
}

/// What all proxies of one kind are told; immutable.
#[derive(Debug)]
pub struct View {
    /// Its number, never used twice.
    pub generation: u64,
    /// The number of the view that it replaced.
    pub replaces: u64,
    /// The names that differ from that one.
    pub differing: PerKind<Vec<Arc<str>>>,
    /// Services or addresses that lost against another of the same name, for people.
    pub conflicts: Vec<String>,
    tables: PerKind<Table>,
    _parts: Vec<Arc<Part>>,
}

impl View {
    /// Makes the view for `key`.
    #[must_use]
    pub fn build(
        registry: &Registry,
        key: &ViewKey,
        settings: &Settings,
        generation: u64,
        previous: Option<&View>,
    ) -> Self {
        let mut draft = Draft::new(settings, key);
        let visible = |found: &&Arc<Registered>| found.service.is_visible_in(&key.namespace);
        let own = |found: &&Arc<Registered>| *found.service.namespace == *key.namespace;
        // A proxy's own namespace wins where two namespaces declare the same host.
        for found in registry.services.iter().filter(visible).filter(own) {
            draft.add(found);
        }
        for found in registry.services.iter().filter(visible).filter(|found| !own(found)) {
            draft.add(found);
        }
        let (tables, conflicts, parts) = draft.finish();
        let differing = previous.map_or_else(PerKind::default, |previous| {
            PerKind::each(|kind| previous.tables.get(kind).differing(tables.get(kind)))
        });
        let replaces = previous.map_or(0, |view| view.generation);
        Self { generation, replaces, differing, conflicts, tables, _parts: parts }
    }

    /// The resources of one kind.
    #[must_use]
    pub fn table(&self, kind: Kind) -> &Table {
        self.tables.get(kind)
    }
}

/// A view in the making.
struct Draft<'a> {
    settings: &'a Settings,
    key: &'a ViewKey,
    resources: PerKind<Vec<Arc<Resource>>>,
    ports: BTreeMap<u16, outbound::Port<'a>>,
    hosts: HashSet<(&'a str, u16)>,
    domains: HashSet<(String, u16)>,
    sockets: HashSet<Arc<str>>,
    conflicts: Vec<String>,
    parts: Vec<Arc<Part>>,
}

impl<'a> Draft<'a> {
    fn new(settings: &'a Settings, key: &'a ViewKey) -> Self {
        let mut resources: PerKind<Vec<Arc<Resource>>> = PerKind::default();
        *resources.get_mut(Kind::Cluster) = vec![
            envoy::cluster::black_hole(),
            envoy::cluster::passthrough(),
            envoy::cluster::inbound_passthrough(key.families),
        ];
        Self {
            settings,
            key,
            resources,
            ports: BTreeMap::new(),
            hosts: HashSet::new(),
            domains: HashSet::new(),
            sockets: HashSet::new(),
            conflicts: Vec::new(),
            parts: Vec::new(),
        }
    }

    fn add(&mut self, found: &'a Registered) {
        let service = &found.service;
        let part = found.parts.get(service, self.key, self.settings);
        for (port, port_part) in service.ports.iter().zip(&part.0) {
            if envoy::is_reserved(port.number) {
                self.conflict(service, port, "the port is the proxy's own: use another");
            } else if self.hosts.insert((&service.host, port.number)) {
                self.add_port(service, port, port_part);
            } else {
                self.conflict(service, port, "the host and port are already declared by another service");
            }
        }
        self.parts.push(part);
    }

    fn conflict(&mut self, service: &Service, port: &ServicePort, reason: &str) {
        self.conflicts.push(format!("{} port {}: {reason}", service.label(), port.number));
    }

    fn add_port(&mut self, service: &'a Service, port: &'a ServicePort, part: &PortPart) {
        self.resources.get_mut(Kind::Cluster).push(Arc::clone(&part.cluster));
        self.resources.get_mut(Kind::Endpoints).extend(part.endpoints.clone());
        if let Some(host) = &part.virtual_host {
            self.add_http(service, port, host);
        } else {
            self.add_tcp(service, port, part);
        }
    }

    /// Envoy refuses a route in which a domain stands twice, and all of its hosts with it.
    fn add_http(&mut self, service: &Service, port: &ServicePort, host: &Arc<Resource>) {
        self.ports.entry(port.number).or_default().http = true;
        let domains = envoy::route::address_domains(service);
        let free: Vec<String> = domains
            .iter()
            .filter(|name| self.domains.insert(((*name).clone(), port.number)))
            .cloned()
            .collect();
        let made = if free.len() == domains.len() {
            Arc::clone(host)
        } else {
            self.conflict(service, port, "an address is already another HTTP service's");
            envoy::route::virtual_host(service, port, &free)
        };
        self.resources.get_mut(Kind::VirtualHost).push(made);
    }

    fn add_tcp(&mut self, service: &'a Service, port: &'a ServicePort, part: &PortPart) {
        for listener in &part.listeners {
            if self.sockets.insert(Arc::clone(&listener.name)) {
                self.resources.get_mut(Kind::Listener).push(Arc::clone(listener));
            } else {
                self.conflict(service, port, "the address and port are already another TCP service's");
            }
        }
        let mut networks: Vec<_> =
            service.addresses.iter().copied().filter(|network| !planes::is_host(network)).collect();
        networks.retain(|network| self.key.families.has(network.ip()));
        let taken = &mut self.ports;
        if !networks.is_empty() {
            let wildcard = taken.entry(port.number).or_default();
            networks.retain(|network| {
                !wildcard
                    .networks
                    .iter()
                    .any(|(_, _, others)| others.iter().any(|other| same(other, network)))
            });
            if !networks.is_empty() {
                wildcard.networks.push((service, port, networks));
            }
        } else if service.addresses.is_empty() {
            let wildcard = taken.entry(port.number).or_default();
            if wildcard.any.is_none() {
                wildcard.any = Some((service, port));
            } else {
                self.conflict(
                    service,
                    port,
                    "another TCP service without an address has the port: give it one",
                );
            }
        }
    }

    fn finish(mut self) -> (PerKind<Table>, Vec<String>, Vec<Arc<Part>>) {
        let ports = std::mem::take(&mut self.ports);
        for (number, port) in &ports {
            if let (true, Some((service, service_port))) = (port.http, port.any) {
                self.conflict(service, service_port, "HTTP services have the port: give it an address");
            }
            if port.http {
                self.resources.get_mut(Kind::Route).push(envoy::route::configuration(*number));
                let catch_all = envoy::route::catch_all(*number, self.settings.outbound);
                self.resources.get_mut(Kind::VirtualHost).push(catch_all);
            }
            let listener = outbound::wildcard(*number, port, self.key.families, self.settings);
            self.resources.get_mut(Kind::Listener).push(listener);
        }
        let tables = PerKind::each(|kind| Table::new(std::mem::take(self.resources.get_mut(kind))));
        (tables, self.conflicts, self.parts)
    }
}

fn same(a: &ipnetwork::IpNetwork, b: &ipnetwork::IpNetwork) -> bool {
    a.network() == b.network() && a.prefix() == b.prefix()
}

/// What one proxy alone is told: the resources that hold its own addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Own(PerKind<Table>);

impl Own {
    /// Makes it.
    #[must_use]
    pub fn build(registry: &Registry, node: &ProxyNode, settings: &Settings) -> Self {
        let targets = matching::targets(registry, node, settings.which);
        Self(PerKind::each(|kind| {
            Table::new(match kind {
                Kind::Cluster => inbound::clusters(node, &targets, settings),
                Kind::Listener => inbound::listeners(node, &targets, settings),
                Kind::Endpoints | Kind::Route | Kind::VirtualHost => Vec::new(),
            })
        }))
    }

    /// The resources of one kind.
    #[must_use]
    pub fn table(&self, kind: Kind) -> &Table {
        self.0.get(kind)
    }
}

/// Everything that one proxy is told at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The registry's number at that moment.
    pub update: u64,
    /// Shared.
    pub view: Arc<View>,
    /// Its own.
    pub own: Arc<Own>,
}

impl Snapshot {
    /// The resource with this name, the proxy's own first: what serves its application hides what calls it.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.own.table(kind).get(name).or_else(|| self.view.table(kind).get(name))
    }

    /// All names of one kind, sorted; a name may stand twice.
    pub fn names(&self, kind: Kind) -> Vec<Arc<str>> {
        let all = self.own.table(kind).all().iter().chain(self.view.table(kind).all());
        let mut names: Vec<Arc<str>> = all.map(|resource| Arc::clone(&resource.name)).collect();
        names.sort_unstable();
        names
    }
}
