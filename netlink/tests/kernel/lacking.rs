//! Kinds that a kernel may lack: either they work, or the error says what is missing and nothing is left.

use netlink::link::{create, ensure_fixtures};
use planes::Vlan;
use planes::plan::{BridgeLink, IpvlanLink, IpvlanMode, LinkPlan, VlanLink};

use crate::world::{World, bridge, ip, mark, name, plan};

#[tokio::test]
async fn ipvlan_and_vlan_are_made_or_named_as_lacking() {
    let links = [
        LinkPlan::Ipvlan(IpvlanLink { master: name("card"), mode: IpvlanMode::L3s }),
        LinkPlan::Vlan(VlanLink { master: name("card"), vlan: Vlan::try_from(100).unwrap() }),
    ];
    for (link, feature) in links.into_iter().zip(["this kernel lacks ipvlan", "this kernel lacks 802.1Q"]) {
        let world = World::with_pods(1).await;
        ip(&world.host, "link add card type veth peer name wire");
        let pod = world.pod(0).await;

        match create(&world.host, &world.pods[0], mark(0), &plan("net1", "unused", link)).await {
            Ok(created) => assert_eq!(
                world.pods[0].link_by_name(&name("net1")).await.unwrap().unwrap().index,
                created.index
            ),
            Err(error) => {
                assert!(error.is_unsupported() && error.to_string().contains(feature), "{error}");
                assert_eq!(world.pod(0).await, pod);
            }
        }
    }
}

#[tokio::test]
async fn vlan_filtering_is_there_or_named_as_lacking() {
    let world = World::with_pods(1).await;
    let filtering = BridgeLink { vlan: Some(Vlan::try_from(100).unwrap()), ..bridge("mp-control") };
    let plan = plan("net1", "mpone", LinkPlan::Bridge(filtering));

    if let Err(error) = ensure_fixtures(&world.host, &plan).await {
        assert!(error.is_unsupported() && error.to_string().contains("bridge VLAN filtering"), "{error}");
        return;
    }
    create(&world.host, &world.pods[0], mark(0), &plan).await.unwrap();
}
