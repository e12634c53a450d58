//! Neighbours learn at once who has an address now. Nothing is sent to it meanwhile, so that nothing but the
//! announcement can tell them.

use std::process::Command;
use std::time::{Duration, Instant};

use netlink::Net;
use planes::PlannedAttachment;
use planes::plan::LinkPlan;

use crate::world::{Attached, PATIENCE, SILENCE, World, addresses, bridge, ip, passes, plan};

const NEIGHBOUR: usize = 0;

fn on_bridge(host_ifname: &str) -> PlannedAttachment {
    plan("net1", host_ifname, LinkPlan::Bridge(bridge("br0")))
}

/// Whether the neighbour comes to know `mac` as the owner of `address`.
fn learns(net: &Net, address: &str, mac: &str, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let show = || Command::new("ip").args(["neigh", "show", address]).output();
        let output = net.netns().run(show).unwrap().unwrap();
        if String::from_utf8_lossy(&output.stdout).contains(mac) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn mac_of(attached: &Attached) -> String {
    attached.attachment.mac.unwrap().to_string()
}

/// A neighbour that knows the old owner of 10.1.0.2 and fd01::2, who is gone.
async fn world_that_remembers() -> World {
    let world = World::with_pods(3).await;
    world.attach(NEIGHBOUR, &on_bridge("mpnear"), &addresses(&["10.1.0.9/24", "fd01::9/64"])).await;
    let old = on_bridge("mpold");
    let attached = world.attach(1, &old, &addresses(&["10.1.0.2/24", "fd01::2/64"])).await;
    for (near, own) in [("10.1.0.9", "10.1.0.2"), ("fd01::9", "fd01::2")] {
        assert!(passes(&world.pods[NEIGHBOUR], near, &world.pods[1], own, PATIENCE));
        assert!(learns(&world.pods[NEIGHBOUR], own, &mac_of(&attached), PATIENCE));
    }
    world.detach(1, &[old], &[&attached]).await;
    world
}

#[tokio::test]
async fn both_families_are_announced() {
    let world = world_that_remembers().await;

    let new = world.attach(2, &on_bridge("mpnew"), &addresses(&["10.1.0.2/24", "fd01::2/64"])).await;

    assert!(learns(&world.pods[NEIGHBOUR], "10.1.0.2", &mac_of(&new), PATIENCE));
    assert!(learns(&world.pods[NEIGHBOUR], "fd01::2", &mac_of(&new), PATIENCE));
}

#[tokio::test]
async fn ipv4_alone_is_announced() {
    let world = world_that_remembers().await;

    let new = world.attach(2, &on_bridge("mpnew"), &addresses(&["10.1.0.2/24"])).await;

    assert!(learns(&world.pods[NEIGHBOUR], "10.1.0.2", &mac_of(&new), PATIENCE));
}

#[tokio::test]
async fn who_does_not_announce_is_not_learnt() {
    let world = world_that_remembers().await;
    let mut silent = on_bridge("mpnew");
    silent.sysctls =
        [("ipv4.arp_notify", "0"), ("ipv6.ndisc_notify", "0")].map(|(n, v)| (n.into(), v.into())).into();
    // A router solicitation or a join of a group is no announcement, but would be traffic.
    ip(&world.pods[2], "link set lo up");

    let new = world.attach(2, &silent, &addresses(&["10.1.0.2/24", "fd01::2/64"])).await;

    assert!(!learns(&world.pods[NEIGHBOUR], "10.1.0.2", &mac_of(&new), SILENCE));
    assert!(!learns(&world.pods[NEIGHBOUR], "fd01::2", &mac_of(&new), SILENCE));
}
