//! From what was found in the pod to its [`PodNetwork`]: pure, so that the identity of a pod depends on
//! nothing but what the kernel says and what the configuration means.

use netlink::identity::Interface;
use netlink::interface::Applied;
use netlink::link::Created;
use planes::{Attachment, IfName, PlaneName, PlannedAttachment, PodNetwork, Role, Traffic};

use crate::state::Record;

/// Primary first, then planes in the plan's order, then what no plane claims, by name. `found` is sorted by
/// name; interfaces of planes that carry no address are part of the pod all the same.
#[must_use]
pub fn observe(record: &Record, links: &[Created], applied: &[Applied], found: Vec<Interface>) -> PodNetwork {
    let plan = &record.plan;
    let mut attachments: Vec<Attachment> = plan
        .attachments
        .iter()
        .zip(links.iter().zip(applied))
        .map(|(planned, (link, applied))| declared(planned, link, applied, &found))
        .collect();
    attachments.sort_by_key(|attachment| attachment.role != Role::Primary);
    let claimed: Vec<IfName> = attachments.iter().map(|attachment| attachment.ifname.clone()).collect();
    let others = found.into_iter().filter(|interface| !claimed.contains(&interface.name));
    attachments.extend(others.map(|interface| undeclared(interface, plan.undeclared)));
    PodNetwork {
        key: plan.key.clone(),
        netns: plan.netns.clone(),
        netns_cookie: record.netns_cookie,
        pod: plan.pod.clone(),
        proxy: plan.proxy.clone(),
        attachments,
        undeclared: plan.undeclared,
    }
}

fn declared(
    planned: &PlannedAttachment,
    link: &Created,
    applied: &Applied,
    found: &[Interface],
) -> Attachment {
    let here = found.iter().find(|interface| interface.index == link.index);
    Attachment {
        plane: planned.plane.clone(),
        role: planned.role,
        traffic: planned.traffic,
        ifname: planned.ifname.clone(),
        index: link.index,
        mac: here.map_or(link.mac, |interface| interface.mac),
        mtu: here.map_or(link.mtu, |interface| interface.mtu),
        addresses: here.map(|interface| interface.addresses.clone()).unwrap_or_default(),
        gateways: applied.gateways.clone(),
        routes: applied.routes.clone(),
        table: applied.table,
        host_side: link.host_side.clone(),
        extra_addresses: planned.extra_addresses.clone(),
        forward: planned.forward,
        labels: planned.labels.clone(),
    }
}

fn undeclared(interface: Interface, traffic: Traffic) -> Attachment {
    Attachment {
        plane: PlaneName::from_ifname(&interface.name),
        role: Role::Undeclared,
        traffic,
        ifname: interface.name,
        index: interface.index,
        mac: interface.mac,
        mtu: interface.mtu,
        addresses: interface.addresses,
        gateways: Vec::new(),
        routes: Vec::new(),
        table: None,
        host_side: None,
        extra_addresses: Vec::new(),
        forward: false,
        labels: Default::default(),
    }
}
