//! Ipvlan planes (`ip link add link eth1 name POD netns PID type ipvlan mode l2`).

use netlink_packet_route::link::{InfoData, InfoIpVlan, InfoKind, IpVlanMode};
use planes::plan::{IpvlanLink, IpvlanMode, PlannedAttachment};

use super::{Created, Mark, master};
use crate::{Drift, Error, Link, Net};

pub(super) async fn create(
    host: &Net,
    pod: &Net,
    mark: Mark,
    plan: &PlannedAttachment,
    ipvlan: &IpvlanLink,
) -> Result<Created, Error> {
    let master = master(host, &ipvlan.master).await?;
    let link = host
        .add_child(pod, mark, plan, &master, kind(ipvlan))
        .await
        .map_err(|error| error.lacking("ipvlan (module ipvlan)"))?;
    Ok(Created::from_link(&link, None))
}

pub(super) fn kind(ipvlan: &IpvlanLink) -> (InfoKind, InfoData) {
    (InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(kernel_mode(ipvlan.mode))]))
}

fn kernel_mode(mode: IpvlanMode) -> IpVlanMode {
    match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    }
}

pub(super) fn check(link: &Link, ipvlan: &IpvlanLink) -> Vec<Drift> {
    let wanted = InfoIpVlan::Mode(kernel_mode(ipvlan.mode));
    match &link.data {
        Some(InfoData::IpVlan(list)) if list.contains(&wanted) => Vec::new(),
        Some(InfoData::IpVlan(_)) => {
            vec![Drift::new(format!("interface {}: ipvlan mode is not {:?}", link.name, ipvlan.mode))]
        }
        _ => vec![Drift::new(format!("interface {} is no ipvlan", link.name))],
    }
}
