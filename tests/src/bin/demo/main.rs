//! `make demo`: a pod on three more planes, the Envoy bootstrap written for it, and what Envoy makes of it; then the story
//! that all this is for.

mod paper;
mod pod;
mod story;

use std::process::ExitCode;

use serde_json::Value;
use testbed::iproute;
use testbed::real::envoy::{Envoy, Options};

use paper::Paper;
use pod::Pod;

fn main() -> ExitCode {
    let paper = Paper::new();
    match attach(&paper).and_then(|()| story::tell(&paper)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            paper.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn attach(paper: &Paper) -> Result<(), String> {
    paper.title("Multiplane: one pod, four networks, one proxy that knows all of its addresses");

    paper.step("A node and a pod: two network namespaces of this demo's own");
    let pod = Pod::new();
    let before = pod.everything();

    paper.step("multiplane ADD: a primary interface and three planes");
    let duration = pod.add()?;
    paper.table(&["plane", "interface", "addresses", "MAC", "table", "traffic"], &rows(&pod)?);
    paper.line(&format!("took {} ms in all, bootstrap included", duration.as_millis()));

    paper.step("The node section of the bootstrap that ADD wrote");
    paper.json(&pod.bootstrap()?["node"]);

    paper.step("Envoy 1.40, started on that file as user 1337: its own report (GET /server_info)");
    let envoy = Envoy::start(pod.netns(), &pod.bootstrap_path(), &Options::default());
    let info = envoy.server_info();
    let reported = info["node"]["metadata"]["INSTANCE_IPS"].as_str().unwrap_or("nothing").to_owned();
    paper.line(&format!("version       {}", info["version"].as_str().unwrap_or("unknown")));
    paper.line(&format!("INSTANCE_IPS  {reported}"));
    let kernel = iproute::addresses(pod.netns());
    let known = reported.split(',').filter_map(|address| address.parse().ok()).collect();
    paper.check(
        &format!("the kernel has these {} addresses in the pod, and no other", kernel.len()),
        kernel == known,
    )?;
    drop(envoy);

    paper.step("multiplane DEL, then GC for the bridges that no pod uses any more");
    pod.remove()?;
    for (place, (old, new)) in ["node", "pod"].iter().zip(before.iter().zip(pod.everything().iter())) {
        let claim = format!("{place}: links, addresses, routes of all tables and rules are as before ADD");
        paper.check(&claim, old == new)?;
    }
    let files = pod.files();
    paper.check(&format!("files left: {}", if files.is_empty() { "none" } else { &files }), files.is_empty())
}

/// Planes and addresses from the written bootstrap, MAC and table from the kernel.
fn rows(pod: &Pod) -> Result<Vec<Vec<String>>, String> {
    let bootstrap = pod.bootstrap()?;
    let planes = bootstrap["node"]["metadata"]["PLANES"].as_object().cloned().unwrap_or_default();
    let links = iproute::ip(pod.netns(), "address show");
    let rules = iproute::ip(pod.netns(), "rule show");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut rows: Vec<(u64, Vec<String>)> = Vec::new();
    for (plane, facts) in &planes {
        let interface = text(&facts["interface"]);
        let link = iproute::list(&links).iter().find(|link| link["ifname"] == interface.as_str());
        let link = link.ok_or_else(|| format!("the pod has no interface {interface}"))?;
        let addresses: Vec<_> = iproute::list(&facts["addresses"]).iter().map(text).collect();
        let rule = iproute::list(&rules).iter().find(|rule| addresses.contains(&text(&rule["src"])));
        let table = rule.map_or("main".to_owned(), |rule| text(&rule["table"]));
        let row = vec![
            plane.clone(),
            interface,
            addresses.join(" "),
            text(&link["address"]),
            table,
            text(&facts["traffic"]),
        ];
        rows.push((link["ifindex"].as_u64().unwrap_or(0), row));
    }
    rows.sort();
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}
