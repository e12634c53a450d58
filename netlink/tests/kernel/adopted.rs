//! Adopted planes: another plugin's interface stays as it is but for what replies need, and gets back what it had.

use std::time::{Duration, Instant};

use netlink::identity::enumerate;
use netlink::interface::{configure, settings_before};
use netlink::link::create;
use planes::plan::LinkPlan;
use planes::{PlannedAttachment, Role};

use crate::world::{PATIENCE, World, addresses, bridge, ip, mark, passes, plan, route, set_sysctl, sysctl};

fn adopted() -> PlannedAttachment {
    plan("oam0", "unused", LinkPlan::Adopted)
}

/// A pod in which other plugins made `oam0` with a router, and a primary `eth0`.
async fn world_with_oam() -> World {
    let world = World::with_pods(2).await;
    let (pod, router) = (&world.pods[0], &world.pods[1]);
    ip(pod, "link add oam0 type veth peer name far");
    ip(pod, &format!("link set far netns {}", router.netns().path_from_proc().display()));
    ip(pod, "link add eth0 type veth peer name void");
    for line in ["link set void up", "address add 10.4.0.2/24 dev eth0", "link set eth0 up"] {
        ip(pod, line);
    }
    ip(pod, "route add default via 10.4.0.1");
    for line in
        ["address add 10.7.0.2/24 dev oam0", "address add fd07::2/64 dev oam0 nodad", "link set oam0 up"]
    {
        ip(pod, line);
    }
    for line in ["address add 10.7.0.1/24 dev far", "address add fd07::1/64 dev far nodad", "link set far up"]
    {
        ip(router, line);
    }
    ip(router, "address add 203.0.113.7/32 dev lo");
    // By its plugin's wish 198.51.100.0/24 goes by the router; 203.0.113.7 is only asked for below.
    ip(pod, "route add 198.51.100.0/24 via 10.7.0.1");
    set_sysctl(pod, "ipv4/conf/oam0/rp_filter", "1");
    set_sysctl(pod, "ipv4/conf/oam0/arp_ignore", "0");
    set_sysctl(pod, "ipv6/conf/oam0/accept_ra", "1");
    world
}

#[tokio::test]
async fn an_adopted_plane_answers_by_itself_and_gets_back_all_it_had() {
    let world = world_with_oam().await;
    let before = world.pod(0).await;
    let plan = PlannedAttachment { routes: vec![route("203.0.113.0/24", Some("10.7.0.1"))], ..adopted() };

    let saved = settings_before(&world.pods[0], std::slice::from_ref(&plan)).unwrap();
    let mut attached = world.attach(0, &plan, &[]).await;
    let found = enumerate(&world.pods[0], Instant::now() + Duration::from_secs(5)).await.unwrap();
    let own = found.iter().find(|interface| interface.name == plan.ifname).unwrap();
    attached.attachment.addresses.clone_from(&own.addresses);

    assert_eq!(saved, [attached.applied.before.clone()], "what is saved first is what is put back");
    assert_eq!(own.addresses, ["10.7.0.2/24", "fd07::2/64"].map(|text| text.parse().unwrap()));
    assert!(passes(&world.pods[1], "203.0.113.7", &world.pods[0], "10.7.0.2", PATIENCE));
    assert_eq!(sysctl(&world.pods[0], "ipv4/conf/oam0/rp_filter"), "2");
    assert_eq!(sysctl(&world.pods[0], "ipv6/conf/oam0/accept_ra"), "0");
    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);

    world.detach(0, std::slice::from_ref(&plan), &[&attached]).await;
    assert_eq!(world.pod(0).await, before);
    for (name, value) in [
        ("ipv4/conf/oam0/rp_filter", "1"),
        ("ipv4/conf/oam0/arp_ignore", "0"),
        ("ipv6/conf/oam0/accept_ra", "1"),
    ] {
        assert_eq!(sysctl(&world.pods[0], name), value, "{name}");
    }
}

#[tokio::test]
async fn a_default_route_without_a_gateway_carries_replies_too() {
    let world = world_with_oam().await;
    ip(&world.pods[0], "route del default");
    ip(&world.pods[0], "route add default dev oam0");
    let plan = PlannedAttachment { role: Role::Primary, default_route: true, ..adopted() };

    let mut attached = world.attach(0, &plan, &[]).await;
    attached.attachment.addresses = vec!["10.7.0.2/24".parse().unwrap()];

    assert!(passes(&world.pods[1], "203.0.113.7", &world.pods[0], "10.7.0.2", PATIENCE));
    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);
}

#[tokio::test]
async fn a_route_that_its_plugin_has_set_already_is_not_ours_to_remove() {
    let world = world_with_oam().await;
    let before = world.pod(0).await;
    let plan = PlannedAttachment { routes: vec![route("198.51.100.0/24", Some("10.7.0.1"))], ..adopted() };

    let attached = world.attach(0, &plan, &[]).await;

    world.detach(0, std::slice::from_ref(&plan), &[&attached]).await;
    assert_eq!(world.pod(0).await, before);
}

#[tokio::test]
async fn a_route_that_leads_another_way_is_refused_and_stays() {
    let world = world_with_oam().await;
    let plan = PlannedAttachment { routes: vec![route("10.9.0.0/16", Some("10.7.0.1"))], ..adopted() };
    ip(&world.pods[0], "route add 10.9.0.0/16 via 10.4.0.1");
    let before = world.pod(0).await;
    let created = create(&world.host, &world.pods[0], mark(0), &plan).await.unwrap();

    let error = configure(&world.pods[0], &plan, created.index, &[]).await.unwrap_err();
    netlink::interface::release(&world.pods[0], &[plan], &[]).await.unwrap();

    assert_eq!(
        error.to_string(),
        "add route 10.9.0.0/16 via 10.7.0.1 dev oam0 (a route to there leads another way; drop one of the two)"
    );
    assert_eq!(world.pod(0).await, before);
    assert_eq!(sysctl(&world.pods[0], "ipv4/conf/oam0/rp_filter"), "1", "put back by configure itself");
}

#[tokio::test]
async fn an_undeclared_interface_is_not_touched_at_all() {
    let world = world_with_oam().await;
    let before = world.pod(0).await;
    let plan = PlannedAttachment { role: Role::Undeclared, ..adopted() };

    let attached = world.attach(0, &plan, &[]).await;

    assert_eq!(world.pod(0).await, before);
    assert_eq!(sysctl(&world.pods[0], "ipv4/conf/oam0/rp_filter"), "1");
    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_named() {
    let world = World::with_pods(1).await;

    let error = create(&world.host, &world.pods[0], mark(0), &adopted()).await.unwrap_err();

    assert!(error.to_string().contains("no interface \"oam0\" in the pod to adopt"), "{error}");
}

#[tokio::test]
async fn a_kill_leaves_nothing_that_release_does_not_find() {
    let world = world_with_oam().await;
    let before = world.pod(0).await;
    let adopted = PlannedAttachment { routes: vec![route("203.0.113.0/24", None)], ..adopted() };
    let gone = plan("net1", "mpone", LinkPlan::Bridge(bridge("br0")));
    world.attach(0, &adopted, &[]).await;
    world.attach(0, &gone, &addresses(&["10.6.0.2/24", "fd06::2/64"])).await;
    // Somebody deletes the link behind our back: its rules and its table's last route stay.
    ip(&world.host, "link del mpone");
    assert_ne!(world.pod(0).await, before);

    netlink::interface::release(&world.pods[0], &[adopted, gone], &[]).await.unwrap();

    assert_eq!(world.pod(0).await, before);
}
