//! Where a plane's addresses come from, as written. Ranges are host-local's objects; a text is short for one.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

use super::plane::routes;
use super::read::{prefix, prefix_of, prefixes, word};
use crate::fields::{ConfError, Fields, items, parse_value};
use crate::name::PluginName;
use crate::pod_network::Route;

/// A plane's `ipam` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpamConf {
    /// There is none: layer 2 only, or an adopted interface with what it has.
    None,
    /// The embedded store.
    Embedded(EmbeddedConf),
    /// Another plugin, with its object as written.
    Delegated(PluginName, Map<String, Value>),
}

/// Keys of the embedded allocator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConf {
    /// Sets of ranges with the path at which each set stands.
    pub ranges: Vec<(String, Vec<RangeConf>)>,
    /// Never leased.
    pub exclude: Vec<IpNetwork>,
    /// Leased as they are.
    pub addresses: Vec<StaticConf>,
    /// Gateway of ranges that name none.
    pub gateways: Vec<IpAddr>,
    /// Further routes through the plane.
    pub routes: Vec<Route>,
    /// The same pod name gets the same address again.
    pub sticky: bool,
    /// Who else draws from the ranges.
    pub scope: Reach,
}

/// A range as host-local writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeConf {
    /// Its path.
    pub path: String,
    /// The subnet.
    pub subnet: IpNetwork,
    /// First address; else the subnet's first.
    pub start: Option<IpAddr>,
    /// Last address; else the subnet's last.
    pub end: Option<IpAddr>,
    /// The gateway; else the plane's of that family.
    pub gateway: Option<IpAddr>,
}

/// A fixed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticConf {
    /// Its path.
    pub path: String,
    /// Address and prefix length.
    pub address: IpNetwork,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
}

/// Who draws from a plane's ranges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// Perhaps other nodes too.
    #[default]
    Unstated,
    /// This node alone.
    Node,
}

impl IpamConf {
    pub(super) fn parse(fields: Option<Fields<'_>>) -> Result<Self, ConfError> {
        let Some(mut fields) = fields else { return Ok(Self::None) };
        match fields.parsed::<PluginName>("type")? {
            Some(plugin) if plugin.as_str() != "multiplane" => Ok(Self::Delegated(plugin, fields.verbatim())),
            Some(_) | None => embedded(fields).map(Self::Embedded),
        }
    }
}

fn embedded(mut fields: Fields<'_>) -> Result<EmbeddedConf, ConfError> {
    let conf = EmbeddedConf {
        ranges: range_sets(&mut fields)?,
        exclude: prefixes(&mut fields, "exclude")?,
        addresses: addresses(&mut fields)?,
        gateways: gateways(&mut fields)?,
        routes: routes(&mut fields)?,
        sticky: fields.flag("sticky")?.unwrap_or(false),
        scope: word(&mut fields, "scope", &[("node", Reach::Node)])?.unwrap_or_default(),
    };
    if conf.ranges.is_empty() && conf.addresses.is_empty() {
        let cure = "is missing: write prefixes, for example [[\"10.75.8.0/24\"]], or \"addresses\"";
        return Err(ConfError::invalid(fields.path("ranges"), "", cure));
    }
    fields.finish(|_| false)?;
    Ok(conf)
}

/// `[[…], […]]`, one address per inner list; a flat list is one set per item.
pub(super) fn range_sets(fields: &mut Fields<'_>) -> Result<Vec<(String, Vec<RangeConf>)>, ConfError> {
    fields
        .list("ranges")?
        .into_iter()
        .map(|(path, value)| {
            let set = match value {
                Value::Array(_) => {
                    items(&path, value)?.into_iter().map(range).collect::<Result<Vec<_>, _>>()?
                }
                single => vec![range((path.clone(), single))?],
            };
            if set.is_empty() {
                return Err(ConfError::invalid(path, "[]", "write at least one range"));
            }
            Ok((path, set))
        })
        .collect()
}

fn range((path, value): (String, &Value)) -> Result<RangeConf, ConfError> {
    if value.is_string() {
        let subnet = prefix_of(&path, value)?;
        return Ok(RangeConf { path, subnet, start: None, end: None, gateway: None });
    }
    let mut fields = Fields::of(path.clone(), value)?;
    let subnet = prefix(&mut fields, "subnet")?;
    let range = RangeConf {
        path,
        subnet: fields.required("subnet", subnet, "write a prefix, for example 10.75.8.0/24")?,
        start: fields.parsed("rangeStart")?,
        end: fields.parsed("rangeEnd")?,
        gateway: fields.parsed("gateway")?,
    };
    fields.finish(|_| false)?;
    Ok(range)
}

fn addresses(fields: &mut Fields<'_>) -> Result<Vec<StaticConf>, ConfError> {
    fields.list("addresses")?.into_iter().map(address).collect()
}

fn address((path, value): (String, &Value)) -> Result<StaticConf, ConfError> {
    if value.is_string() {
        let address = with_length(&path, value)?;
        return Ok(StaticConf { path, address, gateway: None });
    }
    let mut fields = Fields::of(path.clone(), value)?;
    let address =
        fields.value("address").map(|value| with_length(&fields.path("address"), value)).transpose()?;
    let fixed = StaticConf {
        path,
        address: fields.required("address", address, "write an address with its prefix length")?,
        gateway: fields.parsed("gateway")?,
    };
    fields.finish(|_| false)?;
    Ok(fixed)
}

fn with_length(path: &str, value: &Value) -> Result<IpNetwork, ConfError> {
    let address: IpNetwork = parse_value(path, value)?;
    if value.as_str().is_some_and(|text| text.contains('/')) {
        Ok(address)
    } else {
        Err(ConfError::invalid(path, value, "write the prefix length too, for example 10.9.0.7/24"))
    }
}

/// One gateway, or one per family in a list.
fn gateways(fields: &mut Fields<'_>) -> Result<Vec<IpAddr>, ConfError> {
    let path = fields.path("gateway");
    let gateways: Vec<IpAddr> = match fields.value("gateway") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(value @ Value::String(_)) => vec![parse_value(&path, value)?],
        Some(value) => items(&path, value)?
            .into_iter()
            .map(|(path, value)| parse_value(&path, value))
            .collect::<Result<_, _>>()?,
    };
    if gateways.len() > 2 || (gateways.len() == 2 && gateways[0].is_ipv4() == gateways[1].is_ipv4()) {
        return Err(ConfError::invalid(path, "", "write at most one gateway per family"));
    }
    Ok(gateways)
}
