//! The real containerd with runc: makes pod sandboxes and calls CNI as a node's does, with every folder of its
//! own, on a node that is a network namespace.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use netlink::Netns;
use serde_json::Value;
use tonic::Status;

use super::cri::{Cri, PodSandboxConfig, PodSandboxMetadata, SandboxStatus};
use super::node_root::NodeRoot;
use super::parts;
use super::poll::eventually;
use super::process::Process;

/// The image of `tests/setup/image.sh`.
const SANDBOX_IMAGE: &str = "multiplane.test/sandbox:1";

/// A running containerd. Its sandboxes end with it.
#[derive(Debug)]
pub struct Containerd {
    // In the order in which they have to go: the process, then the folders under it.
    process: Process,
    cri: Cri,
    root: NodeRoot,
}

/// A pod as a kubelet would ask for it.
#[derive(Debug, Clone, Default)]
pub struct PodSpec {
    /// Pod name, in the namespace `default`.
    pub name: String,
    /// Pod UID.
    pub uid: String,
    /// How many sandboxes it had before.
    pub attempt: u32,
    /// Annotations.
    pub annotations: HashMap<String, String>,
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// Its ID, which the plugins got as `CNI_CONTAINERID`.
    pub id: String,
    /// Its network namespace.
    pub netns: Netns,
    /// What the runtime says about it.
    pub status: SandboxStatus,
}

impl Containerd {
    /// Starts containerd inside the namespace `node`, with the plugins and configurations that `root` holds.
    ///
    /// # Panics
    /// If it does not come up; its output is printed.
    #[must_use]
    pub fn start(node: &Netns, root: NodeRoot) -> Self {
        let config = root.path().join("containerd.toml");
        std::fs::write(&config, config_toml(&root)).expect("write containerd's configuration");
        let mut command = root.command_with_own_processes(&parts::debian("containerd"));
        command.arg("--config").arg(&config).args(["--log-level", "warn"]);
        let process = Process::start(node, "containerd", command);
        let cri = Cri::new(&socket(&root));
        let containerd = Self { process, cri, root };
        containerd.import_sandbox_image();
        containerd
    }

    /// Runs a pod's sandbox: ADD of the whole chain.
    ///
    /// # Errors
    /// The runtime's refusal, as a user reads it.
    ///
    /// # Panics
    /// If the sandbox runs and yet its status or namespace cannot be read.
    pub fn run(&self, pod: &PodSpec) -> Result<Sandbox, Status> {
        let id = self.cri.run_pod_sandbox(sandbox_config(pod))?;
        let status = self.cri.pod_sandbox_status(&id)?;
        let netns = self.open_netns(&status);
        Ok(Sandbox { id, netns, status })
    }

    /// Stops and removes a sandbox: DEL of the whole chain.
    ///
    /// # Errors
    /// If the DEL fails.
    pub fn remove(&self, id: &str) -> Result<(), Status> {
        self.cri.stop_pod_sandbox(id)?;
        self.cri.remove_pod_sandbox(id)
    }

    /// The CRI client.
    #[must_use]
    pub fn cri(&self) -> &Cri {
        &self.cri
    }

    /// The node's folders.
    #[must_use]
    pub fn root(&self) -> &NodeRoot {
        &self.root
    }

    /// Its output so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    fn import_sandbox_image(&self) {
        eventually("containerd answers on its socket", || {
            assert_eq!(self.process.exit_status(), None, "containerd ended:\n{}", self.output());
            self.cri.has_image(SANDBOX_IMAGE).ok()
        });
        let import = Command::new(parts::debian("ctr"))
            .arg("--address")
            .arg(socket(&self.root))
            .args(["--namespace", "k8s.io", "images", "import", "--snapshotter", "native"])
            .arg(parts::sandbox_image())
            .output()
            .expect("start ctr");
        assert!(import.status.success(), "ctr import: {}", String::from_utf8_lossy(&import.stderr));
        // The CRI side learns of an image by an event.
        eventually("CRI knows the sandbox image", || {
            self.cri.has_image(SANDBOX_IMAGE).ok().filter(|known| *known)
        });
    }

    /// The namespace is mounted under the node's private `/run`; the way there leads through its init's root.
    fn open_netns(&self, status: &SandboxStatus) -> Netns {
        let namespaces = status.info.pointer("/runtimeSpec/linux/namespaces").and_then(Value::as_array);
        let network = namespaces.into_iter().flatten().find(|namespace| namespace["type"] == "network");
        let path = network.and_then(|network| network["path"].as_str()).unwrap_or_default();
        // "/var/run" is an absolute link to "/run", which would lead into *our* root.
        let below = path.trim_start_matches("/var").trim_start_matches('/');
        let path = PathBuf::from(format!("/proc/{}/root", self.init())).join(below);
        Netns::open(&path).unwrap_or_else(|error| panic!("open {}: {error}: {}", path.display(), status.info))
    }

    /// Our process ID of the node's process 1: `unshare --fork` has one child.
    fn init(&self) -> i32 {
        let pid = self.process.pid();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("containerd runs")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // The process namespace takes the shims and the sandboxes along; only cgroups would stay behind.
        let Ok(ids) = self.cri.list_pod_sandboxes() else { return };
        for id in ids {
            let _ = self.remove(&id);
        }
    }
}

fn socket(root: &NodeRoot) -> PathBuf {
    root.path().join("containerd.sock")
}

fn sandbox_config(pod: &PodSpec) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            namespace: "default".to_owned(),
            attempt: pod.attempt,
        }),
        hostname: pod.name.clone(),
        annotations: pod.annotations.clone(),
        linux: Some(super::cri::Empty {}),
    }
}

fn config_toml(root: &NodeRoot) -> String {
    let path = |name: &str| root.path().join(name).display().to_string();
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX_IMAGE}"
# without CAP_SYS_RESOURCE runc could not lower oom_score_adj, and would die (facts/real-parts.md)
restrict_oom_score_adj = true
disable_tcp_service = true
disable_cgroup = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{conf}"
"#,
        root = path("containerd"),
        state = path("containerd-state"),
        socket = socket(root).display(),
        plugins = root.plugins().display(),
        conf = root.conf().display(),
    )
}
