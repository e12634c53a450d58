//! Coming back with what was kept.

use super::*;

/// All kinds again on a new stream, with what the client kept.
async fn again(world: &World, old: &Client) -> Client {
    let client = Client::open(world.address()).await;
    let mut node = Some(app().node());
    for kind in [CDS, EDS, LDS, RDS, VHDS] {
        let named = [EDS, RDS].contains(&kind);
        client
            .send(DeltaDiscoveryRequest {
                node: node.take(),
                initial_resource_versions: old.versions(kind),
                resource_names_subscribe: if named { old.names(kind) } else { Vec::new() },
                ..request(kind)
            })
            .await;
    }
    client
}

async fn quiet(client: &mut Client) {
    for (kind, mark) in [(CDS, "f"), (EDS, "f"), (LDS, "f"), (RDS, "f"), (VHDS, "9080/f")] {
        assert!(client.fence(kind, mark).await.is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn nothing_that_is_unchanged_is_sent_again() {
    let (world, old) = following().await;
    let before = world.server.hub.metrics.bytes();

    let mut client = again(&world, &old).await;
    quiet(&mut client).await;

    assert_eq!(world.server.hub.metrics.bytes(), before);
}

#[tokio::test]
async fn nothing_that_is_unchanged_is_sent_again_by_another_server() {
    let (world, old) = following().await;
    drop(world);
    let world = self::world().await;

    let mut client = again(&world, &old).await;
    quiet(&mut client).await;

    assert_eq!(world.server.hub.metrics.bytes(), 0, "versions do not depend on the process");
}

#[tokio::test]
async fn what_changed_meanwhile_is_sent_and_nothing_else() {
    let (world, old) = following().await;
    world.hand.put("db", &service("db.shop.svc", "shop", 5432, "TCP", &["240.0.0.7"], &["10.75.8.80"]));
    eventually("the change is in force", || {
        !world.server.hub.registry().at("10.75.8.80".parse().unwrap()).is_empty()
    })
    .await;

    let mut client = again(&world, &old).await;
    client.next(EDS).await;
    quiet(&mut client).await;

    assert_eq!(client.names(EDS), [DB]);
}

#[tokio::test]
async fn what_went_meanwhile_is_removed() {
    let (world, old) = following().await;
    world.hand.remove("db");
    eventually("it is gone", || world.server.hub.registry().services.len() == 2).await;

    let mut client = again(&world, &old).await;
    let mut gone = Vec::new();
    while ![DB, "240.0.0.7_5432"].iter().all(|name| gone.iter().any(|other| other == name)) {
        let answer = client.receive().await.unwrap();
        client.acknowledge(&answer).await;
        gone.extend(answer.removed_resources);
    }
}

#[tokio::test]
async fn a_cluster_that_went_meanwhile_outlives_the_listener_that_was_kept() {
    let (world, old) = following().await;
    world.hand.remove("db");
    eventually("it is gone", || world.server.hub.registry().services.len() == 2).await;
    let mut client = Client::open(world.address()).await;
    let kept = |kind| old.versions(kind);

    client.send(DeltaDiscoveryRequest { initial_resource_versions: kept(CDS), ..first(CDS, &app()) }).await;
    let early = client.fence(CDS, "f").await;
    assert!(early.is_empty(), "its listeners are not known yet: {early:?}");

    client.send(DeltaDiscoveryRequest { initial_resource_versions: kept(LDS), ..request(LDS) }).await;
    let mut gone = Vec::new();
    while !gone.iter().any(|name| name == DB) {
        let answer = client.receive().await.unwrap();
        client.acknowledge(&answer).await;
        gone.extend(answer.removed_resources);
    }
    assert_eq!(gone, ["240.0.0.7_5432", DB]);
}

#[tokio::test]
async fn a_version_that_we_never_made_is_replaced() {
    let world = world().await;
    let mut client = Client::open(world.address()).await;
    let initial_resource_versions = HashMap::from([(DB.to_owned(), "1".to_owned())]);
    client.send(DeltaDiscoveryRequest { initial_resource_versions, ..first(CDS, &app()) }).await;

    client.next(CDS).await;

    assert!(client.has(CDS, DB));
}

#[tokio::test]
async fn a_stop_ends_streams_with_a_status_that_means_come_again() {
    let (world, mut client) = following().await;
    let stopped = tokio::spawn(world.server.stop());

    let status = client.receive().await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable, "{status}");
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_proxy_that_leaves_is_forgotten() {
    let (world, client) = following().await;
    assert_eq!(world.server.hub.proxies().len(), 1);

    drop(client);

    eventually("it is forgotten", || world.server.hub.proxies().is_empty()).await;
}
