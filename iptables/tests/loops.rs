//! Loops of a proxy with itself, with real connections: a small proxy that asks the kernel for the original destination and
//! dials it, right and wrong. Each guard is taken away once, to see the loop that it stops.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use iptables::{Policy, table};
use netlink::Netns;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, socket, sockopt,
};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use planes::Traffic;

mod pods;

const APPLICATION: u16 = 9080;
const INBOUND: u16 = 15006;
const PROXY: u32 = 1337;
/// Where the proxy gives up by itself, so that a loop ends where no guard ends it. Above the fuse's 256.
const CAP: usize = 330;
const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "greeting";

/// A captured pod on one plane, and a client there.
struct Lab {
    pod: Arc<Netns>,
    client: Netns,
}

fn sh(netns: &Netns, script: &str) {
    let output = netns.run(|| Command::new("sh").args(["-ec", script]).output().unwrap()).unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn lab() -> Lab {
    let (pod, client) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let far = client.path_from_proc();
    sh(&pod, "ip link set lo up; ip -6 address add ::6/128 dev lo");
    sh(&pod, &format!("ip link add ctl0 type veth peer name wire netns {}", far.display()));
    sh(
        &pod,
        "ip address add 10.75.8.2/24 dev ctl0; ip link set ctl0 up; ip address add fd75::2/64 dev ctl0 nodad",
    );
    sh(
        &client,
        "ip address add 10.75.8.9/24 dev wire; ip link set wire up; ip address add fd75::9/64 dev wire nodad",
    );
    let plane = pods::attachment("control", "ctl0", Traffic::Capture, &["10.75.8.2/24", "fd75::2/64"]);
    let network = pods::network(vec![plane], true, Traffic::Bypass);
    iptables::apply(&pod, &table(&Policy::of(&network))).unwrap();
    Lab { pod: Arc::new(pod), client }
}

/// Speaks first, as SMTP and MySQL do.
fn application(pod: &Netns, any: IpAddr) {
    let listener = pod.run(|| TcpListener::bind((any, APPLICATION))).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(8) {
            stream.unwrap().write_all(TOKEN.as_bytes()).unwrap();
        }
    });
}

/// The proxy's inbound side; `source` is where its own connections come from. The count is of its hops.
fn proxy(pod: &Arc<Netns>, any: IpAddr, source: Option<IpAddr>) -> Arc<AtomicUsize> {
    let hops = Arc::new(AtomicUsize::new(0));
    let listener = pod.run(|| TcpListener::bind((any, INBOUND))).unwrap().unwrap();
    let (pod, count) = (Arc::clone(pod), Arc::clone(&hops));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if count.fetch_add(1, Ordering::SeqCst) + 1 >= CAP {
                return;
            }
            let pod = Arc::clone(&pod);
            // Held until the far end has spoken or failed: a hop is two descriptors as long as the loop stands.
            std::thread::spawn(move || {
                let mut text = String::new();
                let upstream = pod.run(|| as_proxy(&original(&stream), source)).unwrap();
                if upstream.and_then(|mut upstream| upstream.read_to_string(&mut text).ok()).is_some() {
                    let _ = stream.write_all(text.as_bytes());
                }
            });
        }
    });
    hops
}

/// `SO_ORIGINAL_DST`, as Envoy's listener filter asks.
fn original(stream: &TcpStream) -> SockaddrStorage {
    match stream.local_addr().unwrap() {
        SocketAddr::V4(_) => {
            let found = getsockopt(stream, sockopt::OriginalDst).unwrap();
            nix::sys::socket::SockaddrIn::from(found).into_storage()
        }
        SocketAddr::V6(_) => {
            let found = getsockopt(stream, sockopt::Ip6tOriginalDst).unwrap();
            nix::sys::socket::SockaddrIn6::from(found).into_storage()
        }
    }
}

trait IntoStorage {
    fn into_storage(self) -> SockaddrStorage;
}

impl IntoStorage for nix::sys::socket::SockaddrIn {
    fn into_storage(self) -> SockaddrStorage {
        SocketAddr::from(std::net::SocketAddrV4::from(self)).into()
    }
}

impl IntoStorage for nix::sys::socket::SockaddrIn6 {
    fn into_storage(self) -> SockaddrStorage {
        SocketAddr::from(std::net::SocketAddrV6::from(self)).into()
    }
}

/// A connection of the proxy's user. The thread is [`Netns::run`]'s own, and so is its user.
fn as_proxy(to: &SockaddrStorage, source: Option<IpAddr>) -> Option<TcpStream> {
    setfsgid(Gid::from_raw(PROXY));
    setfsuid(Uid::from_raw(PROXY));
    let family = if to.as_sockaddr_in().is_some() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let own = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    if let Some(source) = source {
        bind(own.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0))).unwrap();
    }
    connect(own.as_raw_fd(), to).ok()?;
    let stream = TcpStream::from(own);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Some(stream)
}

/// What the client hears.
fn ask(client: &Netns, to: SocketAddr, patience: Duration) -> Option<String> {
    client
        .run(|| {
            let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).ok().map(|_| text)
        })
        .unwrap()
}

const FAMILIES: [(IpAddr, IpAddr, &str); 2] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)), "10.75.8.2"),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6)), "fd75::2"),
];

#[test]
fn a_right_proxy_hops_once_and_a_server_may_speak_first() {
    for (any, source, own) in FAMILIES {
        let lab = lab();
        application(&lab.pod, any);
        let hops = proxy(&lab.pod, any, Some(source));

        let heard = ask(&lab.client, SocketAddr::new(own.parse().unwrap(), APPLICATION), PATIENCE);

        assert_eq!(heard.as_deref(), Some(TOKEN), "{own}");
        assert_eq!(hops.load(Ordering::SeqCst), 1, "{own}");
    }
}

#[test]
fn the_fuse_ends_the_loop_of_a_proxy_that_forgets_its_source() {
    for (any, _, own) in FAMILIES {
        let to = SocketAddr::new(own.parse().unwrap(), APPLICATION);
        let guarded = lab();
        application(&guarded.pod, any);
        let hops = proxy(&guarded.pod, any, None);

        let _ = ask(&guarded.client, to, PATIENCE);

        let count = hops.load(Ordering::SeqCst);
        assert!((200..=260).contains(&count), "{own}: {count} hops");

        // control: nothing else ends it
        let bare = lab();
        application(&bare.pod, any);
        sh(&bare.pod, "nft flush chain inet multiplane fuse");
        let hops = proxy(&bare.pod, any, None);
        let _ = ask(&bare.client, to, PATIENCE);
        assert_eq!(hops.load(Ordering::SeqCst), CAP, "{own}");
    }
}

#[test]
fn nobody_starts_a_loop_by_calling_the_proxys_port() {
    let (any, source, own) = FAMILIES[0];
    let to = SocketAddr::new(own.parse().unwrap(), INBOUND);
    let guarded = lab();
    let hops = proxy(&guarded.pod, any, Some(source));

    assert_eq!(ask(&guarded.client, to, Duration::from_millis(1500)), None);

    assert_eq!(hops.load(Ordering::SeqCst), 0);
    // control: the proxy's port is its own destination, and no source helps
    let bare = lab();
    sh(&bare.pod, "nft flush chain inet multiplane isolate_in");
    let hops = proxy(&bare.pod, any, Some(source));
    let _ = ask(&bare.client, to, PATIENCE);
    assert_eq!(hops.load(Ordering::SeqCst), CAP);
}
