//! VXLAN planes: two nodes, each with a bridge and a tunnel, and a pod on each.

use netlink::Net;
use netlink::link::{create, ensure_fixtures, remove_fixtures};
use planes::plan::{LinkPlan, VxlanLink, VxlanRemotes};
use planes::{PlannedAttachment, Vni};

use crate::world::{PATIENCE, SILENCE, World, addresses, bridge, ip, name, passes, plan};

fn tunnel(local: &str, remotes: VxlanRemotes) -> VxlanLink {
    VxlanLink {
        bridge: bridge("mp-media"),
        device: name("vx10"),
        vni: Vni::try_from(10).unwrap(),
        local: local.parse().unwrap(),
        remotes,
        port: 4789,
    }
}

fn unicast(local: &str, remote: &str) -> PlannedAttachment {
    plan(
        "med0",
        "mpone",
        LinkPlan::Vxlan(tunnel(local, VxlanRemotes::Unicast(vec![remote.parse().unwrap()]))),
    )
}

/// Two nodes on one wire, one pod each.
async fn two_nodes() -> [World; 2] {
    let (one, two) = (World::with_pods(1).await, World::with_pods(1).await);
    ip(&one.host, "link add eth0 type veth peer name far");
    ip(&one.host, &format!("link set far netns {}", two.host.netns().path_from_proc().display()));
    ip(&two.host, "link set far name eth0");
    let address = |host: &Net, last: u8| {
        ip(host, &format!("address add 192.0.2.{last}/24 dev eth0"));
        ip(host, &format!("address add 2001:db8::{last}/64 dev eth0 nodad"));
        ip(host, "link set eth0 up");
    };
    address(&one.host, 1);
    address(&two.host, 2);
    [one, two]
}

#[tokio::test]
async fn pods_of_two_nodes_reach_each_other_through_the_tunnel() {
    for (near, far) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        let [one, two] = two_nodes().await;
        let (node, pod) = (one.node().await, one.pod(0).await);
        let (mine, theirs) = (unicast(near, far), unicast(far, near));

        let attached = one.attach(0, &mine, &addresses(&["10.9.0.2/24"])).await;
        two.attach(0, &theirs, &addresses(&["10.9.0.3/24"])).await;

        assert!(passes(&one.pods[0], "10.9.0.2", &two.pods[0], "10.9.0.3", PATIENCE));
        assert_eq!(one.check(0, &mine, &attached).await, [""; 0]);
        let room = if near.contains(':') { 1430 } else { 1450 };
        assert_eq!(attached.attachment.mtu.get(), room, "the tunnel fits into 1500");

        one.detach(0, std::slice::from_ref(&mine), &[&attached]).await;
        remove_fixtures(&one.host, &mine).await.unwrap();
        assert_eq!((one.node().await, one.pod(0).await), (node, pod));
    }
}

#[tokio::test]
async fn without_the_remote_nothing_passes() {
    let [one, two] = two_nodes().await;
    let nobody = tunnel("192.0.2.1", VxlanRemotes::Unicast(Vec::new()));
    one.attach(0, &plan("med0", "mpone", LinkPlan::Vxlan(nobody)), &addresses(&["10.9.0.2/24"])).await;
    two.attach(0, &unicast("192.0.2.2", "192.0.2.9"), &addresses(&["10.9.0.3/24"])).await;

    assert!(!passes(&one.pods[0], "10.9.0.2", &two.pods[0], "10.9.0.3", SILENCE));
}

#[tokio::test]
async fn a_group_floods_to_all_nodes() {
    let [one, two] = two_nodes().await;
    let group = || VxlanRemotes::Group { address: "239.1.1.1".parse().unwrap(), interface: name("eth0") };
    let joined = |local: &str| plan("med0", "mpone", LinkPlan::Vxlan(tunnel(local, group())));

    one.attach(0, &joined("192.0.2.1"), &addresses(&["10.9.0.2/24"])).await;
    two.attach(0, &joined("192.0.2.2"), &addresses(&["10.9.0.3/24"])).await;

    assert!(passes(&one.pods[0], "10.9.0.2", &two.pods[0], "10.9.0.3", PATIENCE));
}

#[tokio::test]
async fn another_tunnel_of_that_name_is_refused_and_a_lost_one_is_named() {
    let [one, _] = two_nodes().await;
    let mine = unicast("192.0.2.1", "192.0.2.2");
    let attached = one.attach(0, &mine, &addresses(&["10.9.0.2/24"])).await;
    ensure_fixtures(&one.host, &mine).await.unwrap();

    let mut other = tunnel("192.0.2.1", VxlanRemotes::Unicast(Vec::new()));
    other.vni = Vni::try_from(11).unwrap();
    let other = plan("med1", "mptwo", LinkPlan::Vxlan(other));
    let refused = ensure_fixtures(&one.host, &other).await.unwrap_err().to_string();
    ip(&one.host, "link set vx10 master mp-media");
    let forget = || {
        std::process::Command::new("bridge")
            .args("fdb del 00:00:00:00:00:00 dev vx10 dst 192.0.2.2".split(' '))
            .status()
    };
    assert!(one.host.netns().run(forget).unwrap().unwrap().success());
    let deaf = one.check(0, &mine, &attached).await;
    ensure_fixtures(&one.host, &mine).await.unwrap();
    ip(&one.host, "link set vx10 nomaster");
    let loose = one.check(0, &mine, &attached).await;
    ip(&one.host, "link del vx10");
    let lost = one.check(0, &mine, &attached).await;

    assert!(refused.starts_with("vxlan device \"vx10\": exists with another"), "{refused}");
    assert_eq!(deaf, ["remote 192.0.2.2 of vx10 is gone"]);
    assert_eq!(loose, ["vxlan device vx10 is no port of its bridge"]);
    assert_eq!(lost, ["vxlan device vx10 is gone"]);
    let missing = create(&one.host, &one.pods[0], crate::world::mark(0), &other).await;
    assert!(missing.is_ok(), "the bridge alone is needed for the pod's link");
}
