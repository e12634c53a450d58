//! The rules and listeners of 2018, under which one wrong match becomes a loop. They live here alone.

use netlink::Netns;

use super::outcome::Outcome;
use super::scene::{ON_FIRST, ON_SECOND, Scene, Serving};
use crate::real::Envoy;
use crate::real::envoy::Options;
use crate::world::command;

/// Who makes the one request: on which plane, with which address, and to which address of pod A.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The plane that it is wired to.
    pub plane: &'static str,
    /// Its own address.
    pub address: &'static str,
    /// Pod A's address on that plane.
    pub calls: &'static str,
}

/// On the pods' primary plane.
pub const FROM_FIRST: Client = Client { plane: "signal", address: "192.168.10.9", calls: ON_FIRST };
/// On the plane where the service is registered.
pub const FROM_SECOND: Client = Client { plane: "data", address: "10.75.8.9", calls: ON_SECOND };

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
    let file = tempfile::NamedTempFile::new().expect("make a file");
    std::fs::write(file.path(), RULES_OF_2018).expect("write the rules");
    command(netns, "nft", "delete table inet multiplane");
    command(netns, "nft", &format!("-f {}", file.path().display()));
}

/// The outcome of one request, and the requests that Envoy took for outbound ones.
#[must_use]
pub fn asked(proxy: &Envoy, scene: &Scene, client: Client) -> Outcome {
    let netns = scene.client(client.plane, client.address);
    let outbound = "^http.outbound.*downstream_rq_total";
    Outcome::of(proxy, &scene.a.netns, outbound, (&netns, client.calls))
}

/// The same with the rules and listeners of 2018, and breakers as unlimited as istiod sends them.
#[must_use]
pub fn in_2018(protocol: &str, matching: &'static str, open_files: u64, client: Client) -> Outcome {
    let mut scene = Scene::new(ON_SECOND, protocol);
    back_to_2018(&scene.a.netns);
    scene.serve(Serving { layout: "classic", matching });
    let proxy = scene.proxy(&scene.a, &limited_to(open_files));
    let outcome = asked(&proxy, &scene, client);
    drop(proxy);
    scene.end();
    outcome
}

/// A sidecar with two workers that may open so many files.
#[must_use]
pub fn limited_to(open_files: u64) -> Options {
    Options { open_files: Some(open_files), concurrency: 2, ..Options::default() }
}
