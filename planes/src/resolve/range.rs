//! Ranges made whole: host-local's rules (a subnet without host bits, the gateway its first address, a range from first to
//! last without IPv4's broadcast, no overlap), with errors that say where.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::ask::Ask;
use crate::annotation::RequestedAddress;
use crate::conf::{EmbeddedConf, IpamConf, KindConf, NodePlane, PlaneConf, RangeConf, Reach, StaticConf};
use crate::fields::ConfError;
use crate::plan::{AddressRange, DelegatedIpam, EmbeddedIpam, IpamPlan, RangeSet, StaticAddress};

pub(super) fn plan(plane: &PlaneConf, overlay: Option<&NodePlane>, ask: &Ask) -> Result<IpamPlan, ConfError> {
    match &plane.ipam {
        IpamConf::None => Ok(IpamPlan::None),
        IpamConf::Delegated(plugin, conf) => {
            Ok(IpamPlan::Delegated(DelegatedIpam { plugin: plugin.clone(), conf: conf.clone() }))
        }
        IpamConf::Embedded(_) if matches!(plane.kind, KindConf::Adopted(_)) => {
            let field = format!("planes {:?} ipam", plane.name.as_str());
            Err(ConfError::invalid(field, "", "an adopted interface keeps its addresses; remove it"))
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
        let field = format!("planes {:?} ipam.ranges", plane.name.as_str());
        let cure = "this plane reaches beyond the node, where others may draw the same addresses: put this node's own \
                    ranges into nodeConfig, or state \"scope\": \"node\", or delegate to another IPAM";
        return Err(ConfError::invalid(field, "", cure));
    }
    let sets = own.unwrap_or(&conf.ranges);
    let mut range_sets = Vec::new();
    for (path, set) in sets {
        range_sets.push(range_set(path, set, conf)?);
    }
    refuse_overlaps(sets, &range_sets)?;
    let static_addresses =
        conf.addresses.iter().map(|fixed| static_address(fixed, conf)).collect::<Result<_, _>>()?;
    if matches!(plane.kind, KindConf::Ptp) {
        refuse_no_gateway(plane, &range_sets)?;
    }
    let requested =
        ask.ips.iter().map(|ip| requested(ask, *ip, &range_sets)).collect::<Result<Vec<_>, _>>()?;
    refuse_two_of_one_set(ask, &requested, &range_sets)?;
    Ok(EmbeddedIpam { range_sets, static_addresses, requested, sticky: conf.sticky })
}

fn range_set(path: &str, set: &[RangeConf], conf: &EmbeddedConf) -> Result<RangeSet, ConfError> {
    let ranges = set.iter().map(|range| address_range(range, conf)).collect::<Result<Vec<_>, _>>()?;
    let family = ranges.first().map(|range| range.subnet.is_ipv4());
    if ranges.iter().any(|range| Some(range.subnet.is_ipv4()) != family) {
        let cure = "mixes IPv4 and IPv6; a set gives one address, so write a set per family";
        return Err(ConfError::invalid(path, "", cure));
    }
    Ok(RangeSet { ranges })
}

fn address_range(range: &RangeConf, conf: &EmbeddedConf) -> Result<AddressRange, ConfError> {
    let RangeConf { path, subnet, .. } = range;
    let bits = if subnet.is_ipv4() { 32 } else { 128 };
    if bits - subnet.prefix() < 2 {
        let cure = format!("is too small; write a prefix of at most /{}, or \"addresses\"", bits - 2);
        return Err(ConfError::invalid(path, subnet, cure));
    }
    let inside = |field: &str, address: IpAddr| {
        if subnet.contains(address) {
            Ok(address)
        } else {
            Err(ConfError::invalid(format!("{path}.{field}"), address, format!("lies outside of {subnet}")))
        }
    };
    let first = inside("rangeStart", range.start.unwrap_or_else(|| offset(subnet.network(), 1)))?;
    let last = inside("rangeEnd", range.end.unwrap_or_else(|| last_of(subnet)))?;
    if number(first) > number(last) {
        return Err(ConfError::invalid(
            format!("{path}.rangeEnd"),
            last,
            format!("lies before rangeStart {first}"),
        ));
    }
    let of_family = conf.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == subnet.is_ipv4());
    let gateway = match range.gateway.or(of_family) {
        None => None,
        Some(gateway) => Some(inside("gateway", gateway)?),
    };
    Ok(AddressRange { subnet: *subnet, first, last, gateway, exclude: conf.exclude.clone() })
}

/// The last address that a pod may have: IPv4's last is the broadcast address.
fn last_of(subnet: &IpNetwork) -> IpAddr {
    match subnet {
        IpNetwork::V4(v4) => IpAddr::V4((u32::from(v4.broadcast()) - 1).into()),
        IpNetwork::V6(v6) => IpAddr::V6(v6.broadcast()),
    }
}

/// An address as a number, for comparison within its family.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn offset(address: IpAddr, by: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).saturating_add(u32::from(by)).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).saturating_add(u128::from(by)).into()),
    }
}

fn refuse_overlaps(confs: &[(String, Vec<RangeConf>)], sets: &[RangeSet]) -> Result<(), ConfError> {
    let paths = confs.iter().flat_map(|(_, set)| set.iter().map(|range| &range.path));
    let all: Vec<(&String, &AddressRange)> = paths.zip(sets.iter().flat_map(|set| &set.ranges)).collect();
    for (at, (path, range)) in all.iter().enumerate() {
        let overlaps = |other: &AddressRange| {
            other.subnet.is_ipv4() == range.subnet.is_ipv4()
                && number(other.first) <= number(range.last)
                && number(range.first) <= number(other.last)
        };
        if let Some((other, _)) = all[..at].iter().find(|(_, other)| overlaps(other)) {
            return Err(ConfError::invalid(path.as_str(), range.subnet, format!("overlaps {other}")));
        }
    }
    Ok(())
}

fn static_address(fixed: &StaticConf, conf: &EmbeddedConf) -> Result<StaticAddress, ConfError> {
    let address = fixed.address;
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

fn refuse_no_gateway(plane: &PlaneConf, sets: &[RangeSet]) -> Result<(), ConfError> {
    let without = sets.iter().flat_map(|set| &set.ranges).find(|range| range.gateway.is_none());
    match without {
        None => Ok(()),
        Some(range) => {
            let field = format!("planes {:?} ipam.gateway", plane.name.as_str());
            let cure = "a ptp plane needs the address of its other end; write the gateway of this range";
            Err(ConfError::invalid(field, range.subnet, cure))
        }
    }
}

/// A pod may ask for an address inside the plane's ranges that nobody else is meant to have.
fn requested(ask: &Ask, ip: RequestedAddress, sets: &[RangeSet]) -> Result<IpAddr, ConfError> {
    let field = || format!("{}.ips", ask.field);
    let ranges = || sets.iter().flat_map(|set| &set.ranges);
    let within = |range: &&AddressRange| {
        range.subnet.is_ipv4() == ip.ip.is_ipv4()
            && (number(range.first)..=number(range.last)).contains(&number(ip.ip))
    };
    let Some(range) = ranges().find(within) else {
        let list: Vec<String> = ranges().map(|range| format!("{}-{}", range.first, range.last)).collect();
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
        let holds = |ip: &&IpAddr| {
            let inside = |range: &AddressRange| {
                range.subnet.is_ipv4() == ip.is_ipv4()
                    && (number(range.first)..=number(range.last)).contains(&number(**ip))
            };
            set.ranges.iter().any(inside)
        };
        if let Some(second) = requested.iter().filter(holds).nth(1) {
            let cure = "a range set gives one address; ask for one of it";
            return Err(ask.error(format!("{}.ips", ask.field), second.to_string(), cure));
        }
    }
    Ok(())
}
