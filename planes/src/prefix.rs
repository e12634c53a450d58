//! What the length of a prefix says.

use ipnetwork::IpNetwork;

/// How many bits an address of the family has.
pub(crate) fn bits(network: &IpNetwork) -> u8 {
    if network.is_ipv4() { 32 } else { 128 }
}

/// Whether a network is one address.
#[must_use]
pub fn is_host(network: &IpNetwork) -> bool {
    network.prefix() == bits(network)
}
