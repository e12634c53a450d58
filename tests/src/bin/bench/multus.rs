//! The whole chain against Multus: a primary and two further bridge networks for one pod.

use std::process::Command;

use netlink::Netns;
use serde_json::json;

use crate::measure::{self, Cost, ROUNDS, mebibytes, median, milliseconds, ratio};
use crate::table::Table;
use crate::{ours, reference};

const NETWORKS: usize = 3;

/// Ours and Multus (thin, no API server) with the same networks.
pub(crate) fn section() -> Result<Table, String> {
    let node = Netns::anonymous().map_err(|error| error.to_string())?;
    let state = ours::state()?;
    let conf = ours::network(NETWORKS, state.path());
    let delegates: Vec<_> = (0..NETWORKS).map(|index| reference::plane(index, state.path())).collect();
    let multus_conf = json!({"cniVersion": "1.0.0", "name": "multus", "type": "multus", "delegates": delegates,
        "binDir": reference::peers(), "cniDir": state.path().join("multus"), "confDir": state.path()});
    let multus = |verb: &str, pod: &Netns, container: &str| {
        let mut command = Command::new(reference::peers().join("multus"));
        command
            .env_clear()
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", container)
            .env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", pod.path_from_proc()).env("CNI_PATH", reference::peers());
        measure::run(&node, command, &multus_conf.to_string())
    };
    let mut add: [Vec<Cost>; 2] = Default::default();
    let mut delete: [Vec<Cost>; 2] = Default::default();
    for round in 0..=ROUNDS {
        let [Ok(first), Ok(second)] = [0; 2].map(|_| Netns::anonymous()) else {
            return Err("make a network namespace".to_owned());
        };
        let container = format!("c{round}");
        let added =
            [ours::call("ADD", &node, &first, &container, &conf)?, multus("ADD", &second, &container)?];
        let deleted =
            [ours::call("DEL", &node, &first, &container, &conf)?, multus("DEL", &second, &container)?];
        if round > 0 {
            (0..2).for_each(|row| {
                add[row].push(added[row]);
                delete[row].push(deleted[row]);
            });
        }
    }
    let mut table = Table::new(
        "A primary and two further networks: medians",
        &["verb", "multiplane", "Multus", "ratio", "multiplane RSS", "Multus RSS"],
    );
    for (verb, [ours, multus]) in [("ADD", add), ("DEL", delete)] {
        let (ours, multus) = (median(&ours), median(&multus));
        let cells = [
            milliseconds(ours),
            milliseconds(multus),
            ratio(ours, multus),
            mebibytes(ours),
            mebibytes(multus),
        ];
        table.row(std::iter::once(verb.to_owned()).chain(cells));
    }
    Ok(table)
}
