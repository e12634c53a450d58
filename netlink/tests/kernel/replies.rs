//! Replies leave by the plane that the request came in on, and a pod's default route lies where it was asked for.
//!
//! The pod has a primary `eth0` and a plane `med0`. Behind both stands one far network, 203.0.113.0/24, to be reached
//! by two routers: the wrong way out is a way that leads somewhere else.

use netlink::Net;
use netlink::interface::release;
use planes::plan::LinkPlan;
use planes::{PlannedAttachment, Role};

use crate::world::{
    Attached, PATIENCE, SILENCE, World, answered, behind, bridge, ip, passes, plan, route, sysctl, udp,
};

const POD: usize = 0;
/// Reaches the far network for those who come in by `eth0`.
const NEAR_PRIMARY: usize = 1;
/// Reaches the same far network for those who come in by `med0`.
const NEAR_PLANE: usize = 2;

fn primary() -> PlannedAttachment {
    let link = LinkPlan::Bridge(bridge("mp-primary"));
    PlannedAttachment { role: Role::Primary, default_route: true, ..plan("eth0", "mpone", link) }
}

fn plane() -> PlannedAttachment {
    plan("med0", "mptwo", LinkPlan::Bridge(bridge("mp-media")))
}

/// A far client behind a router that stands on a bridge of the node.
fn far_client(world: &World, router: &Net, bridge: &str, port: &str, families: [(&str, &str); 2]) {
    ip(&world.host, &format!("link add {port} type veth peer name wan"));
    ip(&world.host, &format!("link set {port} master {bridge} up"));
    ip(&world.host, &format!("link set wan netns {}", router.netns().path_from_proc().display()));
    ip(router, "link set wan up");
    for (own, far) in families {
        ip(router, &format!("address add {own} dev wan nodad"));
        ip(router, &format!("address add {far} dev lo nodad"));
    }
}

/// What a primary plugin leaves behind.
fn another_plugins_eth0(world: &World) {
    let pod = &world.pods[POD];
    ip(&world.host, "link add mp-primary type bridge");
    ip(&world.host, "link set mp-primary up");
    ip(&world.host, "link add vethabc type veth peer name eth0");
    ip(&world.host, "link set vethabc master mp-primary up");
    ip(&world.host, &format!("link set eth0 netns {}", pod.netns().path_from_proc().display()));
    ip(pod, "address add 10.4.0.2/24 dev eth0");
    ip(pod, "address add fd04::2/64 dev eth0 nodad");
    ip(pod, "link set eth0 up");
    ip(pod, "route add default via 10.4.0.1");
    ip(pod, "route add default via fd04::1");
}

async fn world_with_routers(
    primary: &PlannedAttachment,
    plane: &PlannedAttachment,
) -> (World, [Attached; 2]) {
    let world = World::with_pods(3).await;
    let eth0 = [behind("10.4.0.2/24", "10.4.0.1"), behind("fd04::2/64", "fd04::1")];
    let med0 = [behind("10.5.0.2/24", "10.5.0.1"), behind("fd05::2/64", "fd05::1")];
    let one = world.attach(POD, primary, &eth0).await;
    let two = world.attach(POD, plane, &med0).await;
    let far = |own4, own6| [(own4, "203.0.113.7/32"), (own6, "2001:db8::7/128")];
    far_client(&world, &world.pods[NEAR_PRIMARY], "mp-primary", "port1", far("10.4.0.1/24", "fd04::1/64"));
    far_client(&world, &world.pods[NEAR_PLANE], "mp-media", "port2", far("10.5.0.1/24", "fd05::1/64"));
    (world, [one, two])
}

#[tokio::test]
async fn an_address_answers_by_its_own_plane() {
    let (primary, plane) = (primary(), plane());
    let (world, attached) = world_with_routers(&primary, &plane).await;
    let [pod, near_primary, near_plane] = &world.pods[..] else { panic!("three pods") };

    assert!(passes(near_primary, "203.0.113.7", pod, "10.4.0.2", PATIENCE));
    assert!(passes(near_primary, "2001:db8::7", pod, "fd04::2", PATIENCE));
    assert!(passes(near_plane, "203.0.113.7", pod, "10.5.0.2", PATIENCE));
    assert!(passes(near_plane, "2001:db8::7", pod, "fd05::2", PATIENCE));

    let addresses: Vec<_> = attached[1].attachment.addresses.iter().map(|address| address.ip()).collect();
    release(pod, std::slice::from_ref(&plane), &addresses).await.unwrap();
    assert!(!passes(near_plane, "203.0.113.7", pod, "10.5.0.2", SILENCE), "without rules they leave by eth0");
    assert!(passes(near_primary, "203.0.113.7", pod, "10.4.0.2", PATIENCE), "the other plane keeps its own");
}

#[tokio::test]
async fn the_primary_answers_by_itself_though_a_planes_routes_lead_to_the_client() {
    let (primary, mut plane) = (primary(), plane());
    plane.routes = vec![route("203.0.113.0/24", None), route("2001:db8::/32", None)];
    let (world, attached) = world_with_routers(&primary, &plane).await;
    let [pod, near_primary, near_plane] = &world.pods[..] else { panic!("three pods") };

    assert!(passes(near_primary, "203.0.113.7", pod, "10.4.0.2", PATIENCE));
    assert!(passes(near_plane, "203.0.113.7", pod, "10.5.0.2", PATIENCE));
    // An unbound server answers those of the plane's `routes`, and only because of them.
    assert!(answered(&udp(pod, "0.0.0.0"), &udp(near_plane, "203.0.113.7"), PATIENCE));
    assert!(answered(&udp(pod, "::"), &udp(near_plane, "2001:db8::7"), PATIENCE));
    assert_eq!(world.check(POD, &plane, &attached[1]).await, [""; 0]);
    assert_eq!(world.check(POD, &primary, &attached[0]).await, [""; 0]);
}

#[tokio::test]
async fn a_plane_without_a_gateway_reaches_its_subnet_and_nothing_else() {
    let world = World::with_pods(2).await;
    let (primary, plane) = (primary(), plane());
    world.attach(POD, &primary, &[behind("10.4.0.2/24", "10.4.0.1")]).await;
    let gatewayless = crate::world::addresses(&["10.5.0.2/24"]);
    world.attach(POD, &plane, &gatewayless).await;
    far_client(
        &world,
        &world.pods[1],
        "mp-primary",
        "port1",
        [("10.4.0.1/24", "203.0.113.7/32"), ("fd04::1/64", "2001:db8::7/128")],
    );

    let (pod, router) = (&world.pods[POD], &world.pods[1]);

    assert!(passes(pod, "10.4.0.2", router, "203.0.113.7", PATIENCE));
    let from_plane = udp(pod, "10.5.0.2");
    let refused = from_plane.send_to(b"x", udp(router, "203.0.113.7").local_addr().unwrap()).unwrap_err();
    assert!(
        matches!(refused.raw_os_error(), Some(nix::libc::EHOSTUNREACH | nix::libc::ENETUNREACH)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_plane_takes_the_default_route_without_taking_the_primarys_away() {
    let plane = PlannedAttachment { default_route: true, ..plane() };
    let primary = PlannedAttachment { link: LinkPlan::Adopted, ..primary() };
    let world = World::with_pods(3).await;
    another_plugins_eth0(&world);
    let one = world.attach(POD, &primary, &[]).await;
    let before = world.pod(POD).await;
    let two = world
        .attach(POD, &plane, &[behind("10.5.0.2/24", "10.5.0.1"), behind("fd05::2/64", "fd05::1")])
        .await;
    let far = |own4, own6| [(own4, "203.0.113.7/32"), (own6, "2001:db8::7/128")];
    far_client(&world, &world.pods[NEAR_PRIMARY], "mp-primary", "port1", far("10.4.0.1/24", "fd04::1/64"));
    far_client(&world, &world.pods[NEAR_PLANE], "mp-media", "port2", far("10.5.0.1/24", "fd05::1/64"));
    let [pod, near_primary, near_plane] = &world.pods[..] else { panic!("three pods") };

    assert!(answered(&udp(pod, "0.0.0.0"), &udp(near_plane, "203.0.113.7"), PATIENCE));
    assert!(answered(&udp(pod, "::"), &udp(near_plane, "2001:db8::7"), PATIENCE));
    assert!(
        answered(&udp(pod, "0.0.0.0"), &udp(near_primary, "10.4.0.1"), PATIENCE),
        "main knows eth0's subnet"
    );
    assert!(passes(near_primary, "203.0.113.7", pod, "10.4.0.2", PATIENCE));
    assert_eq!(world.check(POD, &plane, &two).await, [""; 0]);
    assert_eq!(world.check(POD, &primary, &one).await, [""; 0]);
    ip(pod, "rule del priority 20002");
    let drift = world.check(POD, &plane, &two).await;
    assert_eq!(drift, ["default route 0.0.0.0/0 by med0 is gone"]);

    world.detach(POD, std::slice::from_ref(&plane), &[&two]).await;
    assert_eq!(world.pod(POD).await, before);
    assert!(answered(&udp(pod, "0.0.0.0"), &udp(near_primary, "203.0.113.7"), PATIENCE), "eth0's own again");
}

#[tokio::test]
async fn two_planes_with_one_subnet_are_kept_apart() {
    let world = World::with_pods(3).await;
    let (one, two) = (
        plan("net1", "mpone", LinkPlan::Bridge(bridge("br1"))),
        plan("net2", "mptwo", LinkPlan::Bridge(bridge("br2"))),
    );
    let far = |number: usize, bridge: &str| {
        plan("net0", &format!("mpfar{number}"), LinkPlan::Bridge(crate::world::bridge(bridge)))
    };

    world.attach(POD, &one, &crate::world::addresses(&["10.6.0.2/24", "fd06::2/64"])).await;
    world.attach(POD, &two, &crate::world::addresses(&["10.6.0.3/24", "fd06::3/64"])).await;
    world.attach(1, &far(1, "br1"), &crate::world::addresses(&["10.6.0.9/24", "fd06::9/64"])).await;
    world.attach(2, &far(2, "br2"), &crate::world::addresses(&["10.6.0.9/24", "fd06::9/64"])).await;

    for (pod, own) in [(1, ["10.6.0.2", "fd06::2"]), (2, ["10.6.0.3", "fd06::3"])] {
        assert!(passes(&world.pods[pod], "10.6.0.9", &world.pods[POD], own[0], PATIENCE));
        assert!(passes(&world.pods[pod], "fd06::9", &world.pods[POD], own[1], PATIENCE));
    }
    assert!(
        !passes(&world.pods[1], "10.6.0.9", &world.pods[POD], "10.6.0.3", SILENCE),
        "strong host: arp_ignore"
    );
}

#[tokio::test]
async fn a_plane_has_the_settings_of_a_multi_homed_pod_and_its_own() {
    let world = World::with_pods(1).await;
    let mut plane = plane();
    plane.sysctls = [("ipv4.accept_local", "1"), ("ipv6.hop_limit", "9")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();

    let attached = world.attach(POD, &plane, &[behind("10.5.0.2/24", "10.5.0.1")]).await;

    for (name, value) in [
        ("ipv4/conf/med0/rp_filter", "2"),
        ("ipv4/conf/med0/arp_ignore", "1"),
        ("ipv4/conf/med0/arp_announce", "2"),
        ("ipv4/conf/med0/forwarding", "0"),
        ("ipv4/conf/med0/accept_local", "1"),
        ("ipv6/conf/med0/disable_ipv6", "0"),
        ("ipv6/conf/med0/accept_ra", "0"),
        ("ipv6/conf/med0/autoconf", "0"),
        ("ipv6/conf/med0/forwarding", "0"),
        ("ipv6/conf/med0/hop_limit", "9"),
    ] {
        assert_eq!(sysctl(&world.pods[POD], name), value, "{name}");
    }
    crate::world::set_sysctl(&world.pods[POD], "ipv4/conf/med0/rp_filter", "1");
    assert_eq!(
        world.check(POD, &plane, &attached).await,
        ["sysctl net/ipv4/conf/med0/rp_filter is 1, not 2"]
    );
}
