//! What bounds a loop that the rules cannot prevent: the fuse in the kernel, and the proxy's own limit of connections.

use serde_json::{Value, json};
use testbed::real::Envoy;
use testbed::real::envoy::{Options, PROXY_UID};
use testbed::real::poll::eventually;
use testbed::story::year_2018::limited_to;
use testbed::world::command;

use super::load::{Held, Load};
use testbed::story::outcome::{End, Outcome, SIGSEGV};
use testbed::story::scene::{ON_FIRST, ON_SECOND, Scene, Serving, count, status};

/// As `OpenShift` gives them: no user that the rules know.
const STRANGER: u32 = 4242;

/// Connections of a proxy that has 1,024 descriptors: each hop takes two.
const LIMIT: u32 = 400;

/// What a container usually may open.
const OPEN_FILES: u64 = 1024;

/// Edits a bootstrap as `bootstrap.maxConnections` would have had it written.
fn limit_connections(bootstrap: &mut Value, limit: Option<u32>) {
    match limit {
        Some(limit) => {
            let monitor = &mut bootstrap["overload_manager"]["resource_monitors"][0]["typed_config"];
            let written = monitor["max_active_downstream_connections"].take();
            assert_eq!(written, "20000", "ADD writes a limit");
            monitor["max_active_downstream_connections"] = limit.to_string().into();
        }
        None => drop(bootstrap.as_object_mut().unwrap().remove("overload_manager")),
    }
}

/// What one outbound connection of the pod makes of a proxy under a user that the rules do not know, and whether a
/// connection from before and a new one are served by it afterwards.
fn strange(protocol: &str, limit: Option<u32>) -> (Outcome, [bool; 2]) {
    let mut scene = Scene::new(ON_SECOND, protocol);
    // Its own way to the control plane would be captured too, and it would never serve: let that go by an open plane.
    command(&scene.a.netns, "nft", "insert rule inet multiplane capture_out tcp dport 15010 accept");
    scene.serve(Serving::FIRST);
    scene.edit_bootstrap(&scene.a, |bootstrap| limit_connections(bootstrap, limit));
    let proxy = scene.proxy(&scene.a, &Options { uid: STRANGER, ..limited_to(OPEN_FILES) });
    let client = scene.client("data", "10.75.8.9");
    let held = Held::open(&client, ON_SECOND);

    let outcome = Outcome::of(&proxy, &scene.a.netns, "downstream_cx_total", (&scene.a.netns, "10.75.8.9"));
    let others = [held.answers(), status(&client, ON_SECOND) == Some(200)];
    drop(proxy);
    scene.end();
    (outcome, others)
}

#[test]
fn under_a_user_that_the_rules_do_not_know_the_limit_of_connections_holds() {
    for protocol in ["HTTP", "TCP"] {
        let (outcome, others) = strange(protocol, Some(LIMIT));
        let connections = outcome.lives_with().expect(protocol);
        assert!(connections >= LIMIT.into(), "{protocol}: it did loop, until the limit: {outcome:?}");
        assert!(outcome.descriptors < 900, "{protocol}: two for each connection: {outcome:?}");
        assert_eq!(others, [true, true], "{protocol}: a connection from before, a new one");
    }
}

#[test]
fn without_the_limit_of_connections_such_a_loop_ends_at_the_last_descriptor() {
    let (outcome, _) = strange("HTTP", None);
    assert!(outcome.descriptors >= 970, "{outcome:?}");

    let (outcome, others) = strange("TCP", None);
    assert_eq!(outcome.end, End::Died(Some(SIGSEGV)));
    assert_eq!(others, [false, false]);
}

#[test]
fn such_a_proxys_own_call_of_the_control_plane_is_captured_so_that_it_serves_nobody() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::ALL);
    let start = |uid| {
        Envoy::start(&scene.a.netns, &scene.bootstrap(&scene.a), &Options { uid, ..limited_to(OPEN_FILES) })
    };

    let proxy = start(STRANGER);
    eventually("its call is refused", || {
        (count(&proxy, "^cluster.xds-grpc.upstream_cx_connect_fail$") >= 1).then_some(())
    });
    assert_eq!(count(&proxy, "^control_plane.connected_state$"), 0);
    drop(proxy);

    // control: the user that the rules know
    let proxy = start(PROXY_UID);
    eventually("it is connected", || (count(&proxy, "^control_plane.connected_state$") == 1).then_some(()));
    drop(proxy);
    scene.end();
}

/// An inbound side whose calls of the application have no source of their own on the second plane; on the first they do.
fn forgetful() -> Value {
    let cluster = |name: &str, bind: Value| {
        json!({"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
            "connect_timeout": "5s", "upstream_bind_config": bind})
    };
    let chain = |cluster: &str, prefix: &str| {
        json!({"name": cluster,
            "filter_chain_match": {"prefix_ranges": [{"address_prefix": prefix, "prefix_len": 24}]},
            "filters": [{"name": "tcp", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": cluster, "cluster": cluster}}]})
    };
    let address = |address: &str, port: u16| json!({"address": address, "port_value": port});
    let original = json!({"name": "original_dst", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}});
    json!({
        "admin": {"address": {"socket_address": address("127.0.0.1", 15000)}},
        "static_resources": {
            "clusters": [
                cluster("bound", json!({"source_address": address("127.0.0.6", 0)})),
                cluster("unbound", Value::Null),
            ],
            "listeners": [{"name": "inbound", "address": {"socket_address": address("0.0.0.0", 15006)},
                "listener_filters": [original],
                "filter_chains": [chain("bound", "192.168.10.0"), chain("unbound", "10.75.8.0")]}],
        },
    })
}

/// What one call of the second plane made of it, and what became of the first plane meanwhile.
struct Forgotten {
    outcome: Outcome,
    failed_on_first: Vec<String>,
    held_on_first: bool,
}

fn forgotten(scene: &Scene) -> Forgotten {
    let file = scene.world.path("forgetful.json");
    std::fs::write(&file, forgetful().to_string()).unwrap();
    let proxy = Envoy::start(&scene.a.netns, &file, &limited_to(OPEN_FILES));
    let (first, second) = (scene.client("signal", "192.168.10.9"), scene.client("data", "10.75.8.9"));
    let held = Held::open(&first, ON_FIRST);
    let load = Load::start(&first, ON_FIRST);
    load.serves(20);

    let outcome =
        Outcome::of(&proxy, &scene.a.netns, "^cluster.unbound.upstream_cx_total", (&second, ON_SECOND));
    if outcome.lives_with().is_some() {
        load.serves(20);
    }
    Forgotten { outcome, failed_on_first: load.end(), held_on_first: held.answers() }
}

#[test]
fn an_inbound_side_that_forgets_its_source_loops_until_the_fuse_and_harms_nobody_else() {
    let scene = Scene::new(ON_SECOND, "TCP");
    let guarded = forgotten(&scene);
    let hops = guarded.outcome.lives_with().unwrap();
    assert!((200..=260).contains(&hops), "{hops} hops");
    assert!(guarded.outcome.descriptors < 650, "{:?}", guarded.outcome);
    assert_eq!(guarded.failed_on_first, [""; 0]);
    assert!(guarded.held_on_first);
    scene.end();

    // control: nothing else ends it
    let scene = Scene::new(ON_SECOND, "TCP");
    command(&scene.a.netns, "nft", "flush chain inet multiplane fuse");
    let bare = forgotten(&scene);
    assert_eq!(bare.outcome.end, End::Died(Some(SIGSEGV)));
    assert!(!bare.held_on_first);
    scene.end();
}
