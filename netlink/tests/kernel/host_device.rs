//! Host-device planes, on a veth as the stand-in for a card: a virtual device, so `allow_loss` is set.

use netlink::link::{create, remove};
use planes::plan::{DeviceSelector, HostDeviceLink, LinkPlan, MacPlan};
use planes::{Mtu, PlannedAttachment};

use crate::world::{PATIENCE, World, addresses, ip, mark, name, passes, plan};

fn device(selector: DeviceSelector) -> PlannedAttachment {
    let link = LinkPlan::HostDevice(HostDeviceLink { device: selector, allow_loss: true });
    plan("net1", "unused", link)
}

/// A node with a card that is in use: up, addressed, with its own MTU.
async fn world_with_card() -> World {
    let world = World::with_pods(2).await;
    ip(&world.host, "link add card address 02:00:00:00:00:17 mtu 1400 type veth peer name wire");
    ip(&world.host, "address add 192.0.2.7/24 dev card");
    ip(&world.host, "address add 2001:db8::7/64 dev card nodad");
    ip(&world.host, "link set card up");
    ip(&world.host, &format!("link set wire netns {}", world.pods[1].netns().path_from_proc().display()));
    ip(&world.pods[1], "address add 10.8.0.9/24 dev wire");
    ip(&world.pods[1], "link set wire up");
    world
}

#[tokio::test]
async fn a_device_moves_in_and_comes_back_as_it_was() {
    let world = world_with_card().await;
    let (node, pod) = (world.node().await, world.pod(0).await);
    let mac = "02:00:00:00:00:17".parse().unwrap();
    for selector in [DeviceSelector::Name(name("card")), DeviceSelector::Mac(mac)] {
        let mut plan = device(selector);
        plan.mac = MacPlan::Fixed("02:00:00:00:00:42".parse().unwrap());
        plan.mtu = Some(Mtu::try_from(1300).unwrap());

        let attached = world.attach(0, &plan, &addresses(&["10.8.0.2/24"])).await;

        assert!(passes(&world.pods[0], "10.8.0.2", &world.pods[1], "10.8.0.9", PATIENCE));
        assert!(world.host.link_by_name(&name("card")).await.unwrap().is_none());
        assert_eq!(attached.attachment.mac.unwrap().to_string(), "02:00:00:00:00:42");
        assert_eq!(attached.attachment.host_side.as_ref().unwrap().ifname, name("card"));
        assert_eq!(world.check(0, &plan, &attached).await, [""; 0]);

        world.detach(0, &[plan], &[&attached]).await;
        assert_eq!((world.node().await, world.pod(0).await), (node.clone(), pod.clone()));
    }
}

#[tokio::test]
async fn a_device_that_the_kernel_put_back_gets_its_old_name_again() {
    let world = world_with_card().await;
    let node = world.node().await;
    let plan = device(DeviceSelector::Name(name("card")));
    let attached = world.attach(0, &plan, &addresses(&["10.8.0.2/24"])).await;
    // A card comes back under the pod's name when its namespace dies; a veth has to be carried.
    let home = world.host.netns().path_from_proc();
    ip(&world.pods[0], &format!("link set net1 netns {}", home.display()));
    ip(&world.host, "link set net1 name dev7");

    for _ in 0..2 {
        let errors = remove(&world.host, None, mark(0), std::slice::from_ref(&plan), &attached.homes).await;
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(world.node().await, node);
    }
}

#[tokio::test]
async fn another_attachments_device_is_left_alone() {
    let world = world_with_card().await;
    let plan = device(DeviceSelector::Name(name("card")));
    world.attach(0, &plan, &addresses(&["10.8.0.2/24"])).await;
    let (node, pod) = (world.node().await, world.pod(0).await);

    let late = remove(&world.host, Some(&world.pods[0]), mark(7), std::slice::from_ref(&plan), &[]).await;

    assert!(late.is_empty(), "{late:?}");
    assert_eq!((world.node().await, world.pod(0).await), (node, pod));
}

#[tokio::test]
async fn without_a_record_the_device_comes_back_under_its_name_and_with_nothing_that_a_pod_could_have_written()
 {
    let world = world_with_card().await;
    let plan = device(DeviceSelector::Name(name("card")));
    world.attach(0, &plan, &addresses(&["10.8.0.2/24"])).await;
    // A pod with CAP_NET_ADMIN renames it, and rewrites what the alias says of its name.
    let pod = &world.pods[0];
    ip(pod, "link set net1 down");
    ip(pod, "link set net1 name mine");
    let alias = format!("multiplane:{:x} evil", mark(0).get());
    let rewrite = || std::process::Command::new("ip").args(["link", "set", "mine", "alias", &alias]).status();
    assert!(pod.netns().run(rewrite).unwrap().unwrap().success());

    let errors = remove(&world.host, Some(pod), mark(0), std::slice::from_ref(&plan), &[]).await;

    assert!(errors.is_empty(), "{errors:?}");
    let card = world.host.link_by_name(&name("card")).await.unwrap().unwrap();
    assert!(!card.is_up && card.alias.is_none());
    assert!(world.host.link_by_name(&name("evil")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_device_that_the_pod_renamed_is_found_by_its_mark() {
    let world = world_with_card().await;
    let node = world.node().await;
    let plan = device(DeviceSelector::Name(name("card")));
    let attached = world.attach(0, &plan, &addresses(&["10.8.0.2/24"])).await;
    ip(&world.pods[0], "link set net1 down");
    ip(&world.pods[0], "link set net1 name mine");

    world.detach(0, &[plan], &[&attached]).await;

    assert_eq!(world.node().await, node);
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_and_left_as_it_was() {
    let world = world_with_card().await;
    ip(&world.host, "link add br0 type bridge");
    ip(&world.host, "link add port type veth peer name cable");
    ip(&world.host, "link set port master br0");
    let careful = |text: &str| {
        let link = HostDeviceLink { device: DeviceSelector::Name(name(text)), allow_loss: false };
        plan("net1", "unused", LinkPlan::HostDevice(link))
    };
    let node = world.node().await;
    let cases = [
        (careful("card"), "device \"card\": is a virtual device (veth) and dies with the pod's namespace"),
        (device(DeviceSelector::Name(name("lo"))), "device \"lo\": the loopback device cannot be moved"),
        (device(DeviceSelector::Name(name("port"))), "device \"port\": is a port of a bridge or bond"),
        (device(DeviceSelector::Name(name("none"))), "device \"none\": no such device on this node"),
        (device(DeviceSelector::Pci("0000:ff:1f.7".to_owned())), "pciBusID \"0000:ff:1f.7\": no such device"),
        (device(DeviceSelector::Pci("../../x".to_owned())), "pciBusID \"../../x\": write it as 0000:3b:00.1"),
    ];
    for (plan, expected) in cases {
        let error = create(&world.host, &world.pods[0], mark(0), &plan).await.unwrap_err().to_string();

        assert!(error.starts_with(expected), "{error:?} does not start with {expected:?}");
        assert_eq!(world.node().await, node);
    }
}

#[tokio::test]
async fn a_name_that_is_taken_in_the_pod_keeps_the_device_at_home() {
    let world = world_with_card().await;
    ip(&world.pods[0], "link add net1 type veth peer name other");
    let (node, plan) = (world.node().await, device(DeviceSelector::Name(name("card"))));

    let error = create(&world.host, &world.pods[0], mark(0), &plan).await.unwrap_err();

    assert!(error.to_string().contains("exists in the pod already"), "{error}");
    assert_eq!(world.node().await, node);
}
