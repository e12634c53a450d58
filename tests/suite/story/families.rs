//! Step 7: one family a plane, and a pod without IPv6.

use std::process::Command;

use netlink::Netns;
use serde_json::Value;
use testbed::real::Envoy;
use testbed::real::envoy::Options;
use testbed::real::parts;
use testbed::real::poll::eventually;
use testbed::real::process::Process;
use testbed::world::command;

use testbed::story::scene::{ON_FIRST, ON_SECOND, PORT, Scene, Serving, count, plane, status, taken};

/// Pod A's address on the plane that has IPv6 alone.
const OF_SIX: &str = "fd75::2";

fn four() -> Value {
    plane("signal", &["192.168.10"])
}

fn six() -> Value {
    plane("data", &["fd75"])
}

fn identity(proxy: &Envoy) -> String {
    proxy.server_info()["node"]["metadata"]["INSTANCE_IPS"].as_str().unwrap().to_owned()
}

fn assert_no_listener_failed(proxy: &Envoy) {
    let failures = ["lds.update_rejected", "listener_create_failure"];
    for name in failures {
        assert_eq!(count(proxy, &format!("listener_manager.{name}")), 0, "{name}");
    }
}

#[test]
fn a_service_on_a_plane_of_ipv6_is_answered_there_and_on_a_plane_of_ipv4_whichever_is_the_primary() {
    // A virtual address needs a route that covers it: here the default route of the primary, so it is of its family.
    let orders = [
        ([four(), six()], "192.168.10.2,fd75::2", "10.96.0.10"),
        ([six(), four()], "fd75::2,192.168.10.2", "fd96::10"),
    ];
    for (planes, expected, address_of_service) in orders {
        let mut scene = Scene::with(planes.into(), |_| ());
        scene.register_as("a", address_of_service, (PORT, "HTTP"), &[OF_SIX]);
        scene.serve(Serving::ALL);
        let proxy = scene.proxy(&scene.a, &Options::default());
        let of_b = scene.proxy(&scene.b, &Options::default());
        assert_eq!(identity(&proxy), expected);
        let clients = [("signal", "192.168.10.9/24", ON_FIRST), ("data", "fd75::9/64", OF_SIX)];

        for (plane, own, address) in clients {
            let client = scene.world.neighbour(&format!("mp-{plane}"), &[own]).netns;
            assert_eq!(status(&client, address), Some(200), "{address} of {expected}");
        }

        assert_eq!(taken(&proxy), 2, "both by the proxy");
        assert_eq!(
            count(&proxy, "^http.inbound.*plane=data.*downstream_rq_total"),
            1,
            "by the service's chain"
        );
        assert_eq!(count(&proxy, "^http.outbound.*downstream_rq_total"), 0, "nothing went outbound");
        assert_eq!(status(&scene.b.netns, address_of_service), Some(200), "by {address_of_service}");
        assert_eq!(count(&of_b, "^cluster.outbound.*upstream_rq_total"), 1);
        assert_eq!(count(&proxy, "^http.inbound.*plane=data.*downstream_rq_total"), 2);
        assert_no_listener_failed(&proxy);
        let listeners = proxy.get("/listeners").unwrap().body;
        for at in ["0.0.0.0:15006", "[::]:15006"] {
            assert!(listeners.contains(at), "{listeners}");
        }
        scene.end();
    }
}

#[test]
fn with_the_first_address_of_ipv4_alone_a_service_on_a_plane_of_ipv6_is_unmatched() {
    let mut scene = Scene::with(vec![four(), six()], |_| ());
    scene.register(OF_SIX, "HTTP");
    scene.serve(Serving::FIRST);
    let proxy = scene.proxy(&scene.a, &Options::default());
    let client = scene.world.neighbour("mp-data", &["fd75::9/64"]).netns;

    assert_eq!(status(&client, OF_SIX), Some(200));

    assert_eq!(count(&proxy, "unmatched.*downstream_cx_total"), 1);
    assert_eq!(count(&proxy, "^http.inbound.*downstream_rq_total"), 0);
    scene.end();
}

fn without_ipv6(netns: &Netns) {
    command(netns, "sysctl", "-qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
}

#[test]
fn in_a_pod_without_ipv6_the_proxy_starts_and_answers_on_every_plane() {
    let mut scene = Scene::with(vec![four(), plane("data", &["10.75.8"])], without_ipv6);
    scene.register(ON_SECOND, "HTTP");
    scene.serve(Serving::ALL);

    let proxy = scene.proxy(&scene.a, &Options::default());

    let _of_b = scene.proxy(&scene.b, &Options::default());
    for (plane, own, address) in [("signal", "192.168.10.9", ON_FIRST), ("data", "10.75.8.9", ON_SECOND)] {
        assert_eq!(status(&scene.client(plane, own), address), Some(200), "{address}");
    }
    assert_eq!(status(&scene.b.netns, "10.96.0.10"), Some(200));
    assert_eq!(taken(&proxy), 3);
    assert_no_listener_failed(&proxy);
    let listeners = proxy.get("/listeners").unwrap().body;
    assert!(listeners.contains("0.0.0.0:15006") && !listeners.contains("[::"), "{listeners}");

    drop(proxy);

    // control: told of an address of IPv6, the same control plane sends listeners of both families
    scene.edit_bootstrap(&scene.a, |bootstrap| {
        bootstrap["node"]["metadata"]["INSTANCE_IPS"] = "192.168.10.2,10.75.8.2,fd75::2".into();
    });
    let proxy = Envoy::start(&scene.a.netns, &scene.bootstrap(&scene.a), &Options::default());
    eventually("it has listeners of IPv6", || {
        proxy.get("/listeners").ok()?.body.contains("[::]:15006").then_some(())
    });
    drop(proxy);
    scene.end();
}

#[test]
fn in_a_pod_without_ipv6_a_listener_on_its_loopback_ends_the_proxy() {
    let scene = Scene::with(vec![four(), plane("data", &["10.75.8"])], without_ipv6);
    scene.edit_bootstrap(&scene.a, |bootstrap| {
        let address = "/static_resources/listeners/0/address/socket_address/address";
        *bootstrap.pointer_mut(address).unwrap() = "::1".into();
    });
    let mut command = Command::new(parts::envoy());
    command
        .args(["--disable-hot-restart", "--concurrency", "1", "-c"])
        .arg(scene.bootstrap(&scene.a))
        .env_clear();

    let proxy = Process::start(&scene.a.netns, "envoy", command);

    let status = eventually("Envoy ends", || proxy.exit_status());
    assert!(!status.success());
    assert!(proxy.output().contains("[::1]:15021"), "{}", proxy.output());
    scene.end();
}
