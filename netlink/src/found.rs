//! A link as the kernel has it.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use planes::{IfName, MacAddr, Mtu};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: IfName,
    /// Its Ethernet address; layer-3 devices have none.
    pub mac: Option<MacAddr>,
    /// The address that is burnt into a card, whatever it goes by now (`ethtool -P`).
    pub permanent_mac: Option<MacAddr>,
    /// Its MTU.
    pub mtu: Mtu,
    /// Administratively up.
    pub is_up: bool,
    /// The loopback device.
    pub is_loopback: bool,
    /// Its driver's name (`ip -d link`: `veth`, `bridge`, …); a physical device has none.
    pub kind: Option<String>,
    /// Index of the bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// Index of its peer or parent, perhaps in another namespace.
    pub parent: Option<u32>,
    /// Its group.
    pub group: u32,
    /// Its alias.
    pub alias: Option<String>,
    /// Its kind's own attributes.
    pub(crate) data: Option<InfoData>,
    /// Its port's attributes, if it has a master.
    pub(crate) port: Option<InfoPortData>,
}

impl Link {
    pub(crate) fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewLink(message) = answer else { return None };
        Self::from_message(message)
    }

    /// A link whose name or MTU is beyond what the kernel allows today is no link that we could handle.
    fn from_message(message: LinkMessage) -> Option<Self> {
        let flags = message.header.flags;
        let mut name = None;
        let mut mtu = None;
        let mut link = Self {
            index: message.header.index,
            name: "x".parse().ok()?,
            mac: None,
            permanent_mac: None,
            mtu: Mtu::try_from(1500).ok()?,
            is_up: flags.contains(LinkFlags::Up),
            is_loopback: flags.contains(LinkFlags::Loopback),
            kind: None,
            master: None,
            parent: None,
            group: 0,
            alias: None,
            data: None,
            port: None,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = text.parse().ok(),
                // The loopback device has 65536, one more than any other.
                LinkAttribute::Mtu(value) => mtu = Mtu::try_from(u64::from(value.clamp(68, 65_535))).ok(),
                LinkAttribute::Address(bytes) => link.mac = mac_of(&bytes),
                LinkAttribute::PermAddress(bytes) => link.permanent_mac = mac_of(&bytes),
                LinkAttribute::Controller(index) => link.master = Some(index).filter(|index| *index != 0),
                LinkAttribute::Link(index) => link.parent = Some(index).filter(|index| *index != 0),
                LinkAttribute::Group(group) => link.group = group,
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::LinkInfo(infos) => link.read_infos(infos),
                _ => {}
            }
        }
        link.name = name?;
        link.mtu = mtu?;
        Some(link)
    }

    fn read_infos(&mut self, infos: Vec<LinkInfo>) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = Some(kind_name(&kind)),
                LinkInfo::Data(data) => self.data = Some(data),
                LinkInfo::PortData(data) => self.port = Some(data),
                _ => {}
            }
        }
    }

    /// Whether the driver is `kind`.
    #[must_use]
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

fn kind_name(kind: &InfoKind) -> String {
    kind.to_string()
}

fn mac_of(bytes: &[u8]) -> Option<MacAddr> {
    <[u8; 6]>::try_from(bytes).ok().filter(|bytes| *bytes != [0; 6]).map(MacAddr::new)
}
