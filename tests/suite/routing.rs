//! Replies leave by the plane they came in on, through the plugin, with clients behind a router of each plane.

use std::net::{IpAddr, SocketAddr};

use serde_json::json;
use testbed::probe::{Server, tcp, tcp_from, udp};
use testbed::world::{Pod, World, command};

const PORT: u16 = 9080;

/// A pod on two planes whose gateways are routers, each with a client network of its own behind it. The clients sit in the
/// routers' namespaces, on loopback addresses.
struct Planes {
    _world: World,
    pod: Pod,
    routers: [Pod; 2],
}

const ADDRESS: [[&str; 2]; 2] = [["10.75.0.2", "fd75::2"], ["10.80.0.2", "fd80::2"]];
const CLIENT: [[&str; 2]; 2] = [["10.175.0.9", "fd01:75::9"], ["10.180.0.9", "fd01:80::9"]];

fn planes(default_of_second: bool) -> Planes {
    let world = World::new();
    let plane = |name: &str, second: u8| {
        json!({"name": name, "kind": "bridge", "bridge": format!("mp-{name}"), "ipam": {
            "ranges": [[format!("10.{second}.0.0/24")], [format!("fd{second}::/64")]],
            "gateway": [format!("10.{second}.0.1"), format!("fd{second}::1")]}})
    };
    let annotation = json!([{"name": "media", "default-route": ["10.80.0.1", "fd80::1"]}]).to_string();
    let mut edit = json!({"planes": [plane("control", 75), plane("media", 80)], "primary": "control", "default": ["media"]});
    if default_of_second {
        edit["runtimeConfig"] =
            json!({"io.kubernetes.cri.pod-annotations": {"multiplane.dev/planes": annotation}});
    }
    let pod = world.pod();
    world.add(&pod, &world.conf(edit));
    let routers = [("mp-control", 75), ("mp-media", 80)].map(|(bridge, second)| {
        let router = world.pod();
        let name = format!("r{second}");
        world.on_node(&format!(
            "link add {name} master {bridge} up type veth peer name eth0 netns {}",
            router.netns.path_from_proc().display()
        ));
        // A router that is still detecting duplicates of its link-local address asks nobody for a neighbour.
        command(&router.netns, "sysctl", "-qw net.ipv6.conf.eth0.accept_dad=0");
        command(&router.netns, "ip", "link set eth0 up");
        command(&router.netns, "ip", &format!("address add 10.{second}.0.1/24 dev eth0"));
        command(&router.netns, "ip", &format!("-6 address add fd{second}::1/64 dev eth0 nodad"));
        command(&router.netns, "ip", &format!("address add 10.1{second}.0.9/32 dev lo"));
        command(&router.netns, "ip", &format!("-6 address add fd01:{second}::9/128 dev lo"));
        router
    });
    Planes { _world: world, pod, routers }
}

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), PORT)
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// Whether the client behind router `plane` reaches the pod's address on that plane.
fn is_answered(planes: &Planes, plane: usize, family: usize) -> bool {
    let (client, address) = (CLIENT[plane][family], ADDRESS[plane][family]);
    let _server = Server::start(&planes.pod.netns, ip(address), PORT);
    tcp_from(&planes.routers[plane].netns, ip(client), at(address)) == Some(ip(client))
}

#[test]
fn a_client_behind_each_planes_router_is_answered_in_both_families() {
    let planes = planes(false);

    for (plane, family) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert!(is_answered(&planes, plane, family), "plane {plane} family {family}");
    }
}

#[test]
fn without_the_source_rules_the_same_client_is_not_answered() {
    let planes = planes(false);
    for family in ["-4", "-6"] {
        command(
            &planes.pod.netns,
            "ip",
            &format!("{family} rule del priority 20000 from {}", ADDRESS[1][usize::from(family == "-6")]),
        );
    }

    assert!(is_answered(&planes, 0, 0), "control: the primary has the default route");
    assert!(!is_answered(&planes, 1, 0));
    assert!(!is_answered(&planes, 1, 1));
}

#[test]
fn a_pod_that_asks_for_another_default_route_still_answers_by_the_primary() {
    let planes = planes(true);

    for (plane, family) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert!(is_answered(&planes, plane, family), "plane {plane} family {family}");
    }
    // An unbound socket takes the default route that was asked for.
    let _server = Server::start(&planes.routers[1].netns, ip(CLIENT[1][0]), PORT);
    assert_eq!(tcp(&planes.pod.netns, at(CLIENT[1][0])), Some(ip(ADDRESS[1][0])));
}

#[test]
fn an_unbound_socket_reaches_each_planes_subnet_by_that_plane() {
    let planes = planes(false);

    for (plane, gateway) in [(0, "10.75.0.1"), (1, "10.80.0.1"), (0, "fd75::1"), (1, "fd80::1")] {
        let _server = Server::start(&planes.routers[plane].netns, ip(gateway), PORT);
        let expected = ip(ADDRESS[plane][usize::from(gateway.contains(':'))]);
        assert_eq!(tcp(&planes.pod.netns, at(gateway)), Some(expected), "{gateway}");
        assert_eq!(udp(&planes.pod.netns, at(gateway)), Some(expected), "{gateway}");
    }
}
