//! Many proxies, and slow ones.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_reads_nothing_holds_back_nobody() {
    let big: Vec<(String, String)> = (0..400)
        .map(|index| {
            let host = format!("s{index}.shop.svc");
            (host.clone(), service(&host, "shop", 9080, "HTTP", &["10.1.0.1"], &["10.75.9.1"]))
        })
        .collect();
    let files: Vec<(&str, String)> = big.iter().map(|(unit, yaml)| (unit.as_str(), yaml.clone())).collect();
    let world = World::start(Settings::default(), &files).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let client = Client::connect(world.address(), &app()).await;
        client.subscribe(LDS, &[]).await;
        slow.push(client);
    }
    let mut quick = Client::connect(world.address(), &app()).await;
    quick.follow_all().await;

    for last in 2..10 {
        let endpoint = format!("10.75.9.{last}");
        world
            .hand
            .put("s0.shop.svc", &service("s0.shop.svc", "shop", 9080, "HTTP", &["10.1.0.1"], &[&endpoint]));
        loop {
            quick.next(EDS).await;
            if endpoints(&quick, "outbound|9080||s0.shop.svc") == [endpoint.clone()] {
                break;
            }
        }
    }

    assert_eq!(world.server.hub.proxies().len(), 9, "and nobody was thrown out");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_proxies_learn_of_a_change_and_the_view_is_made_once() {
    let world = world().await;
    let mut clients = Vec::new();
    for index in 0..50 {
        let identity =
            Identity::new(&format!("p-{index}"), "shop", &format!("10.20.0.{},10.75.20.{index}", index + 1));
        let mut client = Client::connect(world.address(), &identity).await;
        client.follow_all().await;
        clients.push(client);
    }

    world.hand.put("new", &service("new.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.20.7"]));

    for (index, client) in clients.iter_mut().enumerate() {
        tokio::time::timeout(Duration::from_secs(30), client.next(VHDS)).await.unwrap();
        if index == 7 {
            client.fence(LDS, "f").await;
            assert!(client.has(CDS, "inbound|9080||"), "the one that serves it");
        } else {
            assert!(!client.has(CDS, "inbound|9080||"));
        }
    }
}
