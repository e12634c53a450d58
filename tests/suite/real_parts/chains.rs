//! Chains run by libcni itself: cnitool through every verb, and behind the real Multus.

use std::path::PathBuf;
use std::process::Output;

use netlink::Netns;
use serde_json::{Value, json};
use testbed::iproute;
use testbed::plugin::{Environment, Plugin};
use testbed::real::{Cnitool, NodeRoot, multus, parts};
use testbed::world::command;

use super::telecom;

fn succeed(output: &Output) {
    assert!(output.status.success(), "{}{}", lossy(&output.stdout), lossy(&output.stderr));
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A pod as libcni's own tools name it, without Kubernetes around it.
fn kubernetes_args(uid: &str) -> String {
    format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=sip-0;K8S_POD_UID={uid}")
}

fn bootstrap(root: &NodeRoot, uid: &str) -> PathBuf {
    root.run().join("multiplane/pods").join(uid).join("envoy.json")
}

#[test]
fn cnitool_takes_the_deployed_conflist_through_every_verb() {
    let (node, pod) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let root = telecom::root(["bridge", "host-local"].map(|name| parts::peers().join(name)));
    root.configure("10-telecom.conflist", &telecom::conflist());
    let cnitool = Cnitool::new(&node, &root);
    let netns = pod.path_from_proc();
    let args = kubernetes_args("u-1");
    let run = |verb: &str| cnitool.run(verb, "telecom", &netns, &[("CNI_ARGS", &args)]);

    succeed(&run("status"));
    let add = run("add");
    succeed(&add);
    let result: Value = serde_json::from_slice(&add.stdout).unwrap();
    assert_eq!(
        result["ips"].as_array().unwrap().len(),
        1,
        "only the primary's address is reported: {result}"
    );
    for plane in telecom::PLANES {
        assert!(iproute::links(&pod).contains(plane), "{plane}");
    }
    assert!(bootstrap(&root, "u-1").exists());
    succeed(&run("check"));

    // A drift that only we can know of: CHECK names it.
    command(&pod, "ip", "link delete med0");
    let check = run("check");
    assert!(!check.status.success() && lossy(&check.stderr).contains("med0"), "{check:?}");

    succeed(&run("del"));
    succeed(&run("del"));
    assert_eq!(telecom::leftovers(&node, &root), Vec::<String>::new());
    let refused = run("gc");
    assert!(lossy(&refused.stderr).contains("valid-attachments"), "cnitool sends no list: {refused:?}");
    collect(&node, &root);
    assert!(
        !iproute::links(&node).iter().any(|name| name.starts_with("mp-")),
        "gc takes unused bridges along"
    );
}

#[test]
fn an_attachment_whose_del_never_came_is_collected() {
    let (node, pod) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let root = telecom::root(["bridge", "host-local"].map(|name| parts::peers().join(name)));
    root.configure("10-telecom.conflist", &telecom::conflist());
    let cnitool = Cnitool::new(&node, &root);
    let args = kubernetes_args("u-1");
    succeed(&cnitool.run("add", "telecom", &pod.path_from_proc(), &[("CNI_ARGS", &args)]));
    assert_ne!(telecom::leftovers(&node, &root), Vec::<String>::new());

    // The runtime forgot the pod, else libcni would begin its GC with a DEL. And cnitool sends no list of valid
    // attachments at all, which is not an empty one: nothing may be destroyed.
    std::fs::remove_dir_all(root.path().join("var-lib/cni/results")).unwrap();
    let refused = cnitool.run("gc", "telecom", &pod.path_from_proc(), &[]);
    assert!(lossy(&refused.stderr).contains("valid-attachments"), "{refused:?}");
    assert_ne!(telecom::leftovers(&node, &root), Vec::<String>::new());
    collect(&node, &root);

    assert_eq!(telecom::leftovers(&node, &root), Vec::<String>::new());
}

/// GC of our network with no valid attachment, as CRI-O calls it.
fn collect(node: &Netns, root: &NodeRoot) {
    let mut conf = telecom::conflist()["plugins"][1].clone();
    conf["cniVersion"] = json!("1.1.0");
    conf["name"] = json!("telecom");
    conf["cni.dev/valid-attachments"] = json!([]);
    Plugin::new(node, root).call("GC", &Environment::none(), &conf).success().unwrap();
}

#[test]
fn behind_the_real_multus_its_interfaces_are_adopted_and_ours_are_added() {
    let (node, pod) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let root = telecom::root([]);
    multus::install(&root);
    root.configure("10-telecom.conflist", &telecom::behind_multus(&root));
    let cnitool = Cnitool::new(&node, &root);
    let args = kubernetes_args("u-2");
    let run = |verb: &str| cnitool.run(verb, "telecom", &pod.path_from_proc(), &[("CNI_ARGS", &args)]);

    succeed(&run("add"));

    let written = std::fs::read_to_string(bootstrap(&root, "u-2")).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    let list = written["node"]["metadata"]["INSTANCE_IPS"].as_str().unwrap();
    let list: Vec<std::net::IpAddr> = list.split(',').map(|address| address.parse().unwrap()).collect();
    assert_eq!(list[0].to_string(), "10.244.0.2");
    assert!(list.contains(&"10.245.0.2".parse().unwrap()), "Multus' second interface is adopted: {list:?}");
    assert_eq!(list.into_iter().collect::<std::collections::BTreeSet<_>>(), iproute::addresses(&pod));

    succeed(&run("del"));
    assert_eq!(telecom::leftovers(&node, &root), Vec::<String>::new());
    assert!(iproute::links(&pod).is_empty(), "{:?}", iproute::links(&pod));
}

#[test]
fn multus_alone_writes_no_bootstrap() {
    let (node, pod) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let root = telecom::root([]);
    multus::install(&root);
    let mut conflist = telecom::behind_multus(&root);
    conflist["plugins"].as_array_mut().unwrap().pop();
    root.configure("10-telecom.conflist", &conflist);
    let args = kubernetes_args("u-3");

    let add = Cnitool::new(&node, &root).run("add", "telecom", &pod.path_from_proc(), &[("CNI_ARGS", &args)]);

    succeed(&add);
    assert!(iproute::links(&pod).contains("net1"));
    assert!(!bootstrap(&root, "u-3").exists());
}
