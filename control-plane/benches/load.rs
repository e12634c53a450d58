//! The control plane under load: many proxies, many services, on one machine with its clients.
//!
//! `cargo bench -p control-plane` measures 100 proxies × 200 services; `-- 1000x2000` the size of the published
//! figures (docs/benchmarks.md), which istiod was measured at, with the same work. Timings are printed, never
//! asserted: what is asserted is that every proxy has learnt everything.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench: prints its figures, and a failed step is a failed bench"
)]

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use control_plane::resource::Kind;
use control_plane::xds::wire::Response;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

const LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Default)]
struct Counts {
    ready: AtomicUsize,
    bytes: AtomicU64,
    endpoints: AtomicUsize,
    hosts: AtomicUsize,
}

fn main() {
    let sizes: Vec<(usize, usize)> = std::env::args()
        .skip(1)
        .filter_map(|size| {
            let (proxies, services) = size.split_once('x')?;
            Some((proxies.parse().ok()?, services.parse().ok()?))
        })
        .collect();
    // A socket for each proxy, at both ends.
    let pid = std::process::id().to_string();
    let _ = Command::new("prlimit").args(["--pid", &pid, "--nofile=16384:16384"]).status();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (proxies, services) in if sizes.is_empty() { vec![(100, 200)] } else { sizes } {
        runtime.block_on(measure(proxies, services));
    }
}

fn plane_address(plane: usize, proxy: usize) -> String {
    format!("10.{plane}.{}.{}", proxy / 250, proxy % 250 + 1)
}

fn service(index: usize, proxies: usize, shift: usize) -> String {
    let mut yaml = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{index}, namespace: shop}}\nspec:\n  \
         hosts: [s{index}.shop.svc]\n  addresses: [240.{}.{}.{}]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 9080, name: http, protocol: HTTP}}]\n  endpoints:\n",
        index / 62_500,
        index / 250 % 250,
        index % 250 + 1
    );
    for endpoint in 0..3 {
        let address = plane_address(index % 2 + 1, (index * 3 + endpoint + shift) % proxies);
        yaml.push_str(&format!("  - address: {address}\n"));
    }
    yaml
}

struct Server(Child);

impl Server {
    fn start(registry: &Path, port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--registry"]).arg(registry);
        let child = command.env("RUST_LOG", "warn").stdin(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "it never listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }

    /// Peak resident memory in MiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Processor time so far, in seconds.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn measure(proxies: usize, services: usize) {
    let registry = tempfile::tempdir().unwrap();
    let put = |index: usize, shift: usize| {
        let whole = registry.path().join(format!("s{index}.yaml"));
        let part = registry.path().join(format!("s{index}.part"));
        fs::write(&part, service(index, proxies, shift)).unwrap();
        fs::rename(part, whole).unwrap();
    };
    (0..services).for_each(|index| put(index, 0));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begun = Instant::now();
    let server = Server::start(registry.path(), port);
    println!("{proxies} proxies x {services} services");
    println!("  start, registry read          {:8.3} s", begun.elapsed().as_secs_f64());

    let counts = Arc::new(Counts::default());
    let cpu = server.cpu();
    let begun = Instant::now();
    for proxy in 0..proxies {
        tokio::spawn(client(port, proxy, Arc::clone(&counts)));
    }
    until("every proxy has everything", || counts.ready.load(Ordering::Relaxed) == proxies).await;
    report("first-connect storm", begun, &server, cpu, &counts);

    for round in 0..3 {
        counts.endpoints.store(0, Ordering::Relaxed);
        let (begun, cpu) = (Instant::now(), server.cpu());
        put(round, 1);
        until("every proxy has the endpoint", || counts.endpoints.load(Ordering::Relaxed) >= proxies).await;
        report("one endpoint changes", begun, &server, cpu, &counts);
    }
    for round in 0..3 {
        counts.hosts.store(0, Ordering::Relaxed);
        let (begun, cpu) = (Instant::now(), server.cpu());
        put(services + round, 0);
        until("every proxy has the service", || counts.hosts.load(Ordering::Relaxed) >= proxies).await;
        report("one service is added", begun, &server, cpu, &counts);
    }
    println!("  peak memory of the server     {:8} MiB", server.peak());
}

fn report(what: &str, begun: Instant, server: &Server, cpu: f64, counts: &Counts) {
    let kib = counts.bytes.swap(0, Ordering::Relaxed) / 1024;
    println!(
        "  {what:29} {:8.3} s   server CPU {:7.2} s   received {kib:9} KiB",
        begun.elapsed().as_secs_f64(),
        server.cpu() - cpu
    );
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn request(kind: Kind) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), ..Default::default() }
}

fn node(proxy: usize) -> Node {
    let text = |text: String| Value { kind: Some(value::Kind::StringValue(text)) };
    let addresses = format!("{},{}", plane_address(1, proxy), plane_address(2, proxy));
    let fields = [("INSTANCE_IPS", addresses), ("NAMESPACE", "shop".to_owned())];
    Node {
        id: format!("sidecar~~p{proxy}.shop~shop.svc.cluster.local"),
        metadata: Some(Struct {
            fields: fields.into_iter().map(|(key, value)| (key.to_owned(), text(value))).collect(),
        }),
        ..Default::default()
    }
}

/// One proxy: asks as Envoy does, acknowledges everything, counts what arrives.
async fn client(port: u16, proxy: usize, counts: Arc<Counts>) {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}"))
        .unwrap()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 20);
    let channel = loop {
        if let Ok(channel) = channel.connect().await {
            break channel;
        }
    };
    let (requests, receiver) = mpsc::channel(16);
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
    grpc.ready().await.unwrap();
    requests.send(DeltaDiscoveryRequest { node: Some(node(proxy)), ..request(Kind::Cluster) }).await.unwrap();
    let path = PathAndQuery::from_static(
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    );
    let codec = ProstCodec::<DeltaDiscoveryRequest, Response>::default();
    let stream = tonic::Request::new(ReceiverStream::new(receiver));
    let mut answers = grpc.streaming(stream, path, codec).await.unwrap().into_inner();
    let mut waiting: Vec<Kind> = Kind::ALL.into_iter().rev().collect();
    while let Ok(Some(answer)) = answers.message().await {
        let kind = Kind::from_type_url(&answer.type_url).unwrap();
        counts.bytes.fetch_add(u64::try_from(answer.encoded_len()).unwrap(), Ordering::Relaxed);
        let acknowledge = DeltaDiscoveryRequest { response_nonce: answer.nonce.clone(), ..request(kind) };
        requests.send(acknowledge).await.unwrap();
        if waiting.last() == Some(&kind) {
            waiting.pop();
            let Some(&next) = waiting.last() else {
                counts.ready.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let resource_names_subscribe = match next {
                Kind::Endpoints => names(&answer).filter(|name| name.starts_with("outbound|")).collect(),
                Kind::Route => vec!["9080".to_owned()],
                Kind::Cluster | Kind::Listener | Kind::VirtualHost => Vec::new(),
            };
            requests.send(DeltaDiscoveryRequest { resource_names_subscribe, ..request(next) }).await.unwrap();
        } else if kind == Kind::Cluster {
            let new = names(&answer).filter(|name| name.starts_with("outbound|")).collect();
            requests
                .send(DeltaDiscoveryRequest { resource_names_subscribe: new, ..request(Kind::Endpoints) })
                .await
                .unwrap();
        } else if kind == Kind::Endpoints {
            counts.endpoints.fetch_add(1, Ordering::Relaxed);
        } else if kind == Kind::VirtualHost {
            counts.hosts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn names(answer: &Response) -> impl Iterator<Item = String> {
    answer.resources.iter().map(|bytes| Named::decode(bytes.clone()).unwrap().name)
}
