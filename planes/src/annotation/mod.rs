//! What a pod asks for in its annotations. A pod's author is not trusted: a request picks planes of the catalogue and may
//! ask for a name inside the pod, an address inside the plane's ranges, a MAC address and the default route; it can name
//! nothing of the node.

mod json;
mod knitter;
mod multiplane;
mod npwg;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;

use crate::conf::Select;
use crate::fields::ConfError;
use crate::mac::MacAddr;
use crate::name::{IfName, PlaneName};

/// Our own annotation.
pub const PLANES: &str = "multiplane.dev/planes";
/// The Network Plumbing Working Group's.
pub const NPWG_NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// Knitter's.
pub const KNITTER_NETWORKS: &str = "networks";

/// More than any pod needs; the kernel's work per plane is what the bound is for.
const MAX_REQUESTS: usize = 64;
/// Longer annotations are somebody's mistake or malice.
const MAX_LENGTH: usize = 65_536;

/// One plane that a pod asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaneRequest {
    /// Where the request stands, for example `multiplane.dev/planes[1]`.
    pub field: String,
    /// In which dialect.
    pub dialect: Select,
    /// The plane.
    pub plane: PlaneName,
    /// Name of the interface in the pod.
    pub ifname: Option<IfName>,
    /// Addresses, with or without a prefix length.
    pub ips: Vec<RequestedAddress>,
    /// The Ethernet address.
    pub mac: Option<MacAddr>,
    /// The pod's default route shall lie here, by these gateways.
    pub default_route: Vec<IpAddr>,
    /// Labels kept as metadata.
    pub labels: BTreeMap<String, String>,
}

/// An address that a pod asks for: `10.9.0.7` or `10.9.0.7/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedAddress {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length, if it was told.
    pub prefix: Option<u8>,
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write an address such as 10.9.0.7 or 10.9.0.7/24")]
pub struct RequestedAddressError;

impl FromStr for RequestedAddress {
    type Err = RequestedAddressError;

    fn from_str(text: &str) -> Result<Self, RequestedAddressError> {
        if text.contains('/') {
            let network: IpNetwork = text.parse().map_err(|_| RequestedAddressError)?;
            Ok(Self { ip: network.ip(), prefix: Some(network.prefix()) })
        } else {
            Ok(Self { ip: text.parse().map_err(|_| RequestedAddressError)?, prefix: None })
        }
    }
}

impl Display for RequestedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

/// The planes that a pod asks for: by the first annotation it carries of those selected. `None` if it carries none, which
/// is different from asking for nothing.
///
/// # Errors
/// The annotation, the item and what to write instead.
pub fn requests(
    select: &[Select],
    annotations: &BTreeMap<String, String>,
    namespace: Option<&str>,
) -> Result<Option<Vec<PlaneRequest>>, ConfError> {
    for dialect in select {
        let key = match dialect {
            Select::Multiplane => PLANES,
            Select::Npwg => NPWG_NETWORKS,
            Select::Knitter => KNITTER_NETWORKS,
        };
        let Some(text) = annotations.get(key) else { continue };
        // Knitter takes an empty annotation for none
        if *dialect == Select::Knitter && text.trim().is_empty() {
            continue;
        }
        let parsed = bounded(key, text).and_then(|()| match dialect {
            Select::Multiplane => multiplane::parse(text),
            Select::Npwg => npwg::parse(text, namespace),
            Select::Knitter => knitter::parse(text),
        });
        let requests = parsed.map_err(ConfError::in_annotation)?;
        if requests.len() > MAX_REQUESTS {
            let cure = format!("too many planes; ask for at most {MAX_REQUESTS}");
            return Err(ConfError::invalid(key, requests.len(), cure).in_annotation());
        }
        return Ok(Some(requests));
    }
    Ok(None)
}

fn bounded(key: &str, text: &str) -> Result<(), ConfError> {
    if text.len() <= MAX_LENGTH {
        Ok(())
    } else {
        Err(ConfError::invalid(
            key,
            format!("{} bytes", text.len()),
            "is too long; write at most 65536 bytes",
        ))
    }
}

/// Whether the text is JSON, not the short form (NPWG v1.3, 4.1.2.1: it holds one of `[`, `{`, `"`).
fn is_json(text: &str) -> bool {
    text.contains(['[', '{', '"'])
}

/// The items of the short form with their paths; blanks around them do not count.
fn short_items<'a>(key: &str, text: &'a str) -> Result<Vec<(String, &'a str)>, ConfError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let items = text.split(',').map(str::trim).enumerate();
    items
        .map(|(number, item)| {
            let field = format!("{key}[{number}]");
            if item.is_empty() {
                return Err(ConfError::invalid(
                    field,
                    "\"\"",
                    "is empty; write plane or plane@interface, with commas between",
                ));
            }
            Ok((field, item))
        })
        .collect()
}

#[cfg(test)]
mod tests;
