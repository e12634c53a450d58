//! The real Envoy in an anonymous namespace, fed by our control plane in the same namespace.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netlink::Netns;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

const VERSION: &str = "1.40.0";

/// Where `make setup` puts the pinned Envoy; a test without it says so, and `make test` does not allow that.
pub fn binary() -> Option<PathBuf> {
    let cache =
        std::env::var_os("MULTIPLANE_CACHE").map_or_else(|| "/var/cache/multiplane".into(), PathBuf::from);
    let binary = cache.join(format!("envoy-{VERSION}/envoy"));
    if binary.exists() {
        return Some(binary);
    }
    let test = std::thread::current();
    let test = test.name().unwrap_or("unnamed").to_owned();
    // Past the harness, which would swallow the output of a test that passes.
    let _ =
        writeln!(std::io::stderr(), "SKIP envoy: {} is missing: run `make setup` [{test}]", binary.display());
    None
}

/// A namespace with `lo` up.
pub fn namespace() -> Netns {
    let netns = Netns::anonymous().expect("root may make namespaces");
    run(&netns, &["ip", "link", "set", "lo", "up"]);
    netns
}

pub fn run(netns: &Netns, command: &[&str]) {
    let output = netns.run(|| Command::new(command[0]).args(&command[1..]).output()).unwrap().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A listener inside a namespace.
pub fn listen(netns: &Netns, address: &str) -> TcpListener {
    let address: SocketAddr = address.parse().unwrap();
    let listener =
        netns.run(|| std::net::TcpListener::bind(address)).unwrap().expect("the port is free there");
    listener.set_nonblocking(true).unwrap();
    TcpListener::from_std(listener).unwrap()
}

pub struct Envoy {
    child: Child,
    netns: Netns,
    directory: TempDir,
}

impl Envoy {
    /// Starts Envoy with this node against a control plane on 127.0.0.1.
    pub fn start(binary: &Path, netns: &Netns, node: &Value, port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bootstrap = directory.path().join("envoy.json");
        std::fs::write(&bootstrap, self::bootstrap(node, port).to_string()).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(binary);
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"]);
        command.arg(&bootstrap).env_clear().stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = netns.run(|| command.spawn()).unwrap().expect("Envoy starts");
        Self { child, netns: Netns::open(&netns.path_from_proc()).unwrap(), directory }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub fn assert_alive(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "Envoy ended with {status:?}:\n{}", self.log());
    }

    /// Asks the admin interface.
    pub fn get(&self, path: &str) -> Option<String> {
        http_get(&self.netns, "127.0.0.1:15000", path)
    }

    /// The sum of the counters and gauges with this exact name.
    pub fn stat(&self, name: &str) -> Option<u64> {
        let text = self.get("/stats")?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("Envoy said:\n{}", self.log());
        }
    }
}

/// The body of the answer, whatever its status.
pub fn http_get(netns: &Netns, address: &str, path: &str) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    netns
        .run(|| {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })
        .unwrap()
}

fn bootstrap(node: &Value, port: u16) -> Value {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let http2 = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}
        }
    });
    json!({
        "node": node,
        "admin": {"address": address(15000)},
        "stats_config": {"stats_tags": [{"tag_name": "plane", "regex": "(;plane=([^.;]+))"}]},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]
            },
            "lds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
        },
        "static_resources": {"clusters": [{
            "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": http2,
            "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(port)}}
            ]}]}
        }]}
    })
}
