//! Replies leave by the plane they came in on, through the plugin, with clients behind a router of each plane.

use std::net::{IpAddr, SocketAddr};

use serde_json::json;
use testbed::iproute;
use testbed::probe::{Server, advertise, tcp, tcp_from, udp, udp_from};
use testbed::real::poll::eventually;
use testbed::world::{Pod, World, command};

const PORT: u16 = 9080;

/// A pod on two planes whose gateways are routers, each with a client network of its own behind it. The clients sit in the
/// routers' namespaces, on loopback addresses.
struct Planes {
    world: World,
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
        let addresses = [format!("10.{second}.0.1/24"), format!("fd{second}::1/64")];
        let router = world.neighbour(bridge, &addresses.each_ref().map(String::as_str));
        command(&router.netns, "ip", &format!("address add 10.1{second}.0.9/32 dev lo"));
        command(&router.netns, "ip", &format!("-6 address add fd01:{second}::9/128 dev lo"));
        router
    });
    Planes { world, pod, routers }
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
    let router = &planes.routers[plane].netns;
    let _server = Server::start(&planes.pod.netns, ip(address), PORT);
    let by_tcp = tcp_from(router, ip(client), at(address));
    assert_eq!(by_tcp, udp_from(router, ip(client), at(address)), "TCP and UDP to a bound socket agree");
    by_tcp == Some(ip(client))
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

#[test]
fn a_planes_table_ends_in_unreachable_and_never_falls_through_to_the_primary() {
    let world = World::new();
    let plane = json!({"name": "media", "kind": "bridge", "bridge": "mp-media",
        "ipam": {"ranges": [["10.80.0.0/24"], ["fd80::/64"]]}});
    let (pod, previous) = world.pod_with_primary();
    world.add(&pod, &world.conf(json!({"planes": [plane], "default": ["media"], "prevResult": previous})));
    let table = 20_000 + iproute::ip(&pod.netns, "link show media")[0]["ifindex"].as_u64().unwrap();

    for family in ["-4", "-6"] {
        let routes = iproute::ip(&pod.netns, &format!("{family} route show table {table}"));
        let last = iproute::list(&routes).iter().find(|route| route["dst"] == "default").unwrap();
        assert_eq!(last["type"], "unreachable", "{routes}");
    }
    // The kernel's own answer for a packet from the plane's address to somewhere beyond.
    let own = pod.interfaces()["media"][0].split('/').next().unwrap().to_owned();
    let way = || {
        let get = ["route", "get", "192.0.2.1", "from", &own];
        let run = || std::process::Command::new("ip").args(get).output().unwrap();
        let output = pod.netns.run(run).unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert!(way().contains("No route to host"), "{}", way());
    command(&pod.netns, "ip", &format!("rule del priority 20000 from {own}"));
    assert!(way().contains("dev eth0"), "control: without the rule the primary takes it: {}", way());
}

#[test]
fn planes_with_the_same_subnet_answer_each_by_its_own_link() {
    let world = World::new();
    let plane = |name: &str, first: u8| {
        let range = json!({"subnet": "10.60.0.0/24", "rangeStart": format!("10.60.0.{first}")});
        json!({"name": name, "kind": "bridge", "bridge": format!("mp-{name}"), "ipam": {"ranges": [[range]]}})
    };
    let (pod, previous) = world.pod_with_primary();
    let conf = json!({"planes": [plane("one", 10), plane("two", 20)], "default": ["one", "two"], "prevResult": previous});
    world.add(&pod, &world.conf(conf));

    // The same client address on both planes: only the link can tell which is meant.
    for (name, own) in [("one", "10.60.0.10"), ("two", "10.60.0.20")] {
        let client = world.neighbour(&format!("mp-{name}"), &["10.60.0.99/24"]);
        let _server = Server::start(&pod.netns, ip(own), PORT);
        assert_eq!(tcp(&client.netns, at(own)), Some(ip("10.60.0.99")), "{name}");
        assert_eq!(udp(&client.netns, at(own)), Some(ip("10.60.0.99")), "{name}");
    }
}

#[test]
fn a_wildcard_udp_server_answers_remote_clients_where_the_plane_has_routes_to_them() {
    for (routes, answered) in
        [(json!([{"dst": "10.180.0.0/16", "gw": "10.80.0.1"}]), true), (json!([]), false)]
    {
        let world = World::new();
        let plane = json!({"name": "media", "kind": "bridge", "bridge": "mp-media", "routes": routes,
            "ipam": {"ranges": ["10.80.0.0/24"], "gateway": "10.80.0.1"}});
        let (pod, previous) = world.pod_with_primary();
        world
            .add(&pod, &world.conf(json!({"planes": [plane], "default": ["media"], "prevResult": previous})));
        let router = world.neighbour("mp-media", &["10.80.0.1/24"]);
        command(&router.netns, "ip", "address add 10.180.0.9/32 dev lo");
        let _server = Server::start(&pod.netns, ip("0.0.0.0"), PORT);

        assert_eq!(
            udp_from(&router.netns, ip("10.180.0.9"), at("10.80.0.2")).is_some(),
            answered,
            "{routes}"
        );
        assert!(tcp_from(&router.netns, ip("10.180.0.9"), at("10.80.0.2")).is_some(), "TCP needs no routes");
    }
}

#[test]
fn a_router_advertisement_changes_nothing_on_a_plane() {
    let planes = planes(false);
    // The control: an interface on the same bridge, as the kernel makes it.
    let plain = planes.world.neighbour("mp-media", &[]);
    let seen = |netns| (iproute::addresses(netns), iproute::ip(netns, "-6 route show default"));
    let before = seen(&planes.pod.netns);

    eventually("the control has an address of the advertised prefix", || {
        advertise(&planes.routers[1].netns, "eth0", "2001:db8:bad::".parse().unwrap());
        let addresses = iproute::addresses(&plain.netns);
        addresses.iter().any(|address| address.to_string().starts_with("2001:db8:bad:")).then_some(())
    });

    assert_eq!(seen(&planes.pod.netns), before);
}
