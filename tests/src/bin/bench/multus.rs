//! The whole chain against Multus: a primary and two further bridge networks for one pod.

use std::process::Command;

use netlink::Netns;
use serde_json::json;
use testbed::real::parts;

use crate::measure::{self, in_turns, mebibytes, milliseconds, namespace, ratio};
use crate::table::Table;
use crate::{ours, reference};

const NETWORKS: usize = 3;

/// Ours and Multus (thin, no API server) with the same networks.
pub(crate) fn section() -> Result<Table, String> {
    let node = namespace()?;
    let state = ours::state()?;
    let conf = ours::network(NETWORKS, state.path());
    let delegates: Vec<_> = (0..NETWORKS).map(|index| reference::plane(index, state.path())).collect();
    let multus_conf = json!({"cniVersion": "1.0.0", "name": "multus", "type": "multus", "delegates": delegates,
        "binDir": parts::peers(), "cniDir": state.path().join("multus"), "confDir": state.path()});
    let multus = |verb: &str, pod: &Netns, container: &str| {
        let mut command = Command::new(parts::peers().join("multus"));
        command
            .env_clear()
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", container)
            .env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", pod.path_from_proc()).env("CNI_PATH", parts::peers());
        measure::run(&node, command, &multus_conf.to_string())
    };
    let [ours_added, multus_added, ours_deleted, multus_deleted] = in_turns(|round| {
        let (first, second) = (namespace()?, namespace()?);
        let container = format!("c{round}");
        Ok([
            ours::call("ADD", &node, &first, &container, &conf)?,
            multus("ADD", &second, &container)?,
            ours::call("DEL", &node, &first, &container, &conf)?,
            multus("DEL", &second, &container)?,
        ])
    })?;
    let mut table = Table::new(
        "A primary and two further networks: medians",
        &["verb", "multiplane", "Multus", "ratio", "multiplane RSS", "Multus RSS"],
    );
    for (verb, ours, multus) in [("ADD", ours_added, multus_added), ("DEL", ours_deleted, multus_deleted)] {
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
