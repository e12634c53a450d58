//! Envoy's resources, made from services and nodes. Every function here is pure.

pub(crate) mod access_log;
pub(crate) mod cluster;
pub(crate) mod filter;
pub(crate) mod inbound;
pub(crate) mod listener;
pub(crate) mod outbound;
pub(crate) mod route;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, CidrRange, ConfigSource, SocketAddress,
    address::Address as Place, config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
};
use envoy_types::pb::google::protobuf::{Duration, UInt32Value};
use planes::capture::INBOUND_SOURCES;

const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Which address families a proxy has: it must bind no other, and can call no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Dual,
}

impl Families {
    /// The families of a list of addresses; an empty list counts as IPv4, as in Istio.
    #[must_use]
    pub fn of(addresses: &[IpAddr]) -> Self {
        match (addresses.iter().any(IpAddr::is_ipv4), addresses.iter().any(IpAddr::is_ipv6)) {
            (true, true) => Self::Dual,
            (false, true) => Self::V6,
            (true | false, false) => Self::V4,
        }
    }

    /// Whether an address of this kind can be called.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Dual => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    /// The wildcard addresses to listen on.
    pub(crate) fn wildcards(self) -> &'static [IpAddr] {
        match self {
            Self::V4 => &[ANY_V4],
            Self::V6 => &[ANY_V6],
            Self::Dual => &[ANY_V4, ANY_V6],
        }
    }

    /// The first of them: it names the listener.
    pub(crate) fn first_wildcard(self) -> IpAddr {
        match self {
            Self::V4 | Self::Dual => ANY_V4,
            Self::V6 => ANY_V6,
        }
    }

    /// The sources of the proxy's calls to its own application: never captured, so that they cannot loop.
    pub(crate) fn loop_breakers(self) -> &'static [IpAddr] {
        match self {
            Self::V4 => &INBOUND_SOURCES[..1],
            Self::V6 => &INBOUND_SOURCES[1..],
            Self::Dual => &INBOUND_SOURCES,
        }
    }
}

/// Where the proxy's two capture ports are (Istio's `proxyListenPort` and `proxyInboundListenPort`).
pub(crate) const OUTBOUND_PORT: u16 = 15001;
pub(crate) const INBOUND_PORT: u16 = 15006;

/// Whether a port is the proxy's own: no service can be called or served on it, and a listener or chain for it
/// would make Envoy refuse the proxy's.
pub(crate) fn is_reserved(port: u16) -> bool {
    [OUTBOUND_PORT, INBOUND_PORT].contains(&port)
}

pub(crate) fn socket(address: IpAddr, port: u16) -> SocketAddress {
    SocketAddress {
        address: address.to_string(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..Default::default()
    }
}

pub(crate) fn place(address: IpAddr, port: u16) -> Address {
    Address { address: Some(Place::SocketAddress(socket(address, port))) }
}

pub(crate) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(crate) fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

pub(crate) fn cidr(address: IpAddr, length: u8) -> CidrRange {
    CidrRange { address_prefix: address.to_string(), prefix_len: number(length.into()) }
}

/// Exactly one address.
pub(crate) fn only(address: IpAddr) -> CidrRange {
    cidr(address, if address.is_ipv4() { 32 } else { 128 })
}

/// "Ask me, on the stream that you have".
pub(crate) fn ads() -> Option<ConfigSource> {
    Some(ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        initial_fetch_timeout: seconds(0),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
        ..Default::default()
    })
}
