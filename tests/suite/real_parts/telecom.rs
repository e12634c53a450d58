//! A node with `deploy/10-telecom.conflist` and its plugins: what these tests have in common.

use std::net::IpAddr;
use std::path::PathBuf;

use netlink::Netns;
use serde_json::{Value, json};
use testbed::binary;
use testbed::iproute::links;
use testbed::real::{Envoy, NodeRoot, multus, parts};

/// The conflist that README tells people to copy.
pub(super) fn conflist() -> Value {
    let path = parts::workspace().join("deploy/10-telecom.conflist");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The names of its planes' interfaces.
pub(super) const PLANES: [&str; 3] = ["ctl0", "med0", "oam0"];

/// Folders with `multiplane` and the given reference plugins, unconfigured.
pub(crate) fn root(reference: impl IntoIterator<Item = PathBuf>) -> NodeRoot {
    let root = NodeRoot::new();
    for plugin in reference {
        root.install(&plugin);
    }
    root.install(&binary::path("multiplane"));
    root
}

/// Multus makes the primary and `net1`; we stand after it and attach our planes.
pub(super) fn behind_multus(root: &NodeRoot) -> Value {
    let bridge = |name: &str, bridge: &str, subnet: &str| {
        json!({"cniVersion": "1.0.0", "name": name, "type": "bridge", "bridge": bridge,
               "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}})
    };
    let delegates =
        [bridge("first", "cni0", "10.244.0.0/24"), bridge("second", "br-second", "10.245.0.0/24")];
    let mut conflist = conflist();
    conflist["plugins"][0] = multus::entry(root, &delegates);
    conflist
}

/// The addresses that Envoy itself reports as its node's.
pub(super) fn reported(envoy: &Envoy) -> Vec<IpAddr> {
    let info = envoy.server_info();
    let list = info["node"]["metadata"]["INSTANCE_IPS"].as_str().unwrap();
    list.split(',').map(|address| address.parse().unwrap()).collect()
}

/// What an attachment leaves on the node if DEL forgets it: our links, state and bootstraps. Bridges stay.
pub(crate) fn leftovers(node: &Netns, root: &NodeRoot) -> Vec<String> {
    let is_ours = |name: &String| name.len() == 15 && name.starts_with("mp");
    let links = links(node).into_iter().filter(is_ours).map(|name| format!("link {name}"));
    let files = files_below(&root.run().join("multiplane")).into_iter();
    let keeps = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.contains(".json") || path.parent().unwrap().ends_with("leases")
    };
    let files = files.filter(keeps).map(|path| format!("file {}", path.display()));
    links.chain(files).collect()
}

fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
