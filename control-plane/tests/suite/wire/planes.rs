//! All addresses of a proxy, plane by plane.

use super::*;

#[tokio::test]
async fn a_service_on_the_second_plane_has_an_inbound_chain_on_every_plane() {
    let (_world, client) = following().await;

    let chains = chains(&client);

    for name in
        ["0.0.0.0_9080|control", "0.0.0.0_9080|oam", "0.0.0.0_9080", "unmatched|oam", "unmatched|control"]
    {
        assert!(chains.contains(&name.to_owned()), "{name} in {chains:?}");
    }
}

#[tokio::test]
async fn two_services_on_one_port_have_each_their_own_plane() {
    let mut files = files().to_vec();
    files.push(("tcp", service("tcp.shop.svc", "shop", 9080, "TCP", &["240.0.0.9"], &["192.168.10.5"])));
    let world = World::start(Settings::default(), &files).await;
    let mut client = Client::connect(world.address(), &app()).await;
    client.follow_all().await;

    let listener: Listener = client.decode(LDS, "virtualInbound");
    let filter = |name: &str| {
        let chain = listener.filter_chains.iter().find(|chain| chain.name == name).unwrap();
        chain.filters.last().unwrap().name.clone()
    };

    assert!(filter("0.0.0.0_9080|control").contains("http"), "{}", filter("0.0.0.0_9080|control"));
    assert!(filter("0.0.0.0_9080|oam").contains("tcp"), "{}", filter("0.0.0.0_9080|oam"));
}

#[tokio::test]
async fn with_the_first_address_alone_it_has_none() {
    let settings = Settings { which: Match::First, ..Settings::default() };
    let world = World::start(settings, &files()).await;
    let mut client = Client::connect(world.address(), &app()).await;
    client.follow_all().await;

    let chains = chains(&client);

    assert!(!chains.iter().any(|name| name.starts_with("0.0.0.0_")), "{chains:?}");
    assert!(!client.has(CDS, "inbound|9080||"));
}

#[tokio::test]
async fn a_touched_second_address_recomputes_the_proxy_that_has_it_and_no_other() {
    let (world, mut client) = following().await;
    let identity = Identity::new("other-1", "shop", "192.168.10.6,10.75.8.66");
    let mut other = Client::connect(world.address(), &identity).await;
    other.follow_all().await;

    world.hand.put("mine", &service("mine.shop.svc", "shop", 7070, "HTTP", &[], &["10.75.8.5"]));
    client.next(LDS).await;
    other.next(LDS).await;

    assert!(chains(&client).contains(&"0.0.0.0_7070|control".to_owned()));
    let sent = &other.log.last().unwrap().1;
    assert_eq!(sent, &["0.0.0.0_7070"], "the other learns how to call it, nothing more");
}

#[tokio::test]
async fn a_service_of_another_namespace_is_not_served() {
    let world = world().await;
    let identity = Identity::new("app-1", "other", "192.168.10.5,10.75.8.5");
    let mut client = Client::connect(world.address(), &identity).await;
    client.follow_all().await;

    assert!(!client.has(CDS, "inbound|9080||"));
    assert!(client.has(CDS, REVIEWS), "but it can be called");
}

#[tokio::test]
async fn endpoints_on_planes_that_the_proxy_lacks_are_not_sent() {
    let yaml = service(
        "far.shop.svc",
        "shop",
        7000,
        "TCP",
        &["240.0.0.3"],
        &["10.75.8.1@control", "10.9.0.1@media", "10.1.1.1"],
    );
    let world = World::start(Settings::default(), &[("far", yaml)]).await;
    let far = "outbound|7000||far.shop.svc";
    let mut seen = Vec::new();
    for view in ["oam,control", "media", ""] {
        let identity = app().with("REQUESTED_NETWORK_VIEW", text(view));
        let mut client = Client::connect(world.address(), &identity).await;
        client.follow_all().await;
        seen.push(endpoints(&client, far));
    }

    assert_eq!(seen[0], ["10.75.8.1", "10.1.1.1"]);
    assert_eq!(seen[1], ["10.9.0.1", "10.1.1.1"]);
    assert_eq!(seen[2], ["10.75.8.1", "10.9.0.1", "10.1.1.1"], "no view means all");
}

#[tokio::test]
async fn what_two_proxies_share_names_no_address_of_either() {
    let (world, client) = following().await;
    let identity = Identity::new("app-2", "shop", "192.168.10.6,10.75.8.6")
        .with_planes(&[("oam", "192.168.10.6"), ("control", "10.75.8.6")]);
    let mut other = Client::connect(world.address(), &identity).await;
    other.follow_all().await;

    let differing: Vec<&(String, String)> = client
        .content
        .iter()
        .filter(|(key, content)| other.content.get(*key) != Some(content))
        .map(|(key, _)| key)
        .collect();

    let names: std::collections::BTreeSet<&str> = differing.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["PassthroughCluster|control", "PassthroughCluster|oam", "virtualInbound", "virtualOutbound"]
    );
}

#[tokio::test]
async fn the_classic_layout_has_a_listener_for_each_served_address() {
    let settings = Settings { layout: Layout::Classic, ..Settings::default() };
    let world = World::start(settings, &files()).await;
    let mut client = Client::connect(world.address(), &app()).await;
    client.follow_all().await;

    for name in ["10.75.8.5_9080", "192.168.10.5_9080"] {
        let listener: Listener = client.decode(LDS, name);
        assert_eq!(listener.bind_to_port.map(|bind| bind.value), Some(false), "{name}");
    }
    let all = client.names(LDS);
    assert!(all.contains(&"virtual".to_owned()) && !all.contains(&"virtualInbound".to_owned()), "{all:?}");
}

#[tokio::test]
async fn inbound_clusters_end_at_the_original_address_from_a_source_that_breaks_loops() {
    let (_world, client) = following().await;

    let cluster: Cluster = client.decode(CDS, "inbound|9080||");

    let source =
        cluster.upstream_bind_config.and_then(|bind| bind.source_address).map(|socket| socket.address);
    assert_eq!(source.as_deref(), Some("127.0.0.6"));
}
