//! Istio's `ServiceEntry` and `WorkloadEntry` as written, checked field by field.
//! Source of the rules: istio/api `networking/v1/service_entry.proto`, `workload_entry.proto` and their validation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::service::{Endpoint, Host, Protocol, Resolution, Service, ServicePort, Visibility};
use super::yaml::{self, At, FieldError, cut};

/// One document of a registry file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A service, one for each of its hosts.
    Service(ServiceEntry),
    /// An endpoint that services select by labels.
    Workload(WorkloadEntry),
    /// A kind that means nothing here; istiod may read it.
    Ignored,
}

/// What both kinds have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// The line where the document's metadata stands.
    pub line: u64,
}

/// A ServiceEntry, its workload selector not yet resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Who it is.
    pub meta: Meta,
    /// One service per host, with the inline endpoints.
    pub services: Vec<Service>,
    /// `workloadSelector.labels`; `None` when endpoints are listed inline.
    pub selector: Option<Vec<(String, String)>>,
}

/// A WorkloadEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// Who it is.
    pub meta: Meta,
    /// Its labels, the spec's and the metadata's.
    pub labels: BTreeMap<String, String>,
    /// The endpoint it describes.
    pub endpoint: Endpoint,
}

const API_GROUP: &str = "networking.istio.io/";
/// What an endpoint may say, inline or as a WorkloadEntry.
const ENDPOINT_FIELDS: &[&str] =
    &["address", "ports", "labels", "network", "locality", "weight", "serviceAccount"];

/// Reads all documents of one file.
///
/// # Errors
/// The first mistake, with its line and field.
pub fn parse_file(text: &str) -> Result<Vec<Object>, FieldError> {
    yaml::documents(text)
        .iter()
        .map(|(before, document)| {
            let node = yaml::parse(document, *before)?;
            parse_document(&At::root(&node, *before))
        })
        .collect()
}

fn parse_document(at: &At<'_>) -> Result<Object, FieldError> {
    let api = at.need("apiVersion", "write apiVersion: networking.istio.io/v1")?.text()?;
    let kind = at.need("kind", "write kind: ServiceEntry or kind: WorkloadEntry")?.text()?;
    match kind {
        "ServiceEntry" if api.starts_with(API_GROUP) => Ok(Object::Service(parse_service_entry(at)?)),
        "WorkloadEntry" if api.starts_with(API_GROUP) => Ok(Object::Workload(parse_workload_entry(at)?)),
        _ => Ok(Object::Ignored),
    }
}

fn parse_meta(at: &At<'_>) -> Result<Meta, FieldError> {
    let metadata = at.need("metadata", "write metadata with name and namespace")?;
    let text = |key: &str, cure: &str| -> Result<Arc<str>, FieldError> {
        let field = metadata.need(key, cure)?;
        let name = field.text()?;
        if !is_dns_name(name) {
            return Err(field.refuse_text(name, "use a-z 0-9 - . up to 253 characters"));
        }
        Ok(name.into())
    };
    Ok(Meta {
        name: text("name", "name the object")?,
        namespace: text("namespace", "write the namespace: nothing defaults it, here nor at istiod")?,
        line: metadata.line(),
    })
}

fn parse_service_entry(at: &At<'_>) -> Result<ServiceEntry, FieldError> {
    let meta = parse_meta(at)?;
    let spec = at.need("spec", "describe the service")?;
    spec.only(&[
        "hosts",
        "addresses",
        "ports",
        "location",
        "resolution",
        "endpoints",
        "workloadSelector",
        "exportTo",
        "subjectAltNames",
    ])?;
    let resolution = parse_resolution(&spec)?;
    let hosts = parse_hosts(&spec, resolution)?;
    let ports = parse_ports(&spec)?;
    let external = parse_location(&spec)?;
    let endpoints = parse_endpoints(&spec, resolution, &ports)?;
    let selector = parse_selector(&spec)?;
    check_sources(&spec, resolution, !endpoints.is_empty(), selector.is_some())?;
    let addresses = parse_addresses(&spec)?;
    let visibility = parse_export_to(&spec, &meta.namespace)?;
    let services = hosts
        .into_iter()
        .map(|host| Service {
            host,
            namespace: Arc::clone(&meta.namespace),
            name: Arc::clone(&meta.name),
            addresses: addresses.clone(),
            ports: ports.clone(),
            resolution,
            external,
            endpoints: endpoints.clone(),
            visibility: visibility.clone(),
        })
        .collect();
    Ok(ServiceEntry { meta, services, selector })
}

fn parse_resolution(spec: &At<'_>) -> Result<Resolution, FieldError> {
    let Some(at) = spec.get("resolution")? else { return Ok(Resolution::None) };
    match at.text()? {
        "STATIC" => Ok(Resolution::Static),
        "DNS" => Ok(Resolution::Dns),
        "DNS_ROUND_ROBIN" => Ok(Resolution::DnsRoundRobin),
        "NONE" => Ok(Resolution::None),
        other => Err(at.refuse_text(other, "use STATIC, DNS, DNS_ROUND_ROBIN or NONE")),
    }
}

fn parse_location(spec: &At<'_>) -> Result<bool, FieldError> {
    let Some(at) = spec.get("location")? else { return Ok(true) };
    match at.text()? {
        "MESH_EXTERNAL" => Ok(true),
        "MESH_INTERNAL" => Ok(false),
        other => Err(at.refuse_text(other, "use MESH_INTERNAL or MESH_EXTERNAL")),
    }
}

fn parse_hosts(spec: &At<'_>, resolution: Resolution) -> Result<Vec<Arc<str>>, FieldError> {
    let at = spec.need("hosts", "list the host names that clients call")?;
    let mut hosts = Vec::new();
    for item in at.list()? {
        let host = item.text()?;
        let name = host.strip_prefix("*.").unwrap_or(host);
        if !is_dns_name(name) {
            return Err(item.refuse_text(host, "write a host name such as reviews.shop.svc"));
        }
        if name.len() != host.len() && resolution != Resolution::None {
            return Err(item.refuse(
                format!("{:?} is a wildcard", cut(host)),
                "write one host, or set resolution to NONE",
            ));
        }
        let host: Arc<str> = host.to_ascii_lowercase().into();
        if hosts.contains(&host) {
            return Err(item.refuse(format!("{host:?} stands here twice"), "remove one of them"));
        }
        hosts.push(host);
    }
    if hosts.is_empty() { Err(at.refuse("is empty", "list at least one host")) } else { Ok(hosts) }
}

fn parse_addresses(spec: &At<'_>) -> Result<Vec<IpNetwork>, FieldError> {
    let Some(at) = spec.get("addresses")? else { return Ok(Vec::new()) };
    at.list()?
        .iter()
        .map(|item| {
            let text = item.text()?;
            let network: IpNetwork = text
                .parse()
                .map_err(|_| item.refuse_text(text, "write an address or a CIDR such as 240.0.0.1"))?;
            let address = planes::proxy_node::canonical(network.ip());
            if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
                return Err(item.refuse(text, "write an address that a client can call"));
            }
            if network.ip() == address {
                return Ok(network);
            }
            Ok(IpNetwork::from(address))
        })
        .collect()
}

fn parse_ports(spec: &At<'_>) -> Result<Vec<ServicePort>, FieldError> {
    let at = spec.need("ports", "list at least one port")?;
    let mut ports: Vec<ServicePort> = Vec::new();
    for item in at.list()? {
        item.only(&["number", "name", "protocol", "targetPort"])?;
        let port = parse_port(&item)?;
        if ports.iter().any(|other| other.number == port.number) {
            return Err(
                item.refuse(format!("number {} stands here twice", port.number), "remove one of them")
            );
        }
        if ports.iter().any(|other| other.name == port.name) {
            return Err(item.refuse(format!("name {:?} stands here twice", port.name), "rename one of them"));
        }
        ports.push(port);
    }
    if ports.is_empty() { Err(at.refuse("is empty", "list at least one port")) } else { Ok(ports) }
}

fn parse_port(item: &At<'_>) -> Result<ServicePort, FieldError> {
    let name_at = item.need("name", "name the port, such as http")?;
    let name = name_at.text()?;
    if name.is_empty() || name.len() > 63 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(name_at.refuse_text(name, "use 1 to 63 of A-Z a-z 0-9 -"));
    }
    let protocol = match item.get("protocol")? {
        Some(at) => parse_protocol(&at)?,
        None => Protocol::Tcp,
    };
    Ok(ServicePort {
        name: name.into(),
        number: item.need("number", "write the port that clients call")?.port()?,
        target: item.get("targetPort")?.map(|at| at.port()).transpose()?,
        protocol,
    })
}

fn parse_protocol(at: &At<'_>) -> Result<Protocol, FieldError> {
    let text = at.text()?;
    match text.to_ascii_uppercase().as_str() {
        "HTTP" => Ok(Protocol::Http),
        "HTTP2" => Ok(Protocol::Http2),
        "GRPC" | "GRPC-WEB" => Ok(Protocol::Grpc),
        "TCP" | "TLS" | "HTTPS" | "MONGO" | "MYSQL" | "REDIS" => Ok(Protocol::Tcp),
        _ => Err(at.refuse_text(text, "use HTTP, HTTP2, GRPC, TCP, TLS or HTTPS")),
    }
}

fn parse_endpoints(
    spec: &At<'_>,
    resolution: Resolution,
    ports: &[ServicePort],
) -> Result<Vec<Endpoint>, FieldError> {
    let Some(at) = spec.get("endpoints")? else { return Ok(Vec::new()) };
    let mut endpoints = Vec::new();
    for item in at.list()? {
        item.only(ENDPOINT_FIELDS)?;
        let endpoint = parse_endpoint(&item)?;
        if let (Host::Name(name), Resolution::Static) = (&endpoint.host, resolution) {
            let field = item.need("address", "")?;
            return Err(field.refuse(format!("{name:?}"), "write an IP address, or set resolution to DNS"));
        }
        for name in endpoint.ports.keys() {
            if !ports.iter().any(|port| port.name == *name) {
                let known: Vec<&str> = ports.iter().map(|port| &*port.name).collect();
                let field = item.need("ports", "")?;
                return Err(field.refuse(
                    format!("{:?} is no port of this service", cut(name)),
                    format!("use one of {}", known.join(", ")),
                ));
            }
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn parse_endpoint(at: &At<'_>) -> Result<Endpoint, FieldError> {
    let field = at.need("address", "write where the endpoint is")?;
    let text = field.text()?;
    let host = match text.parse::<IpAddr>() {
        Ok(address) => {
            let address = planes::proxy_node::canonical(address);
            if address.is_unspecified() || address.is_multicast() {
                return Err(field.refuse(text, "write the address of one machine or pod"));
            }
            Host::Address(address)
        }
        Err(_) if text.starts_with("unix://") => {
            return Err(field.refuse("a unix socket", "write an IP address: endpoints are reached by planes"));
        }
        Err(_) if is_dns_name(text) && !looks_numeric(text) => Host::Name(text.into()),
        Err(_) => {
            return Err(field.refuse_text(text, "write an IP address without prefix length, port or zone"));
        }
    };
    if let Some(labels) = at.get("labels")? {
        labels.texts()?;
    }
    Ok(Endpoint {
        host,
        ports: parse_port_map(at)?,
        network: optional_text(at, "network")?,
        locality: optional_text(at, "locality")?,
        weight: at.get("weight")?.map(|at| at.number(0, 1 << 20, "a weight")).transpose()?.unwrap_or(0),
    })
}

fn parse_port_map(at: &At<'_>) -> Result<BTreeMap<Arc<str>, u16>, FieldError> {
    let Some(ports) = at.get("ports")? else { return Ok(BTreeMap::new()) };
    ports.entries()?.into_iter().map(|(name, at)| Ok((name.into(), at.port()?))).collect()
}

fn optional_text(at: &At<'_>, key: &str) -> Result<Arc<str>, FieldError> {
    let Some(field) = at.get(key)? else { return Ok("".into()) };
    let text = field.text()?;
    if text.len() > 253 || text.chars().any(|c| c.is_control() || c == ',') {
        return Err(field.refuse_text(text, "use up to 253 characters without commas"));
    }
    Ok(text.into())
}

fn parse_selector(spec: &At<'_>) -> Result<Option<Vec<(String, String)>>, FieldError> {
    let Some(at) = spec.get("workloadSelector")? else { return Ok(None) };
    at.only(&["labels"])?;
    let labels = at.need("labels", "write the labels that the workloads carry")?.texts()?;
    if labels.is_empty() {
        return Err(at.refuse("selects every workload", "write at least one label"));
    }
    Ok(Some(labels))
}

/// Endpoints come from exactly one place, and from nowhere where nobody would use them.
fn check_sources(
    spec: &At<'_>,
    resolution: Resolution,
    inline: bool,
    selected: bool,
) -> Result<(), FieldError> {
    let both = "endpoints and workloadSelector are both given";
    match (resolution, inline, selected) {
        (_, true, true) => Err(spec.refuse(both, "keep one of them")),
        (Resolution::Static, false, false) => {
            Err(spec
                .refuse("resolution STATIC without endpoints", "list endpoints, or give a workloadSelector"))
        }
        (Resolution::None, true, _) => {
            Err(spec.refuse("resolution NONE with endpoints", "set resolution to STATIC or DNS"))
        }
        (Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin | Resolution::None, _, _) => Ok(()),
    }
}

fn parse_export_to(spec: &At<'_>, own: &Arc<str>) -> Result<Visibility, FieldError> {
    let Some(at) = spec.get("exportTo")? else { return Ok(Visibility::Everywhere) };
    let mut list = BTreeSet::new();
    let items = at.list()?;
    for item in &items {
        match item.text()? {
            "*" => return Ok(Visibility::Everywhere),
            "." => drop(list.insert(Arc::clone(own))),
            "~" => {}
            name if is_dns_name(name) => drop(list.insert(name.into())),
            other => {
                return Err(item.refuse_text(other, "use *, ., ~ or a namespace"));
            }
        }
    }
    if items.is_empty() {
        Ok(Visibility::Everywhere)
    } else {
        Ok(Visibility::Only(list.into_iter().collect()))
    }
}

fn parse_workload_entry(at: &At<'_>) -> Result<WorkloadEntry, FieldError> {
    let meta = parse_meta(at)?;
    let spec = at.need("spec", "describe the workload")?;
    spec.only(ENDPOINT_FIELDS)?;
    let mut labels = BTreeMap::new();
    for holder in [at.get("metadata")?, Some(spec.clone())].into_iter().flatten() {
        if let Some(field) = holder.get("labels")? {
            labels.extend(field.texts()?);
        }
    }
    Ok(WorkloadEntry { meta, labels, endpoint: parse_endpoint(&spec)? })
}

/// RFC 1123 labels joined by dots; underscores are tolerated, as Consul's names have them.
fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// `10.0.0` and `10.0.0.256` are mistyped addresses, not host names.
fn looks_numeric(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || c == '.')
}
