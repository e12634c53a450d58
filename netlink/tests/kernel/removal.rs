//! Removal takes what is ours, in whatever state a kill left it, and nothing else.

use netlink::interface::{configure, release};
use netlink::link::{create, ensure_fixtures, remove};
use planes::plan::{LinkPlan, MacvlanLink, MacvlanMode};

use crate::world::{World, addresses, bridge, ip, mark, name, plan, set_sysctl};

#[tokio::test]
async fn foreign_links_stay_whatever_they_are_called() {
    let world = World::with_pods(1).await;
    let pod = &world.pods[0];
    // The ADD of `net1` never got to its link, as another plugin had the name.
    ip(pod, "link add net1 type veth peer name other");
    let before = world.pod(0).await;
    let plans = [
        plan("net1", "mpone", LinkPlan::Bridge(bridge("br0"))),
        plan(
            "other",
            "unused",
            LinkPlan::Macvlan(MacvlanLink { master: name("card"), mode: MacvlanMode::Bridge }),
        ),
    ];

    let errors = remove(&world.host, Some(pod), mark(0), &plans, &[]).await;

    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(world.pod(0).await, before);
}

#[tokio::test]
async fn a_member_that_cannot_be_deleted_saves_none_of_the_others() {
    let world = World::with_pods(1).await;
    let before = world.pod(0).await;
    ip(&world.host, "link add card type veth peer name wire");
    let plans = [
        plan("net1", "mpone", LinkPlan::Bridge(bridge("br0"))),
        plan(
            "net2",
            "unused",
            LinkPlan::Macvlan(MacvlanLink { master: name("card"), mode: MacvlanMode::Bridge }),
        ),
    ];
    for plan in &plans {
        ensure_fixtures(&world.host, plan).await.unwrap();
        create(&world.host, &world.pods[0], mark(0), plan).await.unwrap();
    }
    // The kernel refuses to delete a group with `lo` in it, and deletes none of it.
    ip(&world.pods[0], &format!("link set lo group {}", mark(0).get()));

    let errors = remove(&world.host, Some(&world.pods[0]), mark(0), &plans, &[]).await;

    assert!(errors.is_empty(), "{errors:?}");
    ip(&world.pods[0], "link set lo group default");
    assert_eq!(world.pod(0).await, before);
}

#[tokio::test]
async fn a_pod_whose_ipv6_is_off_by_default_gets_its_planes_all_the_same() {
    let world = World::with_pods(1).await;
    set_sysctl(&world.pods[0], "ipv6/conf/default/disable_ipv6", "1");
    let before = world.pod(0).await;
    let plan = plan("net1", "mpone", LinkPlan::Bridge(bridge("br0")));

    let attached = world.attach(0, &plan, &addresses(&["10.1.0.2/24", "fd01::2/64"])).await;

    assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);
    world.detach(0, &[plan], &[&attached]).await;
    assert_eq!(world.pod(0).await, before);
}

#[tokio::test]
async fn a_failed_configuration_leaves_what_release_and_remove_take_whole() {
    let world = World::with_pods(1).await;
    let plan = plan("net1", "mpone", LinkPlan::Bridge(bridge("br0")));
    ensure_fixtures(&world.host, &plan).await.unwrap();
    let (node, pod) = (world.node().await, world.pod(0).await);
    let created = create(&world.host, &world.pods[0], mark(0), &plan).await.unwrap();

    // The same address twice: the second is refused when the first has long been followed by routes and rules.
    let twice = addresses(&["10.1.0.2/24", "10.1.0.2/24"]);
    let error = configure(&world.pods[0], &plan, created.index, &twice).await.unwrap_err();
    release(&world.pods[0], std::slice::from_ref(&plan), &[]).await.unwrap();
    let errors = remove(&world.host, Some(&world.pods[0]), mark(0), &[plan], &[]).await;

    assert!(error.is_exists() && error.to_string().starts_with("add address 10.1.0.2/24 to net1"), "{error}");
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!((world.node().await, world.pod(0).await), (node, pod));
}
