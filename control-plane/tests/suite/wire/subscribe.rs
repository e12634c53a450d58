//! Asking for resources.

use super::*;

#[tokio::test]
async fn clusters_without_names_are_all_clusters() {
    let (_world, mut client) = connected().await;

    client.next(CDS).await;

    for name in [REVIEWS, RATINGS, DB, "inbound|9080||", "BlackHoleCluster", "PassthroughCluster"] {
        assert!(client.has(CDS, name), "{name} in {:?}", client.names(CDS));
    }
}

#[tokio::test]
async fn a_star_is_all_clusters_too() {
    let world = world().await;
    let mut client = Client::open(world.address()).await;
    let resource_names_subscribe = vec!["*".to_owned()];
    client.send(DeltaDiscoveryRequest { resource_names_subscribe, ..first(CDS, &app()) }).await;

    client.next(CDS).await;

    assert!(client.has(CDS, REVIEWS) && client.has(CDS, DB));
}

#[tokio::test]
async fn listeners_without_names_are_all_listeners() {
    let (_world, mut client) = connected().await;
    client.subscribe(LDS, &[]).await;

    client.next(LDS).await;

    let names = client.names(LDS);
    assert_eq!(names, ["0.0.0.0_9080", "240.0.0.7_5432", "virtualInbound", "virtualOutbound"]);
}

#[tokio::test]
async fn endpoints_come_by_name_and_no_others() {
    let (_world, mut client) = connected().await;
    client.next(CDS).await;
    client.subscribe(EDS, &[REVIEWS]).await;

    client.next(EDS).await;

    assert_eq!(client.names(EDS), [REVIEWS]);
    assert_eq!(endpoints(&client, REVIEWS), ["10.75.8.5", "10.75.8.6"]);
}

#[tokio::test]
async fn endpoints_without_names_are_none() {
    let (_world, mut client) = connected().await;
    client.next(CDS).await;
    client.subscribe(EDS, &[]).await;

    let before = client.fence(EDS, "no-such").await;

    assert!(before.is_empty(), "{before:?}");
}

#[tokio::test]
async fn one_cluster_alone_can_be_asked_for() {
    let world = world().await;
    let mut client = Client::open(world.address()).await;
    let resource_names_subscribe = vec![DB.to_owned()];
    client.send(DeltaDiscoveryRequest { resource_names_subscribe, ..first(CDS, &app()) }).await;

    client.next(CDS).await;

    assert_eq!(client.names(CDS), [DB]);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_answered_with_its_absence() {
    let (_world, mut client) = connected().await;
    client.next(CDS).await;
    client.subscribe(EDS, &["outbound|1||nobody"]).await;

    let answer = client.next(EDS).await;

    assert_eq!(answer.removed_resources, ["outbound|1||nobody"]);
    assert!(answer.resources.is_empty());
}

#[tokio::test]
async fn a_name_that_appears_later_is_sent_then() {
    let (world, mut client) = connected().await;
    client.next(CDS).await;
    let late = "outbound|7000||late.shop.svc";
    client.subscribe(EDS, &[late]).await;
    client.next(EDS).await;

    world.hand.put("late", &service("late.shop.svc", "shop", 7000, "TCP", &[], &["10.75.8.70"]));
    client.next(EDS).await;

    assert_eq!(endpoints(&client, late), ["10.75.8.70"]);
}

#[tokio::test]
async fn a_second_subscription_of_a_name_is_answered_again() {
    let (_world, mut client) = following().await;

    client.subscribe(EDS, &[DB]).await;
    let answer = client.next(EDS).await;

    assert_eq!(answer.resources.len(), 1, "the client may have dropped it");
}

#[tokio::test]
async fn names_are_added_one_after_the_other() {
    let (_world, mut client) = connected().await;
    client.next(CDS).await;
    client.subscribe(EDS, &[DB]).await;
    client.next(EDS).await;

    client.subscribe(EDS, &[RATINGS]).await;
    let answer = client.next(EDS).await;

    assert_eq!(answer.resources.len(), 1);
    assert_eq!(client.names(EDS), [DB, RATINGS]);
}

#[tokio::test]
async fn a_kind_that_is_not_served_disturbs_nothing() {
    let (world, mut client) = connected().await;
    client
        .subscribe("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", &["default"])
        .await;
    client.subscribe("", &["x"]).await;

    client.follow_all().await;

    assert!(client.has(LDS, "virtualInbound"));
    assert!(
        world
            .server
            .hub
            .metrics
            .render(&world.server.hub.registry())
            .contains("unknown_kind_requests_total 2")
    );
}
