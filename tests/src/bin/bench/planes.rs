//! ADD and DEL of 1, 3 and 8 bridge planes.

use testbed::iproute;

use crate::measure::{Cost, in_turns, mebibytes, milliseconds, namespace, ratio};
use crate::table::Table;
use crate::{ours, reference};

/// Ours, the reference plugins and the kernel alone, in turns.
pub(crate) fn section() -> Result<Table, String> {
    let mut table = Table::new(
        "ADD and DEL of N bridge planes: medians, with the largest process's peak memory",
        &[
            "verb",
            "N",
            "multiplane",
            "bridge + host-local",
            "ratio",
            "`ip -batch`",
            "ratio",
            "multiplane RSS",
            "bridge RSS",
        ],
    );
    for count in [1, 3, 8] {
        let (add, delete) = measure(count)?;
        for (verb, rows) in [("ADD", add), ("DEL", delete)] {
            let [ours, reference, floor] = rows;
            table.row([
                verb.to_owned(),
                count.to_string(),
                milliseconds(ours),
                milliseconds(reference),
                ratio(ours, reference),
                milliseconds(floor),
                ratio(ours, floor),
                mebibytes(ours),
                mebibytes(reference),
            ]);
        }
    }
    Ok(table)
}

fn measure(count: usize) -> Result<([Cost; 3], [Cost; 3]), String> {
    let node = namespace()?;
    let state = ours::state()?;
    let conf = ours::network(count, state.path());
    reference::floor_bridges(&node, count)?;
    let [ours, peer, floor, ours_deleted, peer_deleted, floor_deleted] = in_turns(|round| {
        let (first, second, third) = (namespace()?, namespace()?, namespace()?);
        let container = format!("c{round}");
        let ours = ours::call("ADD", &node, &first, &container, &conf)?;
        let peer = reference::call("ADD", &node, &second, &container, count, state.path())?;
        let floor = reference::floor_add(&node, &third, count)?;
        for (who, pod) in [("multiplane", &first), ("bridge", &second), ("ip", &third)] {
            if iproute::links(pod).len() != count {
                return Err(format!("{who} made {:?} instead of {count} links", iproute::links(pod)));
            }
        }
        Ok([
            ours,
            peer,
            floor,
            ours::call("DEL", &node, &first, &container, &conf)?,
            reference::call("DEL", &node, &second, &container, count, state.path())?,
            reference::floor_delete(&third, count)?,
        ])
    })?;
    Ok(([ours, peer, floor], [ours_deleted, peer_deleted, floor_deleted]))
}
