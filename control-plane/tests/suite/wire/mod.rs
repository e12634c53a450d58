//! The protocol on the wire, case by case, against the client of `client.rs`.

mod acknowledge;
mod identity;
mod load;
mod order;
mod planes;
mod reconnect;
mod subscribe;
mod unsubscribe;
mod virtual_hosts;

use std::collections::HashMap;
use std::time::Duration;

use control_plane::Settings;
use control_plane::matching::Match;
use control_plane::resource::Kind;
use control_plane::settings::{Layout, Outbound};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::address::Address as Place;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::protobuf::{Value, value};
use tonic::Code;

use super::client::{CDS, Client, EDS, Identity, LDS, RDS, VHDS, channel, list, object, request, text};
use super::world::{World, eventually, service};

const REVIEWS: &str = "outbound|9080||reviews.shop.svc";
const RATINGS: &str = "outbound|9080||ratings.shop.svc";
const DB: &str = "outbound|5432||db.shop.svc";

fn files() -> Vec<(&'static str, String)> {
    vec![
        (
            "reviews",
            service("reviews.shop.svc", "shop", 9080, "HTTP", &["240.0.0.1"], &["10.75.8.5", "10.75.8.6"]),
        ),
        ("ratings", service("ratings.shop.svc", "shop", 9080, "HTTP", &[], &["10.75.8.9"])),
        ("db", service("db.shop.svc", "shop", 5432, "TCP", &["240.0.0.7"], &["10.75.8.8"])),
    ]
}

fn app() -> Identity {
    Identity::new("app-1", "shop", "192.168.10.5,10.75.8.5")
        .with_planes(&[("oam", "192.168.10.5"), ("control", "10.75.8.5")])
}

async fn world() -> World {
    World::start(Settings::default(), &files()).await
}

async fn connected() -> (World, Client) {
    let world = world().await;
    let client = Client::connect(world.address(), &app()).await;
    (world, client)
}

async fn following() -> (World, Client) {
    let (world, mut client) = connected().await;
    client.follow_all().await;
    (world, client)
}

fn first(kind: &str, identity: &Identity) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { node: Some(identity.node()), ..request(kind) }
}

fn endpoints(client: &Client, name: &str) -> Vec<String> {
    let assignment: ClusterLoadAssignment = client.decode(EDS, name);
    let mut found = Vec::new();
    for endpoint in assignment.endpoints.iter().flat_map(|group| &group.lb_endpoints) {
        let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else { continue };
        let Some(Place::SocketAddress(socket)) = endpoint.address.as_ref().unwrap().address.as_ref() else {
            continue;
        };
        found.push(socket.address.clone());
    }
    found
}

fn chains(client: &Client) -> Vec<String> {
    let listener: Listener = client.decode(LDS, "virtualInbound");
    listener.filter_chains.iter().map(|chain| chain.name.clone()).collect()
}
