//! Steps 2 and 3: with all addresses known, the service is answered through its inbound side on every plane.

use testbed::real::envoy::Options;
use testbed::real::poll::eventually;

use super::load::Load;
use testbed::story::scene::{ON_FIRST, ON_SECOND, Scene, Serving, count, status};

#[test]
fn a_service_on_the_second_plane_is_answered_through_its_inbound_side_and_nothing_goes_outbound() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::ALL);
    let proxy = scene.proxy(&scene.a, &Options::default());
    let first = scene.client("signal", "192.168.10.9");
    let second = scene.client("data", "10.75.8.9");

    for (client, address) in [(&second, ON_SECOND), (&first, ON_FIRST)] {
        assert_eq!(status(client, address), Some(200), "{address}");
    }

    assert_eq!(count(&proxy, "^http.outbound.*downstream_rq_total"), 0, "nothing went outbound");
    for plane in ["signal", "data"] {
        let read = count(&proxy, &format!("^http.inbound.*plane={plane}.*downstream_rq_total"));
        assert_eq!(read, 1, "by the service's chain of plane {plane}");
    }
    assert_eq!(count(&proxy, "unmatched.*downstream_cx_total"), 0);
    assert!(proxy.open_files() < 60, "{}", proxy.open_files());
    let stats = proxy.get("/stats/prometheus").unwrap().body;
    for plane in ["signal", "data"] {
        assert!(stats.contains(&format!("plane=\"{plane}\"")), "the statistics name the plane {plane}");
    }
    scene.end();
}

#[test]
fn another_pod_reaches_the_service_by_its_virtual_address_over_the_plane_that_has_it() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::ALL);
    let server = scene.proxy(&scene.a, &Options::default());
    let client = scene.proxy(&scene.b, &Options::default());

    assert_eq!(status(&scene.b.netns, "10.96.0.10"), Some(200));

    assert!(count(&client, "^cluster.outbound.*upstream_rq_total") >= 1, "the client's proxy took it");
    assert!(count(&server, "^http.inbound.*downstream_rq_total") >= 1, "the server's proxy took it");
    scene.end();
}

#[test]
fn with_the_first_address_alone_the_plane_is_unmatched_and_that_is_seen_then_cured() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::FIRST);
    let proxy = scene.proxy(&scene.a, &Options::default());
    let second = scene.client("data", "10.75.8.9");

    // The silent failure: it is answered, but by no service's chain.
    assert_eq!(status(&second, ON_SECOND), Some(200));
    let unmatched = || count(&proxy, "unmatched.*downstream_cx_total");
    assert!(unmatched() >= 1, "{:?}", proxy.stats("downstream_cx_total"));
    assert_eq!(count(&proxy, "^http.inbound.*downstream_rq_total"), 0);

    scene.serve(Serving::ALL);
    eventually("the service's inbound chain is there", || {
        let before = unmatched();
        assert_eq!(status(&second, ON_SECOND), Some(200));
        let matched = count(&proxy, "^http.inbound.*downstream_rq_total") >= 1;
        (matched && unmatched() == before).then_some(())
    });
    scene.end();
}

#[test]
fn a_killed_proxy_means_refused_connections_and_never_bypassed_ones() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::ALL);
    let proxy = scene.proxy(&scene.a, &Options::default());
    let load = Load::start(&scene.client("data", "10.75.8.9"), ON_SECOND);
    load.serves(20);

    drop(proxy);

    // The first may have been under way.
    load.fails(1);
    let served = load.served();
    load.fails(50);
    assert_eq!(load.served(), served, "the application is never reached past the proxy");
    let failures = load.end();
    assert!(failures[1..].iter().all(|failure| failure.contains("refused")), "{failures:?}");
    scene.end();
}

#[test]
fn a_control_plane_that_dies_and_comes_back_costs_no_request() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::ALL);
    let proxies = [&scene.a, &scene.b].map(|pod| scene.proxy(pod, &Options::default()));
    let second = scene.client("data", "10.75.8.9");
    let loads = [Load::start(&second, ON_SECOND), Load::start(&scene.b.netns, "10.96.0.10")];
    let serve = || loads.iter().for_each(|load| load.serves(50));
    let updates = || proxies.each_ref().map(|proxy| count(proxy, "update_success"));
    let connected = |number| {
        proxies.iter().all(|proxy| count(proxy, "control_plane.connected_state") == number).then_some(())
    };
    serve();
    let before = updates();
    assert!(before.iter().all(|updates| *updates > 0), "{before:?}");

    scene.silence();
    eventually("the proxies know that they are alone", || connected(0));
    serve();
    scene.serve(Serving::ALL);
    eventually("Envoy is connected again", || connected(1));
    serve();

    assert_eq!(updates(), before, "nothing has changed, so nothing is sent again");
    for load in loads {
        assert_eq!(load.end(), [""; 0]);
    }
    // control: what does change is sent
    scene.register(ON_FIRST, "HTTP");
    eventually("the move is sent to both", || {
        updates().iter().zip(&before).all(|(now, before)| now > before).then_some(())
    });
    scene.end();
}
