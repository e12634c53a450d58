//! The peers themselves, without us: if one of these fails, look at the set-up and not at the plugin.

use netlink::Netns;
use serde_json::json;
use testbed::real::containerd::PodSpec;
use testbed::real::envoy::{Options, PROXY_UID, validate};
use testbed::real::{Cnitool, Containerd, Envoy, NodeRoot, multus, parts};
use testbed::world::command;

fn primary() -> serde_json::Value {
    json!({"type": "bridge", "bridge": "cni0", "isGateway": true,
           "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]]}})
}

#[test]
fn containerd_makes_a_sandbox_on_the_reference_bridge_and_nothing_on_this_machine() {
    let node = Netns::anonymous().unwrap();
    let root = NodeRoot::new();
    for plugin in ["bridge", "host-local", "loopback"] {
        root.install(&parts::debian_plugin(plugin));
    }
    root.configure("10-net.conflist", &json!({"cniVersion": "1.0.0", "name": "n", "plugins": [primary()]}));
    let containerd = Containerd::start(&node, root);

    let pod = PodSpec { name: "p1".into(), uid: "u-1".into(), ..PodSpec::default() };
    let sandbox = containerd.run(&pod).unwrap();

    assert_eq!(sandbox.status.addresses, ["10.244.0.2"]);
    assert!(sandbox.status.info["pid"].as_u64().is_some_and(|pid| pid > 0));
    let names = sandbox.netns.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    assert!(names.contains("eth0:"), "{names}");
    assert!(!std::fs::read_to_string("/proc/self/net/dev").unwrap().contains("cni0:"));
    containerd.remove(&sandbox.id).unwrap();
    assert_eq!(containerd.cri().list_pod_sandboxes().unwrap(), Vec::<String>::new());
}

#[test]
fn envoy_runs_as_the_proxy_user_and_ends_with_its_value() {
    let netns = Netns::anonymous().unwrap();
    command(&netns, "ip", "link set lo up");
    let root = NodeRoot::new();
    let file = root.path().join("envoy.json");
    let bootstrap = json!({"node": {"id": "a", "cluster": "b", "metadata": {"k": "v"}},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}}});
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    validate(&file).unwrap();

    let envoy = Envoy::start(&netns, &file, &Options { open_files: Some(1024), ..Options::default() });

    assert_eq!(envoy.server_info()["node"]["metadata"]["k"], "v");
    assert!(envoy.stats("server.live").contains(&("server.live".into(), 1)));
    let pid = envoy.process().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{PROXY_UID}\t{PROXY_UID}")), "{status}");
    assert!(envoy.open_files() > 3);
    drop(envoy);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    std::fs::write(&file, "{\"nod\": {}}").unwrap();
    assert!(validate(&file).unwrap_err().contains("nod"));
}

#[test]
fn multus_attaches_its_delegates_without_an_api_server() {
    let node = Netns::anonymous().unwrap();
    let pod = Netns::anonymous().unwrap();
    let root = NodeRoot::new();
    multus::install(&root);
    let second = json!({"cniVersion": "1.0.0", "name": "second", "type": "bridge", "bridge": "second0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.245.0.0/24"}]]}});
    let mut first = primary();
    first["name"] = "first".into();
    first["cniVersion"] = "1.0.0".into();
    let conflist =
        json!({"cniVersion": "1.0.0", "name": "m", "plugins": [multus::entry(&root, &[first, second])]});
    root.configure("10-multus.conflist", &conflist);
    let cnitool = Cnitool::new(&node, &root);

    let netns = pod.path_from_proc();
    let add = cnitool.run("add", "m", &netns, &[]);

    assert!(add.status.success(), "{add:?}");
    let names = pod.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    assert!(names.contains("eth0:") && names.contains("net1:"), "{names}");
    let del = cnitool.run("del", "m", &netns, &[]);
    assert!(del.status.success(), "{del:?}");
}
