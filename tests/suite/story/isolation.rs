//! Step 6: four planes are four networks. Nobody on one reaches the pod's address of another, neither by the pod's own
//! interface nor by a node that forwards; replies and the proxy's own calls leave by the plane that they belong to. What
//! is said of packets is read off the wire.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use netlink::Netns;
use testbed::probe::{Server, tcp};
use testbed::real::Envoy;
use testbed::real::envoy::Options;
use testbed::real::poll::eventually;
use testbed::tap::{Packet, Tap, Way};
use testbed::world::command;

use testbed::story::scene::{PORT, Scene, Serving, count, plane, status, taken};

/// Name and prefixes of each plane. The first is the primary.
const PLANES: [(&str, [&str; 2]); 4] = [
    ("signal", ["192.168.10", "fd10"]),
    ("data", ["10.75.8", "fd75"]),
    ("media", ["10.80.8", "fd80"]),
    ("oam", ["10.90.8", "fd90"]),
];
/// Somebody who is on no plane, behind the node.
const FAR: [&str; 2] = ["172.31.0.9", "fd31::9"];

/// Pod A on the four planes with its proxy serving, a client on each, and a node that forwards.
struct Four {
    scene: Scene,
    proxy: Envoy,
    clients: [Netns; 4],
}

impl Four {
    fn new() -> Self {
        let planes = PLANES.map(|(name, prefixes)| plane(name, &prefixes));
        let mut scene = Scene::with(planes.into(), |_| ());
        command(&scene.world.node, "sysctl", "-qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        let own = FAMILIES.map(|family| [0, 1, 2, 3].map(|plane| pod(plane, family).to_string()));
        let endpoints: Vec<&str> = own.iter().flatten().map(String::as_str).collect();
        scene.register_as("a", "10.96.0.10", (PORT, "HTTP"), &endpoints);
        for (plane, family, name, address) in upstreams() {
            let endpoint = client(plane, family).to_string();
            scene.register_as(&name, &address.to_string(), (UPSTREAM, "TCP"), &[&endpoint]);
        }
        scene.serve(Serving::ALL);
        let proxy = scene.proxy(&scene.a, &Options::default());
        let clients = [0, 1, 2, 3].map(|plane| {
            let addresses = [format!("{}/24", client(plane, 0)), format!("{}/64", client(plane, 1))];
            let bridge = format!("mp-{}", PLANES[plane].0);
            scene.world.neighbour(&bridge, &addresses.each_ref().map(String::as_str)).netns
        });
        Self { scene, proxy, clients }
    }

    /// Leads each client's way to the other planes over an address of its own plane.
    fn route_over(&self, gateway: impl Fn(usize, usize) -> IpAddr) {
        for (from, to, family) in crossings() {
            let via = gateway(from, family);
            let prefix = PLANES[to].1[family];
            let route = match family {
                0 => format!("-4 route add {prefix}.0/24 via {via}"),
                _ => format!("-6 route add {prefix}::/64 via {via}"),
            };
            command(&self.clients[from], "ip", &route);
        }
    }

    /// Pod A's interface of a plane.
    fn interface(&self, plane: usize) -> String {
        let own = format!("{}/24", pod(plane, 0));
        let mut interfaces = self.scene.a.interfaces().into_iter();
        interfaces.find(|(_, addresses)| addresses.contains(&own)).unwrap().0
    }

    /// The crossings by which a connection to the service is made.
    fn connected(&self) -> BTreeSet<(usize, usize, usize)> {
        std::thread::scope(|scope| {
            let tries: Vec<_> = crossings()
                .map(|crossing| {
                    let (from, to, family) = crossing;
                    let at = SocketAddr::new(pod(to, family), PORT);
                    let connect = move || TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok();
                    let is_made = scope.spawn(move || self.clients[from].run(connect).unwrap());
                    (crossing, is_made)
                })
                .collect();
            tries.into_iter().filter_map(|(way, made)| made.join().unwrap().then_some(way)).collect()
        })
    }

    /// The crossings by which a datagram gets to a socket on the pod's address. Each address gets one by its own plane
    /// last, which has to come.
    fn received(&self) -> BTreeSet<(usize, usize, usize)> {
        let mut received = BTreeSet::new();
        for (to, family) in addresses() {
            let at = SocketAddr::new(pod(to, family), 7777);
            let socket = self.scene.a.netns.run(|| UdpSocket::bind(at).unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            for from in (0..4).filter(|from| *from != to) {
                send(&self.clients[from], at, from);
            }
            eventually("a datagram of the address's own plane", || {
                send(&self.clients[to], at, to);
                let mut byte = [0];
                while socket.recv(&mut byte).is_ok() {
                    if usize::from(byte[0]) == to {
                        return Some(());
                    }
                    received.insert((usize::from(byte[0]), to, family));
                }
                None
            });
        }
        received
    }

    fn end(self) {
        drop(self.proxy);
        self.scene.end();
    }
}

const FAMILIES: [usize; 2] = [0, 1];
const UPSTREAM: u16 = 9090;

fn host(plane: usize, family: usize, number: u8) -> IpAddr {
    let prefix = PLANES[plane].1[family];
    let separator = [".", "::"][family];
    format!("{prefix}{separator}{number}").parse().unwrap()
}

fn node(plane: usize, family: usize) -> IpAddr {
    host(plane, family, 1)
}

fn pod(plane: usize, family: usize) -> IpAddr {
    host(plane, family, 2)
}

fn client(plane: usize, family: usize) -> IpAddr {
    host(plane, family, 9)
}

/// Plane and family of each of the pod's addresses.
fn addresses() -> impl Iterator<Item = (usize, usize)> {
    (0..4).flat_map(|plane| FAMILIES.map(|family| (plane, family)))
}

/// All ordered pairs of planes in both families: from, to, family.
fn crossings() -> impl Iterator<Item = (usize, usize, usize)> {
    addresses()
        .flat_map(|(to, family)| (0..4).map(move |from| (from, to, family)))
        .filter(|(from, to, _)| from != to)
}

/// Plane, family, name and virtual address of a service on each client.
fn upstreams() -> impl Iterator<Item = (usize, usize, String, IpAddr)> {
    addresses().map(|(plane, family)| {
        let address = [format!("10.96.1.{plane}"), format!("fd96::1:{plane}")][family].parse().unwrap();
        (plane, family, format!("on-{}-{family}", PLANES[plane].0), address)
    })
}

fn send(netns: &Netns, to: SocketAddr, from: usize) {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let byte = [u8::try_from(from).unwrap()];
    // A node may say at once that it is unreachable.
    let _ = netns.run(|| UdpSocket::bind((any, 0)).unwrap().send_to(&byte, to)).unwrap();
}

/// That what went between two addresses passed one interface alone, in both ways.
#[track_caller]
fn assert_only_by(packets: &[Packet], interface: &str, own: IpAddr, other: IpAddr) {
    let between = packets.iter().filter(|packet| packet.goes(own, other) || packet.goes(other, own));
    let between: Vec<_> = between.collect();
    for way in [Way::In, Way::Out] {
        assert!(between.iter().any(|packet| packet.way == way), "{way:?} {interface}, {own} and {other}");
    }
    let elsewhere: Vec<_> = between.iter().filter(|packet| packet.interface != interface).collect();
    assert!(elsewhere.is_empty(), "{own} is of {interface}: {elsewhere:?}");
}

#[test]
fn no_plane_reaches_another_planes_address_by_the_pods_own_interface() {
    let four = Four::new();
    four.route_over(pod);
    let tap = Tap::on(&four.scene.a.netns);

    assert_eq!(four.connected(), BTreeSet::new());
    assert_eq!(four.received(), BTreeSet::new());

    let packets = tap.packets();
    for (from, to, family) in crossings() {
        let (client, own) = (client(from, family), pod(to, family));
        let arrived = packets.iter().filter(|packet| packet.goes(client, own));
        let arrived: Vec<_> = arrived.collect();
        assert!(arrived.len() >= 2, "connection and datagram of {client} did come for {own}");
        let interface = four.interface(from);
        assert!(arrived.iter().all(|packet| packet.came_by(&interface)), "{arrived:?}");
        let answer = packets.iter().find(|packet| packet.goes(own, client));
        assert_eq!(answer, None);
    }
    assert_eq!(taken(&four.proxy), 0);

    // control: without the rules, Linux takes a packet for any of its addresses on any interface
    let netns = &four.scene.a.netns;
    command(netns, "nft", "delete table inet multiplane");
    for interface in ["all"].into_iter().chain(four.scene.a.interfaces().keys().map(String::as_str)) {
        command(netns, "sysctl", &format!("-qw net.ipv4.conf.{interface}.rp_filter=0"));
    }
    let everywhere: BTreeSet<_> = crossings().collect();
    let mut received = BTreeSet::new();
    eventually("every crossing is made", || {
        received.extend(four.received());
        (received == everywhere).then_some(())
    });
    let _ = tap.packets();
    let _ = four.connected();
    let packets = tap.packets();
    for (from, to, family) in crossings() {
        let mut answers = packets.iter().filter(|packet| packet.goes(pod(to, family), client(from, family)));
        let interface = four.interface(to);
        assert!(answers.any(|packet| packet.left_by(&interface)), "answered, by the address's own plane");
    }
    four.end();
}

#[test]
fn no_plane_reaches_another_planes_address_by_the_node_that_forwards() {
    let four = Four::new();
    four.route_over(node);
    let (tap, at_node) = (Tap::on(&four.scene.a.netns), Tap::on(&four.scene.world.node));

    assert_eq!(four.connected(), BTreeSet::new());
    assert_eq!(four.received(), BTreeSet::new());

    let (packets, at_node) = (tap.packets(), at_node.packets());
    for (from, to, family) in crossings() {
        let (client, own) = (client(from, family), pod(to, family));
        let bridge = format!("mp-{}", PLANES[from].0);
        let mut tries = at_node.iter().filter(|packet| packet.goes(client, own));
        assert!(
            tries.any(|packet| packet.came_by(&bridge)),
            "the node was asked to forward {client} to {own}"
        );
        let forwarded = packets.iter().find(|packet| packet.goes(client, own) || packet.goes(own, client));
        assert_eq!(forwarded, None);
    }
    assert_eq!(taken(&four.proxy), 0);

    // control: without the fence the node joins them, and the proxy answers
    for (plane, family) in addresses() {
        for priority in [32_000, 32_001] {
            let flag = ["-4", "-6"][family];
            let bridge = PLANES[plane].0;
            four.scene.world.on_node(&format!("{flag} rule del iif mp-{bridge} priority {priority}"));
        }
    }
    for (from, to, family) in crossings() {
        let answer = status(&four.clients[from], &pod(to, family).to_string());
        assert_eq!(answer, Some(200), "{from} to {to}, family {family}");
    }
    assert_eq!(taken(&four.proxy), 24);
    four.end();
}

#[test]
fn the_proxy_answers_each_plane_by_that_plane_alone_on_the_link_and_beyond_the_node() {
    let four = Four::new();
    let node = &four.scene.world.node;
    let far = Netns::anonymous().unwrap();
    let path = far.path_from_proc();
    command(node, "ip", &format!("link add far up type veth peer name eth0 netns {}", path.display()));
    command(&far, "ip", "link set eth0 up");
    for (netns, link, number) in [(node, "far", 1), (&far, "eth0", 9)] {
        command(netns, "ip", &format!("address add 172.31.0.{number}/24 dev {link}"));
        command(netns, "ip", &format!("address add fd31::{number}/64 dev {link} nodad"));
    }
    command(&far, "ip", "route add default via 172.31.0.1");
    command(&far, "ip", "-6 route add default via fd31::1");
    let tap = Tap::on(&four.scene.a.netns);

    for (plane, family) in addresses() {
        let own = pod(plane, family).to_string();
        assert_eq!(status(&four.clients[plane], &own), Some(200), "on the link: {own}");
        assert_eq!(status(&far, &own), Some(200), "from beyond the node: {own}");
    }

    let packets = tap.packets();
    for (plane, family) in addresses() {
        let (interface, own) = (four.interface(plane), pod(plane, family));
        assert_only_by(&packets, &interface, own, client(plane, family));
        assert_only_by(&packets, &interface, own, FAR[family].parse().unwrap());
    }
    for (name, _) in PLANES {
        let requests = count(&four.proxy, &format!("^http.inbound.*plane={name}.*downstream_rq_total"));
        assert_eq!(requests, 4, "both clients in both families, by the chain of {name}");
    }

    // control: without the source rules the answer for the far one leaves by the primary
    for (plane, family) in addresses().filter(|(plane, _)| *plane != 0) {
        let (flag, own) = (["-4", "-6"][family], pod(plane, family));
        command(&four.scene.a.netns, "ip", &format!("{flag} rule del priority 20000 from {own}"));
        let _ = far.run(|| TcpStream::connect_timeout(&(own, PORT).into(), Duration::from_secs(1))).unwrap();
    }
    let (packets, primary) = (tap.packets(), four.interface(0));
    for (plane, family) in addresses().filter(|(plane, _)| *plane != 0) {
        let far = FAR[family].parse().unwrap();
        let mut answers = packets.iter().filter(|packet| packet.goes(pod(plane, family), far));
        assert!(answers.any(|packet| packet.left_by(&primary)), "plane {plane}, family {family}");
    }
    four.end();
}

#[test]
fn the_proxys_own_calls_leave_by_the_plane_of_the_endpoint_with_its_address() {
    let four = Four::new();
    let servers = addresses()
        .map(|(plane, family)| Server::start(&four.clients[plane], client(plane, family), UPSTREAM));
    let _servers: Vec<_> = servers.collect();
    let tap = Tap::on(&four.scene.a.netns);

    for (plane, family, name, address) in upstreams() {
        let seen = tcp(&four.scene.a.netns, SocketAddr::new(address, UPSTREAM));
        assert_eq!(seen, Some(pod(plane, family)), "{name}: the address that its server sees");
    }

    let packets = tap.packets();
    for (plane, family) in addresses() {
        let (own, other) = (pod(plane, family), client(plane, family));
        assert_only_by(&packets, &four.interface(plane), own, other);
    }
    assert_eq!(count(&four.proxy, "^cluster.outbound.*on-.*upstream_cx_total"), 8, "the proxy made them");

    // control: a service that moves to another plane takes the proxy's calls along
    let moved = client(3, 0).to_string();
    four.scene.register_as("on-data-0", "10.96.1.1", (UPSTREAM, "TCP"), &[&moved]);
    let call = || tcp(&four.scene.a.netns, "10.96.1.1:9090".parse().unwrap());
    eventually("the proxy follows", || (call() == Some(pod(3, 0))).then_some(()));
    let _ = tap.packets();
    assert_eq!(call(), Some(pod(3, 0)));
    let packets = tap.packets();
    assert_only_by(&packets, &four.interface(3), pod(3, 0), client(3, 0));
    assert!(
        !packets.iter().any(|packet| packet.destination == client(1, 0)),
        "nothing leaves by the old one"
    );
    four.end();
}
