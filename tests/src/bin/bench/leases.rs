//! ADD with 10, 1,000 and 60,000 leases in the range and 1,000 other links on the node: the cost has to be flat.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;

use netlink::Netns;

use crate::measure::{Cost, ROUNDS, median, milliseconds, ratio};
use crate::table::Table;
use crate::{ours, reference};

/// One plane, three fillings of its range.
pub(crate) fn section() -> Result<Table, String> {
    let mut table = Table::new(
        "ADD of one plane by what the node has already: medians",
        &["leases in the range", "other links", "ADD", "against the first row"],
    );
    let mut first = None;
    for (leases, links) in [(10, 0), (1_000, 1_000), (60_000, 1_000)] {
        let cost = measure(leases, links)?;
        let against = *first.get_or_insert(cost);
        table.row([leases.to_string(), links.to_string(), milliseconds(cost), ratio(cost, against)]);
    }
    Ok(table)
}

fn measure(leases: u32, links: usize) -> Result<Cost, String> {
    let node = Netns::anonymous().map_err(|error| error.to_string())?;
    let state = ours::state()?;
    let conf = ours::network(1, state.path());
    let mut lines = String::new();
    for index in 0..links / 2 {
        let _ = writeln!(lines, "link add other{index}a type veth peer name other{index}b");
    }
    reference::batch(&node, &lines)?;
    // A living pod, whose attachment every other lease names as its owner.
    let neighbour = Netns::anonymous().map_err(|error| error.to_string())?;
    ours::call("ADD", &node, &neighbour, "neighbour", &conf)?;
    fill(&state.path().join("ours/bench/leases"), leases)
        .map_err(|error| format!("fill the range: {error}"))?;
    let mut costs = Vec::new();
    for round in 0..=ROUNDS {
        let pod = Netns::anonymous().map_err(|error| error.to_string())?;
        let container = format!("c{round}");
        let cost = ours::call("ADD", &node, &pod, &container, &conf)?;
        ours::call("DEL", &node, &pod, &container, &conf)?;
        if round > 0 {
            costs.push(cost);
        }
    }
    Ok(median(&costs))
}

/// Leases from 10.0.0.16 on; the neighbour's own lies below.
fn fill(folder: &Path, leases: u32) -> std::io::Result<()> {
    let first = u32::from(Ipv4Addr::new(10, 0, 0, 16));
    for offset in 0..leases {
        let address = Ipv4Addr::from(first + offset);
        symlink("../attachments/neighbour@eth0.json", folder.join(address.to_string()))?;
    }
    Ok(())
}
