//! Whatever we make of a registry, the real Envoy takes it.

use std::io::{Read, Write};

use control_plane::registry::object::parse_file;
use control_plane::registry::source::{Change, Content};
use control_plane::registry::{Catalogue, Registry};
use control_plane::resource::Kind;
use control_plane::settings::{Inbound, Layout, Outbound};
use control_plane::{Server, Settings};
use serde_json::{Value, json};

use super::envoy::{self, Envoy};
use super::world::{Hand, World, eventually, generated, service, timing};

fn node(addresses: &[(&str, &str, &str)]) -> Value {
    let ips: Vec<&str> = addresses.iter().map(|(_, _, address)| *address).collect();
    let planes: serde_json::Map<String, Value> = addresses
        .iter()
        .enumerate()
        .map(|(index, (plane, interface, address))| {
            let role = if index == 0 { "primary" } else { "plane" };
            ((*plane).to_owned(), json!({"interface": interface, "addresses": [address], "role": role}))
        })
        .collect();
    let view: Vec<&str> = addresses.iter().map(|(plane, _, _)| *plane).collect();
    json!({
        "id": format!("sidecar~{}~app.shop~shop.svc.cluster.local", ips[0]),
        "cluster": "app.shop",
        "metadata": {
            "INSTANCE_IPS": ips.join(","), "NAMESPACE": "shop", "PLANES": planes,
            "REQUESTED_NETWORK_VIEW": view.join(",")
        }
    })
}

fn registry(catalogue: &mut Catalogue, yaml: &str, previous: &Registry) -> Registry {
    let objects = parse_file(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    catalogue.apply(vec![Change { unit: "generated.yaml".to_owned(), content: Content::Objects(objects) }]);
    catalogue.build(previous)
}

/// Feeds one Envoy one registry after the other; each must be taken whole before the next.
async fn feed(settings: Settings, addresses: &[(&str, &str, &str)], seeds: std::ops::Range<u64>) {
    let Some(binary) = envoy::binary() else { return };
    let netns = envoy::namespace();
    let listener = envoy::listen(&netns, "127.0.0.1:15010");
    let server = Server::start(Box::new(Hand::default()), settings, timing(), listener, None).unwrap();
    let mut envoy = Envoy::start(&binary, &netns, &node(addresses), 15010);
    let hub = &server.hub;
    eventually("Envoy has taken an empty registry", || {
        envoy.assert_alive();
        hub.proxies()
            .first()
            .is_some_and(|(_, _, status)| status.settled && status.kinds.get(Kind::Listener).acknowledged > 0)
    })
    .await;
    let mut catalogue = Catalogue::default();
    let mut inbound = 0;
    for seed in seeds {
        let yaml = generated(seed);
        let effect = hub.update(registry(&mut catalogue, &yaml, &hub.registry()));

        eventually(&format!("Envoy has taken registry {seed}:\n{yaml}"), || {
            envoy.assert_alive();
            assert_eq!(hub.metrics.refused(), 0, "seed {seed}: {:#?}\n{yaml}", hub.proxies());
            effect.concerned == 0
                || hub
                    .proxies()
                    .first()
                    .is_some_and(|(_, _, status)| status.settled && status.update == effect.update)
        })
        .await;
        inbound += usize::from(hub.proxies().iter().any(|(_, node, _)| {
            !control_plane::matching::targets(&hub.registry(), node, settings.which).is_empty()
        }));
    }

    assert!(inbound > 3, "the generator makes services of this proxy");
    assert_eq!(envoy.stat("listener_manager.lds.update_rejected"), Some(0));
    assert_eq!(envoy.stat("cluster_manager.cds.update_rejected"), Some(0));
    assert_eq!(envoy.stat("listener_manager.total_listeners_warming"), Some(0), "nothing warms for ever");
    assert_eq!(envoy.stat("cluster_manager.warming_clusters"), Some(0), "nothing warms for ever");
}

const V4: &[(&str, &str, &str)] = &[("oam", "eth0", "192.168.10.5"), ("control", "ctl0", "10.75.8.5")];
const DUAL: &[(&str, &str, &str)] = &[("oam", "eth0", "192.168.10.5"), ("control", "ctl0", "fd00::5")];
const V6: &[(&str, &str, &str)] = &[("control.six", "ctl0", "fd00::5")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_generated_registries_are_accepted_in_the_split_layout() {
    feed(Settings::default(), V4, 0..200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_registries_are_accepted_by_a_proxy_with_both_families() {
    let settings = Settings { inbound: Inbound::Localhost, ..Settings::default() };
    feed(settings, DUAL, 200..230).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_registries_are_accepted_by_a_proxy_with_ipv6_alone() {
    let settings = Settings { outbound: Outbound::RegistryOnly, ..Settings::default() };
    feed(settings, V6, 230..260).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_dozen_generated_registries_are_accepted_in_the_classic_layout() {
    let settings = Settings { layout: Layout::Classic, inbound: Inbound::Localhost, ..Settings::default() };
    feed(settings, V4, 260..284).await;
}

/// An HTTP server that answers every request with one word.
fn application(netns: &netlink::Netns, address: &'static str) {
    let listener = netns.run(|| std::net::TcpListener::bind(address)).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(64) {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\ntoken");
        }
    });
}

/// Redirects inbound TCP of `ctl0`'s address as our rules do; that is all that this one test needs of them.
fn capture(netns: &netlink::Netns) {
    let rules = "table ip t { chain o { type nat hook output priority -100; \
                 ip saddr 127.0.0.6 return; ip daddr { 10.75.8.5, 192.168.10.5 } tcp dport { 9080, 9081 } redirect to :15006; }; }";
    envoy::run(netns, &["nft", rules]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_on_the_second_plane_is_answered_by_its_inbound_chains_and_counted_by_plane() {
    let Some(binary) = envoy::binary() else { return };
    let netns = envoy::namespace();
    for address in ["192.168.10.5/24", "10.75.8.5/24"] {
        envoy::run(&netns, &["ip", "address", "add", address, "dev", "lo"]);
    }
    capture(&netns);
    application(&netns, "0.0.0.0:9080");
    application(&netns, "0.0.0.0:9081");
    let yaml = service("reviews.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.5"]);
    let listener = envoy::listen(&netns, "127.0.0.1:15010");
    let world = World::on(listener, Settings::default(), &[("reviews.yaml", yaml)]);
    let mut envoy = Envoy::start(&binary, &netns, &node(V4), 15010);
    eventually("Envoy has taken the configuration", || {
        envoy.assert_alive();
        envoy.get("/ready").is_some_and(|answer| answer.contains("LIVE"))
    })
    .await;

    for address in ["10.75.8.5:9080", "192.168.10.5:9080"] {
        let matched = envoy::http_get(&netns, address, "/").unwrap();
        assert!(matched.starts_with("HTTP/1.1 200") && matched.ends_with("token"), "{address}: {matched}");
        assert!(matched.contains("server: envoy"), "read by the proxy: {address}: {matched}");
    }
    let unmatched = envoy::http_get(&netns, "192.168.10.5:9081", "/").unwrap();
    assert!(
        unmatched.ends_with("token") && !unmatched.contains("server: envoy"),
        "passes unread: {unmatched}"
    );
    let metrics = envoy.get("/stats/prometheus").unwrap();
    let counted = |name: &str, labels: &[&str]| {
        metrics.lines().any(|line| {
            line.starts_with(name) && labels.iter().all(|label| line.contains(label)) && line.ends_with(" 1")
        })
    };
    let shown =
        |part: &str| metrics.lines().filter(|line| line.contains(part)).collect::<Vec<_>>().join("\n");
    for plane in ["plane=\"control\"", "plane=\"oam\""] {
        assert!(counted("envoy_http_downstream_rq_total", &[plane]), "{plane}: {}", shown("rq_total"));
    }
    assert!(
        counted("envoy_tcp_downstream_cx_total", &["plane=\"oam\"", "unmatched"]),
        "{}",
        shown("unmatched")
    );
    eventually("the access log names both planes", || {
        let log = envoy.log();
        ["inbound plane=control", "inbound plane=oam", "unmatched plane=oam"]
            .iter()
            .all(|line| log.contains(line))
    })
    .await;
    assert_eq!(world.server.hub.metrics.refused(), 0);
}
