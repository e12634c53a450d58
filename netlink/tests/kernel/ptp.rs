//! Point-to-point planes.

use netlink::interface::configure;
use netlink::link::create;
use planes::plan::LinkPlan;

use crate::world::{PATIENCE, World, addresses, behind, ip, mark, passes, plan};

#[tokio::test]
async fn pods_reach_the_node_and_each_other_through_it() {
    let world = World::with_pods(2).await;
    let (node, pod) = (world.node().await, world.pod(0).await);
    let (mine, other) = (plan("ptp0", "mpone", LinkPlan::Ptp), plan("ptp0", "mptwo", LinkPlan::Ptp));
    let own = [behind("10.2.0.2/24", "10.2.0.1"), behind("fd02::2/64", "fd02::1")];

    let attached = world.attach(0, &mine, &own).await;
    let second =
        world.attach(1, &other, &[behind("10.2.0.3/24", "10.2.0.1"), behind("fd02::3/64", "fd02::1")]).await;

    assert!(passes(&world.pods[0], "10.2.0.2", &world.host, "10.2.0.1", PATIENCE));
    assert!(passes(&world.pods[0], "fd02::2", &world.host, "fd02::1", PATIENCE));
    assert!(passes(&world.pods[0], "10.2.0.2", &world.pods[1], "10.2.0.3", PATIENCE));
    assert_eq!(world.check(0, &mine, &attached).await, [""; 0]);
    ip(&world.host, "route del 10.2.0.2/32 dev mpone");
    assert_eq!(world.check(0, &mine, &attached).await, ["route to 10.2.0.2 by mpone on the node is gone"]);

    ip(&world.host, "address del fd02::1/128 dev mpone");
    let drift = world.check(0, &mine, &attached).await;
    assert_eq!(drift, ["route to 10.2.0.2 by mpone on the node is gone", "gateway fd02::1 on mpone is gone"]);

    world.detach(0, &[mine], &[&attached]).await;
    world.detach(1, &[other], &[&second]).await;
    assert_eq!((world.node().await, world.pod(0).await), (node, pod));
}

#[tokio::test]
async fn an_address_without_a_gateway_is_refused() {
    let world = World::with_pods(1).await;
    let plan = plan("ptp0", "mpone", LinkPlan::Ptp);
    let created = create(&world.host, &world.pods[0], mark(0), &plan).await.unwrap();

    let refused =
        configure(&world.pods[0], &plan, created.index, &addresses(&["10.2.0.2/24"])).await.unwrap_err();

    assert!(
        refused.to_string().contains("address 10.2.0.2/24 of ptp plane ptp0: has no gateway"),
        "{refused}"
    );
}
