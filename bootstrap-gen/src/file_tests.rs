//! Each promise of the file's life: whole, readable, owned, taken away by its owner alone.

use tempfile::TempDir;

use super::*;
use crate::envoy::{Bootstrap, generate};
use planes::plan::{BootstrapFlavour, BootstrapPlan};

fn assert_mode(path: &Path, mode: u32) {
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
}

fn pod(uid: &str) -> Pod {
    Pod { namespace: "core".into(), name: "amf-0".into(), uid: Some(uid.into()) }
}

fn container(id: &str) -> ContainerId {
    id.parse().unwrap()
}

fn bootstrap() -> Bootstrap {
    let node = planes::ProxyNode {
        name: "amf-0".into(),
        namespace: "core".into(),
        addresses: vec!["10.0.0.1".parse().unwrap()],
        planes: Vec::new(),
        network_view: None,
    };
    let plan = BootstrapPlan {
        flavour: BootstrapFlavour::Istio,
        discovery: "127.0.0.1:15010".into(),
        directory: "/unused".into(),
        max_connections: 400,
    };
    generate(&node, &plan).unwrap()
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn a_placed_bootstrap_is_whole_readable_and_gone_after_its_owners_withdrawal() {
    let root = TempDir::new().unwrap();
    let directory = root.path().join("a/pods");

    let path = place(&directory, Some(&pod("u-1")), &container("c1"), &bootstrap()).unwrap();

    assert_eq!(path, directory.join("u-1/envoy.json"));
    assert_eq!(fs::read_to_string(&path).unwrap(), bootstrap().to_text());
    assert_mode(&path, 0o644);
    assert_mode(&directory.join("u-1"), 0o755);
    assert_eq!(check(&directory, Some(&pod("u-1")), &container("c1")).unwrap(), []);
    for _ in 0..2 {
        withdraw(&directory, Some(&pod("u-1")), &container("c1")).unwrap();
        assert_eq!(entries(&directory), 0);
    }
}

#[test]
fn a_late_withdrawal_of_an_old_sandbox_leaves_the_living_pods_file() {
    let root = TempDir::new().unwrap();
    place(root.path(), Some(&pod("u-1")), &container("old"), &bootstrap()).unwrap();
    let path = place(root.path(), Some(&pod("u-1")), &container("new"), &bootstrap()).unwrap();

    withdraw(root.path(), Some(&pod("u-1")), &container("old")).unwrap();

    assert!(path.exists());
    assert_eq!(check(root.path(), Some(&pod("u-1")), &container("new")).unwrap(), []);
    assert!(matches!(
        check(root.path(), Some(&pod("u-1")), &container("old")).unwrap()[..],
        [Drift::Foreign(_)]
    ));
}

#[test]
fn below_a_file_there_is_nothing_to_withdraw() {
    let root = TempDir::new().unwrap();
    let directory = root.path().join("file");
    fs::write(&directory, "in the way").unwrap();

    assert!(place(&directory, Some(&pod("u-1")), &container("c1"), &bootstrap()).is_err());
    withdraw(&directory, Some(&pod("u-1")), &container("c1")).unwrap();

    assert_eq!(fs::read_to_string(&directory).unwrap(), "in the way");
}

#[test]
fn each_drift_is_named() {
    let root = TempDir::new().unwrap();
    let path = place(root.path(), None, &container("c1"), &bootstrap()).unwrap();
    let drift = || check(root.path(), None, &container("c1")).unwrap();

    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(drift(), [Drift::Mode(path.clone(), 0o600)]);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, "{}").unwrap();
    assert_eq!(drift(), [Drift::Edited(path.clone())]);
    fs::remove_file(&path).unwrap();
    assert_eq!(drift(), [Drift::Missing(path)]);
}

#[test]
fn a_withdrawal_after_a_kill_in_the_middle_leaves_nothing() {
    for (from, to) in [("envoy.json", ".envoy.json.c1"), ("owner.json", ".owner.json.c1")] {
        let root = TempDir::new().unwrap();
        let path = place(root.path(), None, &container("c1"), &bootstrap()).unwrap();
        let home = path.parent().unwrap();
        fs::rename(home.join(from), home.join(to)).unwrap();
        if from == "owner.json" {
            // Killed while the first file was written: the second does not exist yet.
            fs::remove_file(&path).unwrap();
        }

        withdraw(root.path(), None, &container("c1")).unwrap();

        assert_eq!(entries(root.path()), 0, "{to}");
    }
}

#[test]
fn an_existing_directory_keeps_its_mode() {
    let root = TempDir::new().unwrap();
    fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();

    place(root.path(), None, &container("c1"), &bootstrap()).unwrap();

    assert_mode(root.path(), 0o700);
}

#[test]
fn a_uid_that_leads_elsewhere_is_refused() {
    let root = TempDir::new().unwrap();
    for uid in ["", "..", "../x", "/etc", "a/b", ".hidden", &"u".repeat(65)] {
        let error = place(root.path(), Some(&pod(uid)), &container("c1"), &bootstrap()).unwrap_err();

        assert!(error.to_string().starts_with("K8S_POD_UID"), "{uid}: {error}");
        assert_eq!(entries(root.path()), 0);
    }
}

#[test]
fn what_cannot_be_written_leaves_nothing_and_says_where() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();

    let error = place(&file, None, &container("c1"), &bootstrap()).unwrap_err();

    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    assert_eq!(entries(root.path()), 1);
}
