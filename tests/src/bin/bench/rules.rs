//! A pod's rules set anew: the plugin's own transaction against `nft -f` with the same rules, in the same namespace.

use std::process::Command;
use std::time::Instant;

use iptables::{Plane, Policy};
use netlink::Netns;
use planes::{Layout, OtherMesh, Proxy, Traffic};

use crate::measure::{Cost, in_turns, milliseconds, namespace, ratio, run};
use crate::table::Table;

/// Pods of 1, 3 and 8 captured planes, in turns.
pub(crate) fn section() -> Result<Table, String> {
    let mut table = Table::new(
        "Rules of a pod with N captured planes, first and in place of earlier ones: medians",
        &["N", "rules", "multiplane", "`nft -f`", "ratio", "again", "`nft -f`", "ratio"],
    );
    for count in [1, 3, 8] {
        let rules = iptables::table(&policy(count)?);
        let netns = namespace()?;
        let [ours, ours_again, theirs, theirs_again] = in_turns(|_| {
            remove(&netns)?;
            let ours = [apply(&netns, &rules)?, apply(&netns, &rules)?];
            remove(&netns)?;
            Ok([ours[0], ours[1], nft(&netns, &rules)?, nft(&netns, &rules)?])
        })?;
        let drifts = iptables::check(&netns, &rules).map_err(|error| error.to_string())?;
        if !drifts.is_empty() {
            return Err(format!("nft set other rules: {}", drifts.join("; ")));
        }
        let number = rules.chains.iter().map(|chain| chain.rules.len()).sum::<usize>();
        let pair = |ours, theirs| [milliseconds(ours), milliseconds(theirs), ratio(ours, theirs)];
        let cells = [pair(ours, theirs), pair(ours_again, theirs_again)].concat();
        table.row([count.to_string(), number.to_string()].into_iter().chain(cells));
    }
    Ok(table)
}

fn apply(netns: &Netns, rules: &iptables::Table) -> Result<Cost, String> {
    let begin = Instant::now();
    iptables::apply(netns, rules).map_err(|error| error.to_string())?;
    Ok(Cost { wall: begin.elapsed(), peak_kib: 0 })
}

fn remove(netns: &Netns) -> Result<(), String> {
    iptables::remove(netns, iptables::TABLE).map_err(|error| error.to_string())
}

fn nft(netns: &Netns, rules: &iptables::Table) -> Result<Cost, String> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]);
    run(netns, command, &rules.to_text())
}

fn policy(count: usize) -> Result<Policy, String> {
    let plane = |number: usize| {
        Ok(Plane {
            ifname: format!("net{number}").parse().map_err(|_| "an interface name".to_owned())?,
            traffic: Traffic::Capture,
            captured: planes::capture::Captured::default(),
            addresses: [format!("10.{number}.0.2"), format!("fd{number}::2")]
                .map(|address| address.parse().map_err(|error| format!("{address}: {error}")))
                .into_iter()
                .collect::<Result<_, String>>()?,
            extra: Vec::new(),
            forward: false,
        })
    };
    let proxy = Proxy {
        uids: vec![1337],
        gids: vec![1337],
        inbound_port: 15006,
        outbound_port: 15001,
        layout: Layout::Split,
        other_mesh: OtherMesh::Warn,
        options: planes::capture::CaptureOptions::default(),
    };
    let planes = (1..=count).map(plane).collect::<Result<_, String>>()?;
    Ok(Policy { proxy: Some(proxy), planes, undeclared: Traffic::Bypass })
}
