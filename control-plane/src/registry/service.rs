//! A service as the registry knows it, whichever source it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

/// What travels on a port; decides how Envoy reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC: HTTP/2.
    Grpc,
    /// Bytes; also TLS and the databases that Istio names.
    Tcp,
}

impl Protocol {
    /// Whether requests are routed by host name.
    #[must_use]
    pub fn is_http(self) -> bool {
        match self {
            Self::Http | Self::Http2 | Self::Grpc => true,
            Self::Tcp => false,
        }
    }

    /// Whether the upstream speaks HTTP/2 only.
    #[must_use]
    pub fn is_http2(self) -> bool {
        match self {
            Self::Http2 | Self::Grpc => true,
            Self::Http | Self::Tcp => false,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
            Self::Tcp => "TCP",
        })
    }
}

/// How a service's endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// The registry lists their addresses.
    Static,
    /// Envoy asks the DNS for each endpoint, or for the host; all answers are endpoints.
    Dns,
    /// As [`Resolution::Dns`], but one answer at a time.
    DnsRoundRobin,
    /// The connection's original destination is the endpoint.
    None,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Its name, by which endpoints override it.
    pub name: Arc<str>,
    /// The port that clients call.
    pub number: u16,
    /// The port that endpoints listen on, if not `number`.
    pub target: Option<u16>,
    /// What travels on it.
    pub protocol: Protocol,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// At an address, in canonical form.
    Address(IpAddr),
    /// At whatever the DNS says.
    Name(Arc<str>),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// One place where a service is served.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where it is.
    pub host: Host,
    /// Ports by the name of the service's port, where they differ.
    pub ports: BTreeMap<Arc<str>, u16>,
    /// The network plane it is on; empty when not told.
    pub network: Arc<str>,
    /// `region/zone/subzone`; empty when not told.
    pub locality: Arc<str>,
    /// Its share of the load; 0 counts as 1, as in Istio.
    pub weight: u32,
}

impl Endpoint {
    /// Where this endpoint listens for `port`.
    #[must_use]
    pub fn port(&self, port: &ServicePort) -> u16 {
        self.ports.get(&port.name).copied().or(port.target).unwrap_or(port.number)
    }

    /// Its address, unless it is a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Address(address) => Some(address),
            Host::Name(_) => None,
        }
    }
}

/// Which namespaces see a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// All of them (`*`, and the default).
    Everywhere,
    /// These; `.` has been replaced by the service's own. `~`, nobody, is the empty list.
    Only(Vec<Arc<str>>),
}

/// One host name of one ServiceEntry, with its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// The host name that clients call.
    pub host: Arc<str>,
    /// The namespace it is declared in.
    pub namespace: Arc<str>,
    /// The ServiceEntry's name.
    pub name: Arc<str>,
    /// Virtual addresses that clients call.
    pub addresses: Vec<IpNetwork>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Whether it is outside the mesh; recorded for people, nothing depends on it without mTLS.
    pub external: bool,
    /// Where it is served.
    pub endpoints: Vec<Endpoint>,
    /// Who sees it.
    pub visibility: Visibility,
}

impl Service {
    /// Whether a proxy of `namespace` is told about this service.
    #[must_use]
    pub fn is_visible_in(&self, namespace: &str) -> bool {
        match &self.visibility {
            Visibility::Everywhere => true,
            Visibility::Only(list) => list.iter().any(|name| &**name == namespace),
        }
    }

    /// `namespace/host`, as people write it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.host)
    }
}
