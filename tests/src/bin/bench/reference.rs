//! The peers: the reference `bridge` with `host-local`, one exec per plane; and the same kernel work by
//! `ip -batch`, which is the floor: two processes, no addresses chosen, no state kept.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use netlink::Netns;
use serde_json::{Value, json};
use testbed::real::parts;

use crate::measure::{self, Cost};

/// The reference plugin's configuration of one plane.
pub(crate) fn plane(index: usize, state: &Path) -> Value {
    json!({"cniVersion": "1.0.0", "name": format!("ref{index}"), "type": "bridge",
           "bridge": format!("ref-b{index}"),
           "ipam": {"type": "host-local", "dataDir": state.join("host-local"),
                    "ranges": [[{"subnet": format!("10.{index}.0.0/16")}]]}})
}

/// ADD or DEL of `count` planes, one process each.
pub(crate) fn call(
    verb: &str,
    node: &Netns,
    pod: &Netns,
    container: &str,
    count: usize,
    state: &Path,
) -> Result<Cost, String> {
    let mut total = Cost::default();
    for index in 0..count {
        let mut command = Command::new(parts::peers().join("bridge"));
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", container);
        command.env("CNI_IFNAME", format!("eth{index}")).env("CNI_NETNS", pod.path_from_proc());
        command.env("CNI_PATH", parts::peers());
        total = total.then(measure::run(node, command, &plane(index, state).to_string())?);
    }
    Ok(total)
}

/// The kernel's share of an ADD: links from the node, addresses from the pod.
pub(crate) fn floor_add(node: &Netns, pod: &Netns, count: usize) -> Result<Cost, String> {
    let (mut outside, mut inside) = (String::new(), String::new());
    let inside_of = pod.path_from_proc();
    for index in 0..count {
        let _ = writeln!(
            outside,
            "link add floor{index} up master floor-b{index} type veth peer name eth{index} netns {}",
            inside_of.display()
        );
        let _ = writeln!(inside, "address add 10.{index}.0.2/16 dev eth{index}\nlink set eth{index} up");
    }
    Ok(batch(node, &outside)?.then(batch(pod, &inside)?))
}

/// The kernel's share of a DEL: all links by one group, so that the kernel waits once for all of them.
pub(crate) fn floor_delete(pod: &Netns, count: usize) -> Result<Cost, String> {
    let mut lines = String::new();
    for index in 0..count {
        let _ = writeln!(lines, "link set eth{index} group 77");
    }
    batch(pod, &format!("{lines}link delete group 77\n"))
}

/// The bridges that the floor's links are ports of, made before anything is measured.
pub(crate) fn floor_bridges(node: &Netns, count: usize) -> Result<(), String> {
    let mut lines = String::new();
    for index in 0..count {
        let _ = writeln!(lines, "link add floor-b{index} up type bridge");
    }
    batch(node, &lines).map(drop)
}

/// Runs `ip -batch -`.
pub(crate) fn batch(netns: &Netns, lines: &str) -> Result<Cost, String> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    measure::run(netns, command, lines)
}
