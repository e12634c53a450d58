//! From what was found in the pod to its [`PodNetwork`]: pure, so that the identity of a pod depends on
//! nothing but what the kernel says and what the configuration means.

use netlink::identity::Interface;
use netlink::interface::Applied;
use netlink::link::Created;
use planes::{Attachment, IfName, PlaneName, PlannedAttachment, PodNetwork, Role, Traffic};

use crate::state::Record;

/// Primary first, then planes in the plan's order, then what no plane claims, by name. Interfaces of planes that carry no address are part of the pod all the same.
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
    let mut others: Vec<Interface> =
        found.into_iter().filter(|interface| !claimed.contains(&interface.name)).collect();
    others.sort_by(|one, other| one.name.cmp(&other.name));
    attachments.extend(others.into_iter().map(|interface| undeclared(interface, plan.undeclared)));
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
        captured: planned.captured.clone(),
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
        captured: Default::default(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{applied, created, interface, record};

    fn names(network: &PodNetwork) -> Vec<&str> {
        network.attachments.iter().map(|attachment| attachment.ifname.as_str()).collect()
    }

    fn found() -> Vec<Interface> {
        vec![
            interface(2, "eth0", &["10.75.8.2/24"]),
            interface(3, "media", &["10.75.9.2/24", "fd00:9::2/64"]),
            interface(4, "zz9", &["192.0.2.1/24"]),
        ]
    }

    fn network(found: Vec<Interface>) -> PodNetwork {
        let links = [created(2), created(3)];
        observe(&record(false), &links, &[applied(&["10.75.8.1"]), applied(&[])], found)
    }

    #[test]
    fn the_primary_comes_first_then_planes_then_what_nobody_claims() {
        assert_eq!(names(&network(found())), ["eth0", "media", "zz9"]);
    }

    #[test]
    fn the_order_in_which_interfaces_are_found_does_not_matter() {
        let mut shuffled = found();
        shuffled.rotate_left(1);

        assert_eq!(network(shuffled), network(found()));
    }

    #[test]
    fn addresses_are_the_kernels_and_an_interface_without_any_is_still_there() {
        let network = network(vec![interface(3, "media", &["10.75.9.77/24"])]);

        assert_eq!(network.attachments[0].addresses, []);
        assert_eq!(network.attachments[1].addresses, ["10.75.9.77/24".parse().unwrap()]);
    }

    #[test]
    fn an_interface_that_no_plane_claims_follows_the_undeclared_setting() {
        let network = network(found());

        assert_eq!(network.attachments[2].role, Role::Undeclared);
        assert_eq!(network.attachments[2].traffic, Traffic::Bypass);
    }
}
