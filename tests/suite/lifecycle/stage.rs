//! A node with pods, and everything about them that an ADD may change.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use netlink::Netns;
use serde_json::{Value, json};
use testbed::plugin::{Answer, Environment, Plugin};
use testbed::real::{NodeRoot, parts};
use testbed::world::snapshot;

pub(super) const STATE: &str = "multiplane/networks/telecom";

/// A node: a namespace, and folders of its own.
pub(super) struct Stage {
    pub(super) node: Netns,
    pub(super) root: NodeRoot,
}

/// Links, addresses, routes, rules and nf_tables of node and pod, and the node's files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    node: Vec<String>,
    pod: Vec<String>,
    files: BTreeMap<String, String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let root = NodeRoot::new();
        for plugin in ["host-local", "static"] {
            root.install(&parts::debian_plugin(plugin));
        }
        Self { node: Netns::anonymous().unwrap(), root }
    }

    /// A pod whose runtime has brought `lo` up, so that it is no difference.
    pub(super) fn pod(&self) -> Netns {
        let pod = Netns::anonymous().unwrap();
        run(&pod, "ip link set lo up");
        pod
    }

    /// A pod with a primary interface from an earlier plugin, and what that plugin's result says.
    pub(super) fn pod_with_primary(&self) -> (Netns, Value) {
        let pod = self.pod();
        run(
            &pod,
            "ip link add eth0 address 0a:00:00:00:00:05 type veth peer name peer0 && ip link set peer0 up \
             && ip link set eth0 up && ip address add 10.244.0.5/24 dev eth0 && ip route add default via 10.244.0.1",
        );
        let result = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "eth0", "mac": "0a:00:00:00:00:05", "sandbox": pod.path_from_proc()}],
            "ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1", "interface": 0}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}]
        });
        (pod, result)
    }

    pub(super) fn call(&self, verb: &str, environment: &Environment, conf: &Value) -> Answer {
        Plugin::new(&self.node, &self.root).call(verb, environment, conf)
    }

    /// A call that has to succeed.
    pub(super) fn done(&self, verb: &str, environment: &Environment, conf: &Value) -> Value {
        let answer = self.call(verb, environment, conf);
        assert_eq!(answer.status, Some(0), "{verb}: {} {}", answer.stdout, answer.stderr);
        answer.stdout
    }

    /// The error object of a call that has to fail.
    pub(super) fn refused(&self, verb: &str, environment: &Environment, conf: &Value) -> Value {
        let answer = self.call(verb, environment, conf);
        assert_ne!(answer.status, Some(0), "{verb} succeeded: {}", answer.stdout);
        answer.stdout
    }

    pub(super) fn picture(&self, pod: &Netns) -> Picture {
        Picture { node: state_of(&self.node), pod: state_of(pod), files: self.files() }
    }

    pub(super) fn node_state(&self) -> Vec<String> {
        state_of(&self.node)
    }

    /// Files and symlinks below the node's folders with their content. Positions of round robin move on for good,
    /// and locks stay.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for folder in ["run", "var-lib"] {
            collect(&self.root.path().join(folder), &mut files);
        }
        files.retain(|path, _| !path.contains("/last") && !path.ends_with("lock"));
        files
    }

    /// The paths of the files that are there, below the network's state.
    pub(super) fn state_files(&self, folder: &str) -> Vec<String> {
        let home = self.root.run().join(STATE).join(folder);
        let mut names: Vec<String> = std::fs::read_dir(home)
            .map(|entries| {
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }
}

/// The calls of one attachment, as a kubelet's runtime makes them.
pub(super) fn environment(container: &str, pod: &Netns) -> Environment {
    Environment::of(container, &pod.path_from_proc()).of_pod("web-0", "uid-1")
}

/// Two bridge planes and a bootstrap, in the newest version.
pub(super) fn conf() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "telecom", "type": "multiplane",
        "planes": [
            {"name": "control", "kind": "bridge", "bridge": "mp-control", "ifname": "ctl0",
             "ipam": {"ranges": [["10.75.8.0/24"]], "gateway": "10.75.8.1"}},
            {"name": "media", "kind": "bridge", "bridge": "mp-media",
             "ipam": {"ranges": [["10.75.9.0/24"], ["fd00:9::/64"]]}},
        ],
        "default": ["control", "media"],
        "proxy": {"pods": "all"},
        "bootstrap": {"discovery": "127.0.0.1:15010"}
    })
}

/// Behind another plugin: one of our planes takes the default route, one has a delegated address.
pub(super) fn chained_conf(prev: &Value) -> Value {
    let mut conf = conf();
    // Debian's host-local speaks nothing newer
    conf["cniVersion"] = json!("1.0.0");
    conf["planes"][1]["ipam"] =
        json!({"type": "host-local", "ranges": [[{"subnet": "10.75.9.0/24", "gateway": "10.75.9.1"}]]});
    conf["runtimeConfig"]["io.kubernetes.cri.pod-annotations"]["multiplane.dev/planes"] =
        json!(r#"[{"name": "control"}, {"name": "media", "default-route": ["10.75.9.1"]}]"#);
    conf["prevResult"] = prev.clone();
    conf
}

/// A shell command inside a namespace, which has to succeed.
pub(super) fn run(netns: &Netns, command: &str) -> String {
    let output = netns.run(|| Command::new("sh").args(["-c", command]).output().unwrap()).unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Link-local addresses and their routes come and go with a bridge's carrier, seconds later: nobody's doing.
fn state_of(netns: &Netns) -> Vec<String> {
    let mut lines = snapshot(netns);
    lines.retain(|line| !line.contains(" fe80:") && !line.contains(" ff00:"));
    for line in &mut lines {
        if let Some(at) = line.find(" flags ") {
            line.truncate(at);
        }
    }
    lines.extend(run(netns, "nft list ruleset").lines().map(str::to_owned));
    lines
}

fn collect(folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_symlink() {
            files.insert(name, std::fs::read_link(&path).unwrap().display().to_string());
        } else if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
        }
    }
}
