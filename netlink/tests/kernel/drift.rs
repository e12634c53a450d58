//! CHECK names each thing that is not as ADD left it, and only that.

use planes::PlannedAttachment;
use planes::plan::LinkPlan;

use crate::world::{Attached, World, behind, bridge, ip, plan, route, set_sysctl};

fn plane() -> PlannedAttachment {
    let link = LinkPlan::Bridge(bridge("br0"));
    PlannedAttachment { routes: vec![route("10.9.0.0/16", None)], ..plan("net1", "mpone", link) }
}

async fn attached() -> (World, PlannedAttachment, Attached) {
    let (world, plan) = (World::with_pods(1).await, plane());
    let addresses = [behind("10.1.0.2/24", "10.1.0.1"), behind("fd01::2/64", "fd01::1")];
    let attached = world.attach(0, &plan, &addresses).await;
    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);
    (world, plan, attached)
}

/// What an administrator does in the pod, and what CHECK says then.
const IN_POD: [(&str, &str); 11] = [
    ("link set net1 mtu 1400", "interface net1: mtu is 1400, not 1500"),
    ("link set net1 address 02:00:00:00:00:42", "interface net1: mac is 02:00:00:00:00:42, not "),
    ("link set net1 down", "interface net1 is down"),
    ("address del 10.1.0.2/24 dev net1", "address 10.1.0.2/24 of net1 is gone"),
    ("address del fd01::2/64 dev net1", "address fd01::2/64 of net1 is gone"),
    ("route del 10.9.0.0/16", "route 10.9.0.0/16 by net1 in table 254 is gone"),
    ("route del default table 20002", "route 0.0.0.0/0 by net1 in table 20002 is gone"),
    ("-6 route del default table 20002", "route ::/0 by net1 in table 20002 is gone"),
    (
        "route replace 10.9.0.0/16 via 10.1.0.77",
        "route 10.9.0.0/16 by net1 in table 254 goes via 10.1.0.77, not 10.1.0.1",
    ),
    ("rule del from 10.1.0.2", "rule from 10.1.0.2 lookup 20002 priority 20000 is gone"),
    ("-6 rule del from fd01::2", "rule from fd01::2 lookup 20002 priority 20000 is gone"),
];

#[tokio::test]
async fn each_change_in_the_pod_is_named() {
    for (change, expected) in IN_POD {
        let (world, plan, attached) = attached().await;

        ip(&world.pods[0], change);

        let found = world.check(0, &plan, &attached).await;
        assert!(found.iter().any(|text| text.starts_with(expected)), "{change}: {found:?}");
    }
}

#[tokio::test]
async fn each_change_on_the_node_is_named() {
    let cases = [
        ("link set mpone down", "interface mpone on the node is down"),
        ("link set mpone nomaster", "interface mpone on the node is no port of bridge br0"),
        ("link set br0 down", "bridge br0 is down"),
        ("link del br0", "bridge br0 is gone"),
    ];
    for (change, expected) in cases {
        let (world, plan, attached) = attached().await;

        ip(&world.host, change);

        let found = world.check(0, &plan, &attached).await;
        assert!(found.iter().any(|text| text == expected), "{change}: {found:?}");
    }
}

#[tokio::test]
async fn a_link_that_is_gone_renamed_or_replaced_is_told_apart() {
    let (world, plan, attached) = attached().await;
    let pod = &world.pods[0];

    ip(pod, "link set net1 down");
    ip(pod, "link set net1 name other");
    assert_eq!(world.check(0, &plan, &attached).await, ["interface net1 was renamed to other"]);
    ip(pod, "link add net1 type veth peer name peer");
    let replaced = world.check(0, &plan, &attached).await;
    assert!(
        replaced.contains(&"interface net1 was replaced by another of that name".to_owned()),
        "{replaced:?}"
    );
    ip(pod, "link del net1");
    ip(pod, "link del other");
    assert_eq!(world.check(0, &plan, &attached).await, ["interface net1 is gone"]);
}

#[tokio::test]
async fn a_changed_setting_is_named() {
    let (world, plan, attached) = attached().await;

    set_sysctl(&world.pods[0], "ipv6/conf/net1/accept_ra", "1");

    let found = world.check(0, &plan, &attached).await;
    assert_eq!(found, ["sysctl net/ipv6/conf/net1/accept_ra is 1, not 0"]);
}
