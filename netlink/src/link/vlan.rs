//! Vlan planes (`ip link add link eth1 name POD netns PID type vlan id 100`).

use netlink_packet_route::link::{InfoData, InfoKind, InfoVlan};
use planes::plan::{PlannedAttachment, VlanLink};

use super::{Created, Mark, master};
use crate::{Drift, Error, Link, Net};

pub(super) async fn create(
    host: &Net,
    pod: &Net,
    mark: Mark,
    plan: &PlannedAttachment,
    vlan: &VlanLink,
) -> Result<Created, Error> {
    let master = master(host, &vlan.master).await?;
    let link = host.add_child(pod, mark, plan, &master, kind(vlan)).await.map_err(|error| {
        if error.is_exists() {
            Error::refused(
                format!("vlan {} of {}", vlan.vlan, vlan.master),
                "another interface has that tag already; a vlan plane serves one pod of a node",
            )
        } else {
            error.lacking("802.1Q VLANs (module 8021q)")
        }
    })?;
    Ok(Created::from_link(&link, None))
}

pub(super) fn kind(vlan: &VlanLink) -> (InfoKind, InfoData) {
    (InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(vlan.vlan.get())]))
}

pub(super) fn check(link: &Link, vlan: &VlanLink) -> Vec<Drift> {
    match &link.data {
        Some(InfoData::Vlan(list)) if list.contains(&InfoVlan::Id(vlan.vlan.get())) => Vec::new(),
        Some(InfoData::Vlan(_)) => {
            vec![Drift::new(format!("interface {}: vlan is not {}", link.name, vlan.vlan))]
        }
        _ => vec![Drift::new(format!("interface {} is no vlan", link.name))],
    }
}
