//! Whose connections the proxy gets, and whose it never sees: planes × fates × directions × families, with real
//! connections through a pod made by the plugin. The pod's proxy is played by a server on one of its ports: who answers
//! tells where a connection went.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use netlink::Netns;
use serde_json::{Value, json};
use testbed::probe::{Server, tcp, udp};
use testbed::world::{Pod, World, command};

const APPLICATION: u16 = 9080;
const INBOUND: u16 = 15006;
const OUTBOUND: u16 = 15001;
const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// A pod on three planes, each with a neighbour of its own.
struct Planes {
    _world: World,
    pod: Pod,
    neighbours: [Pod; 3],
}

const NAMES: [(&str, u8); 3] = [("control", 75), ("media", 80), ("oam", 90)];
const CAPTURED: usize = 0;
const BYPASSED: usize = 1;
const DENIED: usize = 2;

fn planes(edit: &Value) -> Planes {
    planes_of(["capture", "bypass", "deny"].map(Value::from), edit)
}

fn planes_of(fates: [Value; 3], edit: &Value) -> Planes {
    let world = World::new();
    let plane = |(name, number): (&str, u8), traffic: Value| {
        json!({"name": name, "kind": "bridge", "bridge": format!("mp-{name}"), "traffic": traffic, "ipam": {
            "ranges": [[format!("10.{number}.0.0/24")], [format!("fd{number}::/64")]],
            "gateway": [format!("10.{number}.0.1"), format!("fd{number}::1")]}})
    };
    let planes: Vec<Value> = NAMES.into_iter().zip(fates).map(|(name, fate)| plane(name, fate)).collect();
    let mut conf =
        json!({"planes": planes, "default": ["control", "media", "oam"], "proxy": {"pods": "all"}});
    conf.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
    let pod = world.pod();
    world.add(&pod, &world.conf(conf));
    let neighbours = NAMES.map(|(name, number)| neighbour(&world, name, number));
    Planes { _world: world, pod, neighbours }
}

/// Somebody on the plane's bridge, with the gateway's address.
fn neighbour(world: &World, plane: &str, number: u8) -> Pod {
    let addresses = [format!("10.{number}.0.1/24"), format!("fd{number}::1/64")];
    world.neighbour(&format!("mp-{plane}"), &addresses.each_ref().map(String::as_str))
}

impl Planes {
    fn own(&self, plane: usize, family: usize) -> IpAddr {
        let number = NAMES[plane].1;
        let text = [format!("10.{number}.0.2"), format!("fd{number}::2")];
        text[family].parse().unwrap()
    }

    fn theirs(&self, plane: usize, family: usize) -> IpAddr {
        let number = NAMES[plane].1;
        let text = [format!("10.{number}.0.1"), format!("fd{number}::1")];
        text[family].parse().unwrap()
    }

    /// Whether the neighbour of a plane, calling the application, is answered.
    fn is_called(&self, plane: usize, family: usize, port: u16) -> bool {
        tcp(&self.neighbours[plane].netns, SocketAddr::new(self.own(plane, family), port)).is_some()
    }

    /// Whether the pod, calling the application of a plane's neighbour, is answered.
    fn calls(&self, plane: usize, family: usize) -> bool {
        self.calls_port(plane, family, APPLICATION)
    }

    fn calls_port(&self, plane: usize, family: usize, port: u16) -> bool {
        tcp(&self.pod.netns, SocketAddr::new(self.theirs(plane, family), port)).is_some()
    }
}

/// What the proxy's user gets when it connects from the pod.
fn as_proxy(pod: &Netns, to: SocketAddr) -> bool {
    let script = format!("exec 3<>/dev/tcp/{}/{} && grep -q multiplane-token <&3", to.ip(), to.port());
    shell_as_proxy(pod, &script).0
}

fn shell_as_proxy(pod: &Netns, script: &str) -> (bool, String) {
    let mut command = Command::new("timeout");
    command.args(["10", "setpriv", "--reuid=1337", "--regid=1337", "--clear-groups", "bash", "-c", script]);
    let output = pod.run(|| command.output().unwrap()).unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn inbound_connections_of_captured_planes_go_to_the_proxy_and_no_others() {
    let planes = planes(&json!({}));

    for (family, any) in ANY.into_iter().enumerate() {
        {
            let _proxy = Server::start(&planes.pod.netns, any, INBOUND);
            assert!(planes.is_called(CAPTURED, family, APPLICATION), "family {family}: the proxy gets it");
            assert!(
                !planes.is_called(BYPASSED, family, APPLICATION),
                "family {family}: nobody listens there"
            );
            assert!(!planes.is_called(DENIED, family, APPLICATION), "family {family}");
        }
        let _application = Server::start(&planes.pod.netns, any, APPLICATION);
        assert!(
            !planes.is_called(CAPTURED, family, APPLICATION),
            "family {family}: no proxy, no way past it"
        );
        assert!(planes.is_called(BYPASSED, family, APPLICATION), "family {family}: the application itself");
        assert!(!planes.is_called(DENIED, family, APPLICATION), "family {family}");
    }
}

#[test]
fn outbound_connections_of_captured_planes_go_to_the_proxy_and_its_own_do_not() {
    let planes = planes(&json!({}));

    for (family, any) in ANY.into_iter().enumerate() {
        {
            let _proxy = Server::start(&planes.pod.netns, any, OUTBOUND);
            assert!(planes.calls(CAPTURED, family), "family {family}: the proxy gets it");
            assert!(!planes.calls(BYPASSED, family), "family {family}: nobody listens there");
        }
        let _servers: Vec<Server> = planes
            .neighbours
            .iter()
            .map(|neighbour| Server::start(&neighbour.netns, any, APPLICATION))
            .collect();
        assert!(!planes.calls(CAPTURED, family), "family {family}: no proxy, no way past it");
        assert!(planes.calls(BYPASSED, family), "family {family}");
        assert!(!planes.calls(DENIED, family), "family {family}");
        let upstream = SocketAddr::new(planes.theirs(CAPTURED, family), APPLICATION);
        assert!(as_proxy(&planes.pod.netns, upstream), "family {family}: the proxy's own way out");
    }
}

#[test]
fn a_plane_is_captured_in_one_direction_and_on_some_ports_alone() {
    const INWARDS: usize = 0;
    const OUTWARDS: usize = 1;
    let inwards = json!({"in": "capture", "inPorts": [APPLICATION, "9100-9101"], "out": "bypass"});
    let outwards = json!({"in": "bypass", "out": "capture", "outPorts": [APPLICATION.to_string()]});
    let planes = planes_of([inwards, outwards, json!("deny")], &json!({}));
    let pod = &planes.pod.netns;

    for (family, any) in ANY.into_iter().enumerate() {
        {
            let _proxy = [INBOUND, OUTBOUND].map(|port| Server::start(pod, any, port));
            for port in [APPLICATION, 9100, 9101] {
                assert!(planes.is_called(INWARDS, family, port), "family {family}: the proxy gets {port}");
            }
            assert!(!planes.is_called(INWARDS, family, 9102), "family {family}: not among its ports");
            assert!(!planes.calls(INWARDS, family), "family {family}: outwards the proxy never sees it");
            assert!(planes.calls(OUTWARDS, family), "family {family}: the proxy gets it");
            assert!(!planes.calls_port(OUTWARDS, family, 9102), "family {family}: not among its ports");
            assert!(
                !planes.is_called(OUTWARDS, family, APPLICATION),
                "family {family}: inwards it never sees it"
            );
            assert!(
                as_proxy(pod, SocketAddr::new(planes.own(INWARDS, family), APPLICATION)),
                "family {family}"
            );
            assert!(
                !as_proxy(pod, SocketAddr::new(planes.own(OUTWARDS, family), APPLICATION)),
                "family {family}"
            );
        }
        // What passes by the proxy is answered by whom it was meant for.
        let _application = [9102, APPLICATION].map(|port| Server::start(pod, any, port));
        let theirs = |plane: usize, port: u16| Server::start(&planes.neighbours[plane].netns, any, port);
        let _servers = [theirs(INWARDS, APPLICATION), theirs(OUTWARDS, 9102)];
        assert!(planes.is_called(INWARDS, family, 9102), "family {family}");
        assert!(!planes.is_called(INWARDS, family, APPLICATION), "family {family}: no proxy, no way past it");
        assert!(planes.is_called(OUTWARDS, family, APPLICATION), "family {family}");
        assert!(planes.calls(INWARDS, family), "family {family}");
        assert!(planes.calls_port(OUTWARDS, family, 9102), "family {family}");
    }
}

#[test]
fn the_proxys_call_to_its_own_pod_is_inbound_on_every_captured_plane_and_the_pods_own_is_not_captured() {
    let planes = planes(&json!({}));

    for (family, any) in ANY.into_iter().enumerate() {
        let own = SocketAddr::new(planes.own(CAPTURED, family), APPLICATION);
        {
            let _proxy = Server::start(&planes.pod.netns, any, INBOUND);
            assert!(as_proxy(&planes.pod.netns, own), "family {family}");
            assert_eq!(tcp(&planes.pod.netns, own), None, "family {family}: the application talks to itself");
        }
        let _application = Server::start(&planes.pod.netns, any, APPLICATION);
        assert!(tcp(&planes.pod.netns, own).is_some(), "family {family}");
        let bypassed = SocketAddr::new(planes.own(BYPASSED, family), APPLICATION);
        assert!(as_proxy(&planes.pod.netns, bypassed), "family {family}: nothing to redirect");
    }
}

#[test]
fn the_proxys_ports_are_closed_from_outside_and_its_health_is_open() {
    let planes = planes(&json!({}));

    for port in [INBOUND, OUTBOUND] {
        let _proxy = Server::start(&planes.pod.netns, ANY[0], port);
        for plane in [CAPTURED, BYPASSED] {
            assert!(!planes.is_called(plane, 0, port), "port {port} on plane {plane}");
        }
    }
    let _health = Server::start(&planes.pod.netns, ANY[0], 15021);
    assert!(planes.is_called(CAPTURED, 0, 15021), "kubelet's probe");
}

#[test]
fn datagrams_are_never_captured_and_leave_no_trace_on_a_bypass_plane() {
    let planes = planes(&json!({}));
    let tracked = || {
        let count = "/proc/sys/net/netfilter/nf_conntrack_count";
        let count = planes.pod.netns.run(|| std::fs::read_to_string(count).unwrap()).unwrap();
        count.trim().parse::<u32>().unwrap()
    };
    let _application = Server::start(&planes.pod.netns, ANY[0], APPLICATION);
    let before = tracked();

    for _ in 0..20 {
        let to = SocketAddr::new(planes.own(BYPASSED, 0), APPLICATION);
        assert!(udp(&planes.neighbours[BYPASSED].netns, to).is_some());
    }
    assert_eq!(tracked(), before, "a bypass plane never touches connection tracking");

    let to = SocketAddr::new(planes.own(CAPTURED, 0), APPLICATION);
    assert!(udp(&planes.neighbours[CAPTURED].netns, to).is_some());
    assert!(tracked() > before, "control: a captured plane does");
}

/// Whether a datagram for an address of one plane gets in by another.
fn crosses(planes: &Planes) -> bool {
    let neighbour = &planes.neighbours[CAPTURED].netns;
    let to = SocketAddr::new(planes.own(BYPASSED, 0), 7777);
    let bound = planes.pod.netns.run(|| UdpSocket::bind(to).unwrap()).unwrap();
    bound.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let sender = neighbour.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    (0..3).any(|_| {
        sender.send_to(b"?", to).unwrap();
        bound.recv(&mut [0; 8]).is_ok()
    })
}

#[test]
fn an_address_answers_on_its_own_plane_alone() {
    let planes = planes(&json!({}));
    let via = planes.own(CAPTURED, 0);
    command(&planes.neighbours[CAPTURED].netns, "ip", &format!("route add 10.80.0.0/24 via {via}"));

    assert!(!crosses(&planes));

    // control: without the rules, Linux takes a packet for any of its addresses on any interface
    command(&planes.pod.netns, "nft", "delete table inet multiplane");
    command(&planes.pod.netns, "sysctl", "-qw net.ipv4.conf.all.rp_filter=0");
    assert!(crosses(&planes));
}

#[test]
fn the_fuse_bounds_the_proxys_calls_to_its_own_pod() {
    let planes = planes(&json!({}));
    let proxy = planes.pod.netns.run(|| TcpListener::bind((ANY[0], INBOUND)).unwrap()).unwrap();
    // held open: what has ended does not count
    let _held = std::thread::spawn(move || proxy.incoming().take(656).collect::<Vec<_>>());
    let own = planes.own(CAPTURED, 0);
    let calls = format!(
        "n=0; while [ $n -lt 400 ] && exec {{fd}}<>/dev/tcp/{own}/{APPLICATION}; do n=$((n + 1)); done 2>/dev/null; echo $n"
    );

    let (_, count) = shell_as_proxy(&planes.pod.netns, &calls);

    assert_eq!(count, "256");
    // control: without the fuse nothing stops them
    command(&planes.pod.netns, "nft", "flush chain inet multiplane fuse");
    assert_eq!(shell_as_proxy(&planes.pod.netns, &calls).1, "400");
}

#[test]
fn a_pod_without_a_proxy_keeps_its_network_and_its_isolation() {
    let planes = planes(&json!({"proxy": {"pods": "none"}}));
    let _application = Server::start(&planes.pod.netns, ANY[0], APPLICATION);

    assert!(planes.is_called(CAPTURED, 0, APPLICATION));
    assert!(planes.is_called(BYPASSED, 0, APPLICATION));
    assert!(!planes.is_called(DENIED, 0, APPLICATION));
}

#[test]
fn another_meshs_chains_are_named_or_refused_as_the_network_says_and_a_refusal_leaves_nothing() {
    for (setting, status) in [("refuse", Some(1)), ("warn", Some(0))] {
        let world = World::new();
        let pod = world.pod();
        command(&pod.netns, "nft", "add table ip nat");
        command(&pod.netns, "nft", "add chain ip nat ISTIO_OUTPUT");
        let conf = world.conf(json!({"proxy": {"pods": "all", "otherMesh": setting}}));
        let before = world.lasting(&[&pod]);

        let answer = world.call("ADD", &pod.environment(), &conf);

        assert_eq!(answer.status, status, "{setting}: {}", answer.stdout);
        if setting == "refuse" {
            assert!(answer.message().contains("nat ISTIO_OUTPUT"), "{}", answer.stdout);
            let after = world.lasting(&[&pod]);
            assert_eq!(before.difference(&after), Vec::<String>::new());
        } else {
            assert!(answer.stderr.contains("nat ISTIO_OUTPUT"), "{}", answer.stderr);
        }
    }
}
