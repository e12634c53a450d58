use planes::Traffic;
use tempfile::TempDir;

use super::*;

fn key(container: &str) -> AttachmentKey {
    AttachmentKey {
        network: "telecom".parse().unwrap(),
        container: container.parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    }
}

fn record(container: &str) -> Record {
    let plan = Plan {
        key: key(container),
        netns: "/run/netns/x".into(),
        pod: None,
        proxy: None,
        attachments: Vec::new(),
        undeclared: Traffic::Bypass,
        bootstrap: None,
    };
    Record { netns_cookie: 7, plan, leases: Vec::new(), before: Vec::new(), homes: Vec::new(), network: None }
}

fn owner(attachment: &str) -> Owner {
    Owner { network: "telecom".into(), attachment: attachment.into() }
}

fn state() -> (TempDir, State) {
    let root = tempfile::tempdir().unwrap();
    let state = State::new(root.path(), &"telecom".parse().unwrap());
    state.create().unwrap();
    (root, state)
}

#[test]
fn a_record_is_read_back_and_removed_twice() {
    let (_root, state) = state();

    state.save(&record("c1")).unwrap();

    assert_eq!(state.load(&key("c1")).unwrap(), Some(record("c1")));
    assert_eq!(state.keys(&"telecom".parse().unwrap()).unwrap(), [key("c1")]);
    state.remove(&key("c1")).unwrap();
    state.remove(&key("c1")).unwrap();
    assert_eq!(state.load(&key("c1")).unwrap(), None);
}

#[test]
fn a_record_has_its_mode_and_leaves_no_temporary_file() {
    let (_root, state) = state();

    state.save(&record("c1")).unwrap();

    let path = state.path(&key("c1"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn foreign_and_temporary_files_are_no_records() {
    let (_root, state) = state();
    let directory = state.directory().join("attachments");
    for name in [".c1@eth0.json.new", "c1.json", "c1@eth0", "../x", "c 1@eth0.json", "c1@a b.json"] {
        if !name.starts_with("..") {
            fs::write(directory.join(name), "{}").unwrap();
        }
        assert_eq!(AttachmentKey::of_file(name, &"telecom".parse().unwrap()), None, "{name}");
    }

    assert_eq!(state.keys(&"telecom".parse().unwrap()).unwrap(), []);
}

#[test]
fn a_garbled_record_is_an_error_that_names_the_file() {
    let (_root, state) = state();
    fs::write(state.path(&key("c1")), "{").unwrap();

    let error = state.load(&key("c1")).unwrap_err();

    assert!(error.to_string().contains("c1@eth0.json"), "{error}");
}

#[test]
fn a_namespace_is_claimed_once_and_named() {
    let (root, telecom) = state();
    let other = State::new(root.path(), &"other".parse().unwrap());
    other.create().unwrap();
    telecom.save(&record("c1")).unwrap();

    assert_eq!(telecom.claim(7, &key("c1")).unwrap(), None);
    assert_eq!(telecom.claim(7, &key("c1")).unwrap(), None, "its own claim");
    assert_eq!(other.claim(7, &key("c2")).unwrap(), Some(owner("c1@eth0")));
    assert_eq!(other.claim(8, &key("c2")).unwrap(), None, "another namespace");
}

#[test]
fn a_claim_without_a_record_is_taken_over() {
    let (_root, state) = state();

    assert_eq!(state.claim(7, &key("dead")).unwrap(), None);

    assert_eq!(state.claim(7, &key("c1")).unwrap(), None);
    state.disclaim(7, &key("dead")).unwrap();
    state.save(&record("c1")).unwrap();
    assert_eq!(state.claim(7, &key("c2")).unwrap(), Some(owner("c1@eth0")), "not given back by others");
    state.disclaim(7, &key("c1")).unwrap();
    assert_eq!(state.claim(7, &key("c2")).unwrap(), None);
}

#[test]
fn nothing_is_listed_where_nothing_was_made() {
    let root = tempfile::tempdir().unwrap();
    let state = State::new(&root.path().join("absent"), &"telecom".parse().unwrap());

    assert_eq!(state.keys(&"telecom".parse().unwrap()).unwrap(), []);
    state.remove(&key("c1")).unwrap();
    state.disclaim(7, &key("c1")).unwrap();
}
