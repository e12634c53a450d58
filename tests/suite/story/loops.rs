//! Step 1: the loop, with the rules of 2018, which live here alone, and what bounds it under our rules.

use netlink::Netns;
use testbed::real::Envoy;
use testbed::real::envoy::Options;
use testbed::world::command;

use super::outcome::{End, Outcome, SIGSEGV, UNHARMED};
use super::scene::{ON_SECOND, Scene, Serving};

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

/// The outcome of one request from the second plane, and the requests that Envoy took for outbound ones.
fn asked(proxy: &Envoy, scene: &Scene) -> Outcome {
    let client = scene.client("data", "10.75.8.9");
    Outcome::of(proxy, &scene.a.netns, "^http.outbound.*downstream_rq_total", (&client, ON_SECOND))
}

/// The same with the rules and listeners of 2018, and breakers as unlimited as istiod sends them.
fn in_2018(protocol: &str, matching: &'static str, open_files: u64) -> Outcome {
    let mut scene = Scene::new(ON_SECOND, protocol);
    back_to_2018(&scene.a.netns);
    scene.serve(Serving { layout: "classic", matching });
    let proxy = scene.proxy(&scene.a, &limited_to(open_files));
    let outcome = asked(&proxy, &scene);
    drop(proxy);
    scene.end();
    outcome
}

fn limited_to(open_files: u64) -> Options {
    Options { open_files: Some(open_files), concurrency: 2, ..Options::default() }
}

#[test]
fn in_2018_one_http_request_eats_every_descriptor() {
    for limit in [1024, 20_000] {
        let outcome = in_2018("HTTP", "first", limit);
        assert!(outcome.descriptors as u64 >= limit * 95 / 100, "of {limit}: {outcome:?}");
        let least = 450 * limit / 1024;
        assert!(outcome.lives_with() >= Some(least), "each hop is a request: {outcome:?}");
        assert_eq!(outcome.answer, Some(503), "{outcome:?}");
    }
}

#[test]
fn in_2018_one_tcp_connection_ends_the_proxy() {
    for limit in [1024, 20_000] {
        let outcome = in_2018("TCP", "first", limit);
        assert_eq!(outcome.end, End::Died(Some(SIGSEGV)), "exit status 139 to a shell, at {limit}");
        assert_eq!(outcome.answer, None, "{outcome:?}");
    }
}

#[test]
fn with_all_addresses_known_even_the_rules_of_2018_answer() {
    for (protocol, limit) in [("HTTP", 1024), ("HTTP", 20_000), ("TCP", 1024), ("TCP", 20_000)] {
        let outcome = in_2018(protocol, "all", limit);
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

    let outcome = asked(&proxy, &scene);

    assert!(outcome.descriptors < 100, "{outcome:?}");
    assert_eq!(outcome.end, UNHARMED);
    drop(proxy);
    scene.end();
}
