//! Runs tests of the suite in the microVM: `microvm <test name>...`, as `cargo test -- --exact` would here.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use testbed::binary;
use testbed::real::microvm::MicroVm;
use testbed::real::parts;

/// Bounds the whole run; booting takes seconds of it.
const LIMIT: Duration = Duration::from_secs(240);

#[expect(clippy::print_stdout, reason = "the console is what the program is for")]
fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let vm = MicroVm::new();
    vm.add(&stripped(&suite()), "programs/suite");
    for program in ["multiplane", "bootstrap-gen"] {
        vm.add(&stripped(&binary::path(program)), &format!("programs/{program}"));
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let outcome = vm.run(&format!("/programs/suite --exact --test-threads=1 {}", quoted.join(" ")), LIMIT);
    print!("{}", outcome.console);
    match outcome.status {
        Some(0) => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => {
            println!("the microVM did not finish within {} s", LIMIT.as_secs());
            ExitCode::FAILURE
        }
    }
}

/// The suite's test binary, built (or found built) by cargo.
fn suite() -> PathBuf {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--locked", "--package=testbed", "--test=suite", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(parts::workspace())
        .stderr(Stdio::inherit())
        .output()
        .expect("start cargo");
    let text = String::from_utf8_lossy(&output.stdout);
    let built = text.lines().filter_map(binary::executable).find(|(name, _)| name == "suite");
    built.expect("cargo builds the suite").1
}

/// A copy without debugging information beside the original: it has to pass through an emulated machine's memory.
fn stripped(program: &Path) -> PathBuf {
    let copy = program.with_extension("stripped");
    let status = Command::new("strip").arg("-o").arg(&copy).arg(program).status();
    if status.is_ok_and(|status| status.success()) { copy } else { program.to_owned() }
}
