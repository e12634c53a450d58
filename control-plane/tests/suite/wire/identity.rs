//! Who is served, and who is told why not.

use super::*;

async fn status_of(identity: DeltaDiscoveryRequest) -> tonic::Status {
    let (world, mut bystander) = following().await;
    let mut client = Client::open(world.address()).await;
    client.send(identity).await;
    let status = loop {
        match client.receive().await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    // Nobody else notices.
    assert!(bystander.fence(EDS, "fence").await.is_empty());
    assert_eq!(world.server.hub.proxies().len(), 1);
    status
}

fn with(key: &str, value: Value) -> DeltaDiscoveryRequest {
    let mut identity = app();
    identity.metadata.retain(|(name, _)| name != key);
    first(CDS, &identity.with(key, value))
}

fn number(number: f64) -> Value {
    Value { kind: Some(value::Kind::NumberValue(number)) }
}

#[tokio::test]
async fn hostile_nodes_are_refused_with_a_reason_and_disturb_nobody() {
    let no_id =
        DeltaDiscoveryRequest { node: Some(Identity { id: String::new(), ..app() }.node()), ..request(CDS) };
    let long = format!("sidecar~{}", "x".repeat(300_000));
    let deep = (0..20).fold(text("x"), |inner, _| list(vec![inner]));
    let cases: Vec<(&str, DeltaDiscoveryRequest, &str)> = vec![
        ("no node", request(CDS), "no node"),
        ("no id", no_id, "node id"),
        ("id with two parts", first(CDS, &Identity { id: "a~b".to_owned(), ..app() }), "node id"),
        ("a router", first(CDS, &Identity { id: "router~10.0.0.1~a.b~c".to_owned(), ..app() }), "sidecar"),
        ("huge id", first(CDS, &Identity { id: long, ..app() }), "bytes"),
        ("huge metadata", with("ANNOTATIONS", text(&"x".repeat(400_000))), "bytes"),
        ("addresses are a number", with("INSTANCE_IPS", number(5.0)), "INSTANCE_IPS"),
        ("addresses are a list", with("INSTANCE_IPS", list(vec![text("10.0.0.1")])), "INSTANCE_IPS"),
        ("an address with a blank", with("INSTANCE_IPS", text("10.0.0.1, 10.0.0.2")), "INSTANCE_IPS"),
        ("an address with a prefix", with("INSTANCE_IPS", text("10.0.0.1/24")), "INSTANCE_IPS"),
        ("a loopback address", with("INSTANCE_IPS", text("127.0.0.1")), "127.0.0.1"),
        ("a link-local address", with("INSTANCE_IPS", text("fe80::1")), "fe80::1"),
        ("no address at all", with("INSTANCE_IPS", text("")), "no address"),
        ("ten thousand addresses", with("INSTANCE_IPS", text(&many_addresses())), "too many"),
        ("namespace is a number", with("NAMESPACE", number(1.0)), "NAMESPACE"),
        ("planes are text", with("PLANES", text("control")), "PLANES"),
        ("planes are too deep", with("PLANES", object(vec![("control", deep)])), "PLANES"),
        ("a plane with a bad name", with("PLANES", object(vec![("-;", text("x"))])), "PLANES"),
        ("network view is a list", with("REQUESTED_NETWORK_VIEW", list(vec![])), "REQUESTED_NETWORK_VIEW"),
    ];
    for (case, request, part) in cases {
        let status = status_of(request).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{case}: {status}");
        assert!(status.message().contains(part), "{case}: {status}");
        assert!(status.message().len() < 400 && !status.message().contains('\n'), "{case}: one line");
    }
}

fn many_addresses() -> String {
    let address = |index: usize| format!("10.{}.{}.1", index / 250, index % 250);
    (0..10_000).map(address).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn a_name_longer_than_any_is_refused() {
    let (_world, mut client) = following().await;
    client.subscribe(EDS, &[&"x".repeat(5000)]).await;

    let status = client.receive().await.unwrap_err();

    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[tokio::test]
async fn a_request_larger_than_any_is_refused() {
    let (world, mut client) = following().await;
    let names: Vec<String> = (0..20).map(|_| "x".repeat(1 << 20)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    client.subscribe(EDS, &names).await;

    let status = client.receive().await.unwrap_err();

    assert!(status.code() != Code::Ok, "{status}");
    eventually("it is forgotten", || world.server.hub.proxies().is_empty()).await;
}

#[tokio::test]
async fn the_other_method_says_which_one_is_served() {
    use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
    let world = world().await;
    let mut client = AggregatedDiscoveryServiceClient::new(channel(world.address()).await);

    let status = client.stream_aggregated_resources(tokio_stream::empty()).await.unwrap_err();

    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("DELTA_GRPC"), "{status}");
}

#[tokio::test]
async fn a_stream_that_ends_before_it_says_anything_leaves_nothing() {
    let world = world().await;
    drop(Client::open(world.address()).await);

    assert!(world.server.hub.proxies().is_empty());
}
