//! The real Multus (thin), without an API server: its delegates stand in its own configuration.

use serde_json::{Value, json};

use super::node_root::NodeRoot;
use super::parts;

/// Installs Multus and the newest reference plugins on a node.
pub fn install(root: &NodeRoot) {
    for plugin in ["multus", "bridge", "macvlan", "host-local", "static", "loopback", "ptp"] {
        root.install(&parts::peers().join(plugin));
    }
}

/// Multus' entry in a conflist: the first delegate makes the primary interface, the others `net1`, `net2` ….
#[must_use]
pub fn entry(root: &NodeRoot, delegates: &[Value]) -> Value {
    json!({
        "type": "multus",
        "name": "multus",
        "binDir": root.plugins(),
        "cniDir": root.path().join("var-lib/cni/multus"),
        "confDir": root.conf(),
        "delegates": delegates,
    })
}
