//! Step 8: the whole story once more in sandboxes of the real containerd, probed by the node as a kubelet would.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};
use testbed::iproute;
use testbed::real::containerd::{PodSpec, Sandbox};
use testbed::real::envoy::Options;
use testbed::real::poll::eventually;
use testbed::real::{Containerd, Envoy, http, parts};
use testbed::world::World;

use crate::real_parts::telecom;
use testbed::story::scene::{
    App, DISCOVERY, ON_FIRST, ON_SECOND, PORT, Serving, count, plane, register, start_control_plane, status,
};

/// We alone make the pods' networks: `signal` is what Kubernetes knows.
fn conflist() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "telecom", "plugins": [{
            "type": "multiplane", "planes": [plane("signal", &["192.168.10"]), plane("data", &["10.75.8"])],
            "primary": "signal", "default": ["data"], "proxy": {"pods": "all"},
            "bootstrap": {"discovery": DISCOVERY, "directory": "/run/multiplane/pods"},
        }],
    })
}

fn sandbox(containerd: &Containerd, name: &str) -> Sandbox {
    let pod = PodSpec { name: name.into(), uid: format!("uid-{name}"), ..PodSpec::default() };
    containerd.run(&pod).unwrap()
}

fn envoy(containerd: &Containerd, sandbox: &Sandbox, name: &str) -> Envoy {
    let file = containerd.root().run().join(format!("multiplane/pods/uid-{name}/envoy.json"));
    Envoy::start(&sandbox.netns, &file, &Options::default())
}

/// A kubelet's HTTP probe: the status, or `None` if nobody answers.
fn probe(world: &World, address: &str) -> Option<u16> {
    let at = SocketAddr::new(address.parse().unwrap(), 15021);
    http::get(&world.node, at, "/healthz/ready").ok().map(|answer| answer.status)
}

#[test]
fn in_sandboxes_of_containerd_the_story_is_the_same_and_the_nodes_probe_tells_whether_the_proxy_serves() {
    let world = World::new();
    let root = telecom::root([parts::debian_plugin("loopback")]);
    root.configure("10-telecom.conflist", &conflist());
    let containerd = Containerd::start(&world.node, root);
    let (a, b) = (sandbox(&containerd, "a"), sandbox(&containerd, "b"));
    assert_eq!(a.status.addresses, [ON_FIRST], "what Kubernetes knows");
    let own = [ON_FIRST, ON_SECOND].map(|address| address.parse().unwrap());
    assert_eq!(iproute::addresses(&a.netns), BTreeSet::from(own));
    let _app = App::start(&a.netns);
    let registry = world.path("registry");
    register(&registry, "a", "10.96.0.10", (PORT, "HTTP"), &[ON_SECOND]);

    // Proxies without a control plane know nothing, and the node is told so.
    let (of_a, of_b) = (envoy(&containerd, &a, "a"), envoy(&containerd, &b, "b"));
    assert_ne!(probe(&world, ON_FIRST), Some(200));

    // The silent failure: only the first address is looked at.
    let clients = [("signal", "192.168.10.9/24", ON_FIRST), ("data", "10.75.8.9/24", ON_SECOND)]
        .map(|(plane, own, address)| (world.neighbour(&format!("mp-{plane}"), &[own]).netns, address));
    let control_plane = start_control_plane(&world.node, &registry, Serving::FIRST);
    eventually("the node's probe is answered", || (probe(&world, ON_FIRST) == Some(200)).then_some(()));
    of_b.until_ready();
    let [_, (on_second, _)] = &clients;
    assert_eq!(status(on_second, ON_SECOND), Some(200));
    let unmatched = || count(&of_a, "unmatched.*downstream_cx_total");
    let inbound = || count(&of_a, "^http.inbound.*downstream_rq_total");
    assert_eq!((unmatched(), inbound()), (1, 0));

    // The cure: all of them are.
    drop(control_plane);
    let _control_plane = start_control_plane(&world.node, &registry, Serving::ALL);
    eventually("the second plane is matched", || {
        assert_eq!(status(on_second, ON_SECOND), Some(200));
        (inbound() >= 1).then_some(())
    });
    let of_service = || count(&of_a, "^http.inbound.*plane=data.*downstream_rq_total");
    let before = (unmatched() + inbound(), of_service());
    for (client, address) in &clients {
        assert_eq!(status(client, address), Some(200), "{address}");
    }
    assert_eq!((unmatched() + inbound(), of_service()), (before.0 + 2, before.1 + 1), "all by the proxy");
    assert_eq!(status(&b.netns, "10.96.0.10"), Some(200), "by its virtual address");
    assert!(count(&of_b, "^cluster.outbound.*upstream_rq_total") >= 1, "through the other pod's proxy");
    assert_eq!(
        count(&of_a, "^http.outbound.*downstream_rq_total"),
        0,
        "nothing goes outbound, nothing loops"
    );

    // The probe is for the address that Kubernetes knows, and for as long as the proxy lives.
    assert_eq!((probe(&world, ON_FIRST), probe(&world, ON_SECOND)), (Some(200), None));
    drop(of_a);
    assert_eq!(probe(&world, ON_FIRST), None);
    assert_eq!(status(on_second, ON_SECOND), None, "never past the proxy");

    drop(of_b);
    assert_ne!(
        telecom::leftovers(&world.node, containerd.root()),
        Vec::<String>::new(),
        "control: before DEL"
    );
    for sandbox in [&a, &b] {
        containerd.remove(&sandbox.id).unwrap();
    }
    assert_eq!(telecom::leftovers(&world.node, containerd.root()), Vec::<String>::new());
}
