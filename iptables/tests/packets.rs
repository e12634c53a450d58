//! The rules as packets feel them: each promise with real connections, and without the rules as the control.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iptables::{Policy, foreign, table};
use netlink::Netns;
use planes::{Layout, PodNetwork, Traffic};

mod pods;

use pods::{attachment, network};

/// A pod on two planes, with a client of each plane on the other end of the wire.
struct Lab {
    pod: Netns,
    clients: [Netns; 2],
    network: PodNetwork,
}

/// As ADD does it.
fn apply(pod: &Netns, network: &PodNetwork) -> Result<(), iptables::Error> {
    iptables::apply(pod, &table(&Policy::of(network)))
}

const OWN: [&str; 2] = ["192.168.10.2", "10.75.8.2"];

fn sh(netns: &Netns, script: &str) -> String {
    let output = netns.run(|| Command::new("sh").args(["-ec", script]).output().unwrap()).unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn lab(traffic: [Traffic; 2], proxy: bool) -> Lab {
    let pod = Netns::anonymous().unwrap();
    let clients = [Netns::anonymous().unwrap(), Netns::anonymous().unwrap()];
    sh(&pod, "ip link set lo up");
    for (number, (name, prefix)) in [("eth0", "192.168.10"), ("ctl0", "10.75.8")].into_iter().enumerate() {
        let far = clients[number].path_from_proc();
        sh(&pod, &format!("ip link add {name} type veth peer name wire netns {}", far.display()));
        sh(&pod, &format!("ip address add {prefix}.2/24 dev {name}; ip link set {name} up"));
        sh(&pod, &format!("ip -6 address add fd{number}::2/64 dev {name} nodad"));
        sh(
            &clients[number],
            &format!("ip link set lo up; ip address add {prefix}.9/24 dev wire; ip link set wire up"),
        );
        sh(&clients[number], &format!("ip -6 address add fd{number}::9/64 dev wire nodad"));
        // A client that knows the way to the other plane's address: by its own plane, which must not lead there.
        let other = OWN[1 - number];
        sh(&clients[number], &format!("ip route add {other}/32 via {prefix}.2"));
    }
    let planes = vec![
        attachment("primary", "eth0", traffic[0], &["192.168.10.2/24", "fd0::2/64"]),
        attachment("control", "ctl0", traffic[1], &["10.75.8.2/24", "fd1::2/64"]),
    ];
    Lab { pod, clients, network: network(planes, proxy, Traffic::Bypass) }
}

/// A server of the pod that tells its port: the application's, or the proxy's where a connection was captured.
struct Servers {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

const PORTS: [u16; 3] = [9080, 15006, 15001];

fn serve(netns: &Netns) -> Servers {
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for port in PORTS {
        let any: IpAddr = [0_u8; 16].into();
        let listener = netns.run(|| TcpListener::bind(SocketAddr::new(any, port))).unwrap().unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::clone(&stop);
        threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut stream, _)) => drop(write!(stream, "{port}")),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        }));
    }
    Servers { stop, threads }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Long enough on a loaded machine, for what is expected to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for what is expected not to come.
const SILENCE: Duration = Duration::from_millis(1200);

/// Which server answers a connection from `netns`.
fn dial(netns: &Netns, to: &str) -> Option<u16> {
    dial_for(netns, to, PATIENCE)
}

/// Whether nothing gets through.
fn is_shut(netns: &Netns, to: &str) -> bool {
    dial_for(netns, to, SILENCE).is_none()
}

fn dial_for(netns: &Netns, to: &str, patience: Duration) -> Option<u16> {
    let to: SocketAddr = to.parse().unwrap();
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.parse().ok()
    };
    netns.run(ask).unwrap()
}

/// As [`dial`], by a program of that user: bash opens the connection.
fn dial_as(netns: &Netns, uid: u32, to: &str) -> Option<u16> {
    dial_as_for(netns, uid, to, PATIENCE)
}

fn dial_as_for(netns: &Netns, uid: u32, to: &str, patience: Duration) -> Option<u16> {
    let (address, port) = to.rsplit_once(':').unwrap();
    let address = address.trim_matches(|c| c == '[' || c == ']');
    let script = format!("exec 3<>/dev/tcp/{address}/{port} && cat <&3");
    let run = || {
        let mut command = Command::new("timeout");
        command
            .arg(patience.as_secs_f64().to_string())
            .args(["bash", "-c", &script])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command.uid(uid).gid(uid).output().unwrap()
    };
    let output = netns.run(run).unwrap();
    String::from_utf8(output.stdout).unwrap().parse().ok()
}

#[test]
fn another_meshs_chains_are_named() {
    let pod = Netns::anonymous().unwrap();
    assert_eq!(foreign(&pod).unwrap(), Vec::<String>::new());

    sh(
        &pod,
        "nft add table ip nat; nft add chain ip nat ISTIO_OUTPUT; nft add table inet kuma; nft add chain inet kuma x",
    );

    assert_eq!(foreign(&pod).unwrap(), ["nat ISTIO_OUTPUT", "kuma x"]);
}

#[test]
fn inbound_connections_of_captured_planes_alone_reach_the_proxy() {
    for (traffic, expected) in
        [(Traffic::Capture, Some(15006)), (Traffic::Bypass, Some(9080)), (Traffic::Deny, None)]
    {
        let lab = lab([Traffic::Capture, traffic], true);
        let _servers = serve(&lab.pod);
        assert_eq!(dial(&lab.clients[1], "10.75.8.2:9080"), Some(9080), "control: no rules yet");

        apply(&lab.pod, &lab.network).unwrap();

        for to in ["10.75.8.2:9080", "[fd1::2]:9080"] {
            let patience = if expected.is_some() { PATIENCE } else { SILENCE };
            assert_eq!(dial_for(&lab.clients[1], to, patience), expected, "{traffic:?} {to}");
        }
        assert_eq!(dial(&lab.clients[0], "192.168.10.2:9080"), Some(15006), "the other plane is as it was");
    }
}

#[test]
fn outbound_connections_of_captured_planes_alone_reach_the_proxy_and_the_proxys_own_do_not() {
    for (traffic, expected) in
        [(Traffic::Capture, Some(15001)), (Traffic::Bypass, Some(9080)), (Traffic::Deny, None)]
    {
        let lab = lab([Traffic::Capture, traffic], true);
        let _pod = serve(&lab.pod);
        let _far = serve(&lab.clients[1]);
        apply(&lab.pod, &lab.network).unwrap();

        for to in ["10.75.8.9:9080", "[fd1::9]:9080"] {
            let patience = if expected.is_some() { PATIENCE } else { SILENCE };
            assert_eq!(dial_as_for(&lab.pod, 1000, to, patience), expected, "{traffic:?} {to}");
            let direct = (traffic != Traffic::Deny).then_some(9080);
            assert_eq!(dial_as_for(&lab.pod, 1337, to, patience), direct, "the proxy, {traffic:?} {to}");
        }
    }
}

#[test]
fn over_lo_the_proxys_calls_to_captured_planes_are_inbound_and_the_applications_are_its_own() {
    let lab = lab([Traffic::Capture, Traffic::Bypass], true);
    let _servers = serve(&lab.pod);
    apply(&lab.pod, &lab.network).unwrap();

    for (to, proxy) in [("192.168.10.2:9080", 15006), ("[fd0::2]:9080", 15006), ("10.75.8.2:9080", 9080)] {
        assert_eq!(dial_as(&lab.pod, 1337, to), Some(proxy), "{to}");
        assert_eq!(dial_as(&lab.pod, 1000, to), Some(9080), "{to}");
    }
    assert_eq!(dial_as(&lab.pod, 1000, "127.0.0.1:9080"), Some(9080));
    assert_eq!(dial_as(&lab.pod, 1337, "127.0.0.1:9080"), Some(9080));
}

#[test]
fn in_the_classic_layout_the_proxys_calls_to_its_own_pod_are_never_captured() {
    let mut lab = lab([Traffic::Capture, Traffic::Capture], true);
    let _servers = serve(&lab.pod);
    apply(&lab.pod, &lab.network).unwrap();
    for to in ["192.168.10.2:9080", "[fd1::2]:9080"] {
        assert_eq!(dial_as(&lab.pod, 1337, to), Some(15006), "control: split, {to}");
    }

    let proxy = lab.network.proxy.as_mut().unwrap();
    (proxy.layout, proxy.inbound_port) = (Layout::Classic, proxy.outbound_port);
    apply(&lab.pod, &lab.network).unwrap();

    for to in ["192.168.10.2:9080", "[fd1::2]:9080"] {
        assert_eq!(dial_as(&lab.pod, 1337, to), Some(9080), "{to}");
    }
    assert_eq!(dial(&lab.clients[1], "10.75.8.2:9080"), Some(15001), "one port for inbound too");
}

#[test]
fn an_address_answers_on_its_own_plane_alone_with_and_without_a_proxy() {
    for proxy in [true, false] {
        let lab = lab([Traffic::Capture, Traffic::Capture], proxy);
        let _servers = serve(&lab.pod);
        let own = if proxy { Some(15006) } else { Some(9080) };
        assert_eq!(dial(&lab.clients[0], "10.75.8.2:9080"), Some(9080), "control: Linux leaks without rules");

        apply(&lab.pod, &lab.network).unwrap();

        assert!(is_shut(&lab.clients[0], "10.75.8.2:9080"));
        assert!(is_shut(&lab.clients[1], "192.168.10.2:9080"));
        assert_eq!(dial(&lab.clients[1], "10.75.8.2:9080"), own);
        let mut opened = lab.network.clone();
        opened.attachments[0].extra_addresses = vec!["10.75.8.2/32".parse().unwrap()];
        apply(&lab.pod, &opened).unwrap();
        assert!(
            dial(&lab.clients[0], "10.75.8.2:9080").is_some(),
            "the plane declares that it may receive it"
        );
    }
}

#[test]
fn what_a_pod_runs_behind_an_interface_of_its_own_keeps_its_network_and_gets_at_no_other_planes_address() {
    let lab = lab([Traffic::Capture, Traffic::Capture], false);
    let _servers = (serve(&lab.pod), serve(&lab.clients[0]));
    let inner = Netns::anonymous().unwrap();
    let far = inner.path_from_proc();
    // As docker does it.
    sh(&lab.pod, &format!("ip link add docker0 type veth peer name eth0 netns {}", far.display()));
    sh(
        &lab.pod,
        "ip address add 172.17.0.1/24 dev docker0; ip link set docker0 up; sysctl -qw net.ipv4.ip_forward=1",
    );
    sh(
        &lab.pod,
        "nft add table ip docker; nft 'add chain ip docker out { type nat hook postrouting priority 100; }'; \
         nft add rule ip docker out ip saddr 172.17.0.0/24 masquerade",
    );
    sh(
        &inner,
        "ip address add 172.17.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 172.17.0.1",
    );
    assert_eq!(dial(&inner, "192.168.10.2:9080"), Some(9080), "control: Linux leaks without rules");

    apply(&lab.pod, &lab.network).unwrap();

    assert_eq!(dial(&inner, "192.168.10.9:9080"), Some(9080), "out by the pod's plane");
    assert_eq!(dial(&inner, "172.17.0.1:9080"), Some(9080), "the interface's own address");
    assert!(is_shut(&inner, "192.168.10.2:9080"), "a plane's address");
}

#[test]
fn the_proxys_ports_and_the_health_ports_are_what_they_shall_be_from_outside() {
    let lab = lab([Traffic::Capture, Traffic::Capture], true);
    let _servers = serve(&lab.pod);
    let health = lab.pod.run(|| TcpListener::bind("0.0.0.0:15021")).unwrap().unwrap();
    std::thread::spawn(move || {
        if let Ok((mut stream, _)) = health.accept() {
            drop(stream.write_all(b"15021"));
        }
    });
    assert_eq!(dial(&lab.clients[0], "192.168.10.2:15006"), Some(15006), "control: open without rules");

    apply(&lab.pod, &lab.network).unwrap();

    assert!(is_shut(&lab.clients[0], "192.168.10.2:15006"));
    assert!(is_shut(&lab.clients[0], "192.168.10.2:15001"));
    assert_eq!(dial(&lab.clients[0], "192.168.10.2:15021"), Some(15021), "never captured");
}

#[test]
fn udp_of_a_bypass_plane_is_never_tracked() {
    let tracked = |traffic: Traffic| {
        let lab = lab([Traffic::Capture, traffic], true);
        apply(&lab.pod, &lab.network).unwrap();
        let server = lab.pod.run(|| UdpSocket::bind("10.75.8.2:5000")).unwrap().unwrap();
        let client = lab.clients[1].run(|| UdpSocket::bind("10.75.8.9:0")).unwrap().unwrap();
        client.send_to(b"rtp", "10.75.8.2:5000").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        server.recv_from(&mut [0; 8]).unwrap();
        sh(&lab.pod, "cat /proc/sys/net/netfilter/nf_conntrack_count").trim().parse::<u32>().unwrap()
    };

    assert_eq!(tracked(Traffic::Bypass), 0);
    assert!(tracked(Traffic::Capture) > 0, "control: a captured plane's UDP is tracked");
}

#[test]
fn the_first_application_breaks_no_running_connection_and_applying_again_lets_none_escape() {
    let lab = lab([Traffic::Capture, Traffic::Capture], true);
    let _servers = serve(&lab.pod);
    let listener = lab.pod.run(|| TcpListener::bind("192.168.10.2:7000")).unwrap().unwrap();
    let mut client = lab.clients[0].run(|| TcpStream::connect("192.168.10.2:7000")).unwrap().unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();

    apply(&lab.pod, &lab.network).unwrap();
    client.write_all(b"still").unwrap();
    let mut buffer = [0; 5];
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"still");

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(dial(&lab.clients[0], "192.168.10.2:9080"), Some(15006), "escaped");
                count += 1;
            }
            count
        });
        for _ in 0..1000 {
            apply(&lab.pod, &lab.network).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(calls.join().unwrap() > 0);
    });
    client.write_all(b"alive").unwrap();
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"alive");
}

#[test]
fn a_plane_without_an_ipv4_address_still_works() {
    let lab = lab([Traffic::Capture, Traffic::Capture], true);
    let _servers = serve(&lab.pod);
    // The plane has IPv6 alone; an IPv4 service address lies on the loopback and is declared for it.
    sh(
        &lab.pod,
        "ip -4 address del 10.75.8.2/24 dev ctl0; ip address add 198.51.100.7/32 dev lo; ip route add 10.75.8.0/24 dev ctl0",
    );
    sh(&lab.clients[1], "ip route add 198.51.100.7/32 dev wire; ip route flush cache");
    sh(&lab.pod, "sysctl -qw net.ipv4.conf.ctl0.proxy_arp=1 net.ipv4.conf.all.arp_ignore=0");
    let mut network = lab.network.clone();
    network.attachments[1].addresses.retain(ipnetwork::IpNetwork::is_ipv6);
    network.attachments[1].extra_addresses = vec!["198.51.100.7/32".parse().unwrap()];

    apply(&lab.pod, &network).unwrap();

    assert_eq!(dial(&lab.clients[1], "198.51.100.7:9080"), Some(15006));
}
