//! Envoy resources, encoded once: every proxy that needs one gets the same bytes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::util::pack_any;
use prost::bytes::Bytes;
use prost::{Message, Name};

/// The resource types served, in the order in which a proxy must learn of additions: clusters before what
/// refers to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoints,
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// VHDS.
    VirtualHost,
}

/// A value for each [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerKind<T>([T; 5]);

impl<T> PerKind<T> {
    /// The values that `make` gives.
    #[must_use]
    pub fn each(make: impl FnMut(Kind) -> T) -> Self {
        Self(Kind::ALL.map(make))
    }

    /// The value of `kind`.
    #[must_use]
    pub fn get(&self, kind: Kind) -> &T {
        let [cluster, endpoints, listener, route, virtual_host] = &self.0;
        match kind {
            Kind::Cluster => cluster,
            Kind::Endpoints => endpoints,
            Kind::Listener => listener,
            Kind::Route => route,
            Kind::VirtualHost => virtual_host,
        }
    }

    /// The value of `kind`, to change it.
    pub fn get_mut(&mut self, kind: Kind) -> &mut T {
        let [cluster, endpoints, listener, route, virtual_host] = &mut self.0;
        match kind {
            Kind::Cluster => cluster,
            Kind::Endpoints => endpoints,
            Kind::Listener => listener,
            Kind::Route => route,
            Kind::VirtualHost => virtual_host,
        }
    }
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Cluster, Self::Endpoints, Self::Listener, Self::Route, Self::VirtualHost];

    /// The type URL.
    #[must_use]
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        }
    }

    /// The kind with this type URL.
    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// The short name that people use.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::Cluster => "cds",
            Self::Endpoints => "eds",
            Self::Listener => "lds",
            Self::Route => "rds",
            Self::VirtualHost => "vhds",
        }
    }

    /// Whether a first subscription without names means everything. For virtual hosts, Envoy means: those of
    /// the routes that I asked for.
    #[must_use]
    pub fn is_wildcard(self) -> bool {
        match self {
            Self::Cluster | Self::Listener | Self::VirtualHost => true,
            Self::Endpoints | Self::Route => false,
        }
    }
}

/// One resource, ready for the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name.
    pub name: Arc<str>,
    /// A hash of its content: the same after a restart, so that nobody is sent again what they have.
    pub version: Arc<str>,
    /// An encoded `envoy.service.discovery.v3.Resource`.
    pub bytes: Bytes,
}

impl Resource {
    /// Encodes a message.
    #[must_use]
    pub fn encode(name: impl Into<Arc<str>>, message: impl Name) -> Arc<Self> {
        let name = name.into();
        let any = pack_any(message);
        let mut hasher = DefaultHasher::new();
        any.value.hash(&mut hasher);
        let version: Arc<str> = format!("{:016x}", hasher.finish()).into();
        let resource = discovery::Resource {
            name: name.to_string(),
            version: version.to_string(),
            resource: Some(any),
            ..Default::default()
        };
        Arc::new(Self { name, version, bytes: resource.encode_to_vec().into() })
    }

    /// What a proxy said that it has, from a former connection: a name and a version without content.
    #[must_use]
    pub fn known(name: &str, version: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into(), version: version.into(), bytes: Bytes::new() })
    }
}

/// Resources of one kind, sorted by name, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table(Vec<Arc<Resource>>);

impl Table {
    /// Sorts; of two with one name the first stays.
    #[must_use]
    pub fn new(mut resources: Vec<Arc<Resource>>) -> Self {
        resources.sort_by(|a, b| a.name.cmp(&b.name));
        resources.dedup_by(|b, a| a.name == b.name);
        Self(resources)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Arc<Resource>] {
        &self.0
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        // Most look-ups of a fresh table come in order: look at the end first.
        match self.0.last() {
            Some(last) if *last.name < *name => Err(self.0.len()),
            _ => self.0.binary_search_by(|resource| (*resource.name).cmp(name)),
        }
    }

    /// The resource with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.position(name).ok().and_then(|index| self.0.get(index))
    }

    /// Those whose names start with `prefix`.
    #[must_use]
    pub fn starting_with(&self, prefix: &str) -> &[Arc<Resource>] {
        let start = self.0.partition_point(|resource| *resource.name < *prefix);
        let tail = self.0.get(start..).unwrap_or_default();
        let length = tail.partition_point(|resource| resource.name.starts_with(prefix));
        tail.get(..length).unwrap_or_default()
    }

    /// Puts a resource in, in place of one with its name.
    pub fn insert(&mut self, resource: Arc<Resource>) {
        match self.position(&resource.name) {
            Ok(index) => {
                if let Some(place) = self.0.get_mut(index) {
                    *place = resource;
                }
            }
            Err(index) => self.0.insert(index, resource),
        }
    }

    /// Takes a resource out.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Resource>> {
        self.position(name).ok().map(|index| self.0.remove(index))
    }

    /// The names that differ between two tables: added, changed or gone.
    #[must_use]
    pub fn differing(&self, next: &Self) -> Vec<Arc<str>> {
        let (mut old, mut new) = (self.0.iter().peekable(), next.0.iter().peekable());
        let mut names = Vec::new();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return names,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) if Arc::ptr_eq(a, b) => std::cmp::Ordering::Equal,
                (Some(a), Some(b)) => a.name.cmp(&b.name),
            };
            let (before, after) = (
                if order.is_le() { old.next() } else { None },
                if order.is_ge() { new.next() } else { None },
            );
            match (before, after) {
                (Some(a), Some(b)) if Arc::ptr_eq(a, b) || a.version == b.version => {}
                (Some(one), _) | (None, Some(one)) => names.push(Arc::clone(&one.name)),
                (None, None) => return names,
            }
        }
    }
}

#[cfg(test)]
#[path = "resource_tests.rs"]
mod tests;
