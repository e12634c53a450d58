//! Links, one file per plane kind. A link is made in one message wherever the kernel allows it, and carries its
//! mark from the first moment: the node's end by its name, the pod's end by its group.

mod adopted;
mod bridge;
mod bridge_port;
mod fence;
mod home;
mod host_device;
mod ipvlan;
mod macvlan;
mod message;
mod ptp;
mod remove;
mod veth;
mod vlan;
mod vxlan;

use planes::plan::{LinkPlan, PlannedAttachment};
use planes::pod_network::HostSide;
use planes::{Attachment, AttachmentKey, IfName, MacAddr, Mtu};
use sha2::{Digest, Sha256};

use crate::{Drift, Error, Link, Net};

pub use home::{Home, homes};
pub(crate) use message::Message;
pub use remove::remove;

/// The group of every link made for one attachment: what DEL deletes in one request, inside the pod alone, and
/// what tells our link from another of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u32);

impl Mark {
    /// The mark of an attachment, always the same for the same key; never the kernel's default group 0.
    #[must_use]
    pub fn of(key: &AttachmentKey) -> Self {
        let mut hash = Sha256::new();
        for part in [key.network.as_str(), key.container.as_str(), key.ifname.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        // The upper half, away from the small numbers that administrators give; never negative in `ip` output.
        Self(number & 0x7fff_ffff | 0x4000_0000)
    }

    /// The group number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A link that is there now, not yet configured and, inside the pod, not yet up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its index inside the pod.
    pub index: u32,
    /// Its Ethernet address, if the kind has one.
    pub mac: Option<MacAddr>,
    /// Its MTU.
    pub mtu: Mtu,
    /// What was made on the node.
    pub host_side: Option<HostSide>,
}

impl Created {
    fn from_link(link: &Link, host_side: Option<HostSide>) -> Self {
        Self { index: link.index, mac: link.mac, mtu: link.mtu, host_side }
    }
}

/// Makes what a plane needs on the node and what outlives its pods: bridges, uplinks, VXLAN devices. Idempotent
/// and safe against other ADDs doing the same.
///
/// # Errors
/// If something of that name exists and is something else, or the kernel lacks the kind.
pub async fn ensure_fixtures(host: &Net, plan: &PlannedAttachment) -> Result<(), Error> {
    match &plan.link {
        LinkPlan::Bridge(bridge) => bridge::ensure(host, bridge).await.map(drop),
        LinkPlan::Vxlan(vxlan) => vxlan::ensure(host, vxlan).await,
        LinkPlan::Ptp
        | LinkPlan::Macvlan(_)
        | LinkPlan::Ipvlan(_)
        | LinkPlan::Vlan(_)
        | LinkPlan::HostDevice(_)
        | LinkPlan::Adopted => Ok(()),
    }
}

/// Makes a plane's link, or finds it where it is adopted. Its fixtures exist already.
///
/// # Errors
/// If a name is taken, a master is missing or the kernel lacks the kind. Nothing is left behind then.
pub async fn create(host: &Net, pod: &Net, mark: Mark, plan: &PlannedAttachment) -> Result<Created, Error> {
    if host.netns().is_same(pod.netns()) {
        let object = format!("namespace {}", pod.netns().path_from_proc().display());
        return Err(Error::refused(object, "is the node's own; CNI_NETNS must be the pod's"));
    }
    match &plan.link {
        LinkPlan::Bridge(bridge) => bridge_port::create(host, pod, mark, plan, bridge).await,
        LinkPlan::Vxlan(vxlan) => bridge_port::create(host, pod, mark, plan, &vxlan::bridge_of(vxlan)).await,
        LinkPlan::Ptp => ptp::create(host, pod, mark, plan).await,
        LinkPlan::Macvlan(macvlan) => macvlan::create(host, pod, mark, plan, macvlan).await,
        LinkPlan::Ipvlan(ipvlan) => ipvlan::create(host, pod, mark, plan, ipvlan).await,
        LinkPlan::Vlan(vlan) => vlan::create(host, pod, mark, plan, vlan).await,
        LinkPlan::HostDevice(device) => host_device::take(host, pod, mark, plan, device).await,
        LinkPlan::Adopted => adopted::find(pod, plan).await,
    }
}

/// Finishes the node's side once the addresses are known (ptp: the gateway's addresses and a route to the pod).
///
/// # Errors
/// If the kernel refuses an address or a route.
pub async fn configure_host(
    host: &Net,
    plan: &PlannedAttachment,
    addresses: &[crate::interface::Assigned],
) -> Result<(), Error> {
    match &plan.link {
        LinkPlan::Ptp => ptp::configure_host(host, plan, addresses).await,
        LinkPlan::Bridge(_)
        | LinkPlan::Vxlan(_)
        | LinkPlan::Macvlan(_)
        | LinkPlan::Ipvlan(_)
        | LinkPlan::Vlan(_)
        | LinkPlan::HostDevice(_)
        | LinkPlan::Adopted => Ok(()),
    }
}

/// Names every difference between a plane's link and what ADD left. Without a connection into the pod only the
/// node's side is compared.
///
/// # Errors
/// If the kernel refuses to answer.
pub async fn check(
    host: &Net,
    pod: &Net,
    plan: &PlannedAttachment,
    attachment: &Attachment,
) -> Result<Vec<Drift>, Error> {
    let Some(link) = pod.link_by_name(&attachment.ifname).await? else {
        let renamed = pod.link_by_index(attachment.index).await?;
        let object = format!("interface {}", attachment.ifname);
        return Ok(vec![Drift::new(match renamed {
            Some(other) => format!("{object} was renamed to {}", other.name),
            None => format!("{object} is gone"),
        })]);
    };
    let mut drift = compare_link(&link, attachment);
    let more = match &plan.link {
        LinkPlan::Bridge(bridge) => bridge::check(host, &link, plan, bridge).await?,
        LinkPlan::Vxlan(vxlan) => vxlan::check(host, &link, plan, vxlan).await?,
        LinkPlan::Ptp => ptp::check(host, &link, plan, attachment).await?,
        LinkPlan::Macvlan(macvlan) => macvlan::check(&link, macvlan),
        LinkPlan::Ipvlan(ipvlan) => ipvlan::check(&link, ipvlan),
        LinkPlan::Vlan(vlan) => vlan::check(&link, vlan),
        LinkPlan::HostDevice(_) | LinkPlan::Adopted => Vec::new(),
    };
    drift.extend(more);
    Ok(drift)
}

fn compare_link(link: &Link, attachment: &Attachment) -> Vec<Drift> {
    let mut drift = Vec::new();
    let object = format!("interface {}", link.name);
    if link.index != attachment.index {
        drift.push(Drift::new(format!("{object} was replaced by another of that name")));
    }
    if !link.is_up {
        drift.push(Drift::new(format!("{object} is down")));
    }
    Drift::compare(&mut drift, &object, "mtu", &attachment.mtu, &link.mtu);
    if let (Some(wanted), Some(found)) = (attachment.mac, link.mac) {
        Drift::compare(&mut drift, &object, "mac", &wanted, &found);
    }
    drift
}

/// Removes a plane's fixtures if no port is left on them. For GC, which knows that no attachment uses them.
///
/// # Errors
/// If the kernel refuses.
pub async fn remove_fixtures(host: &Net, plan: &PlannedAttachment) -> Result<(), Error> {
    match &plan.link {
        LinkPlan::Bridge(bridge) => bridge::remove_unused(host, bridge).await,
        LinkPlan::Vxlan(vxlan) => vxlan::remove_unused(host, vxlan).await,
        LinkPlan::Ptp
        | LinkPlan::Macvlan(_)
        | LinkPlan::Ipvlan(_)
        | LinkPlan::Vlan(_)
        | LinkPlan::HostDevice(_)
        | LinkPlan::Adopted => Ok(()),
    }
}

/// The parent of a child link, up or not.
async fn master(host: &Net, name: &IfName) -> Result<Link, Error> {
    host.link_by_name(name).await?.ok_or_else(|| {
        Error::refused(
            format!("master {name:?}", name = name.as_str()),
            "no such interface on this node; create it or correct the plane's \"master\"",
        )
    })
}
