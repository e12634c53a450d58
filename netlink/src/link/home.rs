//! What a device of the node was before a pod got it.

use ipnetwork::IpNetwork;
use netlink_packet_route::link::LinkAttribute;
use planes::plan::{DeviceSelector, LinkPlan, PlannedAttachment};
use planes::{IfName, MacAddr, Mtu};
use serde::{Deserialize, Serialize};

use super::message::Message;
use super::{Mark, host_device};
use crate::{Error, Link, Net};

const PREFIX: &str = "multiplane:";

/// What a device was, to be saved on the node before the pod gets it. The device carries no more than a mark and its
/// name: whoever has CAP_NET_ADMIN in the pod can rewrite an alias, and must not choose the node's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The pod's name for it.
    pub pod_ifname: IfName,
    /// Its name on the node.
    pub name: IfName,
    is_up: bool,
    mtu: Mtu,
    mac: Option<MacAddr>,
    permanent_mac: Option<MacAddr>,
    kind: Option<String>,
    addresses: Vec<IpNetwork>,
}

/// The devices that `plans` will take from the node, as they are now. Save them before [`super::create`].
///
/// # Errors
/// If a device is missing or must not be moved.
pub async fn homes(host: &Net, plans: &[PlannedAttachment]) -> Result<Vec<Home>, Error> {
    let mut homes = Vec::new();
    for plan in plans {
        if let LinkPlan::HostDevice(device) = &plan.link {
            let link = host_device::find_fit(host, device).await?;
            homes.push(Home::of(&plan.ifname, &link, host.addresses_of(&link).await?));
        }
    }
    Ok(homes)
}

impl Home {
    /// The kernel makes link-local addresses again by itself.
    pub(super) fn of(pod_ifname: &IfName, link: &Link, mut addresses: Vec<IpNetwork>) -> Self {
        addresses.retain(|address| match address {
            IpNetwork::V4(_) => true,
            IpNetwork::V6(v6) => !v6.ip().is_unicast_link_local(),
        });
        Self {
            pod_ifname: pod_ifname.clone(),
            name: link.name.clone(),
            is_up: link.is_up,
            mtu: link.mtu,
            mac: link.mac,
            permanent_mac: link.permanent_mac,
            kind: link.kind.clone(),
            addresses,
        }
    }

    /// Whether `link` is the device: hardware by the address that is burnt in, which no pod can change; anything else
    /// by its kind and by where it lies.
    pub(super) fn is(&self, link: &Link, mark: Mark) -> bool {
        let alike = self.kind == link.kind && self.permanent_mac == link.permanent_mac;
        let burnt_in = self.kind.is_none() && self.permanent_mac.is_some();
        alike && (burnt_in || marked_name(link, mark).is_some() || link.name == self.pod_ifname)
    }

    /// The message that makes the link at `index` what it was, still down.
    pub(super) fn undoing(&self, index: u32) -> Message {
        undoing(index, &self.name).with_mtu(Some(self.mtu)).with_mac(self.mac)
    }

    /// Addresses and state, once the device is home.
    pub(super) async fn revive(&self, host: &Net) -> Result<(), Error> {
        let link = host.existing_link(&self.name).await?;
        for address in &self.addresses {
            host.ensure_address(&link, *address).await?;
        }
        if self.is_up { host.set_link(&link.name, Message::at(link.index).up()).await } else { Ok(()) }
    }
}

/// Names the link at `index` as it was, without a mark, and down.
pub(super) fn undoing(index: u32, name: &IfName) -> Message {
    let message = Message::at(index).down().with(LinkAttribute::IfName(name.to_string()));
    message.with(LinkAttribute::IfAlias(String::new()))
}

/// What is written into the alias: `multiplane:MARK NAME`.
pub(super) fn alias(mark: Mark, name: &IfName) -> LinkAttribute {
    LinkAttribute::IfAlias(format!("{PREFIX}{:x} {name}", mark.get()))
}

/// The name in an alias of this attachment; another's device is not ours to give back.
pub(super) fn marked_name(link: &Link, mark: Mark) -> Option<IfName> {
    let (found, name) = link.alias.as_deref()?.strip_prefix(PREFIX)?.split_once(' ')?;
    let ours = u32::from_str_radix(found, 16).ok()? == mark.get();
    name.parse().ok().filter(|_| ours)
}

/// The name of a device whose record is lost: the configuration's, if it has one, else the alias's.
pub(super) fn name_without_record(link: &Link, mark: Mark, selector: &DeviceSelector) -> Option<IfName> {
    let marked = marked_name(link, mark)?;
    match selector {
        DeviceSelector::Name(name) => Some(name.clone()),
        DeviceSelector::Mac(_) | DeviceSelector::Pci(_) => Some(marked),
    }
}
