//! The demo's world: a node, a pod, and the built binary between them, called as a runtime would call it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use netlink::Netns;
use serde_json::{Value, json};
use testbed::iproute;
use testbed::plugin::{Answer, Environment, Plugin};
use testbed::real::{NodeRoot, parts};
use testbed::world::command;

/// The pod's UID, under which its bootstrap lies.
const UID: &str = "00000000-demo";

/// A node with one pod.
pub(crate) struct Pod {
    node: Netns,
    pod: Netns,
    root: NodeRoot,
}

impl Pod {
    pub(crate) fn new() -> Self {
        let anonymous = || Netns::anonymous().expect("make a network namespace; are you root?");
        let pod = Self { node: anonymous(), pod: anonymous(), root: NodeRoot::new() };
        // The runtime's part, as CNI has it: `lo` is up before a container starts.
        for netns in [&pod.node, &pod.pod] {
            command(netns, "ip", "link set lo up");
        }
        pod
    }

    pub(crate) fn netns(&self) -> &Netns {
        &self.pod
    }

    /// The verb ADD; returns how long it took.
    pub(crate) fn add(&self) -> Result<Duration, String> {
        self.call("ADD", &self.environment(), &configuration()).map(|answer| answer.duration)
    }

    /// DEL, and GC with no valid attachment.
    pub(crate) fn remove(&self) -> Result<(), String> {
        self.call("DEL", &self.environment(), &configuration())?;
        let mut conf = configuration();
        conf["cni.dev/valid-attachments"] = json!([]);
        self.call("GC", &Environment::none(), &conf).map(drop)
    }

    pub(crate) fn bootstrap_path(&self) -> PathBuf {
        self.root.run().join("multiplane/pods").join(UID).join("envoy.json")
    }

    pub(crate) fn bootstrap(&self) -> Result<Value, String> {
        let path = self.bootstrap_path();
        let text = std::fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("parse {}: {error}", path.display()))
    }

    /// Everything the kernel has on the node and in the pod.
    pub(crate) fn everything(&self) -> [Vec<(&'static str, Value)>; 2] {
        [iproute::everything(&self.node), iproute::everything(&self.pod)]
    }

    /// The files that our state folders still hold, apart from locks.
    pub(crate) fn files(&self) -> String {
        let output = Command::new("find")
            .arg(self.root.run())
            .args(["!", "-type", "d", "!", "-name", "*lock*", "!", "-name", "last.*"])
            .output();
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    fn call(&self, verb: &str, environment: &Environment, conf: &Value) -> Result<Answer, String> {
        let answer = Plugin::new(&self.node, &self.root).call(verb, environment, conf);
        answer.success().map_err(|said| format!("{verb}: {said}"))
    }

    fn environment(&self) -> Environment {
        Environment::of("demo", &self.pod.path_from_proc()).of_pod("demo-0", UID)
    }
}

/// The plugin's entry of the conflist that README tells people to copy, standing alone: it makes the primary too.
fn configuration() -> Value {
    let path = parts::workspace().join("deploy/10-telecom.conflist");
    let text = std::fs::read(path).expect("the repository has deploy/10-telecom.conflist");
    let conflist: Value = serde_json::from_slice(&text).expect("the conflist is JSON");
    let mut conf = conflist["plugins"][1].clone();
    conf["cniVersion"] = json!("1.1.0");
    conf["name"] = conflist["name"].clone();
    conf["primary"] = json!("pod");
    conf["always"] = json!(["pod"]);
    conf["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": {"multiplane.dev/proxy": "enabled"}});
    if let Some(planes) = conf["planes"].as_array_mut() {
        planes.insert(
            0,
            json!({"name": "pod", "kind": "bridge", "bridge": "mp-pod",
            "ipam": {"ranges": [["10.244.0.0/24"]], "gateway": "10.244.0.1"}}),
        );
    }
    conf
}
