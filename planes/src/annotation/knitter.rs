//! Knitter's `networks` annotation: `{"ports": [{"attach_to_network": …, "attributes": {…}}]}`. A network is a plane of
//! our catalogue; Knitter's own plane (`function`) and hints are kept as labels.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{KNITTER_NETWORKS, PlaneRequest, RequestedAddress, json};
use crate::conf::Select;
use crate::fields::{self, ConfError, Fields};
use crate::name::{IfName, PlaneName};

/// Longest interface name that Knitter allows.
const MAX_NIC_NAME: usize = 12;
const FUNCTIONS: [&str; 5] = ["std", "control", "media", "oam", "eio"];
const NIC_TYPES: [&str; 3] = ["normal", "direct", "physical"];

/// One port as written, with Knitter's defaults.
#[derive(Debug, Clone)]
struct Port {
    field: String,
    network: PlaneName,
    functions: Vec<String>,
    nic_name: String,
    nic_type: String,
    accelerate: bool,
    combinable: bool,
    ip: Option<Ipv4Addr>,
    ip_group: String,
    metadata: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Vec<PlaneRequest>, ConfError> {
    let value = json::parse(KNITTER_NETWORKS, text)?;
    let mut top = Fields::of(KNITTER_NETWORKS, &value)?;
    let ports = top
        .list("ports")?
        .into_iter()
        .map(|(path, value)| port(Fields::of(path, value)?))
        .collect::<Result<Vec<_>, _>>()?;
    top.finish(|_| false)?;
    refuse_mixed_acceleration(&ports)?;
    combine(ports)?.into_iter().map(request).collect()
}

fn port(mut fields: Fields<'_>) -> Result<Port, ConfError> {
    let network = fields.parsed("attach_to_network")?;
    let network: PlaneName = fields.required("attach_to_network", network, "write the network's name")?;
    let field = fields.here();
    let attributes = fields.object("attributes")?;
    fields.finish(|_| false)?;
    let default_name: String = format!("eth_{network}").chars().take(MAX_NIC_NAME).collect();
    let mut port = Port {
        field,
        network,
        functions: vec!["std".to_owned()],
        nic_name: default_name,
        nic_type: "normal".to_owned(),
        accelerate: false,
        combinable: false,
        ip: None,
        ip_group: String::new(),
        metadata: None,
    };
    if let Some(attributes) = attributes {
        read_attributes(&mut port, attributes)?;
    }
    Ok(port)
}

fn read_attributes(port: &mut Port, mut fields: Fields<'_>) -> Result<(), ConfError> {
    if let Some(function) = one_of(&mut fields, "function", &FUNCTIONS)? {
        port.functions = vec![function];
    }
    if let Some(name) = fields.text("nic_name")?.filter(|name| !name.is_empty()) {
        if name.len() > MAX_NIC_NAME {
            let cure = "use at most 12 bytes, as Knitter does";
            return Err(ConfError::invalid(fields.path("nic_name"), format!("{name:?}"), cure));
        }
        port.nic_name = name.to_owned();
    }
    if let Some(kind) = one_of(&mut fields, "nic_type", &NIC_TYPES)? {
        port.nic_type = kind;
    }
    port.accelerate = fields.flag("accelerate")?.unwrap_or(false) && port.functions != ["std"];
    port.combinable = fields.flag("combinable")?.unwrap_or(false);
    port.ip = fields.parsed("ip_addr")?;
    port.ip_group = fields.text("ip_group_name")?.unwrap_or_default().to_owned();
    port.metadata =
        fields.object("metadata")?.map(|object| serde_json::Value::Object(object.verbatim()).to_string());
    fields.finish(|_| false)
}

fn one_of(fields: &mut Fields<'_>, key: &'static str, words: &[&str]) -> Result<Option<String>, ConfError> {
    match fields.text(key)?.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) if words.contains(&text) => Ok(Some(text.to_owned())),
        Some(text) => Err(ConfError::invalid(
            fields.path(key),
            format!("{text:?}"),
            format!("write one of {}", words.join(", ")),
        )),
    }
}

/// Ports of one network that are both combinable, and alike in type, acceleration and address group, become one
/// interface that carries several of Knitter's planes.
fn combine(ports: Vec<Port>) -> Result<Vec<Port>, ConfError> {
    let mut combined: Vec<Port> = Vec::new();
    for port in ports {
        match combined.iter_mut().find(|other| are_alike(other, &port)) {
            None => combined.push(port),
            Some(other) => merge(other, port)?,
        }
    }
    Ok(combined)
}

/// Knitter's rule: accelerated ports of one network combine all or not at all.
fn refuse_mixed_acceleration(ports: &[Port]) -> Result<(), ConfError> {
    let is_concerned = |port: &Port| port.accelerate && port.functions != ["eio"];
    for (number, port) in ports.iter().enumerate().filter(|(_, port)| is_concerned(port)) {
        let differs = |other: &&Port| {
            is_concerned(other) && other.network == port.network && other.combinable != port.combinable
        };
        if let Some(other) = ports[..number].iter().find(differs) {
            let field = format!("{}.attributes.combinable", port.field);
            let cure = format!(
                "differs from {}; accelerated ports of one network combine all or not at all",
                other.field
            );
            return Err(ConfError::invalid(field, format!("\"{}\"", port.combinable), cure));
        }
    }
    Ok(())
}

fn are_alike(one: &Port, other: &Port) -> bool {
    one.combinable
        && other.combinable
        && one.network == other.network
        && one.nic_type == other.nic_type
        && one.accelerate == other.accelerate
        && one.ip_group == other.ip_group
}

fn merge(into: &mut Port, port: Port) -> Result<(), ConfError> {
    for function in port.functions {
        if into.functions.contains(&function) {
            let field = format!("{}.attributes.function", port.field);
            return Err(ConfError::invalid(
                field,
                format!("{function:?}"),
                "stands twice in one combined interface",
            ));
        }
        let eio_with_others =
            port.accelerate && (function == "eio" || into.functions.iter().any(|f| f == "eio"));
        if eio_with_others {
            let field = format!("{}.attributes.combinable", port.field);
            return Err(ConfError::invalid(
                field,
                "\"true\"",
                "an accelerated eio port combines with no other",
            ));
        }
        into.functions.push(function);
    }
    if port.nic_name == "eth0" {
        into.nic_name = port.nic_name;
    }
    if let (Some(ip), Some(other)) = (port.ip, into.ip.filter(|other| Some(*other) != port.ip)) {
        let field = format!("{}.attributes.ip_addr", port.field);
        return Err(ConfError::invalid(
            field,
            ip,
            format!("one combined interface has one address, and {other} is asked for"),
        ));
    }
    into.ip = into.ip.or(port.ip);
    into.metadata = into.metadata.take().or(port.metadata);
    Ok(())
}

fn request(port: Port) -> Result<PlaneRequest, ConfError> {
    let ifname: IfName = fields::parse(&format!("{}.attributes.nic_name", port.field), &port.nic_name)?;
    let mut labels = BTreeMap::from([
        ("knitter/function".to_owned(), port.functions.join(",")),
        ("knitter/nic_type".to_owned(), port.nic_type),
        ("knitter/accelerate".to_owned(), port.accelerate.to_string()),
    ]);
    if !port.ip_group.is_empty() {
        labels.insert("knitter/ip_group_name".to_owned(), port.ip_group);
    }
    labels.extend(port.metadata.map(|metadata| ("knitter/metadata".to_owned(), metadata)));
    Ok(PlaneRequest {
        field: port.field,
        dialect: Select::Knitter,
        plane: port.network,
        ifname: Some(ifname),
        ips: port.ip.map(|ip| RequestedAddress { ip: ip.into(), prefix: None }).into_iter().collect(),
        mac: None,
        default_route: Vec::new(),
        labels,
    })
}
