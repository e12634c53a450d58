//! A control plane on loopback whose registry a test writes by hand, and registries made by chance.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control_plane::registry::object::parse_file;
use control_plane::registry::source::{Change, Content, Source, SourceError};
use control_plane::settings::Timing;
use control_plane::{Server, Settings};
use tokio::net::TcpListener;

/// A source that holds what the test puts in.
#[derive(Debug, Clone, Default)]
pub struct Hand {
    inner: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    changes: Vec<Change>,
    wake: Option<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} changes", self.changes.len())
    }
}

impl Hand {
    pub fn put(&self, unit: &str, yaml: &str) {
        let content = parse_file(yaml).unwrap_or_else(|error| panic!("{unit}: {error}\n{yaml}"));
        self.change(unit, Content::Objects(content));
    }

    pub fn remove(&self, unit: &str) {
        self.change(unit, Content::Removed);
    }

    fn change(&self, unit: &str, content: Content) {
        let mut held = self.inner.lock().unwrap();
        held.changes.push(Change { unit: unit.to_owned(), content });
        if let Some(wake) = &held.wake {
            wake();
        }
    }
}

impl Source for Hand {
    fn changes(&mut self) -> Result<Vec<Change>, SourceError> {
        Ok(std::mem::take(&mut self.inner.lock().unwrap().changes))
    }

    fn watch(&self, wake: Box<dyn Fn() + Send + Sync>) -> Result<Box<dyn Send>, SourceError> {
        self.inner.lock().unwrap().wake = Some(wake);
        Ok(Box::new(()))
    }
}

/// A server and its registry.
pub struct World {
    pub hand: Hand,
    pub server: Server,
}

pub fn timing() -> Timing {
    Timing {
        debounce: Duration::from_millis(5),
        debounce_limit: Duration::from_millis(50),
        ..Timing::default()
    }
}

impl World {
    pub async fn start(settings: Settings, files: &[(&str, String)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        Self::on(listener, settings, files)
    }

    pub fn on(listener: TcpListener, settings: Settings, files: &[(&str, String)]) -> Self {
        let hand = Hand::default();
        for (unit, yaml) in files {
            hand.put(unit, yaml);
        }
        let server =
            Server::start(Box::new(hand.clone()), settings, timing(), listener, None).expect("it starts");
        Self { hand, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }
}

/// Waits until something holds; says what it waited for if it never does.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A ServiceEntry with one port.
pub fn service(
    host: &str,
    namespace: &str,
    port: u16,
    protocol: &str,
    vips: &[&str],
    endpoints: &[&str],
) -> String {
    let mut yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {}, namespace: {namespace}}}\n\
         spec:\n  hosts: [{host}]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  ports:\n  \
         - {{number: {port}, name: main, protocol: {protocol}}}\n",
        host.replace('.', "-")
    );
    if !vips.is_empty() {
        let vips: Vec<String> = vips.iter().map(|vip| format!("\"{vip}\"")).collect();
        writeln!(yaml, "  addresses: [{}]", vips.join(", ")).unwrap();
    }
    yaml.push_str("  endpoints:\n");
    for endpoint in endpoints {
        match endpoint.split_once('@') {
            Some((address, network)) => {
                writeln!(yaml, "  - {{address: \"{address}\", network: {network}}}").unwrap();
            }
            None => writeln!(yaml, "  - address: \"{endpoint}\"").unwrap(),
        }
    }
    yaml
}

/// Repeatable chance (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap() % bound
    }

    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// A registry with everything that the format allows, conflicts included. Endpoints are often at 192.168.10.5,
/// 10.75.8.5 and fd00::5, the addresses of the proxies in these tests.
pub fn generated(seed: u64) -> String {
    let mut dice = Dice::new(seed);
    let mut yaml = String::new();
    for index in 0..=dice.below(12) {
        yaml.push_str("---\n");
        yaml.push_str(&generated_service(&mut dice, index));
    }
    for index in 0..dice.below(4) {
        let address = dice.pick(&["192.168.10.5", "10.75.8.5", "10.75.8.77", "fd00::5"]);
        let network = dice.pick(&["control", "media", "oam"]);
        let label = dice.pick(&["a", "b"]);
        write!(
            yaml,
            "---\napiVersion: networking.istio.io/v1beta1\nkind: WorkloadEntry\n\
             metadata: {{name: w{index}, namespace: shop}}\nspec:\n  address: \"{address}\"\n  \
             labels: {{app: {label}}}\n  network: {network}\n  weight: {}\n",
            dice.below(5)
        )
        .unwrap();
    }
    yaml
}

fn generated_service(dice: &mut Dice, index: usize) -> String {
    let namespace = dice.pick(&["shop", "shop", "other"]);
    let host = format!("s{}.{}", dice.below(10), dice.pick(&["shop.svc", "example.com"]));
    let mut yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{index}, namespace: {namespace}}}\n\
         spec:\n  hosts: [{host}]\n"
    );
    let resolution = dice.pick(&["STATIC", "STATIC", "STATIC", "selector", "NONE", "DNS", "DNS_ROUND_ROBIN"]);
    let shown = if resolution == "selector" { "STATIC" } else { resolution };
    writeln!(yaml, "  resolution: {shown}\n  ports:").unwrap();
    let mut numbers: Vec<u16> = vec![80, 9080, 5432, 15006, 8443, 443];
    for name in 0..=dice.below(3) {
        let number = numbers.remove(dice.below(numbers.len()));
        let protocol = dice.pick(&["HTTP", "HTTP2", "GRPC", "TCP", "TCP", "TLS"]);
        write!(yaml, "  - {{number: {number}, name: p{name}, protocol: {protocol}").unwrap();
        if dice.below(3) == 0 {
            write!(yaml, ", targetPort: {}", dice.pick(&[&8080_u16, &9080, &15001, &7000])).unwrap();
        }
        yaml.push_str("}\n");
    }
    match dice.below(4) {
        0 => {}
        1 => writeln!(yaml, "  addresses: [240.0.0.{}]", dice.below(4) + 1).unwrap(),
        2 => writeln!(yaml, "  addresses: [240.0.0.{}, \"fd00:240::{}\"]", dice.below(250) + 1, index + 1)
            .unwrap(),
        _ => writeln!(yaml, "  addresses: [10.{}.0.0/16]", dice.below(3)).unwrap(),
    }
    if dice.below(5) == 0 {
        writeln!(yaml, "  exportTo: [{}]", dice.pick(&["\".\"", "\"*\"", "\"~\"", "shop"])).unwrap();
    }
    match resolution {
        "STATIC" => {
            yaml.push_str("  endpoints:\n");
            for _ in 0..=dice.below(3) {
                let address = dice.pick(&[
                    "192.168.10.5",
                    "10.75.8.5",
                    "fd00::5",
                    "192.168.10.77",
                    "10.75.8.77",
                    "fd00::77",
                ]);
                let extra = dice.pick(&[
                    "",
                    ", network: control",
                    ", network: oam",
                    ", locality: r1/z1/s1",
                    ", weight: 3",
                ]);
                writeln!(yaml, "  - {{address: \"{address}\"{extra}}}").unwrap();
            }
        }
        "selector" => {
            writeln!(yaml, "  workloadSelector: {{labels: {{app: {}}}}}", dice.pick(&["a", "b"])).unwrap()
        }
        _ => {}
    }
    yaml
}
