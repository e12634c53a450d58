//! A world: a node and its pods as anonymous namespaces, private folders, and the built plugin called as a runtime calls
//! it. Nothing has a name outside, nothing has to be cleaned up, and a killed test leaks nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use netlink::{Net, Netns};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::plugin::{Answer, Environment, run};
use crate::trace::{Faulted, Outcome, fail_at, kill_after};
use crate::{binary, iproute};

/// A node with its own folders.
#[derive(Debug)]
pub struct World {
    /// The node's namespace.
    pub node: Netns,
    dir: TempDir,
    program: PathBuf,
    pods: AtomicU32,
}

/// A pod's namespace and the container ID under which a runtime knows it.
#[derive(Debug)]
pub struct Pod {
    /// The pod's namespace.
    pub netns: Netns,
    /// `CNI_CONTAINERID`.
    pub container: String,
}

/// Everything that a node and its pods have: to be equal before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(BTreeMap<String, String>);

impl World {
    /// A world of the built `multiplane`.
    #[must_use]
    pub fn new() -> Self {
        Self::of(binary::path("multiplane"))
    }

    /// A world of another plugin, for the tests of the tests.
    ///
    /// # Panics
    /// If namespaces or folders cannot be made: the tests run as root.
    #[must_use]
    pub fn of(program: PathBuf) -> Self {
        let node = Netns::anonymous().expect("make the node's namespace");
        let dir = tempfile::Builder::new().prefix("multiplane-world-").tempdir().expect("make a folder");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))
            .expect("open the folder");
        std::fs::create_dir(dir.path().join("plugins")).expect("make a folder");
        let world = Self { node, dir, program, pods: AtomicU32::new(0) };
        world.on_node("link set lo up");
        world
    }

    /// A file or folder of this world.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder of plugins (`CNI_PATH`).
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.path("plugins")
    }

    /// Installs another plugin.
    ///
    /// # Panics
    /// If it cannot be linked.
    pub fn install(&self, plugin: &Path) {
        let name = plugin.file_name().expect("a plugin is a file");
        std::os::unix::fs::symlink(plugin, self.plugins().join(name)).expect("link a plugin");
    }

    /// A configuration with three bridge planes (`control`, `media`, `oam`), whose folders lie in this world, with `edit`
    /// laid over its top level.
    #[must_use]
    pub fn conf(&self, edit: Value) -> Value {
        let plane = |name: &str, second: u8| {
            json!({"name": name, "kind": "bridge", "bridge": format!("mp-{name}"),
                "ipam": {"ranges": [[format!("10.{second}.0.0/24")]], "gateway": format!("10.{second}.0.1")}})
        };
        let conf = json!({
            "cniVersion": "1.1.0", "name": "telecom", "type": "multiplane",
            "planes": [plane("control", 75), plane("media", 80), plane("oam", 90)],
            "default": ["control"],
            "stateDirectory": self.path("networks"), "stickyDirectory": self.path("sticky"),
            "bootstrap": {"discovery": "127.0.0.1:15010", "directory": self.path("pods")},
        });
        laid_over(conf, edit)
    }

    /// A pod with an up loopback and nothing else.
    ///
    /// # Panics
    /// If its namespace cannot be made.
    #[must_use]
    pub fn pod(&self) -> Pod {
        let netns = Netns::anonymous().expect("make a pod's namespace");
        command(&netns, "ip", "link set lo up");
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        Pod { netns, container: format!("c{number}") }
    }

    /// A pod with a primary interface `eth0` that another plugin made, and the chain's result so far.
    #[must_use]
    pub fn pod_with_primary(&self) -> (Pod, Value) {
        let pod = self.pod();
        let netns = pod.netns.path_from_proc();
        let netns = netns.display();
        let number: u32 = pod.container[1..].parse().unwrap_or_default();
        let address = format!("10.244.{}.{}", number / 250, number % 250 + 2);
        self.on_node(&format!("link add prim{number} type veth peer name eth0 netns {netns}"));
        self.on_node(&format!("link set prim{number} up"));
        command(&pod.netns, "ip", &format!("address add {address}/16 dev eth0"));
        command(&pod.netns, "ip", "link set eth0 up");
        command(&pod.netns, "ip", "route add default via 10.244.255.254");
        let previous = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": format!("prim{number}")}, {"name": "eth0", "sandbox": netns.to_string()}],
            "ips": [{"address": format!("{address}/16"), "gateway": "10.244.255.254", "interface": 1}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.255.254"}], "dns": {}, "x-unknown": {"kept": true},
        });
        (pod, previous)
    }

    /// Somebody on a bridge of the node who is no pod of ours, by an interface `eth0` with these addresses.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn neighbour(&self, bridge: &str, addresses: &[&str]) -> Pod {
        let pod = self.pod();
        let netns = pod.netns.path_from_proc();
        let wire = format!("w-{}", pod.container);
        let peer = format!("type veth peer name eth0 netns {}", netns.display());
        self.on_node(&format!("link add {wire} master {bridge} up {peer}"));
        // Who is still detecting duplicates of its link-local address asks nobody for a neighbour.
        if addresses.iter().any(|address| address.contains(':')) {
            command(&pod.netns, "sysctl", "-qw net.ipv6.conf.eth0.accept_dad=0");
        }
        command(&pod.netns, "ip", "link set eth0 up");
        for address in addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            command(&pod.netns, "ip", &format!("address add {address} dev eth0{nodad}"));
        }
        pod
    }

    /// One call of the plugin.
    #[must_use]
    pub fn call(&self, verb: &str, environment: &Environment, conf: &Value) -> Answer {
        self.call_raw(verb, environment, conf.to_string().as_bytes())
    }

    /// One call with any text on stdin.
    #[must_use]
    pub fn call_raw(&self, verb: &str, environment: &Environment, stdin: &[u8]) -> Answer {
        run(&self.node, Command::new(&self.program), &self.plugins(), verb, environment, stdin)
    }

    /// One call that is killed after its n-th system call of those that may change something.
    #[must_use]
    pub fn call_killed(&self, verb: &str, environment: &Environment, conf: &Value, point: usize) -> Outcome {
        kill_after(&self.node, self.command(verb, environment), conf.to_string().as_bytes(), point)
    }

    /// One call in which the n-th system call of those that may change something fails.
    #[must_use]
    pub fn call_failing(&self, verb: &str, environment: &Environment, conf: &Value, point: usize) -> Faulted {
        fail_at(&self.node, self.command(verb, environment), conf.to_string().as_bytes(), point)
    }

    fn command(&self, verb: &str, environment: &Environment) -> Command {
        let mut command = Command::new(&self.program);
        environment.apply(&mut command, &self.plugins(), verb);
        command
    }

    /// A call that has to succeed.
    ///
    /// # Panics
    /// With the plugin's message if it does not.
    #[track_caller]
    pub fn done(&self, verb: &str, environment: &Environment, conf: &Value) -> Answer {
        let answer = self.call(verb, environment, conf);
        assert_eq!(answer.status, Some(0), "{verb}: {} {}", answer.stdout, answer.stderr);
        answer
    }

    /// An ADD that has to succeed.
    ///
    /// # Panics
    /// With the plugin's message if it does not.
    #[track_caller]
    pub fn add(&self, pod: &Pod, conf: &Value) -> Answer {
        self.done("ADD", &pod.environment(), conf)
    }

    /// A DEL that has to succeed.
    ///
    /// # Panics
    /// With the plugin's message if it does not.
    #[track_caller]
    pub fn del(&self, pod: &Pod, conf: &Value) {
        let answer = self.done("DEL", &pod.environment(), conf);
        assert_eq!(answer.stdout, Value::Null, "DEL prints nothing");
    }

    /// A GC that finds no attachment valid, and has to succeed.
    ///
    /// # Panics
    /// With the plugin's message if it does not.
    #[track_caller]
    pub fn collect(&self, conf: &Value) {
        let conf = laid_over(conf.clone(), json!({"cni.dev/valid-attachments": []}));
        self.done("GC", &Environment::none(), &conf);
    }

    /// `ip <arguments>` on the node.
    ///
    /// # Panics
    /// If it fails.
    pub fn on_node(&self, arguments: &str) {
        command(&self.node, "ip", arguments);
    }

    /// Everything that the node, these pods and the folders have.
    ///
    /// # Panics
    /// If the kernel refuses to answer.
    #[must_use]
    pub fn state(&self, pods: &[&Pod]) -> State {
        let mut state = BTreeMap::new();
        let names = [("node", &self.node)].into_iter();
        for (name, netns) in names.chain(pods.iter().map(|pod| (pod.container.as_str(), &pod.netns))) {
            let lines = snapshot(netns).into_iter();
            state.extend(lines.map(|line| (format!("{name} {line}"), String::new())));
        }
        for folder in ["networks", "pods", "sticky"] {
            files(&self.path(folder), folder, &mut state);
        }
        State(state)
    }

    /// The same without the fixtures, which outlive pods.
    ///
    /// # Panics
    /// If the kernel refuses to answer.
    #[must_use]
    pub fn lasting(&self, pods: &[&Pod]) -> State {
        self.state(pods).without(is_fixture)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Pod {
    /// The environment of its runtime's calls, with the arguments of a kubelet.
    #[must_use]
    pub fn environment(&self) -> Environment {
        Environment::of(&self.container, &self.netns.path_from_proc())
            .of_pod(&format!("pod-{}", self.container), &format!("uid-{}", self.container))
    }

    /// The interfaces of the pod but `lo`, by name, with their global addresses.
    #[must_use]
    pub fn interfaces(&self) -> BTreeMap<String, Vec<String>> {
        let links = iproute::ip(&self.netns, "address show");
        let global = |link: &Value| {
            let addresses = iproute::list(&link["addr_info"]).iter();
            let addresses = addresses.filter(|address| address["scope"] == "global");
            addresses
                .map(|a| format!("{}/{}", a["local"].as_str().unwrap_or_default(), a["prefixlen"]))
                .collect()
        };
        let named = iproute::list(&links).iter().filter(|link| link["ifname"] != "lo");
        named.map(|link| (link["ifname"].as_str().unwrap_or_default().to_owned(), global(link))).collect()
    }
}

impl State {
    /// What one has and the other has not, for a readable failure.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Vec<String> {
        let gone = self.0.iter().filter(|(key, value)| after.0.get(*key) != Some(value));
        let new = after.0.iter().filter(|(key, value)| self.0.get(*key) != Some(value));
        gone.map(|(key, value)| format!("- {key} {value}"))
            .chain(new.map(|(key, value)| format!("+ {key} {value}")))
            .collect()
    }

    /// Each thing and what it is, one per line.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(key, value)| format!("{key} {value}"))
    }

    /// The state without the lines that `is_fixture` names: bridges and uplinks outlive pods.
    #[must_use]
    pub fn without(mut self, is_fixture: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|key, _| !is_fixture(key));
        self
    }
}

/// Fixtures of the node and of the state directory, that DEL leaves: bridges with their addresses and routes, and the
/// folders, lock and round-robin files that are no pod's.
#[must_use]
pub fn is_fixture(line: &str) -> bool {
    let of_bridge = line.starts_with("node ") && line.contains("mp-");
    let folder = line.ends_with('/');
    of_bridge || folder || line.ends_with("/lock") || line.contains("/last.") || line.starts_with("sticky")
}

/// Lays the keys of one object over another's.
#[must_use]
pub fn laid_over(mut base: Value, edit: Value) -> Value {
    if let (Value::Object(base), Value::Object(edit)) = (&mut base, edit) {
        for (key, value) in edit {
            if value == "DELETE" {
                base.remove(&key);
            } else {
                base.insert(key, value);
            }
        }
    }
    base
}

/// Runs a command inside a namespace; returns what it printed.
///
/// # Panics
/// If it fails; its message is shown.
pub fn command(netns: &Netns, program: &str, arguments: &str) -> String {
    let run = || Command::new(program).args(arguments.split_whitespace()).output();
    let output = netns.run(run).expect("enter the namespace");
    let output = output.unwrap_or_else(|error| unreachable!("start {program}: {error}"));
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The kernel's state of one namespace as lines, read by our own netlink code.
///
/// # Panics
/// If the kernel refuses to answer.
#[must_use]
pub fn snapshot(netns: &Netns) -> Vec<String> {
    let again = Netns::open(&netns.path_from_proc()).expect("open the namespace once more");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("make a runtime");
    runtime.block_on(async {
        let net = Net::open(again).expect("open a netlink socket");
        netlink::snapshot::snapshot(&net).await.expect("read the namespace")
    })
}

fn files(path: &Path, name: &str, state: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(path) else { return };
    state.insert(format!("{name}/"), String::new());
    for entry in entries.flatten() {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            files(&path, &name, state);
        } else if let Ok(target) = std::fs::read_link(&path) {
            state.insert(name, format!("-> {}", target.display()));
        } else {
            let content = std::fs::read_to_string(&path).unwrap_or_default();
            state.insert(name, format!("{mode:o} {content}"));
        }
    }
}
