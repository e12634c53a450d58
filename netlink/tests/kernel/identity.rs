//! The identity of a pod depends on what it has, not on how it came to it.

use std::time::{Duration, Instant};

use netlink::Net;
use netlink::identity::enumerate;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{ip, namespace};

/// Interfaces with the addresses that they shall have, IPv4 in the order of adding.
const PLANES: [(&str, &[&str]); 3] = [
    ("ctl0", &["10.1.0.2/24", "10.1.1.2/24", "fd01::2/64"]),
    ("med0", &["10.2.0.2/24", "fd02::3/64", "fd02::2/64"]),
    ("oam0", &["fd03::2/64"]),
];

async fn identity(pod: &Net) -> String {
    let found = enumerate(pod, Instant::now() + Duration::from_secs(20)).await.unwrap();
    let lines = found.iter().map(|interface| {
        let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
        format!("{} {}", interface.name, addresses.join(","))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Makes the planes in the given order, some under another name first, and IPv6 before or after IPv4.
async fn make(order: &[usize], renamed: bool, ipv6_first: bool) -> Net {
    let pod = namespace().await;
    for at in order {
        let (name, addresses) = PLANES[*at];
        let first = if renamed { format!("tmp{at}") } else { name.to_owned() };
        ip(&pod, &format!("link add {first} type veth peer name peer{at}"));
        ip(&pod, &format!("link set {first} name {name}"));
        let mut addresses = addresses.to_vec();
        addresses.sort_by_key(|address| address.contains(':') != ipv6_first);
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            ip(&pod, &format!("address add {address} dev {name} {nodad}"));
        }
        ip(&pod, &format!("link set {name} up"));
    }
    pod
}

#[test]
fn any_way_of_making_gives_the_same_bytes() {
    const EXPECTED: &str =
        "ctl0 10.1.0.2/24,10.1.1.2/24,fd01::2/64\nmed0 10.2.0.2/24,fd02::2/64,fd02::3/64\noam0 fd03::2/64";
    let ways = (Just(vec![0, 1, 2]).prop_shuffle(), any::<bool>(), any::<bool>());
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });

    runner
        .run(&ways, |(order, renamed, ipv6_first)| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let found = runtime.block_on(async { identity(&make(&order, renamed, ipv6_first).await).await });
            prop_assert_eq!(found, EXPECTED);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn what_identifies_nobody_is_left_out() {
    let pod = namespace().await;
    ip(&pod, "link add eth0 type veth peer name far");
    ip(&pod, "link add down0 type veth peer name other");
    for line in [
        "address add 10.1.0.2/24 dev eth0",
        "address add 169.254.7.7/16 dev eth0 scope link",
        "address add 10.9.9.9/32 dev lo",
        "address add fd01::2/64 dev eth0 nodad",
        "address add fd01::3/64 dev eth0 nodad preferred_lft 0",
        "address add 10.3.0.2/24 dev down0",
        "link set far up",
        "link set eth0 up",
    ] {
        ip(&pod, line);
    }

    assert_eq!(identity(&pod).await.lines().next(), Some("eth0 10.1.0.2/24,fd01::2/64"));
    assert!(!identity(&pod).await.contains("down0"));
}

#[tokio::test]
async fn duplicate_detection_is_waited_for_and_a_duplicate_is_left_out() {
    let (pod, other) = (namespace().await, namespace().await);
    ip(&pod, "link add eth0 type veth peer name far");
    ip(&pod, &format!("link set far netns {}", other.netns().path_from_proc().display()));
    for line in ["link set far up", "address add fd01::2/64 dev far nodad"] {
        ip(&other, line);
    }
    ip(&pod, "link set eth0 up");
    ip(&pod, "address add fd01::2/64 dev eth0");
    ip(&pod, "address add fd01::3/64 dev eth0");

    assert_eq!(identity(&pod).await, "eth0 fd01::3/64");
}

#[tokio::test]
async fn the_wait_has_an_end() {
    let pod = namespace().await;
    ip(&pod, "link add eth0 type veth peer name far");
    // The peer is down: without carrier detection never begins, and the address stays tentative.
    ip(&pod, "link set eth0 up");
    ip(&pod, "address add 10.1.0.2/24 dev eth0");
    ip(&pod, "address add fd01::3/64 dev eth0");

    let found = enumerate(&pod, Instant::now() + Duration::from_millis(100)).await.unwrap();

    assert_eq!(found[0].addresses, ["10.1.0.2/24".parse().unwrap()]);
}
