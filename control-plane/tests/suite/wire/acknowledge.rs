//! Taking and refusing answers.

use super::*;

#[tokio::test]
async fn what_was_refused_is_not_sent_again() {
    let (world, mut client) = connected().await;
    let answer = client.receive().await.unwrap();
    client.refuse(&answer, "do not like it").await;

    let before = client.fence(CDS, "fence").await;

    assert!(before.is_empty(), "no loop: {before:?}");
    assert_eq!(world.server.hub.metrics.refused(), 1);
}

#[tokio::test]
async fn what_was_refused_is_shown_with_its_reason() {
    let (world, mut client) = connected().await;
    let answer = client.receive().await.unwrap();
    client.refuse(&answer, "do not like it").await;
    client.fence(CDS, "fence").await;

    let proxies = world.server.hub.proxies();

    let rejected = &proxies[0].2.kinds.get(Kind::Cluster).rejected;
    assert!(rejected.iter().all(|(_, error)| error == "do not like it") && !rejected.is_empty());
}

#[tokio::test]
async fn what_was_refused_is_sent_when_it_changes() {
    let (world, mut client) = following().await;
    world.hand.put("db", &service("db.shop.svc", "shop", 5432, "TCP", &["240.0.0.7"], &["10.75.8.80"]));
    let answer = client.receive().await.unwrap();
    assert_eq!(answer.type_url, EDS);
    client.refuse(&answer, "bad").await;

    world.hand.put("db", &service("db.shop.svc", "shop", 5432, "TCP", &["240.0.0.7"], &["10.75.8.81"]));
    client.next(EDS).await;

    assert_eq!(endpoints(&client, DB), ["10.75.8.81"]);
    eventually("the refusal is forgotten", || {
        world.server.hub.proxies()[0].2.kinds.get(Kind::Endpoints).rejected.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_one_kind_does_not_hold_up_the_others() {
    let (_world, mut client) = connected().await;
    let answer = client.receive().await.unwrap();
    client.refuse(&answer, "bad").await;

    client.subscribe(LDS, &[]).await;
    client.next(LDS).await;

    assert!(client.has(LDS, "virtualInbound"));
}

#[tokio::test]
async fn a_second_answer_waits_for_the_first_acknowledgement() {
    let (world, mut client) = following().await;
    world.hand.put("db", &service("db.shop.svc", "shop", 5432, "TCP", &["240.0.0.7"], &["10.75.8.80"]));
    let unacknowledged = client.receive().await.unwrap();
    for last in 81..90 {
        let endpoint = format!("10.75.8.{last}");
        world.hand.put("db", &service("db.shop.svc", "shop", 5432, "TCP", &["240.0.0.7"], &[&endpoint]));
    }
    eventually("the last change is in force", || {
        world.server.hub.registry().at("10.75.8.89".parse().unwrap()).len() == 1
    })
    .await;

    client.acknowledge(&unacknowledged).await;
    let mut answers = 0;
    while endpoints(&client, DB) != ["10.75.8.89"] {
        assert_eq!(client.next(EDS).await.resources.len(), 1);
        answers += 1;
    }

    // One, or two if the acknowledgement overtook the last change; never one for each change.
    assert!(answers <= 2, "what lay between was not sent: {answers}");
}

#[tokio::test]
async fn an_acknowledgement_of_another_answer_changes_nothing() {
    let (_world, mut client) = connected().await;
    let answer = client.receive().await.unwrap();
    client.send(DeltaDiscoveryRequest { response_nonce: "no-such".to_owned(), ..request(CDS) }).await;

    client.acknowledge(&answer).await;
    let before = client.fence(CDS, "fence").await;

    assert!(before.is_empty(), "{before:?}");
}

#[tokio::test]
async fn an_acknowledgement_may_also_subscribe() {
    let (_world, mut client) = connected().await;
    client.next(CDS).await;
    client.subscribe(EDS, &[DB]).await;
    let answer = client.receive().await.unwrap();
    client
        .send(DeltaDiscoveryRequest {
            response_nonce: answer.nonce.clone(),
            resource_names_subscribe: vec![RATINGS.to_owned()],
            ..request(EDS)
        })
        .await;

    client.next(EDS).await;

    assert_eq!(client.names(EDS), [DB, RATINGS]);
}

#[tokio::test]
async fn nonces_are_never_used_twice() {
    let (_world, mut client) = connected().await;
    let mut seen = Vec::new();
    for kind in [CDS, LDS] {
        client.subscribe(kind, &[]).await;
        seen.push(client.next(kind).await.nonce);
    }
    client.subscribe(EDS, &[DB]).await;
    seen.push(client.next(EDS).await.nonce);

    seen.sort();
    seen.dedup();

    assert_eq!(seen.len(), 3);
}
