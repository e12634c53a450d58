//! What comes before what.

use super::*;

fn kinds(client: &Client, from: usize) -> Vec<&str> {
    client.log[from..].iter().map(|(kind, _, _)| kind.rsplit('.').next().unwrap()).collect()
}

#[tokio::test]
async fn listeners_wait_for_clusters_that_they_may_refer_to() {
    let (world, mut client) = following().await;
    let from = client.log.len();
    world.hand.put("new", &service("new.shop.svc", "shop", 81, "TCP", &["240.0.0.9"], &["10.75.8.10"]));
    client.next(LDS).await;

    assert_eq!(kinds(&client, from), ["Cluster", "Listener"]);
}

#[tokio::test]
async fn virtual_hosts_wait_for_clusters() {
    let (world, mut client) = following().await;
    let from = client.log.len();
    world.hand.put("new", &service("new.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.10"]));
    client.next(VHDS).await;

    assert_eq!(kinds(&client, from), ["Cluster", "VirtualHost"]);
}

#[tokio::test]
async fn endpoints_are_answered_before_clusters_are_acknowledged() {
    let (_world, mut client) = connected().await;
    let clusters = client.receive().await.unwrap();
    client.subscribe(EDS, &[REVIEWS]).await;

    let answer = client.receive().await.unwrap();

    assert_eq!(answer.type_url, EDS, "Envoy acknowledges clusters when they are warm, and not before");
    client.acknowledge(&clusters).await;
}

#[tokio::test]
async fn a_cluster_leaves_after_its_listener() {
    let (world, mut client) = following().await;
    let from = client.log.len();
    world.hand.remove("db");
    client.next(CDS).await;

    assert_eq!(kinds(&client, from), ["Listener", "Cluster"]);
    assert!(!client.has(CDS, DB) && !client.has(LDS, "240.0.0.7_5432"));
}

#[tokio::test]
async fn a_cluster_waits_until_the_removal_of_its_virtual_host_is_acknowledged() {
    let (world, mut client) = following().await;
    world.hand.remove("ratings");
    let hosts = client.receive().await.unwrap();
    assert_eq!(hosts.type_url, VHDS);
    client.subscribe(EDS, &["fence"]).await;
    let fence = client.receive().await.unwrap();
    assert_eq!(fence.type_url, EDS, "the cluster is not removed yet");
    client.acknowledge(&fence).await;

    client.acknowledge(&hosts).await;
    let clusters = client.next(CDS).await;

    assert_eq!(clusters.removed_resources, [RATINGS]);
}

#[tokio::test]
async fn a_changed_cluster_gets_its_endpoints_again() {
    let (world, mut client) = following().await;
    let from = client.log.len();
    world.hand.put("ratings", &service("ratings.shop.svc", "shop", 9080, "GRPC", &[], &["10.75.8.9"]));
    client.next(EDS).await;

    assert_eq!(kinds(&client, from), ["Cluster", "ClusterLoadAssignment"]);
    assert_eq!(client.log.last().unwrap().1, [RATINGS]);
}

#[tokio::test]
async fn an_endpoint_change_sends_one_small_resource_and_nothing_else() {
    let (world, mut client) = following().await;
    let from = client.log.len();
    world.hand.put("ratings", &service("ratings.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.10"]));
    client.next(EDS).await;
    for (kind, mark) in [(CDS, "f"), (LDS, "f"), (VHDS, "9080/f")] {
        assert!(client.fence(kind, mark).await.is_empty(), "{kind}");
    }

    assert_eq!(client.log[from].1, [RATINGS]);
}

#[tokio::test]
async fn a_rewrite_without_a_change_sends_nothing() {
    let (world, mut client) = following().await;
    let before = world.server.hub.metrics.bytes();
    world.hand.put("ratings", &service("ratings.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.9"]));
    world.hand.put("z", "kind: Namespace\napiVersion: v1\n");
    eventually("the rewrite is taken in", || world.server.hub.registry().ignored == 1).await;

    for (kind, mark) in [(CDS, "f"), (EDS, "f"), (LDS, "f"), (VHDS, "9080/f")] {
        assert!(client.fence(kind, mark).await.is_empty(), "{kind}");
    }

    assert_eq!(world.server.hub.metrics.bytes(), before);
}
