//! The kinds of planes with their own keys, as written.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::read::{port, prefix, word};
use crate::fields::{ConfError, Fields, parse};
use crate::mac::MacAddr;
use crate::name::{BridgeName, IfName, PlaneName};
use crate::number::{Vlan, Vni};
use crate::plan::{
    DeviceSelector, HostDeviceLink, IpvlanLink, IpvlanMode, MacvlanLink, MacvlanMode, VlanLink, VxlanRemotes,
};

/// A plane's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindConf {
    /// `bridge`.
    Bridge(BridgeConf),
    /// `ptp`.
    Ptp,
    /// `macvlan`.
    Macvlan(MacvlanLink),
    /// `ipvlan`.
    Ipvlan(IpvlanLink),
    /// `vlan`.
    Vlan(VlanLink),
    /// `vxlan`.
    Vxlan(VxlanConf),
    /// `host-device`.
    HostDevice(HostDeviceLink),
    /// `adopted`.
    Adopted(MatchConf),
}

/// Keys of a bridge plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeConf {
    /// The bridge.
    pub bridge: BridgeName,
    /// The bridge carries the gateways' addresses.
    pub is_gateway: bool,
    /// An interface of the node that becomes a port.
    pub uplink: Option<IfName>,
    /// Hairpin mode of pod ports.
    pub hairpin: bool,
    /// Pod ports do not reach each other.
    pub isolated: bool,
    /// VLAN of pod ports.
    pub vlan: Option<Vlan>,
}

/// Keys of a vxlan plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VxlanConf {
    /// The bridge part; it has no uplink of its own.
    pub bridge: BridgeConf,
    /// The VXLAN device.
    pub device: IfName,
    /// The network identifier.
    pub vni: Vni,
    /// The node's tunnel address; usually told by the node's overlay.
    pub local: Option<IpAddr>,
    /// Where floods go.
    pub remotes: VxlanRemotes,
    /// UDP port.
    pub port: u16,
}

/// How an adopted plane recognises its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchConf {
    /// By the interface's name.
    Name(IfName),
    /// By an address inside a subnet.
    Subnet(IpNetwork),
    /// By the Ethernet address.
    Mac(MacAddr),
}

impl KindConf {
    /// The bridge on the node, of the kinds that have one.
    #[must_use]
    pub fn bridge(&self) -> Option<&BridgeConf> {
        match self {
            Self::Bridge(bridge) => Some(bridge),
            Self::Vxlan(vxlan) => Some(&vxlan.bridge),
            Self::Ptp
            | Self::Macvlan(_)
            | Self::Ipvlan(_)
            | Self::Vlan(_)
            | Self::HostDevice(_)
            | Self::Adopted(_) => None,
        }
    }

    pub(super) fn parse(fields: &mut Fields<'_>, plane: &PlaneName) -> Result<Self, ConfError> {
        let kinds = ["bridge", "ptp", "macvlan", "ipvlan", "vlan", "vxlan", "host-device", "adopted"]
            .map(|kind| (kind, kind));
        let kind = word(fields, "kind", &kinds)?;
        let names: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        match fields.required("kind", kind, &format!("write one of {}", names.join(", ")))? {
            "bridge" => bridge(fields, plane, true).map(Self::Bridge),
            "ptp" => Ok(Self::Ptp),
            "macvlan" => macvlan(fields).map(Self::Macvlan),
            "ipvlan" => ipvlan(fields).map(Self::Ipvlan),
            "vlan" => vlan(fields).map(Self::Vlan),
            "vxlan" => vxlan(fields, plane).map(Self::Vxlan),
            "host-device" => host_device(fields).map(Self::HostDevice),
            _ => adopted(fields).map(Self::Adopted),
        }
    }

    /// Whether the plane reaches beyond the node, so that other nodes may draw from the same ranges.
    #[must_use]
    pub fn is_shared_between_nodes(&self) -> bool {
        match self {
            Self::Bridge(bridge) => bridge.uplink.is_some(),
            Self::Macvlan(_) | Self::Ipvlan(_) | Self::Vlan(_) | Self::Vxlan(_) | Self::HostDevice(_) => true,
            Self::Ptp | Self::Adopted(_) => false,
        }
    }
}

fn bridge(fields: &mut Fields<'_>, plane: &PlaneName, uplink: bool) -> Result<BridgeConf, ConfError> {
    let name = match fields.parsed("bridge")? {
        Some(name) => name,
        None => parse(&fields.path("bridge"), &format!("mp-{plane}")).map_err(|error| ConfError {
            cure: format!("{}; write the bridge's name", error.cure),
            ..error
        })?,
    };
    let vlan = fields.number("vlan")?;
    Ok(BridgeConf {
        bridge: name,
        is_gateway: fields.flag("isGateway")?.unwrap_or(false),
        uplink: if uplink { fields.parsed("uplink")? } else { None },
        hairpin: fields.flag("hairpin")?.unwrap_or(false),
        isolated: fields.flag("isolated")?.unwrap_or(false),
        vlan,
    })
}

fn master(fields: &mut Fields<'_>) -> Result<IfName, ConfError> {
    let found = fields.parsed("master")?;
    fields.required("master", found, "write the parent interface on the node, for example \"eth1\"")
}

fn macvlan(fields: &mut Fields<'_>) -> Result<MacvlanLink, ConfError> {
    let modes = [
        ("bridge", MacvlanMode::Bridge),
        ("private", MacvlanMode::Private),
        ("vepa", MacvlanMode::Vepa),
        ("passthru", MacvlanMode::Passthru),
    ];
    Ok(MacvlanLink {
        master: master(fields)?,
        mode: word(fields, "mode", &modes)?.unwrap_or(MacvlanMode::Bridge),
    })
}

fn ipvlan(fields: &mut Fields<'_>) -> Result<IpvlanLink, ConfError> {
    let modes = [("l2", IpvlanMode::L2), ("l3", IpvlanMode::L3), ("l3s", IpvlanMode::L3s)];
    Ok(IpvlanLink { master: master(fields)?, mode: word(fields, "mode", &modes)?.unwrap_or(IpvlanMode::L2) })
}

fn vlan(fields: &mut Fields<'_>) -> Result<VlanLink, ConfError> {
    let vlan = fields.number("vlan")?;
    Ok(VlanLink { master: master(fields)?, vlan: fields.required("vlan", vlan, "write the tag, 1 to 4094")? })
}

fn vxlan(fields: &mut Fields<'_>, plane: &PlaneName) -> Result<VxlanConf, ConfError> {
    let vni: Option<Vni> = fields.number("vni")?;
    let vni = fields.required("vni", vni, "write the network identifier, 1 to 16777215")?;
    let device = match fields.parsed("device")? {
        Some(device) => device,
        None => parse(&fields.path("device"), &format!("vx{vni}"))?,
    };
    Ok(VxlanConf {
        bridge: bridge(fields, plane, false)?,
        device,
        vni,
        local: fields.parsed("local")?,
        remotes: remotes(fields)?,
        port: port(fields, "port")?.unwrap_or(4789),
    })
}

fn remotes(fields: &mut Fields<'_>) -> Result<VxlanRemotes, ConfError> {
    let remotes = fields.parsed_list("remotes")?;
    let group: Option<IpAddr> = fields.parsed("group")?;
    let interface = fields.parsed("groupInterface")?;
    match group {
        None => Ok(VxlanRemotes::Unicast(remotes)),
        Some(group) if !remotes.is_empty() => {
            Err(ConfError::invalid(fields.path("group"), group, "write either group or remotes"))
        }
        Some(group) if !group.is_multicast() => {
            Err(ConfError::invalid(fields.path("group"), group, "write a multicast address, or use remotes"))
        }
        Some(address) => {
            let cure = "write the interface of the node that joins the group";
            Ok(VxlanRemotes::Group {
                address,
                interface: fields.required("groupInterface", interface, cure)?,
            })
        }
    }
}

fn host_device(fields: &mut Fields<'_>) -> Result<HostDeviceLink, ConfError> {
    let name: Option<IfName> = fields.parsed("device")?;
    let mac: Option<MacAddr> = fields.parsed("hwaddr")?;
    let pci = fields.text("pciBusID")?.filter(|text| !text.is_empty());
    let allow_loss = fields.flag("allowLoss")?.unwrap_or(false);
    let device = match (name, mac, pci) {
        (Some(name), None, None) => DeviceSelector::Name(name),
        (None, Some(mac), None) => DeviceSelector::Mac(mac),
        (None, None, Some(pci)) => DeviceSelector::Pci(pci_address(&fields.path("pciBusID"), pci)?),
        _ => {
            return Err(ConfError::invalid(
                fields.path("device"),
                "",
                "write exactly one of device, hwaddr, pciBusID",
            ));
        }
    };
    Ok(HostDeviceLink { device, allow_loss })
}

/// `DDDD:BB:DD.F` in hexadecimal: it becomes a part of a path in `/sys`.
fn pci_address(field: &str, text: &str) -> Result<String, ConfError> {
    let shape = [4, 2, 2, 1];
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let fits = parts.len() == shape.len()
        && parts
            .iter()
            .zip(shape)
            .all(|(part, length)| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit()))
        && text.len() == 12
        && text.as_bytes()[4] == b':'
        && text.as_bytes()[7] == b':'
        && text.as_bytes()[10] == b'.';
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(ConfError::invalid(field, format!("{text:?}"), "write it as 0000:3b:00.1"))
    }
}

fn adopted(fields: &mut Fields<'_>) -> Result<MatchConf, ConfError> {
    let cure = "write how to recognise the interface: {\"name\": …}, {\"subnet\": …} or {\"mac\": …}";
    let object = fields.object("match")?;
    let mut object = fields.required("match", object, cure)?;
    let name = object.parsed("name")?.map(MatchConf::Name);
    let subnet = prefix(&mut object, "subnet")?;
    let mac = object.parsed("mac")?.map(MatchConf::Mac);
    let mut given: Vec<MatchConf> =
        [name, subnet.map(MatchConf::Subnet), mac].into_iter().flatten().collect();
    match (given.pop(), given.is_empty()) {
        (Some(found), true) => {
            object.finish(|_| false)?;
            Ok(found)
        }
        (Some(_), false) => {
            Err(ConfError::invalid(fields.path("match"), "", "write exactly one of name, subnet, mac"))
        }
        (None, _) => Err(ConfError::invalid(fields.path("match"), "", cure)),
    }
}
