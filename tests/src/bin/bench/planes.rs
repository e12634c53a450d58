//! ADD and DEL of 1, 3 and 8 bridge planes.

use netlink::Netns;
use testbed::iproute;

use crate::measure::{Cost, ROUNDS, mebibytes, median, milliseconds, ratio};
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
    let node = Netns::anonymous().map_err(|error| error.to_string())?;
    let state = ours::state()?;
    let conf = ours::network(count, state.path());
    reference::floor_bridges(&node, count)?;
    let mut add: [Vec<Cost>; 3] = Default::default();
    let mut delete: [Vec<Cost>; 3] = Default::default();
    // One round more: the first makes the bridges and fills the page cache.
    for round in 0..=ROUNDS {
        let pods = [0; 3].map(|_| Netns::anonymous());
        let [Ok(first), Ok(second), Ok(third)] = pods else {
            return Err("make a network namespace".to_owned());
        };
        let container = format!("c{round}");
        let added = [
            ours::call("ADD", &node, &first, &container, &conf)?,
            reference::call("ADD", &node, &second, &container, count, state.path())?,
            reference::floor_add(&node, &third, count)?,
        ];
        for (who, pod) in [("multiplane", &first), ("bridge", &second), ("ip", &third)] {
            if iproute::links(pod).len() != count {
                return Err(format!("{who} made {:?} instead of {count} links", iproute::links(pod)));
            }
        }
        let deleted = [
            ours::call("DEL", &node, &first, &container, &conf)?,
            reference::call("DEL", &node, &second, &container, count, state.path())?,
            reference::floor_delete(&third, count)?,
        ];
        if round > 0 {
            (0..3).for_each(|row| {
                add[row].push(added[row]);
                delete[row].push(deleted[row]);
            });
        }
    }
    Ok((add.map(|costs| median(&costs)), delete.map(|costs| median(&costs))))
}
