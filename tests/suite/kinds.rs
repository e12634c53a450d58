//! Each plane kind that this kernel has, through the plugin: packets pass, CHECK is clean, DEL leaves nothing. Kinds that it
//! lacks run in the microVM (`real_parts/kinds.rs`).

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use testbed::probe::{Server, tcp, udp};
use testbed::world::{Pod, World, command};

const PORT: u16 = 9080;

/// A configuration of one plane `p`, chained after nothing.
fn conf(world: &World, plane: Value) -> Value {
    let plane = testbed::world::laid_over(json!({"name": "p"}), plane);
    world.conf(json!({"planes": [plane], "default": ["p"]}))
}

fn address(pod: &Pod) -> IpAddr {
    pod.interfaces()["eth0"][0].split('/').next().unwrap().parse().unwrap()
}

fn reaches(from: &Pod, to: &Pod) -> bool {
    let to_address = address(to);
    let _server = Server::start(&to.netns, to_address, PORT);
    let at = SocketAddr::new(to_address, PORT);
    let by_tcp = tcp(&from.netns, at);
    assert_eq!(by_tcp, udp(&from.netns, at), "TCP and UDP agree");
    by_tcp.is_some_and(|source| source == address(from))
}

/// CHECK of what ADD made, then DEL of both, and nothing is left.
fn check_and_delete(world: &World, pods: &[&Pod], conf: &Value) {
    for pod in pods {
        let conf = testbed::world::laid_over(conf.clone(), json!({"prevResult": {"cniVersion": "1.1.0"}}));
        let answer = world.call("CHECK", &pod.environment(), &conf);
        assert_eq!(answer.status, Some(0), "CHECK: {}", answer.stdout);
    }
    for pod in pods {
        world.del(pod, conf);
        assert!(pod.interfaces().is_empty(), "{:?}", pod.interfaces());
    }
    let left = world.lasting(&[]);
    let nothing = World::new().lasting(&[]);
    let ours: Vec<String> =
        nothing.difference(&left).into_iter().filter(|line| line.contains("mp")).collect();
    assert_eq!(ours, Vec::<String>::new());
}

#[test]
fn pods_on_a_bridge_reach_each_other_and_isolated_ones_do_not() {
    for isolated in [false, true] {
        let world = World::new();
        let conf = conf(
            &world,
            json!({"kind": "bridge", "bridge": "mp-p", "isolated": isolated, "hairpin": true,
            "ipam": {"ranges": ["10.60.0.0/24"]}}),
        );
        let (one, two) = (world.pod(), world.pod());
        world.add(&one, &conf);
        world.add(&two, &conf);

        assert_eq!(reaches(&one, &two), !isolated, "isolated {isolated}");
        check_and_delete(&world, &[&one, &two], &conf);
    }
}

#[test]
fn a_bridge_that_is_the_gateway_answers_on_the_node_in_both_families() {
    let world = World::new();
    let conf = conf(
        &world,
        json!({"kind": "bridge", "bridge": "mp-p", "isGateway": true, "mtu": 1400,
        "ipam": {"ranges": [["10.60.0.0/24"], ["fd60::/64"]], "gateway": ["10.60.0.1", "fd60::1"]}}),
    );
    let pod = world.pod();

    world.add(&pod, &conf);

    for gateway in ["10.60.0.1", "fd60::1"] {
        let gateway: IpAddr = gateway.parse().unwrap();
        let _server = Server::start(&world.node, gateway, PORT);
        assert!(tcp(&pod.netns, SocketAddr::new(gateway, PORT)).is_some(), "{gateway}");
    }
    let link = &testbed::iproute::ip(&pod.netns, "link show eth0")[0];
    assert_eq!(link["mtu"], 1400);
    check_and_delete(&world, &[&pod], &conf);
}

#[test]
fn an_uplink_carries_a_bridge_plane_to_the_next_node() {
    let (one, two) = linked_worlds();
    let plane =
        |start| json!({"kind": "bridge", "bridge": "mp-p", "uplink": "wire", "ipam": addresses_from(start)});
    carries_pods_of_both(&one, &two, [plane(10), plane(100)]);
}

/// A share of the subnet that one of two nodes gives addresses from.
fn addresses_from(start: u8) -> Value {
    json!({"ranges": [[{"subnet": "10.60.0.0/24", "rangeStart": format!("10.60.0.{start}")}]], "scope": "node"})
}

/// A pod on each node, by the node's own form of the plane, and the one reaches the other.
fn carries_pods_of_both(one: &World, two: &World, planes: [Value; 2]) {
    let [conf_one, conf_two] =
        [(one, &planes[0]), (two, &planes[1])].map(|(world, plane)| conf(world, plane.clone()));
    let (pod, far) = (one.pod(), two.pod());
    one.add(&pod, &conf_one);
    two.add(&far, &conf_two);

    assert!(reaches(&pod, &far));
    check_and_delete(one, &[&pod], &conf_one);
    check_and_delete(two, &[&far], &conf_two);
}

#[test]
fn a_ptp_pod_reaches_its_node_and_another_pod_through_it() {
    let world = World::new();
    let conf =
        conf(&world, json!({"kind": "ptp", "ipam": {"ranges": ["10.60.0.0/24"], "gateway": "10.60.0.1"}}));
    let (one, two) = (world.pod(), world.pod());
    world.add(&one, &conf);
    world.add(&two, &conf);
    let gateway: IpAddr = [10, 60, 0, 1].into();
    let server = Server::start(&world.node, gateway, PORT);
    assert_eq!(tcp(&one.netns, SocketAddr::new(gateway, PORT)), Some(address(&one)));
    drop(server);

    // The plane's ends forward, as a pod has no other way to its neighbour; a node that forbids it is obeyed.
    assert!(reaches(&one, &two));
    command(&world.node, "sysctl", "-qw net.ipv4.ip_forward=1");
    command(&world.node, "sysctl", "-qw net.ipv4.ip_forward=0");
    assert!(!reaches(&one, &two));
    check_and_delete(&world, &[&one, &two], &conf);
}

#[test]
fn macvlan_children_reach_each_other_as_their_mode_says() {
    for (mode, together) in [("bridge", true), ("private", false), ("vepa", false)] {
        let world = World::new();
        world.on_node("link add wire type veth peer name far");
        world.on_node("link set wire up");
        world.on_node("link set far up");
        let conf = conf(
            &world,
            json!({"kind": "macvlan", "master": "wire", "mode": mode,
            "ipam": {"ranges": ["10.60.0.0/24"], "scope": "node"}}),
        );
        let (one, two) = (world.pod(), world.pod());
        world.add(&one, &conf);
        world.add(&two, &conf);

        assert_eq!(reaches(&one, &two), together, "{mode}");
        check_and_delete(&world, &[&one, &two], &conf);
    }
}

#[test]
fn a_vxlan_plane_carries_pods_of_two_nodes() {
    let (one, two) = linked_worlds();
    one.on_node("address add 192.0.2.1/24 dev wire");
    two.on_node("address add 192.0.2.2/24 dev wire");
    let plane = |local: &str, remote: &str, start: u8| {
        json!({"kind": "vxlan", "bridge": "mp-p", "vni": 42, "local": local, "remotes": [remote], "mtu": 1450,
            "ipam": addresses_from(start)})
    };
    let planes = [plane("192.0.2.1", "192.0.2.2", 10), plane("192.0.2.2", "192.0.2.1", 100)];
    carries_pods_of_both(&one, &two, planes);
}

#[test]
fn a_virtual_host_device_is_refused_unless_its_loss_is_meant_and_comes_back() {
    let world = World::new();
    world.on_node("link add spare type veth peer name other");
    let plane = |allow: bool| {
        json!({"kind": "host-device", "device": "spare", "allowLoss": allow,
        "ipam": {"ranges": ["10.60.0.0/24"], "scope": "node"}})
    };
    let pod = world.pod();

    let refused = world.call("ADD", &pod.environment(), &conf(&world, plane(false)));
    assert!(refused.status != Some(0) && refused.message().contains("allowLoss"), "{}", refused.message());
    let allowed = conf(&world, plane(true));
    world.add(&pod, &allowed);
    assert!(!testbed::iproute::links(&world.node).contains("spare"));
    check_and_delete(&world, &[&pod], &allowed);
    assert!(testbed::iproute::links(&world.node).contains("spare"));
}

#[test]
fn a_pod_keeps_its_derived_mac_and_gives_way_while_its_old_sandbox_has_it() {
    let world = World::new();
    world.on_node("link add wire type veth peer name far");
    world.on_node("link set wire up");
    let conf = conf(
        &world,
        json!({"kind": "macvlan", "master": "wire", "mac": "derived",
        "ipam": {"ranges": ["10.60.0.0/24"], "scope": "node"}}),
    );
    let mac = |pod: &Pod| testbed::iproute::ip(&pod.netns, "link show eth0")[0]["address"].clone();
    let of_one_name = |pod: &Pod| pod.environment().of_pod("web-0", "uid-web-0");
    let done = |verb: &str, pod: &Pod| drop(world.done(verb, &of_one_name(pod), &conf));
    let (first, second, third) = (world.pod(), world.pod(), world.pod());

    done("ADD", &first);
    done("ADD", &second);
    assert_ne!(mac(&first), mac(&second), "the old sandbox still has it");
    for pod in [&first, &second] {
        done("DEL", pod);
    }
    done("ADD", &first);
    let kept = mac(&first);
    done("DEL", &first);
    done("ADD", &third);
    assert_eq!(mac(&third), kept, "a restarted pod keeps its address");
}

/// Two nodes with a wire between them, `wire` on both.
fn linked_worlds() -> (World, World) {
    let (one, two) = (World::new(), World::new());
    let far = two.node.path_from_proc();
    one.on_node(&format!("link add wire type veth peer name wire netns {}", far.display()));
    one.on_node("link set wire up");
    two.on_node("link set wire up");
    (one, two)
}
