//! Addresses of links (`ip address`).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use crate::net::Family;
use crate::request::Change;
use crate::{Error, Link, Net};

/// How an address is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// With the connected route.
    Connected,
    /// Without it (`noprefixroute`): the subnet is reached by a gateway.
    Routed,
}

/// `ip address add ADDRESS dev LINK nodad`: fails if it is there. Duplicate detection is off, as the address is
/// leased to this link alone.
pub(crate) fn adding(link: &Link, address: IpNetwork, prefix: Prefix) -> Change {
    let message = RouteNetlinkMessage::NewAddress(adding_message(link, address, prefix));
    Change::create("add address", format!("{address} to {}", link.name), message)
}

fn adding_message(link: &Link, address: IpNetwork, prefix: Prefix) -> AddressMessage {
    let mut message = message(link.index, address);
    let mut flags = AddressFlags::empty();
    if address.is_ipv6() {
        flags |= AddressFlags::Nodad;
    }
    if prefix == Prefix::Routed {
        flags |= AddressFlags::Noprefixroute;
    }
    message.attributes.push(AddressAttribute::Flags(flags));
    if let IpNetwork::V4(v4) = address
        && v4.prefix() < 31
    {
        message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
    }
    message
}

impl Net {
    /// As [`adding`], unless the link has the address (`ip address add`, File exists).
    pub(crate) async fn ensure_address(&self, link: &Link, address: IpNetwork) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewAddress(adding_message(link, address, Prefix::Connected));
        let change = Change::ensure("add address", format!("{address} to {}", link.name), message);
        self.change_all(vec![change]).await
    }

    /// `ip address del ADDRESS dev LINK`; succeeds if it is gone.
    pub(crate) async fn remove_address(&self, link: &Link, address: IpNetwork) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelAddress(message(link.index, address));
        let change = Change::remove("delete address", format!("{address} of {}", link.name), message);
        self.change_all(vec![change]).await
    }

    /// The addresses of one link with their prefix lengths.
    pub(crate) async fn addresses_of(&self, link: &Link) -> Result<Vec<IpNetwork>, Error> {
        Ok(self.addresses_at(link.index).await?.iter().filter_map(network).collect())
    }
}

fn message(index: u32, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.family = Family::of(address.ip()).into();
    message.header.prefix_len = address.prefix();
    message.attributes.push(AddressAttribute::Local(address.ip()));
    message.attributes.push(AddressAttribute::Address(address.ip()));
    message
}

/// Address and prefix length of a message. IPv4 tells the own address as `Local`, IPv6 as `Address`.
pub(crate) fn network(message: &AddressMessage) -> Option<IpNetwork> {
    let find = |pick: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(pick);
    let local = find(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    let address = find(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None });
    IpNetwork::new(local.or(address)?, message.header.prefix_len).ok()
}

/// The message's flags: the attribute has all of them, the header the first eight.
pub(crate) fn flags(message: &AddressMessage) -> AddressFlags {
    let attribute = message
        .attributes
        .iter()
        .find_map(|a| if let AddressAttribute::Flags(flags) = a { Some(*flags) } else { None });
    attribute.unwrap_or_else(|| AddressFlags::from_bits_retain(u32::from(message.header.flags.bits())))
}
