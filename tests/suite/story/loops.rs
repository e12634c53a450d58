//! Step 1: the loop, with the rules of 2018, which live here alone, and what bounds it under our rules.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use netlink::Netns;
use testbed::real::Envoy;
use testbed::real::envoy::Options;
use testbed::world::command;

use super::scene::{ON_FIRST, ON_SECOND, Scene, Serving, count, status};

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

    /// The requests that Envoy took for outbound ones; none if it does not live to tell.
    fn outbound_requests(mut self) -> u64 {
        let ask = b"GET /stats?filter=^http.outbound.*downstream_rq_total HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut text = String::new();
        let _ = self.0.write_all(ask).and_then(|()| self.0.read_to_string(&mut text));
        text.lines()
            .filter_map(|line| {
                line.rsplit_once(": ")?.1.trim().parse::<u64>().ok().filter(|_| line.starts_with("http."))
            })
            .sum()
    }
}

/// The most descriptors that were seen until the client is done, and the outbound requests that its one request became.
fn peak(envoy: &Envoy, scene: &Scene) -> (usize, u64) {
    let client = scene.client("data", "10.75.8.9");
    let admin = Admin::open(&scene.a.netns);
    let mut most = 0;
    std::thread::scope(|scope| {
        let call = scope.spawn(|| status(&client, ON_SECOND));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !call.is_finished() && Instant::now() < deadline && envoy.process().exit_status().is_none() {
            most = most.max(envoy.open_files());
            std::thread::sleep(Duration::from_millis(2));
        }
        most = most.max(envoy.open_files());
        let _ = call.join();
    });
    (most, admin.outbound_requests())
}

#[test]
fn in_2018_one_request_eats_every_descriptor_and_with_all_addresses_known_it_is_answered() {
    let options = Options { open_files: Some(1024), concurrency: 2 };

    let mut scene = Scene::new(ON_SECOND, "HTTP");
    back_to_2018(&scene.a.netns);
    scene.serve(Serving { layout: "classic", matching: "first" });
    let proxy = scene.proxy(&scene.a, &options);
    let (descriptors, requests) = peak(&proxy, &scene);
    let died = proxy.process().exit_status().is_some();
    assert!(descriptors >= 970, "{descriptors} descriptors, {requests} requests, died: {died}");
    assert!(died || requests >= 450, "{descriptors} descriptors, {requests} requests");
    drop(proxy);
    scene.end();

    let mut scene = Scene::new(ON_SECOND, "HTTP");
    back_to_2018(&scene.a.netns);
    scene.serve(Serving { layout: "classic", matching: "all" });
    let proxy = scene.proxy(&scene.a, &options);
    for (plane, client, address) in [("data", "10.75.8.9", ON_SECOND), ("signal", "192.168.10.9", ON_FIRST)] {
        let client = scene.client(plane, client);
        assert_eq!(status(&client, address), Some(200), "the cure on {plane}: the same rules, all addresses");
    }
    assert_eq!(count(&proxy, "^http.outbound.*downstream_rq_total"), 0);
    assert!(proxy.open_files() < 60, "{}", proxy.open_files());
    drop(proxy);
    scene.end();
}

#[test]
fn the_same_wrong_matching_under_our_rules_does_not_loop() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving { layout: "split", matching: "first" });
    let options = Options { open_files: Some(1024), concurrency: 2 };
    let proxy = scene.proxy(&scene.a, &options);

    let (descriptors, requests) = peak(&proxy, &scene);

    assert!(descriptors < 100, "{descriptors}");
    assert_eq!(requests, 0);
    assert_eq!(proxy.process().exit_status(), None);
    drop(proxy);
    scene.end();
}
