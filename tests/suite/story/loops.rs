//! Step 1: the loop, with the rules of 2018, which live here alone, and what bounds it under our rules.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use netlink::Netns;
use testbed::real::Envoy;
use testbed::real::envoy::Options;
use testbed::real::poll::eventually;
use testbed::world::command;

use super::scene::{ON_SECOND, Scene, Serving, status};

/// Istio 1.0's rules in the words of nft: one port for both directions, and the proxy's calls to the pod's own addresses
/// are captured like everybody's, before its user is let through.
const RULES_OF_2018: &str = "
add table ip istio_1_0
add chain ip istio_1_0 prerouting { type nat hook prerouting priority -100; }
add rule ip istio_1_0 prerouting ip protocol tcp tcp dport != 15021 redirect to :15001
add chain ip istio_1_0 output { type nat hook output priority -100; }
add rule ip istio_1_0 output oifname lo ip daddr != 127.0.0.1 ip protocol tcp redirect to :15001
add rule ip istio_1_0 output meta skuid 1337 return
add rule ip istio_1_0 output ip daddr 127.0.0.1 return
add rule ip istio_1_0 output ip protocol tcp redirect to :15001
";

/// Puts the rules of 2018 in the place of ours.
fn back_to_2018(netns: &Netns) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), RULES_OF_2018).unwrap();
    command(netns, "nft", "delete table inet multiplane");
    command(netns, "nft", &format!("-f {}", file.path().display()));
}

/// How long the one request may take, whatever comes of it; about 4 s are measured with 20,000 descriptors.
const BOUND: Duration = Duration::from_secs(30);

const SIGSEGV: i32 = 11;

/// A connection to Envoy's admin interface that was accepted while there still were descriptors.
struct Admin(TcpStream);

impl Admin {
    fn open(netns: &Netns) -> Self {
        let mut stream = netns.run(|| TcpStream::connect(("127.0.0.1", 15000))).unwrap().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        Self(stream)
    }

    /// The requests that Envoy took for outbound ones; nothing if it did not live to tell.
    fn outbound_requests(mut self) -> Option<u64> {
        let ask = b"GET /stats?filter=^http.outbound.*downstream_rq_total HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut text = String::new();
        self.0.write_all(ask).and_then(|()| self.0.read_to_string(&mut text)).ok()?;
        let counters = text.lines().filter(|line| line.starts_with("http."));
        let values = counters.filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok());
        text.starts_with("HTTP/1.1 200").then(|| values.sum())
    }
}

/// What one request made of Envoy.
#[derive(Debug)]
struct Outcome {
    /// What the client was answered.
    answer: Option<u16>,
    /// The most descriptors that were seen until the client was done.
    descriptors: usize,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With this many requests that Envoy took for outbound ones.
    Lives { outbound: u64 },
    /// By this signal.
    Died(Option<i32>),
}

/// Nothing went outbound, and the proxy serves on.
const UNHARMED: End = End::Lives { outbound: 0 };

impl Outcome {
    /// Sends the one request, from the second plane.
    fn of(envoy: &Envoy, scene: &Scene) -> Self {
        let client = scene.client("data", "10.75.8.9");
        let admin = Admin::open(&scene.a.netns);
        let started = Instant::now();
        let mut descriptors = 0;
        let answer = std::thread::scope(|scope| {
            let call = scope.spawn(|| status(&client, ON_SECOND));
            while !call.is_finished() {
                descriptors = descriptors.max(envoy.open_files());
                std::thread::sleep(Duration::from_millis(2));
            }
            call.join().unwrap()
        });
        descriptors = descriptors.max(envoy.open_files());
        assert!(started.elapsed() < BOUND, "bounded in time: {:?}", started.elapsed());
        let end = match admin.outbound_requests() {
            Some(outbound) => End::Lives { outbound },
            None => End::Died(eventually("Envoy has ended", || envoy.process().exit_status()).signal()),
        };
        Self { answer, descriptors, end }
    }

    /// The one request with the rules and listeners of 2018, and breakers as unlimited as istiod sends them.
    fn in_2018(protocol: &str, matching: &'static str, open_files: u64) -> Self {
        let mut scene = Scene::new(ON_SECOND, protocol);
        back_to_2018(&scene.a.netns);
        scene.serve(Serving { layout: "classic", matching });
        let proxy = scene.proxy(&scene.a, &limited_to(open_files));
        let outcome = Self::of(&proxy, &scene);
        drop(proxy);
        scene.end();
        outcome
    }
}

fn limited_to(open_files: u64) -> Options {
    Options { open_files: Some(open_files), concurrency: 2, ..Options::default() }
}

#[test]
fn in_2018_one_http_request_eats_every_descriptor() {
    for limit in [1024, 20_000] {
        let outcome = Outcome::in_2018("HTTP", "first", limit);
        assert!(outcome.descriptors as u64 >= limit * 95 / 100, "of {limit}: {outcome:?}");
        let least = 450 * limit / 1024;
        assert!(matches!(outcome.end, End::Lives { outbound } if outbound >= least), "{least}: {outcome:?}");
        assert_ne!(outcome.answer, Some(200), "{outcome:?}");
    }
}

#[test]
fn in_2018_one_tcp_connection_ends_the_proxy() {
    for limit in [1024, 20_000] {
        let outcome = Outcome::in_2018("TCP", "first", limit);
        assert_eq!(outcome.end, End::Died(Some(SIGSEGV)), "exit status 139 to a shell, at {limit}");
        assert_eq!(outcome.answer, None, "{outcome:?}");
    }
}

#[test]
fn with_all_addresses_known_even_the_rules_of_2018_answer() {
    for (protocol, limit) in [("HTTP", 1024), ("HTTP", 20_000), ("TCP", 1024), ("TCP", 20_000)] {
        let outcome = Outcome::in_2018(protocol, "all", limit);
        assert_eq!(outcome.answer, Some(200), "{protocol} at {limit}: {outcome:?}");
        assert_eq!(outcome.end, UNHARMED, "{protocol} at {limit}");
        assert!(outcome.descriptors < 100, "{protocol} at {limit}: {outcome:?}");
    }
}

#[test]
fn the_same_wrong_matching_under_our_rules_does_not_loop() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving { layout: "split", matching: "first" });
    let proxy = scene.proxy(&scene.a, &limited_to(1024));

    let outcome = Outcome::of(&proxy, &scene);

    assert!(outcome.descriptors < 100, "{outcome:?}");
    assert_eq!(outcome.end, UNHARMED);
    drop(proxy);
    scene.end();
}
