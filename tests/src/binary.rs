//! The programs of this workspace, built once per test run: `CARGO_BIN_EXE_*` is not set for the binaries of
//! another package.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The folder that holds the programs already, where there is no cargo (in the microVM).
pub const READY_MADE: &str = "MULTIPLANE_BINARIES";

/// The path of a program: `multiplane`, `bootstrap-gen`, `plane-capture`, `control-plane`.
///
/// # Panics
/// If it cannot be built, or no package has it.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os(READY_MADE) {
        return PathBuf::from(folder).join(name);
    }
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let path = BUILT.get_or_init(build).get(name).cloned();
    path.expect("a package of the workspace has a binary of this name")
}

fn build() -> HashMap<String, PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--locked", "--bins", "--message-format=json-render-diagnostics"])
        .args([
            "--package=cni-plugin",
            "--package=bootstrap-gen",
            "--package=iptables",
            "--package=control-plane",
        ])
        .current_dir(crate::real::parts::workspace())
        .stderr(Stdio::piped())
        .output()
        .expect("start cargo");
    assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect()
}

/// Name and path from the one kind of cargo's messages that names a finished program
/// (<https://doc.rust-lang.org/cargo/reference/external-tools.html#artifact-messages>).
#[must_use]
pub fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(path)))
}
