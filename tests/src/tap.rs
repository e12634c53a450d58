//! Every packet that passes an interface of a namespace, as it is on the wire: before any rule on the way in, after all of
//! them on the way out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use netlink::Netns;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};

use crate::iproute;

/// A packet socket (packet(7)) on all interfaces of a namespace.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    names: BTreeMap<usize, String>,
}

/// A packet of either family, whatever it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The interface that it passed.
    pub interface: String,
    /// Which way.
    pub way: Way,
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
}

/// Which way a packet passed an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Into the namespace.
    In,
    /// Out of it.
    Out,
}

impl Tap {
    /// Begins to collect on the interfaces that are there.
    ///
    /// # Panics
    /// If there is no packet socket to be had.
    #[must_use]
    pub fn on(netns: &Netns) -> Self {
        let links = iproute::ip(netns, "link show");
        let name = |link: &serde_json::Value| {
            let index = usize::try_from(link["ifindex"].as_u64()?).ok()?;
            Some((index, link["ifname"].as_str()?.to_owned()))
        };
        let names = iproute::list(&links).iter().filter_map(name).collect();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // SOCK_DGRAM: without the link's header.
        let open = || socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll);
        let socket = netns.run(open).expect("enter the namespace").expect("open a packet socket");
        // What is not fetched yet must not be lost: its absence would prove nothing.
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).expect("make room for packets");
        Self { socket, names }
    }

    /// What has passed since the last call.
    #[must_use]
    pub fn packets(&self) -> Vec<Packet> {
        let mut buffer = [0; 128];
        let mut packets = Vec::new();
        while let Ok((length, Some(link))) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
            let Some((source, destination)) = addresses(&buffer[..length.min(buffer.len())]) else {
                continue;
            };
            let way = if link.pkttype() == nix::libc::PACKET_OUTGOING { Way::Out } else { Way::In };
            let interface = self.names.get(&link.ifindex()).cloned().unwrap_or_default();
            packets.push(Packet { interface, way, source, destination });
        }
        packets
    }
}

impl Packet {
    /// Whether it is one of those that go from one address to another.
    #[must_use]
    pub fn goes(&self, source: IpAddr, destination: IpAddr) -> bool {
        (self.source, self.destination) == (source, destination)
    }

    /// Whether it came in by an interface.
    #[must_use]
    pub fn came_by(&self, interface: &str) -> bool {
        self.way == Way::In && self.interface == interface
    }

    /// Whether it left by an interface.
    #[must_use]
    pub fn left_by(&self, interface: &str) -> bool {
        self.way == Way::Out && self.interface == interface
    }
}

/// Source and destination (RFC 791, 3.1; RFC 8200, 3); none if it is something else, as ARP is.
fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let v4 = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?).into());
    let v6 = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?).into());
    match packet.first()? >> 4 {
        4 => Some((v4(12)?, v4(16)?)),
        6 => Some((v6(8)?, v6(24)?)),
        _ => None,
    }
}
