//! V1.

use serde_json::json;
use testbed::plugin::Environment;
use testbed::world::World;

use super::VERSIONS;

#[test]
fn v1_it_works_as_libcni_calls_it_and_touches_nothing() {
    let world = World::new();
    let before = world.state(&[]);
    let libcni = Environment::none()
        .with("CNI_NETNS", "dummy")
        .with("CNI_IFNAME", "dummy")
        .with("CNI_PATH", "dummy")
        .with("CNI_CONTAINERID", "");

    let answer = world.done("VERSION", &libcni, &json!({"cniVersion": "1.1.0"}));
    assert_eq!(answer.stdout, json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS}));
    assert_eq!(before.difference(&world.state(&[])), Vec::<String>::new());
}

#[test]
fn v1_it_works_with_no_stdin_garbage_and_hostile_variables() {
    let world = World::new();
    for stdin in ["", "garbage", "{", "null", "[]", r#"{"cniVersion": 7}"#] {
        let hostile = Environment::none().with("CNI_IFNAME", "../..").with("CNI_ARGS", "=");
        let answer = world.call_raw("VERSION", &hostile, stdin.as_bytes());

        assert_eq!(answer.status, Some(0), "{stdin:?}: {}", answer.stdout);
        assert_eq!(answer.stdout["supportedVersions"], json!(VERSIONS));
    }
}
