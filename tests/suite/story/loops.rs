//! Step 1: the loop, with the rules of 2018, which live here alone, and what bounds it under our rules.

use testbed::story::outcome::{End, SIGSEGV, UNHARMED};
use testbed::story::scene::{ON_SECOND, Scene, Serving};
use testbed::story::year_2018::{FROM_FIRST, FROM_SECOND, asked, in_2018, limited_to};

#[test]
fn in_2018_one_http_request_eats_every_descriptor() {
    for limit in [1024, 20_000] {
        let outcome = in_2018("HTTP", "first", limit, FROM_SECOND);
        assert!(outcome.descriptors as u64 >= limit * 95 / 100, "of {limit}: {outcome:?}");
        let least = 450 * limit / 1024;
        assert!(outcome.lives_with() >= Some(least), "each hop is a request: {outcome:?}");
        assert_eq!(outcome.answer, Some(503), "{outcome:?}");
    }
}

#[test]
fn in_2018_one_tcp_connection_ends_the_proxy() {
    for limit in [1024, 20_000] {
        let outcome = in_2018("TCP", "first", limit, FROM_SECOND);
        assert_eq!(outcome.end, End::Died(Some(SIGSEGV)), "exit status 139 to a shell, at {limit}");
        assert_eq!(outcome.answer, None, "{outcome:?}");
    }
}

#[test]
fn with_all_addresses_known_even_the_rules_of_2018_answer() {
    for (protocol, limit) in [("HTTP", 1024), ("HTTP", 20_000), ("TCP", 1024), ("TCP", 20_000)] {
        for client in [FROM_FIRST, FROM_SECOND] {
            let outcome = in_2018(protocol, "all", limit, client);
            assert_eq!(outcome.answer, Some(200), "{protocol} at {limit}, {client:?}: {outcome:?}");
            assert_eq!(outcome.end, UNHARMED, "{protocol} at {limit}, {client:?}");
            assert!(outcome.descriptors < 100, "{protocol} at {limit}, {client:?}: {outcome:?}");
        }
    }
}

#[test]
fn the_same_wrong_matching_under_our_rules_does_not_loop() {
    let mut scene = Scene::new(ON_SECOND, "HTTP");
    scene.serve(Serving::FIRST);
    let proxy = scene.proxy(&scene.a, &limited_to(1024));

    let outcome = asked(&proxy, &scene, FROM_SECOND);

    assert!(outcome.descriptors < 100, "{outcome:?}");
    assert_eq!(outcome.end, UNHARMED);
    drop(proxy);
    scene.end();
}
