//! Bridge planes.

use netlink::link::{create, ensure_fixtures, remove, remove_fixtures};
use planes::plan::{BridgeLink, LinkPlan};
use planes::{Mtu, PlannedAttachment};

use crate::world::{PATIENCE, SILENCE, World, addresses, bridge, ip, mark, name, passes, plan};

fn on(bridge: BridgeLink, host_ifname: &str) -> PlannedAttachment {
    plan("control", host_ifname, LinkPlan::Bridge(bridge))
}

#[tokio::test]
async fn pods_on_one_bridge_reach_each_other_and_removal_leaves_nothing() {
    let world = World::with_pods(2).await;
    let (node, pod) = (world.node().await, world.pod(0).await);
    let (mine, other) = (on(bridge("mp-control"), "mpone"), on(bridge("mp-control"), "mptwo"));

    let attached = world.attach(0, &mine, &addresses(&["10.1.0.2/24", "fd01::2/64"])).await;
    world.attach(1, &other, &addresses(&["10.1.0.3/24", "fd01::3/64"])).await;

    assert!(passes(&world.pods[0], "10.1.0.2", &world.pods[1], "10.1.0.3", PATIENCE));
    assert!(passes(&world.pods[0], "fd01::2", &world.pods[1], "fd01::3", PATIENCE));
    assert_eq!(world.check(0, &mine, &attached).await, [""; 0]);

    world.detach(0, std::slice::from_ref(&mine), &[&attached]).await;
    assert_eq!(world.pod(0).await, pod);
    remove_fixtures(&world.host, &mine).await.unwrap();
    assert!(
        world.host.link_by_name(&name("mp-control")).await.unwrap().is_some(),
        "the other pod has a port"
    );
    assert!(remove(&world.host, None, mark(1), &[other], &[]).await.is_empty(), "without a namespace");
    remove_fixtures(&world.host, &mine).await.unwrap();
    assert_eq!(world.node().await, node);
}

#[tokio::test]
async fn isolated_ports_do_not_reach_each_other_but_the_uplink() {
    let world = World::with_pods(3).await;
    ip(&world.host, "link add up0 type veth peer name wire");
    ip(&world.pods[2], "link set lo up");
    let elsewhere = &world.pods[2];
    ip(&world.host, &format!("link set wire netns {}", elsewhere.netns().path_from_proc().display()));
    ip(elsewhere, "address add 10.1.0.9/24 dev wire");
    ip(elsewhere, "link set wire up");
    let isolated =
        || BridgeLink { isolated: true, hairpin: true, uplink: Some(name("up0")), ..bridge("mp-control") };

    let mine = on(isolated(), "mpone");
    let attached = world.attach(0, &mine, &addresses(&["10.1.0.2/24"])).await;
    world.attach(1, &on(isolated(), "mptwo"), &addresses(&["10.1.0.3/24"])).await;

    assert_eq!(world.check(0, &mine, &attached).await, [""; 0]);
    assert!(passes(&world.pods[0], "10.1.0.2", elsewhere, "10.1.0.9", PATIENCE));
    assert!(passes(&world.pods[1], "10.1.0.3", elsewhere, "10.1.0.9", PATIENCE));
    assert!(!passes(&world.pods[0], "10.1.0.2", &world.pods[1], "10.1.0.3", SILENCE));
    ip(&world.host, "link set mpone type bridge_slave isolated off hairpin off");
    assert!(passes(&world.pods[0], "10.1.0.2", &world.pods[1], "10.1.0.3", PATIENCE), "the control");
    let drift = world.check(0, &mine, &attached).await;
    assert!(drift.iter().any(|text| text.contains("isolated is false, not true")), "{drift:?}");
    assert!(drift.iter().any(|text| text.contains("hairpin is false, not true")), "{drift:?}");
}

#[tokio::test]
async fn a_bridge_keeps_its_mtu_and_mac_whatever_port_comes_and_goes() {
    let world = World::with_pods(1).await;
    let wide = BridgeLink { bridge_mtu: Some(Mtu::try_from(9000).unwrap()), ..bridge("mp-control") };
    let mut narrow = on(wide, "mpone");
    narrow.mtu = Some(Mtu::try_from(1400).unwrap());
    ensure_fixtures(&world.host, &narrow).await.unwrap();
    let before = world.host.link_by_name(&name("mp-control")).await.unwrap().unwrap();

    let attached = world.attach(0, &narrow, &addresses(&["10.1.0.2/24"])).await;

    assert_eq!(attached.attachment.mtu.get(), 1400);
    let after = world.host.link_by_name(&name("mp-control")).await.unwrap().unwrap();
    assert_eq!((after.mtu.get(), after.mac), (9000, before.mac));
}

#[tokio::test]
async fn a_bridge_that_was_given_no_mtu_has_1500_and_does_not_follow_its_ports() {
    let world = World::with_pods(1).await;
    let mut narrow = on(bridge("mp-control"), "mpone");
    narrow.mtu = Some(Mtu::try_from(1400).unwrap());

    world.attach(0, &narrow, &addresses(&["10.1.0.2/24"])).await;

    let link = world.host.link_by_name(&name("mp-control")).await.unwrap().unwrap();
    assert_eq!(link.mtu.get(), 1500);
}

#[tokio::test]
async fn an_administrators_bridge_is_used_as_it_is_and_never_removed() {
    let world = World::with_pods(1).await;
    ip(&world.host, "link add br0 address 02:00:00:00:00:17 type bridge");
    ip(&world.host, "link set br0 mtu 9000");
    let plan = on(bridge("br0"), "mpone");

    let attached = world.attach(0, &plan, &addresses(&["10.1.0.2/24"])).await;

    assert_eq!(attached.attachment.mtu.get(), 9000, "the pod follows the bridge");
    world.detach(0, std::slice::from_ref(&plan), &[&attached]).await;
    remove_fixtures(&world.host, &plan).await.unwrap();
    let link = world.host.link_by_name(&name("br0")).await.unwrap().unwrap();
    assert_eq!((link.mtu.get(), link.mac.unwrap().to_string().as_str()), (9000, "02:00:00:00:00:17"));
}

#[tokio::test]
async fn gateway_addresses_answer_on_the_bridge() {
    let world = World::with_pods(1).await;
    let routed = BridgeLink {
        gateway_addresses: vec!["10.1.0.1/24".parse().unwrap(), "fd01::1/64".parse().unwrap()],
        ..bridge("mp-control")
    };
    let plan = on(routed, "mpone");

    let attached = world.attach(0, &plan, &addresses(&["10.1.0.2/24", "fd01::2/64"])).await;
    ensure_fixtures(&world.host, &plan).await.unwrap();

    assert!(passes(&world.pods[0], "10.1.0.2", &world.host, "10.1.0.1", PATIENCE));
    assert!(passes(&world.pods[0], "fd01::2", &world.host, "fd01::1", PATIENCE));
    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);
    ip(&world.host, "address del 10.1.0.1/24 dev mp-control");
    assert_eq!(world.check(0, &plan, &attached).await, ["address 10.1.0.1/24 on bridge mp-control is gone"]);
}

#[tokio::test]
async fn many_pods_make_one_bridge_at_once() {
    let world = World::with_pods(0).await;
    let plans: Vec<_> = (0..8).map(|number| on(bridge("mp-control"), &format!("mp{number}"))).collect();
    let hosts: Vec<_> =
        plans.iter().map(|_| netlink::Net::open(world.host.netns().try_clone().unwrap()).unwrap()).collect();

    let made = hosts.iter().zip(&plans).map(|(host, plan)| ensure_fixtures(host, plan));
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }

    let link = world.host.link_by_name(&name("mp-control")).await.unwrap().unwrap();
    assert!(link.is_up && link.mtu.get() == 1500);
}

#[tokio::test]
async fn what_is_no_bridge_is_refused_by_name() {
    let world = World::with_pods(0).await;
    ip(&world.host, "link add mp-control type veth peer name other");

    let error = ensure_fixtures(&world.host, &on(bridge("mp-control"), "mpone")).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "bridge \"mp-control\": an interface of that name exists and is a veth; choose another \"bridge\""
    );
}

#[tokio::test]
async fn an_uplink_that_is_missing_or_taken_is_refused_by_name() {
    let world = World::with_pods(0).await;
    let with_uplink = BridgeLink { uplink: Some(name("up0")), ..bridge("mp-control") };
    let plan = on(with_uplink, "mpone");

    let missing = ensure_fixtures(&world.host, &plan).await.unwrap_err().to_string();
    ip(&world.host, "link add br9 type bridge");
    ip(&world.host, "link add up0 type veth peer name wire");
    ip(&world.host, "link set up0 master br9");
    let taken = ensure_fixtures(&world.host, &plan).await.unwrap_err().to_string();

    assert!(missing.contains("uplink \"up0\": no such interface"), "{missing}");
    assert!(taken.contains("uplink \"up0\": belongs to another bridge"), "{taken}");
}

#[tokio::test]
async fn a_name_that_is_taken_in_the_pod_leaves_nothing_on_the_node() {
    let world = World::with_pods(1).await;
    let plan = on(bridge("mp-control"), "mpone");
    ensure_fixtures(&world.host, &plan).await.unwrap();
    ip(&world.pods[0], "link add control type veth peer name other");
    let (node, pod) = (world.node().await, world.pod(0).await);

    let error = create(&world.host, &world.pods[0], mark(0), &plan).await.unwrap_err();

    assert!(error.is_exists(), "{error}");
    assert_eq!((world.node().await, world.pod(0).await), (node, pod));
}

#[tokio::test]
async fn the_nodes_own_namespace_is_no_pod() {
    let world = World::with_pods(0).await;
    let plan = on(bridge("mp-control"), "mpone");
    ensure_fixtures(&world.host, &plan).await.unwrap();
    let same = netlink::Net::open(world.host.netns().try_clone().unwrap()).unwrap();

    let error = create(&world.host, &same, mark(0), &plan).await.unwrap_err();

    assert!(error.to_string().contains("is the node's own"), "{error}");
}

/// Two planes whose bridges are their pods' gateways, on a node that forwards, and a router beyond.
async fn world_of_two_routed_planes(forward: bool) -> World {
    let world = World::with_pods(3).await;
    crate::world::set_sysctl(&world.host, "ipv4/ip_forward", "1");
    crate::world::set_sysctl(&world.host, "ipv6/conf/all/forwarding", "1");
    for (pod, plane) in [(0, "one"), (1, "two")] {
        let (v4, v6) = (format!("10.{}.0", pod + 1), format!("fd0{}::", pod + 1));
        let gateways = vec![format!("{v4}.1/24").parse().unwrap(), format!("{v6}1/64").parse().unwrap()];
        let forward = forward && plane == "two";
        let routed = BridgeLink { gateway_addresses: gateways, forward, ..bridge(&format!("mp-{plane}")) };
        let plan = plan(plane, &format!("mp{plane}"), LinkPlan::Bridge(routed));
        let plan = PlannedAttachment { default_route: true, ..plan };
        let addresses = [
            crate::world::behind(&format!("{v4}.2/24"), &format!("{v4}.1")),
            crate::world::behind(&format!("{v6}2/64"), &format!("{v6}1")),
        ];
        world.attach(pod, &plan, &addresses).await;
    }
    ip(&world.host, "link add wan type veth peer name far");
    ip(&world.host, &format!("link set far netns {}", world.pods[2].netns().path_from_proc().display()));
    for line in
        ["address add 192.0.2.1/24 dev wan", "address add 2001:db8::1/64 dev wan nodad", "link set wan up"]
    {
        ip(&world.host, line);
    }
    for line in
        ["address add 192.0.2.9/24 dev far", "address add 2001:db8::9/64 dev far nodad", "link set far up"]
    {
        ip(&world.pods[2], line);
    }
    ip(&world.pods[2], "route add default via 192.0.2.1");
    ip(&world.pods[2], "route add default via 2001:db8::1");
    world
}

#[tokio::test]
async fn a_plane_that_routes_is_joined_to_the_others_by_the_node() {
    let world = world_of_two_routed_planes(true).await;
    let [one, two] = [&world.pods[0], &world.pods[1]];

    for (from, to) in [(one, "10.2.0.2"), (one, "fd02::2")] {
        let own = if to.contains(':') { "fd01::2" } else { "10.1.0.2" };
        assert!(passes(from, own, two, to, PATIENCE), "{to}");
    }
}

#[tokio::test]
async fn a_node_that_forwards_joins_no_two_planes() {
    let world = world_of_two_routed_planes(false).await;
    let [one, two, far] = [&world.pods[0], &world.pods[1], &world.pods[2]];

    assert!(passes(one, "10.1.0.2", far, "192.0.2.9", PATIENCE), "what is no plane is reached");
    assert!(passes(one, "fd01::2", far, "2001:db8::9", PATIENCE));
    assert!(passes(one, "10.1.0.2", &world.host, "10.2.0.1", PATIENCE), "the node itself is no plane");
    assert!(!passes(one, "10.1.0.2", two, "10.2.0.2", SILENCE));
    assert!(!passes(one, "fd01::2", two, "fd02::2", SILENCE));

    for bridge in ["mp-one", "mp-two"] {
        for family in ["-4", "-6"] {
            ip(&world.host, &format!("{family} rule del iif {bridge} priority 32000"));
            ip(&world.host, &format!("{family} rule del iif {bridge} priority 32001"));
        }
    }
    assert!(passes(one, "10.1.0.2", two, "10.2.0.2", PATIENCE), "without the fence the node does join them");
    assert!(passes(one, "fd01::2", two, "fd02::2", PATIENCE));
}
