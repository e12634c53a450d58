//! Ranges made whole: host-local's rules (a subnet without host bits, a range from first to last without IPv4's broadcast, no
//! overlap; where the node is the gateway, it is the first address), with errors that say where.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::address::{first_of, last_of, refuse_end_of_subnet, refuse_special};
use super::ask::Ask;
use crate::annotation::RequestedAddress;
use crate::conf::{EmbeddedConf, IpamConf, KindConf, NodePlane, PlaneConf, RangeConf, Reach, StaticConf};
use crate::fields::ConfError;
use crate::plan::{AddressRange, DelegatedIpam, EmbeddedIpam, IpamPlan, RangeSet, StaticAddress};
use crate::prefix;

pub(super) fn plan(plane: &PlaneConf, overlay: Option<&NodePlane>, ask: &Ask) -> Result<IpamPlan, ConfError> {
    match &plane.ipam {
        IpamConf::None => Ok(IpamPlan::None),
        IpamConf::Delegated(plugin, conf) => {
            Ok(IpamPlan::Delegated(DelegatedIpam { plugin: plugin.clone(), conf: conf.clone() }))
        }
        IpamConf::Embedded(conf) => embedded(plane, conf, overlay, ask).map(IpamPlan::Embedded),
    }
}

fn embedded(
    plane: &PlaneConf,
    conf: &EmbeddedConf,
    overlay: Option<&NodePlane>,
    ask: &Ask,
) -> Result<EmbeddedIpam, ConfError> {
    let own = overlay.map(|overlay| &overlay.ranges).filter(|ranges| !ranges.is_empty());
    let stated = own.is_some() || conf.scope == Reach::Node;
    if plane.kind.is_shared_between_nodes() && !stated {
        let cure = "this plane reaches beyond the node, where others may draw the same addresses: put this node's own \
                    ranges into nodeConfig, or state \"scope\": \"node\", or delegate to another IPAM";
        return Err(ConfError::invalid(plane.field("ipam.ranges"), "", cure));
    }
    let sets = own.unwrap_or(&conf.ranges);
    let mut range_sets = Vec::new();
    for (path, set) in sets {
        range_sets.push(range_set(path, set, conf, is_gateway(plane))?);
    }
    refuse_overlaps(sets, &range_sets)?;
    let static_addresses: Vec<StaticAddress> =
        conf.addresses.iter().map(|fixed| static_address(fixed, conf)).collect::<Result<_, _>>()?;
    refuse_same_addresses(&conf.addresses)?;
    refuse_useless_gateway(plane, conf, &range_sets, &static_addresses)?;
    if matches!(plane.kind, KindConf::Ptp) {
        refuse_no_gateway(plane, &range_sets)?;
    }
    let requested =
        ask.ips.iter().map(|ip| requested(ask, *ip, &range_sets)).collect::<Result<Vec<_>, _>>()?;
    refuse_two_of_one_set(ask, &requested, &range_sets)?;
    Ok(EmbeddedIpam { range_sets, static_addresses, requested, sticky: conf.sticky })
}

fn range_set(
    path: &str,
    set: &[RangeConf],
    conf: &EmbeddedConf,
    needs_gateway: bool,
) -> Result<RangeSet, ConfError> {
    let ranges =
        set.iter().map(|range| address_range(range, conf, needs_gateway)).collect::<Result<Vec<_>, _>>()?;
    let family = ranges.first().map(|range| range.subnet.is_ipv4());
    if ranges.iter().any(|range| Some(range.subnet.is_ipv4()) != family) {
        let cure = "mixes IPv4 and IPv6; a set gives one address, so write a set per family";
        return Err(ConfError::invalid(path, "", cure));
    }
    Ok(RangeSet { ranges })
}

fn address_range(
    range: &RangeConf,
    conf: &EmbeddedConf,
    needs_gateway: bool,
) -> Result<AddressRange, ConfError> {
    let RangeConf { path, subnet, .. } = range;
    let bits = prefix::bits(subnet);
    if bits - subnet.prefix() < 2 {
        let cure = format!("is too small; write a prefix of at most /{}, or \"addresses\"", bits - 2);
        return Err(ConfError::invalid(path, subnet, cure));
    }
    refuse_special(path, subnet)?;
    let inside = |field: &str, address: IpAddr| {
        let field = format!("{path}.{field}");
        if subnet.contains(address) {
            refuse_end_of_subnet(&field, subnet, address).map(|()| address)
        } else {
            Err(ConfError::invalid(field, address, format!("lies outside of {subnet}")))
        }
    };
    let first = inside("rangeStart", range.start.unwrap_or_else(|| first_of(subnet)))?;
    let last = inside("rangeEnd", range.end.unwrap_or_else(|| last_of(subnet)))?;
    if first > last {
        let cure = format!("lies before rangeStart {first}");
        return Err(ConfError::invalid(format!("{path}.rangeEnd"), last, cure));
    }
    let of_plane = conf.gateways.iter().copied().find(|gateway| subnet.contains(*gateway));
    // host-local's default; a plane whose gateway nobody is needs none
    let gateway = range.gateway.or(of_plane).or(needs_gateway.then(|| first_of(subnet)));
    let gateway = gateway.map(|gateway| inside("gateway", gateway)).transpose()?;
    Ok(AddressRange { subnet: *subnet, first, last, gateway, exclude: conf.exclude.clone() })
}

fn refuse_overlaps(confs: &[(String, Vec<RangeConf>)], sets: &[RangeSet]) -> Result<(), ConfError> {
    let paths = confs.iter().flat_map(|(_, set)| set.iter().map(|range| &range.path));
    let all: Vec<(&String, &AddressRange)> = paths.zip(sets.iter().flat_map(|set| &set.ranges)).collect();
    for (at, (path, range)) in all.iter().enumerate() {
        let overlaps = |other: &AddressRange| other.first <= range.last && range.first <= other.last;
        if let Some((other, _)) = all[..at].iter().find(|(_, other)| overlaps(other)) {
            return Err(ConfError::invalid(path.as_str(), range.subnet, format!("overlaps {other}")));
        }
    }
    Ok(())
}

fn static_address(fixed: &StaticConf, conf: &EmbeddedConf) -> Result<StaticAddress, ConfError> {
    let address = fixed.address;
    let subnet =
        IpNetwork::new(address.network(), address.prefix()).expect("a network has its own prefix length");
    refuse_special(&fixed.path, &subnet)?;
    refuse_end_of_subnet(&fixed.path, &subnet, address.ip())?;
    let of_family = conf.gateways.iter().copied().find(|gateway| address.contains(*gateway));
    let gateway = fixed.gateway.or(of_family);
    match gateway {
        Some(gateway) if !address.contains(gateway) => {
            let field = format!("{}.gateway", fixed.path);
            Err(ConfError::invalid(field, gateway, format!("lies outside of the subnet of {address}")))
        }
        other => Ok(StaticAddress { address, gateway: other }),
    }
}

fn refuse_same_addresses(fixed: &[StaticConf]) -> Result<(), ConfError> {
    for (number, one) in fixed.iter().enumerate() {
        if let Some(other) = fixed[..number].iter().find(|other| other.address.ip() == one.address.ip()) {
            let cure = format!("stands at {} already; remove one", other.path);
            return Err(ConfError::invalid(&one.path, one.address, cure));
        }
    }
    Ok(())
}

/// A gateway that lies in none of the plane's subnets reaches nobody: somebody's slip.
fn refuse_useless_gateway(
    plane: &PlaneConf,
    conf: &EmbeddedConf,
    sets: &[RangeSet],
    fixed: &[StaticAddress],
) -> Result<(), ConfError> {
    let subnets: Vec<IpNetwork> = sets
        .iter()
        .flat_map(|set| set.ranges.iter().map(|range| range.subnet))
        .chain(fixed.iter().map(|fixed| fixed.address))
        .collect();
    for gateway in &conf.gateways {
        if !subnets.iter().any(|subnet| subnet.contains(*gateway)) {
            let list: Vec<String> = subnets.iter().map(ToString::to_string).collect();
            let cure = format!("lies outside of the plane's subnets {}", list.join(", "));
            return Err(ConfError::invalid(plane.field("ipam.gateway"), gateway, cure));
        }
    }
    Ok(())
}

/// Whether the node itself is the plane's gateway.
pub(super) fn is_gateway(plane: &PlaneConf) -> bool {
    plane.kind.bridge().is_some_and(|bridge| bridge.is_gateway)
}

fn refuse_no_gateway(plane: &PlaneConf, sets: &[RangeSet]) -> Result<(), ConfError> {
    let without = sets.iter().flat_map(|set| &set.ranges).find(|range| range.gateway.is_none());
    match without {
        None => Ok(()),
        Some(range) => {
            let cure = "a ptp plane needs the address of its other end; write the gateway of this range";
            Err(ConfError::invalid(plane.field("ipam.gateway"), range.subnet, cure))
        }
    }
}

/// A pod may ask for an address inside the plane's ranges that nobody else is meant to have.
fn requested(ask: &Ask, ip: RequestedAddress, sets: &[RangeSet]) -> Result<IpAddr, ConfError> {
    let field = || format!("{}.ips", ask.field);
    let ranges = || sets.iter().flat_map(|set| &set.ranges);
    let Some(range) = ranges().find(|range| range.holds(ip.ip)) else {
        let list: Vec<String> = ranges().map(ToString::to_string).collect();
        let cure = format!("lies outside of the plane's ranges {}", list.join(", "));
        return Err(ask.error(field(), ip.to_string(), cure));
    };
    if range.gateway == Some(ip.ip) {
        return Err(ask.error(field(), ip.to_string(), "is the plane's gateway"));
    }
    if range.exclude.iter().any(|excluded| excluded.contains(ip.ip)) {
        return Err(ask.error(field(), ip.to_string(), "is excluded from the plane's ranges"));
    }
    if ip.prefix.is_some_and(|prefix| prefix != range.subnet.prefix()) {
        let cure = format!("the plane's prefix length is {}", range.subnet.prefix());
        return Err(ask.error(field(), ip.to_string(), cure));
    }
    Ok(ip.ip)
}

fn refuse_two_of_one_set(ask: &Ask, requested: &[IpAddr], sets: &[RangeSet]) -> Result<(), ConfError> {
    for set in sets {
        let holds = |ip: &&IpAddr| set.ranges.iter().any(|range| range.holds(**ip));
        if let Some(second) = requested.iter().filter(holds).nth(1) {
            let cure = "a range set gives one address; ask for one of it";
            return Err(ask.error(format!("{}.ips", ask.field), second.to_string(), cure));
        }
    }
    Ok(())
}
