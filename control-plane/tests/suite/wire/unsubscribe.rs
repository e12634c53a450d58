//! Giving resources up.

use super::*;

#[tokio::test]
async fn what_was_unsubscribed_is_not_sent_when_it_changes() {
    let (world, mut client) = following().await;
    client.unsubscribe(EDS, &[DB]).await;
    client.fence(EDS, "fence-1").await;

    world.hand.put("db", &service("db.shop.svc", "shop", 5432, "TCP", &["240.0.0.7"], &["10.75.8.80"]));
    world.hand.put("ratings", &service("ratings.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.90"]));
    let answer = client.next(EDS).await;

    let names: Vec<&str> = answer.resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, [RATINGS], "the one still subscribed came, the other did not");
}

#[tokio::test]
async fn what_was_unsubscribed_and_subscribed_again_is_sent_again() {
    let (_world, mut client) = following().await;
    client.unsubscribe(EDS, &[DB]).await;

    client.subscribe(EDS, &[DB]).await;
    let answer = client.next(EDS).await;

    assert_eq!(answer.resources.first().map(|resource| resource.name.as_str()), Some(DB));
}

#[tokio::test]
async fn unsubscribing_what_was_never_subscribed_is_fine() {
    let (_world, mut client) = following().await;
    client.unsubscribe(EDS, &["never", "*"]).await;
    client.unsubscribe(CDS, &["never"]).await;

    let before = client.fence(EDS, "fence").await;

    assert!(before.is_empty(), "{before:?}");
}

#[tokio::test]
async fn giving_up_the_star_leaves_what_was_named() {
    let world = world().await;
    let mut client = Client::open(world.address()).await;
    let resource_names_subscribe = vec!["*".to_owned(), DB.to_owned()];
    client.send(DeltaDiscoveryRequest { resource_names_subscribe, ..first(CDS, &app()) }).await;
    client.next(CDS).await;
    client.unsubscribe(CDS, &["*"]).await;
    client.fence(CDS, "fence").await;

    world.hand.put("new", &service("new.shop.svc", "shop", 81, "TCP", &["240.0.0.9"], &["10.75.8.10"]));
    world.hand.remove("db");
    let answer = client.next(CDS).await;

    assert_eq!(answer.removed_resources, [DB]);
    assert!(answer.resources.is_empty(), "nothing of the star is left");
}

#[tokio::test]
async fn a_route_that_is_given_up_takes_its_virtual_hosts_along() {
    let (world, mut client) = following().await;
    client.unsubscribe(RDS, &["9080"]).await;
    client.fence(RDS, "fence").await;

    world.hand.put("new", &service("new.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.10"]));
    client.next(CDS).await;
    let before = client.fence(VHDS, "fence/x").await;

    assert!(before.is_empty(), "{before:?}");
}
