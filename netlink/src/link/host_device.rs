//! Host-device planes: an interface of the node moves into the pod and comes back under its old name.
//!
//! ```text
//! ip link set ens5 down; ip link set ens5 name POD netns PID alias multiplane:ens5
//! ```
//!
//! The old name lies in the alias too: an alias survives moves, so a device can be given back even when the record is
//! lost.

use std::path::Path;

use netlink_packet_route::link::LinkAttribute;
use planes::plan::{DeviceSelector, HostDeviceLink, PlannedAttachment};
use planes::pod_network::HostSide;
use planes::{IfName, MacAddr};

use super::Created;
use super::message::{Message, planned_mac};
use crate::{Error, Link, Net};

const ALIAS: &str = "multiplane:";

/// A device in a pod that must go back to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDevice {
    /// Its name inside the pod.
    pub pod_ifname: IfName,
    /// Its name on the node.
    pub host_ifname: IfName,
}

/// Moves the device into the pod.
pub(super) async fn take(
    host: &Net,
    pod: &Net,
    plan: &PlannedAttachment,
    device: &HostDeviceLink,
) -> Result<Created, Error> {
    let link = find(host, &device.device).await?;
    let object = || format!("device {:?}", link.name.as_str());
    if link.is_loopback {
        return Err(Error::refused(object(), "the loopback device cannot be moved"));
    }
    if let Some(kind) = link.kind.as_ref().filter(|_| !device.allow_loss) {
        let reason = format!(
            "is a virtual device ({kind}) and dies with the pod's namespace; set \"allowLoss\": true if that is meant"
        );
        return Err(Error::refused(object(), reason));
    }
    if pod.link_by_name(&plan.ifname).await?.is_some() {
        return Err(Error::refused(
            format!("interface {:?}", plan.ifname.as_str()),
            "exists in the pod already",
        ));
    }
    let message = Message::at(link.index)
        .down()
        .with(LinkAttribute::IfName(plan.ifname.to_string()))
        .with(LinkAttribute::IfAlias(format!("{ALIAS}{}", link.name)))
        .in_netns(pod.netns());
    host.set_link(&link.name, message).await?;
    let host_side = HostSide { ifname: link.name.clone(), bridge: None };
    match settle(pod, plan).await {
        Ok(moved) => Ok(Created::from_link(&moved, Some(host_side))),
        Err(error) => {
            let held = HeldDevice { pod_ifname: plan.ifname.clone(), host_ifname: link.name.clone() };
            // The device goes back; what kept it from being set up is the error to report.
            let _ = give_back(host, pod, &held).await;
            Err(error)
        }
    }
}

/// Address and MTU as planned. A device whose address we change gets its own back from its permanent one.
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

/// Moves a device back under its old name. Succeeds if it is not in the pod.
pub(super) async fn give_back(host: &Net, pod: &Net, held: &HeldDevice) -> Result<(), Error> {
    let Some(link) = pod.link_by_name(&held.pod_ifname).await? else { return Ok(()) };
    let alias = format!("{ALIAS}{}", held.host_ifname);
    if link.alias.as_deref() != Some(alias.as_str()) {
        // An interface of that name which we did not move there is not ours to take.
        return Ok(());
    }
    let message = Message::at(link.index)
        .down()
        .with(LinkAttribute::IfName(held.host_ifname.to_string()))
        .with(LinkAttribute::IfAlias(String::new()))
        .in_netns(host.netns());
    pod.set_link(&link.name, message).await
}

/// The old name of a device in the pod, from its alias.
pub(super) async fn held(pod: &Net, plan: &PlannedAttachment) -> Result<Option<HeldDevice>, Error> {
    let link = pod.link_by_name(&plan.ifname).await?;
    let old = link.and_then(|link| link.alias?.strip_prefix(ALIAS)?.parse::<IfName>().ok());
    Ok(old.map(|host_ifname| HeldDevice { pod_ifname: plan.ifname.clone(), host_ifname }))
}
