//! Host-device planes: an interface of the node moves into the pod and comes back as it was.
//!
//! ```text
//! ip link set ens5 alias "multiplane:5a0c1d2e ens5"; ip link set ens5 down name net1 netns POD
//! ```
//!
//! What the device was is saved on the node ([`super::Home`]). The alias survives moves and says whose the device is:
//! so it is found again in the pod, under whatever name, and on the node, where the kernel puts a card whose pod died.

use std::path::Path;

use netlink_packet_route::link::LinkAttribute;
use planes::plan::{DeviceSelector, HostDeviceLink, LinkPlan, PlannedAttachment};
use planes::pod_network::HostSide;
use planes::{IfName, MacAddr};

use super::home::{Home, alias, name_without_record, undoing};
use super::message::{Message, planned_mac};
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
    let link = find_fit(host, device).await?;
    if pod.link_by_name(&plan.ifname).await?.is_some() {
        return Err(Error::refused(
            format!("interface {:?}", plan.ifname.as_str()),
            "exists in the pod already",
        ));
    }
    let home = Home::of(&plan.ifname, &link, host.addresses_of(&link).await?);
    host.set_link(&link.name, Message::at(link.index).with(alias(mark, &link.name))).await?;
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
            let _ = give_back(host, Some(pod), mark, plan, std::slice::from_ref(&home)).await;
            Err(error)
        }
    }
}

/// The device that the plan means, if it may be moved.
pub(super) async fn find_fit(host: &Net, device: &HostDeviceLink) -> Result<Link, Error> {
    let link = find(host, &device.device).await?;
    refuse_unfit(&link, device)?;
    Ok(link)
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
    if plan.mtu.is_none() && mac.is_none() {
        return Ok(link);
    }
    pod.set_link(&plan.ifname, Message::at(link.index).with_mtu(plan.mtu).with_mac(mac)).await?;
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

/// Gives the device back: from the pod, or, where the pod's namespace died before, from wherever on the node the kernel
/// put it. As it was, if it is one of `homes`; else under its old name, and down. Succeeds if this attachment has none.
pub(super) async fn give_back(
    host: &Net,
    pod: Option<&Net>,
    mark: Mark,
    plan: &PlannedAttachment,
    homes: &[Home],
) -> Result<(), Error> {
    let LinkPlan::HostDevice(device) = &plan.link else { return Ok(()) };
    let home = homes.iter().find(|home| home.pod_ifname == plan.ifname);
    let search = Search { mark, plan, device, home };
    if let Some(pod) = pod
        && let Some((link, message)) = search.among(pod.links().await?)
    {
        pod.set_link(&link.name, message.in_netns(host.netns())).await?;
    } else if let Some((link, message)) = search.on(host).await? {
        host.set_link(&link.name, message).await?;
    } else {
        return Ok(());
    }
    match home {
        Some(home) => home.revive(host).await,
        None => Ok(()),
    }
}

/// What is looked for, and what it shall be.
struct Search<'a> {
    mark: Mark,
    plan: &'a PlannedAttachment,
    device: &'a HostDeviceLink,
    home: Option<&'a Home>,
}

impl Search<'_> {
    /// The device among `links`, with the message that undoes the move.
    fn among(&self, links: impl IntoIterator<Item = Link>) -> Option<(Link, Message)> {
        links.into_iter().find_map(|link| {
            let message = match self.home {
                Some(home) => home.is(&link, self.mark).then(|| home.undoing(link.index))?,
                None => undoing(link.index, &name_without_record(&link, self.mark, &self.device.device)?),
            };
            Some((link, message))
        })
    }

    /// The device on the node, where it carries our mark still: under the pod's name or, where that was taken, under one
    /// of the kernel's choice, which is found by looking at all.
    async fn on(&self, host: &Net) -> Result<Option<(Link, Message)>, Error> {
        let marked = |link: &Link| super::home::marked_name(link, self.mark).is_some();
        let likely = host.link_by_name(&self.plan.ifname).await?.filter(marked);
        if let Some(found) = self.among(likely) {
            return Ok(Some(found));
        }
        Ok(self.among(host.links().await?.into_iter().filter(marked)))
    }
}
