//! The job this project exists for: a sandbox of a real containerd, with a primary interface of the reference
//! bridge, gets three more planes; a real Envoy started from the written file reports every address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use netlink::Netns;
use serde_json::{Value, json};
use testbed::iproute;
use testbed::real::containerd::{PodSpec, Sandbox};
use testbed::real::envoy::{Options, validate};
use testbed::real::{Containerd, Envoy, multus, parts};

use super::telecom;

/// A node whose containerd runs `conflist`.
fn start(node: &Netns, conflist: &Value) -> Containerd {
    let root = telecom::root(["bridge", "host-local", "loopback"].map(parts::debian_plugin));
    root.configure("10-telecom.conflist", conflist);
    Containerd::start(node, root)
}

fn pod(annotations: &[(&str, &str)]) -> PodSpec {
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    PodSpec {
        name: "sip-0".into(),
        uid: "6f2b1e1c-0001".into(),
        annotations: annotations.collect::<HashMap<_, _>>(),
        ..PodSpec::default()
    }
}

fn bootstrap(containerd: &Containerd) -> PathBuf {
    containerd.root().run().join("multiplane/pods/6f2b1e1c-0001/envoy.json")
}

fn envoy(sandbox: &Sandbox, bootstrap: &Path) -> Envoy {
    validate(bootstrap).unwrap();
    Envoy::start(&sandbox.netns, bootstrap, &Options::default())
}

fn as_set(addresses: Vec<IpAddr>) -> BTreeSet<IpAddr> {
    addresses.into_iter().collect()
}

#[test]
fn a_containerd_sandbox_gets_three_planes_and_envoy_reports_every_address() {
    let node = Netns::anonymous().unwrap();
    let containerd = start(&node, &telecom::conflist());

    let sandbox = containerd.run(&pod(&[("multiplane.dev/proxy", "enabled")])).unwrap();

    // Kubernetes keeps the primary's address, and the pod has the planes.
    assert_eq!(sandbox.status.addresses, ["10.244.0.2"]);
    let names: BTreeSet<_> = ["eth0"].iter().chain(&telecom::PLANES).map(|name| (*name).to_owned()).collect();
    assert_eq!(iproute::links(&sandbox.netns), names);
    let kernel = iproute::addresses(&sandbox.netns);
    assert_eq!(kernel.len(), 5, "{kernel:?}"); // media has both families
    let envoy = envoy(&sandbox, &bootstrap(&containerd));
    let reported = telecom::reported(&envoy);
    assert_eq!(reported[0].to_string(), "10.244.0.2", "the primary comes first");
    assert_eq!(as_set(reported), kernel);

    drop(envoy);
    containerd.remove(&sandbox.id).unwrap();

    assert_eq!(telecom::leftovers(&node, containerd.root()), Vec::<String>::new());
}

#[test]
fn without_us_in_the_chain_there_are_no_planes_and_no_bootstrap() {
    let node = Netns::anonymous().unwrap();
    let mut conflist = telecom::conflist();
    conflist["plugins"].as_array_mut().unwrap().pop();
    let containerd = start(&node, &conflist);

    let sandbox = containerd.run(&pod(&[("multiplane.dev/proxy", "enabled")])).unwrap();

    assert_eq!(iproute::links(&sandbox.netns), BTreeSet::from(["eth0".to_owned()]));
    assert!(!bootstrap(&containerd).exists());
}

#[test]
fn a_bootstrap_with_one_address_is_seen_to_lack_the_others() {
    let node = Netns::anonymous().unwrap();
    let containerd = start(&node, &telecom::conflist());
    let sandbox = containerd.run(&pod(&[("multiplane.dev/proxy", "enabled")])).unwrap();
    let mut written: Value =
        serde_json::from_str(&std::fs::read_to_string(bootstrap(&containerd)).unwrap()).unwrap();

    written["node"]["metadata"]["INSTANCE_IPS"] = json!("10.244.0.2");
    let edited = containerd.root().path().join("one-address.json");
    std::fs::write(&edited, written.to_string()).unwrap();
    let envoy = envoy(&sandbox, &edited);

    assert_ne!(as_set(telecom::reported(&envoy)), iproute::addresses(&sandbox.netns));
}

#[test]
fn behind_multus_under_containerd_a_pod_chooses_its_planes_by_annotation() {
    let node = Netns::anonymous().unwrap();
    let root = telecom::root([]);
    multus::install(&root);
    root.configure("10-telecom.conflist", &telecom::behind_multus(&root));
    let containerd = Containerd::start(&node, root);
    let annotations = [("multiplane.dev/proxy", "enabled"), ("multiplane.dev/planes", "media@m0,control")];

    let sandbox = containerd.run(&pod(&annotations)).unwrap();

    let names = ["eth0", "net1", "m0", "ctl0"].map(str::to_owned);
    assert_eq!(iproute::links(&sandbox.netns), BTreeSet::from(names), "oam was not asked for");
    let envoy = envoy(&sandbox, &bootstrap(&containerd));
    let reported = telecom::reported(&envoy);
    assert_eq!(reported[0].to_string(), sandbox.status.addresses[0]);
    assert_eq!(as_set(reported), iproute::addresses(&sandbox.netns));
    drop(envoy);
    containerd.remove(&sandbox.id).unwrap();
    assert_eq!(telecom::leftovers(&node, containerd.root()), Vec::<String>::new());
}

#[test]
fn a_refused_annotation_is_one_line_that_says_what_to_do_and_leaves_nothing() {
    let node = Netns::anonymous().unwrap();
    let containerd = start(&node, &telecom::conflist());

    let refusal = containerd.run(&pod(&[("multiplane.dev/planes", "control,nowhere")])).unwrap_err();

    // This is the pod's event as kubectl describe shows it.
    let event = refusal.message();
    assert!(event.contains(r#"plugin type="multiplane" failed (add): "#), "{event}");
    for part in ["multiplane.dev/planes", "nowhere", "control"] {
        assert!(event.contains(part), "{part} is not in: {event}");
    }
    assert!(!event.contains('\n'), "{event}");
    for id in containerd.cri().list_pod_sandboxes().unwrap() {
        containerd.remove(&id).unwrap();
    }
    assert_eq!(telecom::leftovers(&node, containerd.root()), Vec::<String>::new());
}

#[test]
fn a_late_del_of_the_dead_sandbox_leaves_the_living_pod_alone() {
    let node = Netns::anonymous().unwrap();
    let containerd = start(&node, &telecom::conflist());
    let annotations = [("multiplane.dev/proxy", "enabled")];
    let dead = containerd.run(&pod(&annotations)).unwrap();

    // kubelet makes the next sandbox of the same pod before the last DEL of the old one.
    let living = containerd.run(&PodSpec { attempt: 1, ..pod(&annotations) }).unwrap();
    let before = (iproute::links(&living.netns), std::fs::read_to_string(bootstrap(&containerd)).unwrap());
    containerd.remove(&dead.id).unwrap();

    let after = (iproute::links(&living.netns), std::fs::read_to_string(bootstrap(&containerd)).unwrap());
    assert_eq!(before, after);
    let envoy = envoy(&living, &bootstrap(&containerd));
    assert_eq!(as_set(telecom::reported(&envoy)), iproute::addresses(&living.netns));
}
