//! Our plugin, the static binary of `make dist`, with its state on tmpfs as on a node.

use std::path::Path;
use std::process::Command;

use netlink::Netns;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::binary;

use crate::measure::{self, Cost};

/// A folder on tmpfs, as `/run` is.
pub(crate) fn state() -> Result<TempDir, String> {
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    TempDir::with_prefix_in("multiplane-bench-", place)
        .map_err(|error| format!("make a folder in {place}: {error}"))
}

/// A network of `count` bridge planes, the first of which is the primary.
pub(crate) fn network(count: usize, state: &Path) -> Value {
    let planes: Vec<Value> = (0..count)
        .map(|index| {
            json!({"name": format!("p{index}"), "kind": "bridge", "bridge": format!("mp-b{index}"),
                   "ifname": format!("net{index}"), "ipam": {"ranges": [[format!("10.{index}.0.0/16")]]}})
        })
        .collect();
    let names: Vec<String> = (0..count).map(|index| format!("p{index}")).collect();
    json!({"cniVersion": "1.0.0", "name": "bench", "type": "multiplane", "planes": planes,
           "primary": "p0", "default": names, "stateDirectory": state.join("ours")})
}

/// One ADD or DEL of a pod.
pub(crate) fn call(
    verb: &str,
    node: &Netns,
    pod: &Netns,
    container: &str,
    conf: &Value,
) -> Result<Cost, String> {
    let mut command = Command::new(binary::path("multiplane"));
    command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", container).env("CNI_IFNAME", "eth0");
    command.env("CNI_NETNS", pod.path_from_proc()).env("CNI_PATH", "/usr/lib/cni");
    measure::run(node, command, &conf.to_string())
}
