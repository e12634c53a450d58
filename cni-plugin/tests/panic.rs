//! A defect of ours still answers in CNI's words.

use std::process::Command;

use serde_json::Value;

const CHILD: &str = "MULTIPLANE_TEST_PANIC";

/// Runs itself once more, as a process that panics on a second thread, where most of our system calls run.
#[test]
fn a_panic_on_any_thread_prints_an_error_object_and_ends_with_a_failure() {
    if std::env::var_os(CHILD).is_some() {
        cni_plugin::panic::install();
        let _ = std::thread::spawn(|| panic!("first line\nsecond line")).join();
        unreachable!("the hook ends the process");
    }
    let this = std::env::current_exe().unwrap();

    let output = Command::new(this).env(CHILD, "1").arg("--nocapture").output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let object = stdout.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let object = object.unwrap_or_else(|| unreachable!("no object in {stdout:?}"));
    assert_eq!(object["code"], 999);
    assert_eq!(object["cniVersion"], "1.1.0");
    assert!(object["msg"].as_str().unwrap().contains("tests/panic.rs"), "{object}");
    assert_eq!(object["details"], "first line second line");
}
