//! Macvlan planes, on a veth as the stand-in for a card.

use netlink::interface::configure;
use netlink::link::create;
use planes::plan::{LinkPlan, MacPlan, MacvlanLink, MacvlanMode};
use planes::{MacAddr, PlannedAttachment};

use crate::world::{PATIENCE, SILENCE, World, addresses, ip, mark, name, passes, plan};

fn child(mode: MacvlanMode) -> PlannedAttachment {
    plan("med0", "unused", LinkPlan::Macvlan(MacvlanLink { master: name("card"), mode }))
}

async fn world_with_card(pods: usize) -> World {
    let world = World::with_pods(pods).await;
    ip(&world.host, "link add card type veth peer name wire");
    ip(&world.host, "link set card up");
    ip(&world.host, "link set wire up");
    world
}

#[tokio::test]
async fn children_in_bridge_mode_reach_each_other_and_leave_nothing() {
    let world = world_with_card(2).await;
    let (node, pod) = (world.node().await, world.pod(0).await);
    let plan = child(MacvlanMode::Bridge);

    let attached = world.attach(0, &plan, &addresses(&["10.3.0.2/24", "fd03::2/64"])).await;
    let other = world.attach(1, &plan, &addresses(&["10.3.0.3/24", "fd03::3/64"])).await;

    assert!(passes(&world.pods[0], "10.3.0.2", &world.pods[1], "10.3.0.3", PATIENCE));
    assert!(passes(&world.pods[0], "fd03::2", &world.pods[1], "fd03::3", PATIENCE));
    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);
    ip(&world.pods[0], "link set med0 type macvlan mode private");
    assert_eq!(world.check(0, &plan, &attached).await, ["interface med0: macvlan mode is not Bridge"]);

    world.detach(0, std::slice::from_ref(&plan), &[&attached]).await;
    world.detach(1, &[plan], &[&other]).await;
    assert_eq!((world.node().await, world.pod(0).await), (node, pod));
}

#[tokio::test]
async fn children_in_private_mode_do_not_reach_each_other() {
    let world = world_with_card(2).await;
    let plan = child(MacvlanMode::Private);

    let attached = world.attach(0, &plan, &addresses(&["10.3.0.2/24"])).await;
    world.attach(1, &plan, &addresses(&["10.3.0.3/24"])).await;

    assert!(!passes(&world.pods[0], "10.3.0.2", &world.pods[1], "10.3.0.3", SILENCE));
    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);
}

#[tokio::test]
async fn vepa_and_passthru_are_made_as_asked() {
    for mode in [MacvlanMode::Vepa, MacvlanMode::Passthru] {
        let world = world_with_card(1).await;
        let plan = child(mode);

        let attached = world.attach(0, &plan, &addresses(&["10.3.0.2/24"])).await;

        assert_eq!(world.check(0, &plan, &attached).await, [""; 0], "{mode:?}");
    }
}

#[tokio::test]
async fn a_derived_mac_gives_way_while_the_old_sandbox_lives_and_a_fixed_one_is_refused() {
    let world = world_with_card(3).await;
    let mac = MacAddr::derived(&["core", "amf-0"]);
    let derived = PlannedAttachment { mac: MacPlan::Derived(mac), ..child(MacvlanMode::Bridge) };
    let fixed = PlannedAttachment { mac: MacPlan::Fixed(mac), ..child(MacvlanMode::Bridge) };

    let old = world.attach(0, &derived, &addresses(&["10.3.0.2/24"])).await;
    let new = world.attach(1, &derived, &addresses(&["10.3.0.3/24"])).await;
    let created = create(&world.host, &world.pods[2], mark(2), &fixed).await.unwrap();
    let refused = configure(&world.pods[2], &fixed, created.index, &[]).await.unwrap_err();

    assert_eq!(old.attachment.mac, Some(mac));
    assert!(new.attachment.mac.is_some_and(|other| other != mac));
    assert_eq!(world.check(1, &derived, &new).await, [""; 0]);
    assert!(passes(&world.pods[0], "10.3.0.2", &world.pods[1], "10.3.0.3", PATIENCE));
    assert!(refused.is_busy(), "{refused}");
    assert!(refused.to_string().contains("another interface holds the same Ethernet address"), "{refused}");
}

#[tokio::test]
async fn a_missing_master_is_named() {
    let world = World::with_pods(1).await;

    let error = create(&world.host, &world.pods[0], mark(0), &child(MacvlanMode::Bridge)).await.unwrap_err();

    assert!(error.to_string().starts_with("master \"card\": no such interface on this node"), "{error}");
}
