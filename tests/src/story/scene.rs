//! The two pods, their planes, their proxies and the control plane.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use netlink::Netns;
use serde_json::{Value, json};

use crate::binary;
use crate::real::envoy::Options;
use crate::real::poll::eventually;
use crate::real::process::Process;
use crate::real::{Envoy, http};
use crate::world::{Pod, World};

/// Where the control plane listens: the node's address on the first plane, which both pods reach.
pub const DISCOVERY: &str = "192.168.10.1:15010";
/// The service's port, the same everywhere, as in the source story.
pub const PORT: u16 = 9080;
/// Pod A's address on the pods' primary plane,
pub const ON_FIRST: &str = "192.168.10.2";
/// … and on the second, where the service is registered.
pub const ON_SECOND: &str = "10.75.8.2";

/// What the story plays with.
#[derive(Debug)]
pub struct Scene {
    /// The node, its folders, the plugin.
    pub world: World,
    conf: Value,
    /// The pod that serves.
    pub a: Pod,
    /// Another pod on the same planes.
    pub b: Pod,
    _app: App,
    control_plane: Option<Process>,
}

/// How the control plane is started.
#[derive(Debug, Clone, Copy)]
pub struct Serving {
    /// `split` or `classic`.
    pub layout: &'static str,
    /// `all` or `first`.
    pub matching: &'static str,
}

impl Serving {
    /// As today, with all addresses: the cure.
    pub const ALL: Self = Self { layout: "split", matching: "all" };
    /// As today, with the first address alone.
    pub const FIRST: Self = Self { layout: "split", matching: "first" };
}

impl Scene {
    /// Both pods with their planes and rules, the service `a` registered on `endpoint` alone.
    pub fn new(endpoint: &str, protocol: &str) -> Self {
        let planes = [("signal", "192.168.10"), ("data", "10.75.8")];
        let scene = Self::with(planes.map(|(name, prefix)| plane(name, &[prefix])).into(), |_| ());
        scene.register(endpoint, protocol);
        scene
    }

    /// Both pods, prepared before their ADD, on these planes, of which the first is their primary. Nothing is registered.
    pub fn with(planes: Vec<Value>, prepare: impl Fn(&Netns)) -> Self {
        let world = World::new();
        let names: Vec<_> = planes.iter().map(|plane| plane["name"].clone()).collect();
        let conf = world.conf(json!({
            "planes": planes, "primary": names[0], "default": names[1..], "proxy": {"pods": "all"},
            "bootstrap": {"discovery": DISCOVERY, "directory": world.path("pods")},
        }));
        let (a, b) = (world.pod(), world.pod());
        for pod in [&a, &b] {
            prepare(&pod.netns);
            world.add(pod, &conf);
        }
        let app = App::start(&a.netns);
        Self { world, conf, a, b, _app: app, control_plane: None }
    }

    /// Istio's own file; istiod would read the same.
    pub fn register(&self, endpoint: &str, protocol: &str) {
        self.register_as("a", "10.96.0.10", (PORT, protocol), &[endpoint]);
    }

    /// The same for any service.
    pub fn register_as(&self, name: &str, address: &str, port: (u16, &str), endpoints: &[&str]) {
        register(&self.world.path("registry"), name, address, port, endpoints);
    }

    /// Starts the control plane on the node.
    pub fn serve(&mut self, serving: Serving) {
        // The one before gives its address back first.
        self.control_plane = None;
        self.control_plane =
            Some(start_control_plane(&self.world.node, &self.world.path("registry"), serving));
    }

    /// Kills the control plane.
    pub fn silence(&mut self) {
        self.control_plane = None;
    }

    /// The bootstrap that ADD wrote for a pod.
    pub fn bootstrap(&self, pod: &Pod) -> PathBuf {
        self.world.path("pods").join(format!("uid-{}", pod.container)).join("envoy.json")
    }

    /// A pod's proxy, from the file that ADD wrote, ready to serve.
    pub fn proxy(&self, pod: &Pod, options: &Options) -> Envoy {
        let envoy = Envoy::start(&pod.netns, &self.bootstrap(pod), options);
        envoy.until_ready();
        envoy
    }

    /// Changes the bootstrap that ADD wrote for a pod.
    ///
    /// # Panics
    /// If it is no JSON.
    pub fn edit_bootstrap(&self, pod: &Pod, edit: impl FnOnce(&mut Value)) {
        let file = self.bootstrap(pod);
        let text = std::fs::read(&file).expect("read the bootstrap");
        let mut bootstrap = serde_json::from_slice(&text).expect("the bootstrap is JSON");
        edit(&mut bootstrap);
        std::fs::write(&file, bootstrap.to_string()).expect("write the bootstrap");
    }

    /// A client that sits on one plane alone, with a wire into the plane's bridge.
    pub fn client(&self, plane: &str, address: &str) -> Netns {
        self.world.neighbour(&format!("mp-{plane}"), &[&format!("{address}/24")]).netns
    }

    /// Takes everything away and proves that nothing is left.
    pub fn end(mut self) {
        self.control_plane = None;
        for pod in [&self.a, &self.b] {
            self.world.del(pod, &self.conf);
            assert!(pod.interfaces().is_empty());
        }
    }
}

/// Writes a service into a registry.
pub fn register(
    registry: &Path,
    name: &str,
    address: &str,
    (port, protocol): (u16, &str),
    endpoints: &[&str],
) {
    std::fs::create_dir_all(registry).expect("make the registry's folder");
    let endpoints: String = endpoints.iter().map(|endpoint| format!("  - address: {endpoint:?}\n")).collect();
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: {name}\n  namespace: default\n\
         spec:\n  hosts: [{name}.default.svc.cluster.local]\n  addresses: [{address:?}]\n  location: MESH_INTERNAL\n  \
         resolution: STATIC\n  ports:\n  - {{number: {port}, name: main, protocol: {protocol}}}\n  \
         endpoints:\n{endpoints}"
    );
    // Whole or not at all, as a mounted ConfigMap changes: half a file would withdraw the service for a moment.
    let unfinished = registry.join(format!("{name}.new"));
    std::fs::write(&unfinished, text).expect("write the service");
    std::fs::rename(unfinished, registry.join(format!("{name}.yaml"))).expect("rename the service");
}

/// A control plane on a node, ready.
pub fn start_control_plane(node: &Netns, registry: &Path, serving: Serving) -> Process {
    let mut command = Command::new(binary::path("control-plane"));
    command.args(["serve", "--registry"]).arg(registry);
    command.args(["--listen", DISCOVERY, "--admin", "127.0.0.1:15014"]);
    // In 2018 the application was called on its loopback; today on the address that the client called.
    let inbound = if serving.layout == "classic" { "localhost" } else { "original" };
    command.args(["--layout", serving.layout, "--match", serving.matching, "--inbound", inbound]);
    let process = Process::start(node, "control-plane", command);
    let admin = SocketAddr::from(([127, 0, 0, 1], 15014));
    eventually("the control plane is ready", || {
        http::get(node, admin, "/ready").ok().filter(|answer| answer.status == 200)
    });
    process
}

/// A bridge plane of some prefixes: three bytes of a /24, or the beginning of a /64; the node has the first address.
pub fn plane(name: &str, prefixes: &[&str]) -> Value {
    let (mut ranges, mut gateways) = (Vec::new(), Vec::new());
    for prefix in prefixes {
        let (range, gateway) = match prefix.contains('.') {
            true => (format!("{prefix}.0/24"), format!("{prefix}.1")),
            false => (format!("{prefix}::/64"), format!("{prefix}::1")),
        };
        ranges.push([range]);
        gateways.push(gateway);
    }
    json!({"name": name, "kind": "bridge", "bridge": format!("mp-{name}"), "isGateway": true,
        "ipam": {"ranges": ranges, "gateway": gateways}})
}

/// GET from inside a namespace; the status, or `None` if there is no answer.
pub fn status(from: &Netns, to: &str) -> Option<u16> {
    let address = SocketAddr::new(to.parse::<IpAddr>().expect("an address"), PORT);
    http::get(from, address, "/").ok().map(|answer| answer.status)
}

/// The sum of the counters whose names match.
pub fn count(envoy: &Envoy, filter: &str) -> u64 {
    envoy.stats(filter).iter().map(|(_, value)| value).sum()
}

/// Connections that a proxy took for its application, by a service's chain or as unmatched ones.
pub fn taken(envoy: &Envoy) -> u64 {
    count(envoy, "^http.inbound.*downstream_cx_total") + count(envoy, "unmatched.*downstream_cx_total")
}

/// The application of pod A: answers every request with 200 and its own name, on all addresses of
/// both families.
#[derive(Debug)]
pub struct App {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl App {
    /// Starts to listen inside `netns`.
    ///
    /// # Panics
    /// If the port is taken there.
    #[must_use]
    pub fn start(netns: &Netns) -> Self {
        let listener = netns.run(|| TcpListener::bind(("::", PORT)));
        let listener = listener.expect("enter the pod").expect("the port is free there");
        listener.set_nonblocking(true).expect("a listener that never waits");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => drop(std::thread::spawn(move || answer(stream))),
                        Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
                    }
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: std::net::TcpStream) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(60)));
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    // To its end: what is left unread when the connection is closed would make it a reset.
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => request.extend(&piece[..length]),
            _ => return,
        }
    }
    // One answer a connection: a client that reads to the end must see it, also through a proxy that only passes bytes.
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nfor-a");
}
