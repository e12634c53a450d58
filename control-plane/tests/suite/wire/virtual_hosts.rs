//! Virtual hosts as resources of their own.

use super::*;

#[tokio::test]
async fn a_route_says_that_its_hosts_are_resources_of_their_own() {
    let (_world, client) = following().await;

    let route: RouteConfiguration = client.decode(RDS, "9080");

    assert!(route.vhds.is_some() && route.virtual_hosts.is_empty());
}

#[tokio::test]
async fn a_nameless_request_means_the_hosts_of_the_subscribed_routes() {
    let (_world, client) = following().await;

    assert_eq!(
        client.names(VHDS),
        ["9080/allow_any", "9080/ratings.shop.svc:9080", "9080/reviews.shop.svc:9080"]
    );
}

#[tokio::test]
async fn a_nameless_request_before_any_route_waits_for_one() {
    let (_world, mut client) = connected().await;
    client.next(CDS).await;
    client.subscribe(VHDS, &[]).await;
    assert!(client.fence(VHDS, "9080/f").await.is_empty());

    client.subscribe(RDS, &["9080"]).await;
    client.next(VHDS).await;

    let order: Vec<&str> = client.log.iter().rev().take(2).map(|(kind, _, _)| kind.as_str()).collect();
    assert_eq!(order, [VHDS, RDS]);
}

#[tokio::test]
async fn a_route_subscribed_later_gets_its_hosts_without_another_request() {
    let (world, mut client) = following().await;
    world.hand.put("web", &service("web.shop.svc", "shop", 80, "HTTP", &[], &["10.75.8.20"]));
    client.next(LDS).await;

    client.subscribe(RDS, &["80"]).await;
    client.next(VHDS).await;

    assert!(client.has(VHDS, "80/web.shop.svc:80") && client.has(VHDS, "80/allow_any"));
}

#[tokio::test]
async fn names_of_hosts_begin_with_their_route() {
    let (_world, client) = following().await;

    for name in client.names(VHDS) {
        let host: VirtualHost = client.decode(VHDS, &name);
        assert_eq!(host.name, name);
        assert!(name.starts_with("9080/"));
    }
}

#[tokio::test]
async fn one_host_can_be_asked_for_by_name() {
    let (_world, mut client) = connected().await;
    client.next(CDS).await;
    client.subscribe(VHDS, &["9080/ratings.shop.svc:9080"]).await;

    client.next(VHDS).await;

    assert_eq!(client.names(VHDS), ["9080/ratings.shop.svc:9080"]);
}

#[tokio::test]
async fn a_new_service_costs_its_own_size() {
    let many: Vec<(String, String)> = (0..300)
        .map(|index| {
            let host = format!("s{index}.shop.svc");
            (host.clone(), service(&host, "shop", 9080, "HTTP", &[], &["10.75.9.1"]))
        })
        .collect();
    let files: Vec<(&str, String)> = many.iter().map(|(unit, yaml)| (unit.as_str(), yaml.clone())).collect();
    let world = World::start(Settings::default(), &files).await;
    let mut client = Client::connect(world.address(), &app()).await;
    client.follow_all().await;
    let before = world.server.hub.metrics.bytes();

    world.hand.put("new", &service("new.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.9.2"]));
    client.next(VHDS).await;

    let cost = world.server.hub.metrics.bytes() - before;
    assert!(cost < 1500, "{cost} bytes for a cluster and a virtual host, whatever else there is");
}

#[tokio::test]
async fn under_registry_only_an_unknown_host_is_refused() {
    let settings = Settings { outbound: Outbound::RegistryOnly, ..Settings::default() };
    let world = World::start(settings, &files()).await;
    let mut client = Client::connect(world.address(), &app()).await;

    client.follow_all().await;

    assert!(client.has(VHDS, "9080/block_all") && !client.has(VHDS, "9080/allow_any"));
}
