//! Macvlan planes (`ip link add link eth1 name POD netns PID type macvlan mode bridge`).

use netlink_packet_route::link::{InfoData, InfoKind, InfoMacVlan, MacVlanMode};
use planes::plan::{MacvlanLink, MacvlanMode, PlannedAttachment};

use super::{Created, Mark, master};
use crate::{Drift, Error, Link, Net};

pub(super) async fn create(
    host: &Net,
    pod: &Net,
    mark: Mark,
    plan: &PlannedAttachment,
    macvlan: &MacvlanLink,
) -> Result<Created, Error> {
    let master = master(host, &macvlan.master).await?;
    let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(kernel_mode(macvlan.mode))]);
    let link = host
        .add_child(pod, mark, plan, &master, (InfoKind::MacVlan, data))
        .await
        .map_err(|error| error.lacking("macvlan (module macvlan)"))?;
    Ok(Created::from_link(&link, None))
}

fn kernel_mode(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    }
}

pub(super) fn check(link: &Link, macvlan: &MacvlanLink) -> Vec<Drift> {
    let wanted = InfoMacVlan::Mode(kernel_mode(macvlan.mode));
    match &link.data {
        Some(InfoData::MacVlan(list)) if list.contains(&wanted) => Vec::new(),
        Some(InfoData::MacVlan(_)) => {
            vec![Drift::new(format!("interface {}: macvlan mode is not {:?}", link.name, macvlan.mode))]
        }
        _ => vec![Drift::new(format!("interface {} is no macvlan", link.name))],
    }
}
