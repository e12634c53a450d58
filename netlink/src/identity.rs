//! Which addresses a pod *is*: read back from the kernel, never taken from what was asked for.

use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{AddressFlags, AddressMessage, AddressScope};
use planes::{IfName, MacAddr, Mtu};

use crate::address::{flags, network};
use crate::{Error, Net};

/// How often a tentative address is asked for again. Detection takes about a second where it is on at all.
const PACE: Duration = Duration::from_millis(20);

/// An interface of a pod with the addresses that identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: IfName,
    /// Its Ethernet address.
    pub mac: Option<MacAddr>,
    /// Its MTU.
    pub mtu: Mtu,
    /// Addresses of global scope with prefix lengths, IPv4 before IPv6, in the kernel's order.
    pub addresses: Vec<IpNetwork>,
}

/// Every interface of the pod that is up and not the loopback, by name, with its addresses of global scope; without
/// tentative, deprecated, duplicate and link-local ones. Waits for duplicate address detection, at most until
/// `deadline`; an address that is still tentative then is left out.
///
/// # Errors
/// If the kernel refuses to answer.
pub async fn enumerate(pod: &Net, deadline: Instant) -> Result<Vec<Interface>, Error> {
    let mut links = pod.links().await?;
    links.retain(|link| link.is_up && !link.is_loopback);
    let addresses = settled(pod, &links.iter().map(|link| link.index).collect::<Vec<_>>(), deadline).await?;
    links.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(links
        .into_iter()
        .map(|link| Interface {
            addresses: of(&addresses, link.index),
            index: link.index,
            name: link.name,
            mac: link.mac,
            mtu: link.mtu,
        })
        .collect())
}

async fn settled(pod: &Net, links: &[u32], deadline: Instant) -> Result<Vec<AddressMessage>, Error> {
    loop {
        let addresses = pod.addresses().await?;
        let waits = addresses.iter().any(|message| {
            links.contains(&message.header.index) && is_global(message) && is_tentative(flags(message))
        });
        if !waits {
            return Ok(addresses);
        }
        if Instant::now() + PACE > deadline {
            tracing::warn!(
                "an address is still tentative and no part of the identity; has its link a carrier?"
            );
            return Ok(addresses);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Whether the address is of global scope.
pub(crate) fn is_global(message: &AddressMessage) -> bool {
    message.header.scope == AddressScope::Universe
}

/// A duplicate stays tentative for ever: there is nothing to wait for.
fn is_tentative(flags: AddressFlags) -> bool {
    flags.contains(AddressFlags::Tentative)
        && !flags.contains(AddressFlags::Dadfailed)
        && !flags.contains(AddressFlags::Optimistic)
}

fn identifies(message: &AddressMessage) -> bool {
    let flags = flags(message);
    let unusable = AddressFlags::Tentative | AddressFlags::Deprecated | AddressFlags::Dadfailed;
    let optimistic = flags.contains(AddressFlags::Optimistic);
    let usable = optimistic || !flags.intersects(unusable);
    is_global(message) && usable && !flags.contains(AddressFlags::Dadfailed)
}

fn of(addresses: &[AddressMessage], index: u32) -> Vec<IpNetwork> {
    let here = addresses.iter().filter(|message| message.header.index == index && identifies(message));
    let mut list: Vec<IpNetwork> = Vec::new();
    for address in here.filter_map(network) {
        if !list.iter().any(|seen| seen.ip() == address.ip()) {
            list.push(address);
        }
    }
    // The kernel lists IPv6 addresses newest first, which depends on the order of creation.
    list.sort_by_key(|address| {
        (address.is_ipv6(), if address.is_ipv6() { Some(address.ip()) } else { None })
    });
    list
}
