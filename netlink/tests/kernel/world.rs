//! A node and its pods, each an anonymous namespace, and the words of the tests.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use netlink::interface::{Applied, Assigned, announce, configure, raise_loopback, release, restore};
use netlink::link::{Created, Home, Mark, configure_host, create, ensure_fixtures, homes, remove};
use netlink::snapshot::snapshot;
use netlink::{Drift, Net, Netns, interface, link};
use planes::plan::{BridgeLink, Dns, IpamPlan, LinkPlan, MacPlan};
use planes::pod_network::Route;
use planes::{Attachment, AttachmentKey, IfName, PlannedAttachment, Role, Traffic};

/// How long a test waits for what must come: long, as a slow machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a test waits for what must not come.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// A node and some pods.
pub(crate) struct World {
    pub(crate) host: Net,
    pub(crate) pods: Vec<Net>,
}

impl World {
    /// A node with empty pods, all loopbacks up.
    pub(crate) async fn with_pods(pods: usize) -> Self {
        let mut world = Self { host: namespace().await, pods: Vec::new() };
        for _ in 0..pods {
            world.pods.push(namespace().await);
        }
        world
    }

    /// Fixtures, link, pod side and node side, as an ADD does it.
    pub(crate) async fn attach(
        &self,
        pod: usize,
        plan: &PlannedAttachment,
        addresses: &[Assigned],
    ) -> Attached {
        let homes = homes(&self.host, std::slice::from_ref(plan)).await.unwrap();
        ensure_fixtures(&self.host, plan).await.unwrap();
        let created = create(&self.host, &self.pods[pod], mark(pod), plan).await.unwrap();
        let applied = configure(&self.pods[pod], plan, created.index, addresses).await.unwrap();
        configure_host(&self.host, plan, addresses).await.unwrap();
        announce(&self.host, &self.pods[pod], std::slice::from_ref(plan)).await.unwrap();
        Attached { attachment: attachment(plan, &created, &applied, addresses), applied, homes }
    }

    /// All that CHECK finds.
    pub(crate) async fn check(
        &self,
        pod: usize,
        plan: &PlannedAttachment,
        attached: &Attached,
    ) -> Vec<String> {
        let pod = &self.pods[pod];
        let mut found = link::check(&self.host, pod, plan, &attached.attachment).await.unwrap();
        found.extend(interface::check(pod, plan, &attached.attachment).await.unwrap());
        found.iter().map(Drift::to_string).collect()
    }

    /// What DEL does in the kernel, twice, as a runtime may. The sole failure is a failed test.
    pub(crate) async fn detach(&self, pod: usize, plans: &[PlannedAttachment], attached: &[&Attached]) {
        for _ in 0..2 {
            let addresses: Vec<IpAddr> = attached
                .iter()
                .flat_map(|one| one.attachment.addresses.iter().map(ipnetwork::IpNetwork::ip))
                .collect();
            release(&self.pods[pod], plans, &addresses).await.unwrap();
            let homes: Vec<Home> = attached.iter().flat_map(|one| one.homes.clone()).collect();
            let errors = remove(&self.host, Some(&self.pods[pod]), mark(pod), plans, &homes).await;
            assert!(errors.is_empty(), "{errors:?}");
            for one in attached {
                restore(&self.pods[pod], &one.attachment.ifname, &one.applied.before).await.unwrap();
            }
        }
    }

    /// The whole state of the node.
    pub(crate) async fn node(&self) -> Vec<String> {
        snapshot(&self.host).await.unwrap()
    }

    /// The whole state of a pod.
    pub(crate) async fn pod(&self, pod: usize) -> Vec<String> {
        snapshot(&self.pods[pod]).await.unwrap()
    }
}

/// What an ADD knows afterwards.
pub(crate) struct Attached {
    pub(crate) attachment: Attachment,
    pub(crate) applied: Applied,
    pub(crate) homes: Vec<Home>,
}

/// An anonymous namespace with its loopback up.
pub(crate) async fn namespace() -> Net {
    let net = Net::open(Netns::anonymous().unwrap()).unwrap();
    raise_loopback(&net).await.unwrap();
    net
}

/// The mark of a pod's attachment.
pub(crate) fn mark(pod: usize) -> Mark {
    Mark::of(&AttachmentKey {
        network: "telecom".parse().unwrap(),
        container: format!("pod{pod}").parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    })
}

pub(crate) fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

/// Addresses without a gateway.
pub(crate) fn addresses(list: &[&str]) -> Vec<Assigned> {
    list.iter().map(|text| Assigned { address: text.parse().unwrap(), gateway: None }).collect()
}

/// An address with its gateway.
pub(crate) fn behind(address: &str, gateway: &str) -> Assigned {
    Assigned { address: address.parse().unwrap(), gateway: Some(gateway.parse().unwrap()) }
}

pub(crate) fn route(dst: &str, gw: Option<&str>) -> Route {
    let gw = gw.map(|gw| gw.parse().unwrap());
    Route { dst: dst.parse().unwrap(), gw, mtu: None, advmss: None, priority: None }
}

/// A plan of a plane, named as its interface, with every option at its default. `host_ifname` is unique on the node.
pub(crate) fn plan(ifname: &str, host_ifname: &str, link: LinkPlan) -> PlannedAttachment {
    PlannedAttachment {
        plane: ifname.parse().unwrap(),
        role: Role::Plane,
        traffic: Traffic::Capture,
        captured: Default::default(),
        ifname: name(ifname),
        host_ifname: name(host_ifname),
        link,
        mtu: None,
        mac: MacPlan::Kernel,
        ipam: IpamPlan::None,
        routes: Vec::new(),
        default_route: false,
        dns: Dns::default(),
        sysctls: BTreeMap::new(),
        extra_addresses: Vec::new(),
        forward: false,
        labels: BTreeMap::new(),
    }
}

pub(crate) fn bridge(name: &str) -> BridgeLink {
    BridgeLink {
        bridge: name.parse().unwrap(),
        bridge_mtu: None,
        gateway_addresses: Vec::new(),
        uplink: None,
        hairpin: false,
        isolated: false,
        vlan: None,
        forward: false,
    }
}

fn attachment(
    plan: &PlannedAttachment,
    created: &Created,
    applied: &Applied,
    addresses: &[Assigned],
) -> Attachment {
    Attachment {
        plane: plan.plane.clone(),
        role: plan.role,
        traffic: plan.traffic,
        captured: plan.captured.clone(),
        ifname: plan.ifname.clone(),
        index: created.index,
        mac: applied.mac,
        mtu: created.mtu,
        addresses: addresses.iter().map(|one| one.address).collect(),
        gateways: applied.gateways.clone(),
        routes: applied.routes.clone(),
        table: applied.table,
        host_side: created.host_side.clone(),
        extra_addresses: Vec::new(),
        forward: plan.forward,
        labels: BTreeMap::new(),
    }
}

/// A UDP socket inside a namespace.
pub(crate) fn udp(net: &Net, address: &str) -> UdpSocket {
    let at = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0);
    let socket = net.netns().run(move || UdpSocket::bind(at)).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    socket
}

/// Whether a datagram with a token of its own reaches `server` from `client` and is answered, within `patience`.
pub(crate) fn answered(client: &UdpSocket, server: &UdpSocket, patience: Duration) -> bool {
    let token = client.local_addr().unwrap().to_string();
    let mut buffer = [0; 64];
    let mut ask = || -> io::Result<bool> {
        client.send_to(token.as_bytes(), server.local_addr()?)?;
        let (length, peer) = server.recv_from(&mut buffer)?;
        if &buffer[..length] != token.as_bytes() {
            return Ok(false);
        }
        server.send_to(b"answer", peer)?;
        let (length, peer) = client.recv_from(&mut buffer)?;
        Ok(&buffer[..length] == b"answer" && peer == server.local_addr()?)
    };
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if ask().unwrap_or(false) {
            return true;
        }
        // A route that is missing fails at once: not to spin.
        std::thread::yield_now();
    }
    false
}

/// Whether a pod reaches another, by addresses of both.
pub(crate) fn passes(from: &Net, from_address: &str, to: &Net, to_address: &str, patience: Duration) -> bool {
    answered(&udp(from, from_address), &udp(to, to_address), patience)
}

/// Runs `ip` inside a namespace: what an administrator or another plugin does there.
pub(crate) fn ip(net: &Net, line: &str) {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = net.netns().run(|| Command::new("ip").args(&arguments).output()).unwrap().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A sysctl below `/proc/sys/net` of a namespace.
pub(crate) fn sysctl(net: &Net, name: &str) -> String {
    let path = Path::new("/proc/sys/net").join(name);
    net.netns().run(|| std::fs::read_to_string(path)).unwrap().unwrap().trim().to_owned()
}

/// Writes a sysctl below `/proc/sys/net` of a namespace.
pub(crate) fn set_sysctl(net: &Net, name: &str, value: &str) {
    let path = Path::new("/proc/sys/net").join(name);
    net.netns().run(|| std::fs::write(path, value)).unwrap().unwrap();
}
