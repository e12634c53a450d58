//! Arithmetic on addresses, and which of them a pod can be.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::fields::ConfError;
use crate::prefix;

/// Networks whose addresses mean something else than a pod's interface (RFC 6890).
const SPECIAL: [(&str, &str); 7] = [
    ("0.0.0.0/8", "\"this network\""),
    ("127.0.0.0/8", "the loopback"),
    ("224.0.0.0/3", "multicast and reserved addresses"),
    ("::/127", "the loopback and the unspecified address"),
    ("::ffff:0:0/96", "IPv4 addresses in disguise"),
    ("fe80::/10", "link-local addresses, which are no identity"),
    ("ff00::/8", "multicast"),
];

/// Refuses a subnet that overlaps a special one.
pub(super) fn refuse_special(path: &str, subnet: &IpNetwork) -> Result<(), ConfError> {
    let overlaps =
        |special: &IpNetwork| special.contains(subnet.network()) || subnet.contains(special.network());
    for (special, meaning) in SPECIAL {
        let special: IpNetwork = special.parse().expect("a constant that is a prefix");
        if special.is_ipv4() == subnet.is_ipv4() && overlaps(&special) {
            let cure = format!("overlaps {special}, {meaning}; write a subnet that pods can have");
            return Err(ConfError::invalid(path, subnet, cure));
        }
    }
    Ok(())
}

/// The first address of a subnet is the subnet itself, the last of IPv4's is its broadcast; /31, /32, /127 and /128 have
/// neither (RFC 3021, RFC 6164).
pub(super) fn refuse_end_of_subnet(path: &str, subnet: &IpNetwork, address: IpAddr) -> Result<(), ConfError> {
    let meaning = if prefix::bits(subnet) - subnet.prefix() < 2 {
        return Ok(());
    } else if address == subnet.network() {
        "the address of the subnet itself"
    } else if subnet.is_ipv4() && address == subnet.broadcast() {
        "the subnet's broadcast address"
    } else {
        return Ok(());
    };
    let cure = format!("is {meaning}; write one from {} to {}", first_of(subnet), last_of(subnet));
    Err(ConfError::invalid(path, address, cure))
}

/// The first address that a pod may have: behind the subnet's own.
pub(super) fn first_of(subnet: &IpNetwork) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).saturating_add(1).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).saturating_add(1).into()),
    }
}

/// The last address that a pod may have: IPv4's last is the broadcast address.
pub(super) fn last_of(subnet: &IpNetwork) -> IpAddr {
    match subnet {
        IpNetwork::V4(v4) => IpAddr::V4((u32::from(v4.broadcast()) - 1).into()),
        IpNetwork::V6(v6) => IpAddr::V6(v6.broadcast()),
    }
}
