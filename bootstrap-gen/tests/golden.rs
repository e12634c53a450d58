//! Golden files: a review of a change to the bootstrap is a review of their diff. `UPDATE_GOLDEN=1` rewrites.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bootstrap_gen::generate;
use planes::plan::{BootstrapFlavour, BootstrapPlan};
use planes::{PodNetwork, ProxyNode};

fn rendered(case: &str) -> String {
    let record = fs::read_to_string(golden().join(case).with_extension("network.json")).unwrap();
    let network: PodNetwork = serde_json::from_str(&record).unwrap();
    let plan = BootstrapPlan {
        flavour: BootstrapFlavour::Istio,
        discovery: "istiod.istio-system.svc:15010".into(),
        directory: "/run/multiplane/pods".into(),
        max_connections: 20_000,
    };
    generate(&ProxyNode::from_pod_network(&network).unwrap(), &plan).unwrap().to_text()
}

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn assert_golden(case: &str) {
    let path = golden().join(case).with_extension("envoy.json");
    let text = rendered(case);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }

    assert_eq!(text, rendered(case), "the same input twice gives the same bytes");
    assert_eq!(text, fs::read_to_string(&path).unwrap(), "{}: UPDATE_GOLDEN=1 rewrites it", path.display());
}

#[test]
fn a_pod_on_three_planes() {
    assert_golden("three-planes");
}

#[test]
fn a_pod_with_ipv6_only() {
    assert_golden("ipv6-only");
}

#[test]
fn the_command_prints_the_same_as_the_library() {
    let record = golden().join("three-planes.network.json");
    let output = Command::new(env!("CARGO_BIN_EXE_bootstrap-gen"))
        .args(["render", "--discovery", "istiod.istio-system.svc:15010", "--record"])
        .arg(record)
        .output()
        .unwrap();

    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), rendered("three-planes"));
}

#[test]
fn the_command_says_on_one_line_what_is_wrong() {
    for (arguments, expected) in [
        (["--discovery", "nowhere"], "bootstrap.discovery \"nowhere\""),
        (["--discovery", "a:70000"], "bootstrap.discovery \"a:70000\""),
    ] {
        let record = golden().join("three-planes.network.json");
        let output = Command::new(env!("CARGO_BIN_EXE_bootstrap-gen"))
            .args(["render", "--record", record.to_str().unwrap()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();

        assert_eq!(output.status.code(), Some(1));
        assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
    }
}
