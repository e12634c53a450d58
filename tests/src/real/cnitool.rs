//! cnitool, the CNI project's own runtime for the command line: libcni without containerd.

use std::path::Path;
use std::process::Output;

use netlink::Netns;

use super::node_root::NodeRoot;
use super::parts;

/// cnitool on a node.
#[derive(Debug)]
pub struct Cnitool<'a> {
    node: &'a Netns,
    root: &'a NodeRoot,
}

impl<'a> Cnitool<'a> {
    /// With the plugins and configurations of `root`, in the namespace `node`.
    #[must_use]
    pub fn new(node: &'a Netns, root: &'a NodeRoot) -> Self {
        Self { node, root }
    }

    /// Runs one verb (`add`, `check`, `del`, `gc`, `status`) on a network for the pod at `netns`.
    ///
    /// `environment` may hold `CNI_ARGS`, `CAP_ARGS` and `CNI_IFNAME`.
    ///
    /// # Panics
    /// If cnitool cannot be started.
    #[must_use]
    pub fn run(&self, verb: &str, network: &str, netns: &Path, environment: &[(&str, &str)]) -> Output {
        let mut command = self.root.command(&parts::peers().join("cnitool"));
        command.args([verb, network]).arg(netns);
        command.env("CNI_PATH", self.root.plugins()).env("NETCONFPATH", self.root.conf());
        command.envs(environment.iter().copied());
        self.node.run(|| command.output()).expect("enter the node's namespace").expect("start cnitool")
    }
}
