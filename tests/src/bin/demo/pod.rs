//! The demo's world: a node, a pod, and the built binary between them, called as a runtime would call it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use netlink::Netns;
use serde_json::{Value, json};
use testbed::real::{NodeRoot, parts};
use testbed::{binary, iproute};

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
            let _ = iproute::ip(netns, "link set lo up");
        }
        pod
    }

    pub(crate) fn netns(&self) -> &Netns {
        &self.pod
    }

    /// The verb ADD; returns how long it took.
    pub(crate) fn add(&self) -> Result<Duration, String> {
        let begin = Instant::now();
        self.call("ADD", &configuration()).map(|_| begin.elapsed())
    }

    /// DEL, and GC with no valid attachment.
    pub(crate) fn remove(&self) -> Result<(), String> {
        self.call("DEL", &configuration())?;
        let mut conf = configuration();
        conf["cni.dev/valid-attachments"] = json!([]);
        self.call("GC", &conf).map(drop)
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
    pub(crate) fn everything(&self) -> Vec<(String, Value)> {
        let of = |place: &'static str, netns: &Netns| {
            iproute::everything(netns)
                .into_iter()
                .map(move |(view, value)| (format!("{place}: {view}"), value))
        };
        of("node", &self.node).chain(of("pod", &self.pod)).collect()
    }

    /// Which of these views are as they were.
    pub(crate) fn compare(&self, before: &[(String, Value)]) -> Vec<(String, bool)> {
        let after = self.everything();
        before
            .iter()
            .zip(after)
            .map(|((name, old), (_, new))| (format!("{name}: as before"), *old == new))
            .collect()
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

    fn call(&self, verb: &str, conf: &Value) -> Result<Output, String> {
        let output = self.spawn(verb, conf).map_err(|error| format!("start multiplane: {error}"))?;
        if output.status.success() {
            return Ok(output);
        }
        Err(format!(
            "{verb}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    fn spawn(&self, verb: &str, conf: &Value) -> std::io::Result<Output> {
        let mut command = self.root.command(&binary::path("multiplane"));
        command.env("CNI_COMMAND", verb).env("CNI_PATH", self.root.plugins());
        if verb != "GC" {
            command
                .env("CNI_CONTAINERID", "demo")
                .env("CNI_IFNAME", "eth0")
                .env("CNI_NETNS", self.pod.path_from_proc());
            let args =
                format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=demo-0;K8S_POD_UID={UID}");
            command.env("CNI_ARGS", args);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.node.run(|| command.spawn()).map_err(std::io::Error::other)??;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(conf.to_string().as_bytes())?;
        }
        child.wait_with_output()
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
