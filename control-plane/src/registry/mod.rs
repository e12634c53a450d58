//! The services that exist: read from a source, kept whole when a part of it is bad, and indexed by address.

pub mod directory;
pub mod object;
pub mod service;
pub mod source;
pub mod yaml;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use object::{Meta, Object, ServiceEntry, WorkloadEntry};
use service::{Endpoint, Service};
use source::{Change, Content};
use yaml::FieldError;

use crate::view::Parts;

/// A service in force, with the resources made from it: they live exactly as long as it does not change.
#[derive(Debug)]
pub struct Registered {
    /// The service.
    pub service: Service,
    pub(crate) parts: Parts,
}

/// Something in the registry that a person should mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or whatever the source calls it.
    pub unit: String,
    /// Line, field, problem, cure.
    pub error: FieldError,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.unit, self.error)
    }
}

/// All services at one moment; immutable.
#[derive(Debug, Default)]
pub struct Registry {
    /// Services, sorted by namespace, host and name.
    pub services: Vec<Arc<Registered>>,
    /// Files whose last good state is in force instead of what they hold now, and objects that lost a conflict.
    pub faults: Vec<Fault>,
    /// Documents of kinds that mean nothing here.
    pub ignored: usize,
    by_address: HashMap<IpAddr, Vec<Arc<Registered>>>,
}

impl Registry {
    /// The services that have an endpoint at `address`.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> &[Arc<Registered>] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    fn index(services: &[Arc<Registered>]) -> HashMap<IpAddr, Vec<Arc<Registered>>> {
        let mut index: HashMap<IpAddr, Vec<Arc<Registered>>> = HashMap::new();
        for registered in services {
            let mut own: Vec<IpAddr> =
                registered.service.endpoints.iter().filter_map(Endpoint::address).collect();
            own.sort_unstable();
            own.dedup();
            for address in own {
                index.entry(address).or_default().push(Arc::clone(registered));
            }
        }
        index
    }

    /// The addresses of endpoints of services that differ between two registries: a proxy that has one of them
    /// may match other services than before, and no other proxy can.
    #[must_use]
    pub fn touched(&self, next: &Registry) -> HashSet<IpAddr> {
        let pointers = |registry: &Registry| -> HashSet<*const Registered> {
            registry.services.iter().map(Arc::as_ptr).collect()
        };
        let (old, new) = (pointers(self), pointers(next));
        let changed = |registry: &Registry, other: &HashSet<*const Registered>| -> Vec<IpAddr> {
            let differing = registry.services.iter().filter(|service| !other.contains(&Arc::as_ptr(service)));
            differing.flat_map(|found| found.service.endpoints.iter().filter_map(Endpoint::address)).collect()
        };
        let mut touched: HashSet<IpAddr> = changed(self, &new).into_iter().collect();
        touched.extend(changed(next, &old));
        touched
    }
}

/// The last good state of each unit of a source.
#[derive(Debug, Default)]
pub struct Catalogue {
    units: BTreeMap<String, Vec<Object>>,
    faults: BTreeMap<String, FieldError>,
}

impl Catalogue {
    /// Takes changes in.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for Change { unit, content } in changes {
            match content {
                Content::Objects(objects) => {
                    self.faults.remove(&unit);
                    self.units.insert(unit, objects);
                }
                Content::Fault(error) => drop(self.faults.insert(unit, error)),
                Content::Removed => {
                    self.faults.remove(&unit);
                    self.units.remove(&unit);
                }
            }
        }
    }

    /// The registry that follows from all units; what did not change is shared with `previous`.
    #[must_use]
    pub fn build(&self, previous: &Registry) -> Registry {
        let mut assembly = Assembly::default();
        for (unit, objects) in &self.units {
            for object in objects {
                assembly.add(unit, object);
            }
        }
        let mut faults: Vec<Fault> = self
            .faults
            .iter()
            .map(|(unit, error)| Fault { unit: unit.clone(), error: error.clone() })
            .collect();
        let services = reuse(assembly.services(), previous);
        faults.append(&mut assembly.faults);
        Registry { by_address: Registry::index(&services), services, faults, ignored: assembly.ignored }
    }
}

fn reuse(services: Vec<Service>, previous: &Registry) -> Vec<Arc<Registered>> {
    let known: HashMap<(&str, &str, &str), &Arc<Registered>> =
        previous.services.iter().map(|found| (key(&found.service), found)).collect();
    services
        .into_iter()
        .map(|service| match known.get(&key(&service)) {
            Some(found) if found.service == service => Arc::clone(found),
            _ => Arc::new(Registered { service, parts: Parts::default() }),
        })
        .collect()
}

fn key(service: &Service) -> (&str, &str, &str) {
    (&service.namespace, &service.host, &service.name)
}

/// Objects of all units on their way to a registry.
#[derive(Default)]
struct Assembly<'a> {
    entries: Vec<&'a ServiceEntry>,
    workloads: HashMap<(&'a str, &'a str, &'a str), Vec<&'a WorkloadEntry>>,
    defined: HashMap<(&'static str, &'a str, &'a str), &'a str>,
    faults: Vec<Fault>,
    ignored: usize,
}

impl<'a> Assembly<'a> {
    fn add(&mut self, unit: &'a str, object: &'a Object) {
        match object {
            Object::Service(entry) => {
                if self.define("ServiceEntry", &entry.meta, unit) {
                    self.entries.push(entry);
                }
            }
            Object::Workload(entry) => {
                if self.define("WorkloadEntry", &entry.meta, unit) {
                    for (name, value) in &entry.labels {
                        self.workloads.entry((&entry.meta.namespace, name, value)).or_default().push(entry);
                    }
                }
            }
            Object::Ignored => self.ignored += 1,
        }
    }

    /// Whether the object is the first of its name: the first is in force, a later one is a fault.
    fn define(&mut self, kind: &'static str, meta: &'a Meta, unit: &'a str) -> bool {
        let first = match self.defined.entry((kind, &meta.namespace, &meta.name)) {
            Entry::Vacant(free) => {
                free.insert(unit);
                return true;
            }
            Entry::Occupied(taken) => *taken.get(),
        };
        let problem = format!("{kind} {}/{} is already defined in {first}", meta.namespace, meta.name);
        let cure = "rename or remove one of them; the first is in force".to_owned();
        let error = FieldError { line: meta.line, field: "metadata.name".to_owned(), problem, cure };
        self.faults.push(Fault { unit: unit.to_owned(), error });
        false
    }

    fn services(&self) -> Vec<Service> {
        let mut services: Vec<Service> = self.entries.iter().flat_map(|entry| self.resolve(entry)).collect();
        services.sort_by(|a, b| key(a).cmp(&key(b)));
        services
    }

    /// A ServiceEntry's services, its selected workloads among the endpoints.
    fn resolve(&self, entry: &ServiceEntry) -> Vec<Service> {
        let mut services = entry.services.clone();
        if let Some(selector) = &entry.selector {
            let endpoints: Vec<Endpoint> = self
                .selected(&entry.meta.namespace, selector)
                .iter()
                .map(|found| found.endpoint.clone())
                .collect();
            for service in &mut services {
                service.endpoints.clone_from(&endpoints);
            }
        }
        services
    }

    /// Only the workloads under the rarest of the labels are looked at.
    fn selected(&self, namespace: &str, selector: &[(String, String)]) -> Vec<&'a WorkloadEntry> {
        let mut rarest: Option<&[&'a WorkloadEntry]> = None;
        for (name, value) in selector {
            let under = self
                .workloads
                .get(&(namespace, name.as_str(), value.as_str()))
                .map_or(&[][..], Vec::as_slice);
            if rarest.is_none_or(|list| under.len() < list.len()) {
                rarest = Some(under);
            }
        }
        let carries = |found: &&&WorkloadEntry| {
            selector.iter().all(|(name, value)| found.labels.get(name) == Some(value))
        };
        rarest.unwrap_or_default().iter().filter(carries).copied().collect()
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
