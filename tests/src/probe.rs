//! Real traffic with a token: whether a connection gets through, and from which address it comes.

use std::io::{IoSlice, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use netlink::Netns;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, SockaddrStorage,
    bind, connect, sendmsg, setsockopt, socket, sockopt,
};

/// What a server answers with, so that a stranger's answer is not taken for it.
const TOKEN: &str = "multiplane-token";
/// How long a client waits. Only what shall not get through ever takes as long.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A TCP and a UDP server on one port of a namespace. It answers with the token and the client's address.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address` (unspecified: all) inside `netns`.
    ///
    /// # Panics
    /// If the port cannot be had.
    #[must_use]
    pub fn start(netns: &Netns, address: IpAddr, port: u16) -> Self {
        let at = SocketAddr::new(address, port);
        let sockets = netns.run(|| (TcpListener::bind(at), UdpSocket::bind(at)));
        let (tcp, udp) = sockets.expect("enter the namespace");
        let (tcp, udp) = (tcp.expect("listen"), udp.expect("bind"));
        tcp.set_nonblocking(true).expect("do not block");
        udp.set_read_timeout(Some(Duration::from_millis(50))).expect("set a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let threads = vec![
            std::thread::spawn({
                let stop = Arc::clone(&stop);
                move || serve_tcp(&tcp, &stop)
            }),
            std::thread::spawn({
                let stop = Arc::clone(&stop);
                move || serve_udp(&udp, &stop)
            }),
        ];
        Self { stop, threads }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_tcp(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((mut stream, client)) => {
                let _ = write!(stream, "{TOKEN} {}", client.ip());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, client)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{TOKEN} {}", client.ip()).as_bytes(), client);
        }
    }
}

/// Connects by TCP from `netns`; the address under which the server sees us, or `None` if nothing gets through.
///
/// # Panics
/// If the namespace cannot be entered.
#[must_use]
pub fn tcp(netns: &Netns, to: SocketAddr) -> Option<IpAddr> {
    netns.run(|| try_tcp(None, to)).expect("enter the namespace")
}

/// As [`tcp`], from a certain source address.
///
/// # Panics
/// If the namespace cannot be entered.
#[must_use]
pub fn tcp_from(netns: &Netns, from: IpAddr, to: SocketAddr) -> Option<IpAddr> {
    netns.run(|| try_tcp(Some(from), to)).expect("enter the namespace")
}

fn try_tcp(from: Option<IpAddr>, to: SocketAddr) -> Option<IpAddr> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    let patience = nix::sys::time::TimeVal::new(1, 500_000);
    setsockopt(&fd, sockopt::SendTimeout, &patience).ok()?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &patience).ok()?;
    if let Some(from) = from {
        bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0))).ok()?;
    }
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to)).ok()?;
    let mut stream = TcpStream::from(fd);
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    answer(&text)
}

/// Sends a datagram from `netns` and waits for the answer from the very address it was sent to.
///
/// # Panics
/// If the namespace cannot be entered.
#[must_use]
pub fn udp(netns: &Netns, to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u8; 16].into() };
    udp_from(netns, any, to)
}

/// As [`udp`], from a certain source address.
///
/// # Panics
/// If the namespace cannot be entered.
#[must_use]
pub fn udp_from(netns: &Netns, from: IpAddr, to: SocketAddr) -> Option<IpAddr> {
    let ask = || {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0)).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.connect(to).ok()?;
        socket.send(b"?").ok()?;
        let mut buffer = [0; 128];
        let length = socket.recv(&mut buffer).ok()?;
        answer(std::str::from_utf8(&buffer[..length]).ok()?)
    };
    netns.run(ask).expect("enter the namespace")
}

/// Sends one router advertisement (RFC 4861, 4.2) from an interface to all nodes of its link: a router for half an hour,
/// and a /64 prefix from which hosts make addresses of their own.
///
/// # Panics
/// If it cannot be sent: the interface needs a link-local address.
pub fn advertise(netns: &Netns, interface: &str, prefix: Ipv6Addr) {
    let index = crate::iproute::ip(netns, &format!("link show {interface}"))[0]["ifindex"].as_u64();
    let index = u32::try_from(index.unwrap_or_default()).expect("an index is a small number");
    // type, code, checksum (the kernel's), hop limit, flags, lifetime, and two timers that are left alone
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    // prefix information: length in units of 8 bytes, /64, on-link and autonomous, both lifetimes half an hour
    message.extend([3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0]);
    message.extend(prefix.octets());
    let all_nodes = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, index);
    let send = || {
        let raw = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::IcmpV6)?;
        // A host takes advertisements of its own link only: those that no router has forwarded.
        let hops = [ControlMessage::Ipv6HopLimit(&255)];
        let to = SockaddrIn6::from(all_nodes);
        sendmsg(raw.as_raw_fd(), &[IoSlice::new(&message)], &hops, MsgFlags::empty(), Some(&to))
    };
    netns.run(send).expect("enter the namespace").expect("send an advertisement");
}

fn answer(text: &str) -> Option<IpAddr> {
    text.strip_prefix(TOKEN)?.trim().parse().ok()
}
