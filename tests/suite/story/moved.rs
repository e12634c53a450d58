//! Step 4: a service moves from one plane to another while load runs.

use std::time::{Duration, Instant};

use netlink::Netns;
use testbed::real::Envoy;
use testbed::real::envoy::Options;
use testbed::real::poll::eventually;

use super::load::{Held, Load};
use testbed::story::scene::{ON_FIRST, ON_SECOND, Scene, Serving, count, plane};

/// Pod A's address on a plane that the service never has.
const ON_THIRD: &str = "10.90.8.2";

/// How long Envoy lets the connections of a chain go on that is no more.
const DRAIN: Duration = Duration::from_secs(5);

/// Three planes, the service on the second, both proxies, and a client on each plane with the address that it calls.
struct Moving {
    scene: Scene,
    server: Envoy,
    caller: Envoy,
    clients: [(Netns, &'static str); 3],
}

impl Moving {
    fn new() -> Self {
        let planes = [("signal", "192.168.10"), ("data", "10.75.8"), ("oam", "10.90.8")];
        let mut scene = Scene::with(planes.map(|(name, prefix)| plane(name, &[prefix])).into(), |_| ());
        scene.register(ON_SECOND, "HTTP");
        scene.serve(Serving::ALL);
        let options = Options { drain: Some(DRAIN), ..Options::default() };
        let (server, caller) = (scene.proxy(&scene.a, &options), scene.proxy(&scene.b, &options));
        let clients = [
            (scene.client("signal", "192.168.10.9"), ON_FIRST),
            (scene.client("data", "10.75.8.9"), ON_SECOND),
            (scene.client("oam", "10.90.8.9"), ON_THIRD),
        ];
        Self { scene, server, caller, clients }
    }

    fn held(&self) -> [Held; 3] {
        self.clients.each_ref().map(|(client, to)| Held::open(client, to))
    }

    fn end(self) {
        drop((self.server, self.caller));
        self.scene.end();
    }
}

#[test]
fn a_service_moves_to_another_plane_and_no_new_connection_fails_anywhere() {
    let moving = Moving::new();
    let mut loads: Vec<_> = moving.clients.iter().map(|(client, to)| Load::start(client, to)).collect();
    loads.push(Load::start(&moving.scene.b.netns, "10.96.0.10"));
    loads.iter().for_each(|load| load.serves(50));
    let held = moving.held();

    let moved = Instant::now();
    moving.scene.register(ON_FIRST, "HTTP");
    let knows = |address: &str| moving.caller.get("/clusters").unwrap().body.contains(&format!("{address}:"));
    eventually("the caller's proxy calls the first plane", || {
        (knows(ON_FIRST) && !knows(ON_SECOND)).then_some(())
    });
    eventually("the service is served on the first plane", || {
        (count(&moving.server, "^http.inbound.*plane=signal.*downstream_rq_total") >= 1).then_some(())
    });

    // Whether the two planes of the move have new chains is the control plane's to say. If so, their connections have
    // the drain time; the third plane's are not concerned.
    let [on_first, on_second, on_third] = held;
    while moved.elapsed() < DRAIN + Duration::from_secs(1) && (on_first.lives() || on_second.lives()) {
        for concerned in [&on_first, &on_second] {
            assert!(concerned.lives() || moved.elapsed() >= DRAIN, "cut after {:?}", moved.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    loads.iter().for_each(|load| load.serves(50));
    assert!(on_third.lives() && on_third.answers(), "another plane's connection is not cut");
    for load in loads {
        assert_eq!(load.end(), [""; 0]);
    }

    // control: load sees it if a service moves to where nobody is
    let load = Load::start(&moving.scene.b.netns, "10.96.0.10");
    load.serves(1);
    moving.scene.register("10.75.8.77", "HTTP");
    load.fails(1);
    assert!(load.end()[0].contains("503"));
    moving.end();
}

#[test]
fn connections_of_a_changed_chain_go_on_until_the_drain_time_and_new_ones_are_served() {
    let moving = Moving::new();
    let (client, to) = &moving.clients[1];
    let load = Load::start(client, to);
    let (held, heard) = (Held::open(client, to), Held::open(client, to));
    load.serves(20);

    let changed = Instant::now();
    moving.scene.register(ON_SECOND, "TCP");
    eventually("the service has a chain of bytes", || {
        (count(&moving.server, "^tcp.inbound_9080;plane=data.downstream_cx_total") >= 1).then_some(())
    });
    assert!(heard.answers(), "a request on a connection from before");
    eventually("the connection is cut", || (!held.lives()).then_some(()));

    assert!(changed.elapsed() >= DRAIN, "{:?}", changed.elapsed());
    load.serves(20);
    assert_eq!(load.end(), [""; 0]);
    moving.end();
}
