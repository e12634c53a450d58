//! What a pod's annotations say about capture, in Istio's names and meanings, so that existing pods work unchanged
//! (Istio, `traffic.sidecar.istio.io/*`). Typed: text of an annotation can never become the text of a rule.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::fields::ConfError;
use crate::name::IfName;

const PREFIX: &str = "traffic.sidecar.istio.io";
/// Where the proxy's inbound side connects from, IPv4 and IPv6: never captured, so that its call to the application is not
/// taken for a new one. `lo` has the first already (Istio's `InboundPassthroughBindIpv4` and `…Ipv6`).
pub const INBOUND_SOURCES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)), IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6))];

/// More than any pod needs; each is a rule of the kernel.
pub(crate) const MAX_ITEMS: usize = 64;

/// A port or a run of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortRange {
    /// First port, at least 1.
    pub first: u16,
    /// Last port, not before the first.
    pub last: u16,
}

/// The text is no port and no run of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a port from 1 to 65535, or a range such as 8000-8010")]
pub struct PortRangeError;

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let port = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u16>().ok().filter(|port| plain && *port > 0).ok_or(PortRangeError)
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first <= last { Ok(Self { first, last }) } else { Err(PortRangeError) }
    }
}

impl Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Which connections of a captured plane go through the proxy, one direction each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Connections to the pod.
    pub inbound: Scope,
    /// Connections of the pod.
    pub outbound: Scope,
}

impl Captured {
    /// Whether it is everything, as a plane's single word says.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// How much of one direction is captured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every TCP port.
    #[default]
    All,
    /// These TCP ports; others pass by the proxy.
    Ports(Vec<PortRange>),
    /// Nothing: the direction passes by the proxy.
    Nothing,
}

impl Scope {
    /// One item a rule: `None` stands for all ports.
    #[must_use]
    pub fn ports(&self) -> Vec<Option<PortRange>> {
        match self {
            Self::All => vec![None],
            Self::Ports(ports) => ports.iter().copied().map(Some).collect(),
            Self::Nothing => Vec::new(),
        }
    }
}

/// Which of a plane's connections are captured, beyond the plane itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureOptions {
    /// Inbound: only these ports; `None` is all.
    pub include_inbound_ports: Option<Vec<PortRange>>,
    /// Inbound: not these ports. Counts only where all are included, as with Istio.
    pub exclude_inbound_ports: Vec<PortRange>,
    /// Outbound: these ports besides the included prefixes.
    pub include_outbound_ports: Vec<PortRange>,
    /// Outbound: not these ports.
    pub exclude_outbound_ports: Vec<PortRange>,
    /// Outbound: only to these prefixes; `None` is anywhere.
    pub include_outbound_ranges: Option<Vec<IpNetwork>>,
    /// Outbound: not to these prefixes.
    pub exclude_outbound_ranges: Vec<IpNetwork>,
    /// Interfaces that are not captured whatever their plane says.
    pub exclude_interfaces: Vec<IfName>,
}

impl CaptureOptions {
    /// Reads a pod's annotations.
    ///
    /// # Errors
    /// The annotation, the item and what to write instead.
    pub fn parse(annotations: &BTreeMap<String, String>) -> Result<Self, ConfError> {
        let read = Reader(annotations);
        Ok(Self {
            include_inbound_ports: read.list_or_all("includeInboundPorts")?,
            exclude_inbound_ports: read.list("excludeInboundPorts")?,
            include_outbound_ports: read.list("includeOutboundPorts")?,
            exclude_outbound_ports: read.list("excludeOutboundPorts")?,
            include_outbound_ranges: read.list_or_all::<Prefix>("includeOutboundIPRanges")?.map(prefixes),
            exclude_outbound_ranges: prefixes(read.list("excludeOutboundIPRanges")?),
            exclude_interfaces: read
                .list::<PlainIfName>("excludeInterfaces")?
                .into_iter()
                .map(|name| name.0)
                .collect(),
        })
    }
}

/// An interface name as Istio takes it: stricter than the kernel, which allows quotes and wildcards.
struct PlainIfName(IfName);

impl FromStr for PlainIfName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let cure = "write interface names of at most 15 of A-Z a-z 0-9 . _ - @, starting with a letter";
        if plain && starts { text.parse().map(Self).map_err(|_| cure) } else { Err(cure) }
    }
}

/// A prefix as Istio takes it: an address alone is a host, host bits are dropped.
struct Prefix(IpNetwork);

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network: IpNetwork = text.parse().map_err(|_| "write a prefix such as 10.76.0.0/16")?;
        IpNetwork::new(network.network(), network.prefix())
            .map(Self)
            .map_err(|_| "write a prefix such as 10.76.0.0/16")
    }
}

fn prefixes(list: Vec<Prefix>) -> Vec<IpNetwork> {
    list.into_iter().map(|prefix| prefix.0).collect()
}

struct Reader<'a>(&'a BTreeMap<String, String>);

impl Reader<'_> {
    /// `*` is everything, as is an absent annotation; empty is nothing.
    fn list_or_all<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<Vec<T>>, ConfError> {
        match self.0.get(&format!("{PREFIX}/{name}")).map(|text| text.trim()) {
            None | Some("*") => Ok(None),
            Some(_) => self.list(name).map(Some),
        }
    }

    fn list<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Vec<T>, ConfError> {
        let field = format!("{PREFIX}/{name}");
        let Some(text) = self.0.get(&field).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        let items: Vec<&str> = text.split(',').take(MAX_ITEMS + 1).collect();
        if items.len() > MAX_ITEMS {
            let cure = format!("too many items; write at most {MAX_ITEMS}");
            return Err(ConfError::invalid(field, text.len(), cure).in_annotation());
        }
        let parse = |item: &str| {
            item.trim().parse().map_err(|error: T::Err| {
                ConfError::invalid(field.as_str(), format!("{item:?}"), error.to_string()).in_annotation()
            })
        };
        items.into_iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(name: &str, text: &str) -> Result<CaptureOptions, ConfError> {
        CaptureOptions::parse(&BTreeMap::from([(format!("{PREFIX}/{name}"), text.to_owned())]))
    }

    #[test]
    fn istios_annotations_mean_what_they_mean_there() {
        assert_eq!(parse("includeInboundPorts", "*").unwrap(), CaptureOptions::default());
        assert_eq!(parse("includeInboundPorts", "").unwrap().include_inbound_ports, Some(Vec::new()));
        let ports = parse("excludeInboundPorts", "80, 8000-8010").unwrap().exclude_inbound_ports;
        assert_eq!(ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["80", "8000-8010"]);
        let ranges =
            parse("includeOutboundIPRanges", "10.1.2.3/16,fd00::1").unwrap().include_outbound_ranges.unwrap();
        assert_eq!(
            ranges.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.1.0.0/16", "fd00::1/128"]
        );
        assert_eq!(parse("excludeInterfaces", "net1").unwrap().exclude_interfaces, ["net1".parse().unwrap()]);
    }

    #[test]
    fn text_that_could_be_a_rule_is_refused_by_name() {
        let many = vec!["1"; 100].join(",");
        let ports = [
            "0",
            "65536",
            "-1",
            "+80",
            "80-",
            "-80",
            "90-80",
            "80;drop",
            "80 accept",
            "0x50",
            "http",
            "80,,90",
            "8 0",
            "٣",
            "80}",
            "\n80\n81",
            many.as_str(),
        ];
        let prefixes =
            ["10.0.0.0/33", "x", "10.0.0.0/8; flush ruleset", "*,10.0.0.0/8", "::/129", "10.0.0", "@set"];
        let names = ["a/b", "eth0 accept", "\"", "sixteen-bytes-xx", "a\nb", "eth0; drop", "a:b"];
        let table = [
            ("excludeInboundPorts", &ports[..]),
            ("excludeOutboundIPRanges", &prefixes[..]),
            ("excludeInterfaces", &names[..]),
        ];
        for (name, list) in table {
            for text in list {
                let error = parse(name, text).unwrap_err().to_string();
                assert!(error.starts_with(PREFIX) && error.lines().count() == 1, "{text:?}: {error}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_written_as_it_was_meant(first in 1_u16.., length in 0_u16..100) {
            let range = PortRange { first, last: first.saturating_add(length) };
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }

        #[test]
        fn no_annotation_makes_the_parser_panic(text in ".{0,100}") {
            for name in ["includeInboundPorts", "includeOutboundIPRanges", "excludeInterfaces"] {
                let _ = parse(name, &text);
            }
        }
    }
}
