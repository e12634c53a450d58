//! Host-device planes: an interface of the node moves into the pod and comes back as it was.
//!
//! ```text
//! ip link set ens5 down alias "multiplane:5a0c1d2e ens5 up mtu 1500 mac 52:54:00:12:34:56 192.0.2.7/24"
//! ip link set ens5 name net1 netns POD
//! ```
//!
//! Who has the device and what it was before stands in its alias: an alias survives moves, so the device can be given
//! back when the record is lost, and when the pod's namespace died and the kernel put it back under the pod's name.

use std::path::Path;

use netlink_packet_route::link::LinkAttribute;
use planes::plan::{DeviceSelector, HostDeviceLink, PlannedAttachment};
use planes::pod_network::HostSide;
use planes::{IfName, MacAddr};

use super::message::{Message, planned_mac};
use super::note::Note;
use super::{Created, Mark};
use crate::{Error, Link, Net};

/// Moves the device into the pod. The alias comes first: whatever happens then, it says whose the device is.
pub(super) async fn take(
    host: &Net,
    pod: &Net,
    mark: Mark,
    plan: &PlannedAttachment,
    device: &HostDeviceLink,
) -> Result<Created, Error> {
    let link = find(host, &device.device).await?;
    refuse_unfit(&link, device)?;
    if pod.link_by_name(&plan.ifname).await?.is_some() {
        return Err(Error::refused(
            format!("interface {:?}", plan.ifname.as_str()),
            "exists in the pod already",
        ));
    }
    let note = Note::of(mark, &link, host.addresses_of(&link).await?)?;
    let alias = Message::at(link.index).with(LinkAttribute::IfAlias(note.to_string()));
    host.set_link(&link.name, alias).await?;
    let name = LinkAttribute::IfName(plan.ifname.to_string());
    let message = Message::at(link.index).down().with(name).in_netns(pod.netns());
    let moved = host.set_link(&link.name, message).await;
    let settled = async {
        moved?;
        settle(pod, plan).await
    };
    match settled.await {
        Ok(moved) => {
            let host_side = HostSide { ifname: link.name.clone(), bridge: None };
            Ok(Created::from_link(&moved, Some(host_side)))
        }
        Err(error) => {
            // The device goes back; what kept it from being set up is the error to report.
            let _ = give_back(host, Some(pod), mark, plan).await;
            Err(error)
        }
    }
}

fn refuse_unfit(link: &Link, device: &HostDeviceLink) -> Result<(), Error> {
    let object = || format!("device {:?}", link.name.as_str());
    if link.is_loopback {
        return Err(Error::refused(object(), "the loopback device cannot be moved"));
    }
    if link.master.is_some() {
        return Err(Error::refused(object(), "is a port of a bridge or bond; take it out of there first"));
    }
    match link.kind.as_ref().filter(|_| !device.allow_loss) {
        Some(kind) => {
            let reason = format!(
                "is a virtual device ({kind}) and dies with the pod's namespace; set \"allowLoss\": true if that is meant"
            );
            Err(Error::refused(object(), reason))
        }
        None => Ok(()),
    }
}

/// Address and MTU as planned.
async fn settle(pod: &Net, plan: &PlannedAttachment) -> Result<Link, Error> {
    let link = pod.existing_link(&plan.ifname).await?;
    let mac = planned_mac(plan);
    if plan.mtu.is_some() || mac.is_some() {
        pod.set_link(&plan.ifname, Message::at(link.index).with_mtu(plan.mtu).with_mac(mac)).await?;
    }
    pod.existing_link(&plan.ifname).await
}

async fn find(host: &Net, selector: &DeviceSelector) -> Result<Link, Error> {
    let absent = |what: &str, value: &str| {
        Error::refused(
            format!("{what} {value:?}"),
            "no such device on this node, or another pod has it; correct the plane's \"device\", \"hwaddr\" or \"pciBusID\"",
        )
    };
    match selector {
        DeviceSelector::Name(name) => {
            host.link_by_name(name).await?.ok_or_else(|| absent("device", name.as_str()))
        }
        DeviceSelector::Mac(mac) => {
            by_mac(host, *mac).await?.ok_or_else(|| absent("hwaddr", &mac.to_string()))
        }
        DeviceSelector::Pci(address) => {
            let name = pci_ifname(host, address)?.ok_or_else(|| absent("pciBusID", address))?;
            host.link_by_name(&name).await?.ok_or_else(|| absent("pciBusID", address))
        }
    }
}

/// The kernel has no look-up by address, so the node's links are listed; bridges and pods' peers may share a MAC
/// with a card, the card is the one without a driver kind.
async fn by_mac(host: &Net, mac: MacAddr) -> Result<Option<Link>, Error> {
    let mut links: Vec<Link> = host.links().await?.into_iter().filter(|link| link.mac == Some(mac)).collect();
    links.sort_by_key(|link| link.kind.is_some());
    Ok(links.into_iter().next())
}

/// The interface of a PCI function (`/sys/bus/pci/devices/<address>/net/<name>`), as the node's namespace sees it.
fn pci_ifname(host: &Net, address: &str) -> Result<Option<IfName>, Error> {
    let valid = address.len() <= 16 && address.chars().all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.');
    if !valid {
        return Err(Error::refused(format!("pciBusID {address:?}"), "write it as 0000:3b:00.1"));
    }
    let home = Path::new("/sys/bus/pci/devices").join(address);
    let found = host.netns().run(|| first_net(&home))?;
    Ok(found.and_then(|name| name.parse().ok()))
}

/// virtio puts its `net` one level deeper, below `virtioN`.
fn first_net(home: &Path) -> Option<String> {
    let first = |path: &Path| {
        std::fs::read_dir(path)
            .ok()?
            .flatten()
            .next()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    first(&home.join("net")).or_else(|| {
        let children = std::fs::read_dir(home).ok()?;
        children.flatten().find_map(|child| first(&child.path().join("net")))
    })
}

/// Gives the device back as it was: from the pod, or, where the pod's namespace died before, from under the pod's name
/// on the node. Succeeds if this attachment has none.
pub(super) async fn give_back(
    host: &Net,
    pod: Option<&Net>,
    mark: Mark,
    plan: &PlannedAttachment,
) -> Result<(), Error> {
    if let Some(pod) = pod
        && let Some((link, note)) = pod.links().await?.into_iter().find_map(|link| ours(link, mark))
    {
        let message = note.undoing(link.index).in_netns(host.netns());
        pod.set_link(&link.name, message).await?;
        return note.revive(host).await;
    }
    match stranded(host, mark, plan).await? {
        Some((link, note)) => {
            host.set_link(&link.name, note.undoing(link.index)).await?;
            note.revive(host).await
        }
        None => Ok(()),
    }
}

/// A link whose alias says that this attachment has it.
fn ours(link: Link, mark: Mark) -> Option<(Link, Note)> {
    let note = Note::read(link.alias.as_deref()?, mark)?;
    Some((link, note))
}

/// The device on the node itself: the kernel puts it there when the pod's namespace dies, under the pod's name or,
/// where that is taken, under one of its own choice. That one is found by looking at all.
async fn stranded(host: &Net, mark: Mark, plan: &PlannedAttachment) -> Result<Option<(Link, Note)>, Error> {
    let likely = host.link_by_name(&plan.ifname).await?;
    if let Some(found) = likely.and_then(|link| ours(link, mark)) {
        return Ok(Some(found));
    }
    Ok(host.links().await?.into_iter().find_map(|link| ours(link, mark)))
}
