//! ADD with 10, 1,000 and 60,000 leases in the range and 1,000 other links on the node: the cost has to be flat.
//! The kernel itself takes longer to make a link among many; `ip -batch` on the same node shows by how much.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;

use netlink::Netns;
use serde_json::Value;
use tempfile::TempDir;

use crate::measure::{Cost, in_turns, milliseconds, namespace, ratio};
use crate::table::Table;
use crate::{ours, reference};

/// One plane, three fillings of its range, measured in turns.
pub(crate) fn section() -> Result<Table, String> {
    let mut table = Table::new(
        "ADD of one plane by what the node has already: medians",
        &[
            "leases in the range",
            "other links",
            "multiplane",
            "against row 1",
            "`ip -batch`",
            "against row 1",
        ],
    );
    let fillings = [(10, 0), (1_000, 1_000), (60_000, 1_000)];
    let nodes =
        fillings.iter().map(|&(leases, links)| Node::new(leases, links)).collect::<Result<Vec<_>, _>>()?;
    let medians: [Cost; 6] = in_turns(|round| {
        let mut costs = [Cost::default(); 6];
        for (node, pair) in nodes.iter().zip(costs.chunks_exact_mut(2)) {
            pair.copy_from_slice(&[node.add_and_delete(&format!("c{round}"))?, node.floor()?]);
        }
        Ok(costs)
    })?;
    for (&(leases, links), pair) in fillings.iter().zip(medians.chunks_exact(2)) {
        let ours = [milliseconds(pair[0]), ratio(pair[0], medians[0])];
        let floor = [milliseconds(pair[1]), ratio(pair[1], medians[1])];
        table.row([leases.to_string(), links.to_string()].into_iter().chain(ours).chain(floor));
    }
    Ok(table)
}

/// A node that has pods already.
struct Node {
    netns: Netns,
    conf: Value,
    _state: TempDir,
    _neighbour: Netns,
}

impl Node {
    fn new(leases: u32, links: usize) -> Result<Self, String> {
        let (netns, neighbour, state) = (namespace()?, namespace()?, ours::state()?);
        let conf = ours::network(1, state.path());
        let mut lines = String::new();
        for index in 0..links / 2 {
            let _ = writeln!(lines, "link add other{index}a type veth peer name other{index}b");
        }
        reference::batch(&netns, &lines)?;
        reference::floor_bridges(&netns, 1)?;
        // A living pod, whose attachment every other lease names as its owner.
        ours::call("ADD", &netns, &neighbour, "neighbour", &conf)?;
        fill(&state.path().join("ours/bench/leases"), leases)
            .map_err(|error| format!("fill the range: {error}"))?;
        Ok(Self { netns, conf, _state: state, _neighbour: neighbour })
    }

    fn add_and_delete(&self, container: &str) -> Result<Cost, String> {
        let pod = namespace()?;
        let cost = ours::call("ADD", &self.netns, &pod, container, &self.conf)?;
        ours::call("DEL", &self.netns, &pod, container, &self.conf)?;
        Ok(cost)
    }

    fn floor(&self) -> Result<Cost, String> {
        let pod = namespace()?;
        let cost = reference::floor_add(&self.netns, &pod, 1)?;
        reference::floor_delete(&pod, 1)?;
        Ok(cost)
    }
}

/// Leases from 10.0.1.0 on: round robin stands below them, as it does on a node that has turned over its range.
fn fill(folder: &Path, leases: u32) -> std::io::Result<()> {
    let first = u32::from(Ipv4Addr::new(10, 0, 1, 0));
    for offset in 0..leases {
        let address = Ipv4Addr::from(first + offset);
        symlink("../attachments/neighbour@eth0.json", folder.join(address.to_string()))?;
    }
    Ok(())
}
