//! A good configuration on a node that does not have what it names: what fails late is undone, and said as clearly.

use serde_json::{Value, json};
use testbed::world::{command, is_fixture};

use super::{ANNOTATIONS, Scene, faults_of_message, of_kind, plane};

/// Refused with one of `codes`; nothing is left but fixtures of the node.
#[track_caller]
fn refused(scene: &Scene, edit: Value, code: u64, words: [&str; 3]) {
    let answer = scene.add(edit.clone());
    let after = scene.world.lasting(&[&scene.pod]);
    assert_eq!(faults_of_message(&answer, code, words), Vec::<String>::new(), "{edit}");
    assert_eq!(scene.before.clone().without(is_fixture).difference(&after), Vec::<String>::new(), "{edit}");
}

#[test]
fn masters_and_devices_that_do_not_exist_are_named() {
    let scene = Scene::new();
    for keys in [
        json!({"kind": "macvlan", "master": "nowhere"}),
        json!({"kind": "ipvlan", "master": "nowhere"}),
        json!({"kind": "vlan", "master": "nowhere", "vlan": 7}),
        json!({"kind": "bridge", "bridge": "mp-p", "uplink": "nowhere"}),
        json!({"kind": "host-device", "device": "nowhere"}),
        json!({"kind": "vxlan", "vni": 7, "local": "192.0.2.1", "group": "239.1.1.1", "groupInterface": "nowhere"}),
    ] {
        refused(&scene, of_kind(keys), 104, ["nowhere", "", ""]);
    }
    refused(
        &scene,
        of_kind(json!({"kind": "host-device", "hwaddr": "0a:58:00:00:00:99"})),
        104,
        ["0a:58:00:00:00:99", "", ""],
    );
    refused(
        &scene,
        of_kind(json!({"kind": "host-device", "pciBusID": "ffff:ff:1f.7"})),
        104,
        ["ffff:ff:1f.7", "", ""],
    );
}

#[test]
fn a_bridge_name_that_another_kind_of_link_has_is_named() {
    let scene = Scene::new();
    scene.world.on_node("link add mp-p type veth peer name other");
    let before = testbed::iproute::links(&scene.world.node);

    let answer = scene.add(plane(json!({})));

    assert_eq!(faults_of_message(&answer, 104, ["mp-p", "bridge", ""]), Vec::<String>::new());
    assert_eq!(testbed::iproute::links(&scene.world.node), before);
}

#[test]
fn a_name_that_the_pod_has_already_is_named_with_the_key_that_changes_it() {
    let scene = Scene::new();
    command(&scene.pod.netns, "ip", "link add p type veth peer name other");
    command(&scene.pod.netns, "ip", "link set p up");
    command(&scene.pod.netns, "ip", "address add 192.0.2.9/24 dev p");
    let before = scene.world.state(&[&scene.pod]);

    let answer = scene.add(plane(json!({})));

    assert_eq!(faults_of_message(&answer, 7, ["plane p", "\"p\"", "another"]), Vec::<String>::new());
    assert_eq!(before.difference(&scene.world.state(&[&scene.pod])), Vec::<String>::new());
}

#[test]
fn an_overlay_that_is_missing_or_garbled_is_named_with_its_path() {
    let scene = Scene::new();
    let overlay = scene.world.path("node.json");
    let named = json!({"nodeConfig": overlay});
    let path = overlay.display().to_string();

    refused(&scene, named.clone(), 7, ["nodeConfig", &path, "take the key out"]);
    for (text, words) in [
        ("", ["nodeConfig", path.as_str(), "overlay"]),
        ("[]", ["nodeConfig", path.as_str(), "overlay"]),
        (r#"{"planes": {"../x": {}}}"#, ["nodeConfig.planes.../x", "../x", "use"]),
        (r#"{"planes": {"control": {"ranges": ["x"]}}}"#, ["nodeConfig.planes.control.ranges[0]", "x", ""]),
    ] {
        std::fs::write(&overlay, text).unwrap();
        refused(&scene, named.clone(), 7, words);
    }
    std::fs::write(&overlay, r#"{"planes": {"control": {"rangs": []}}}"#).unwrap();
    refused(&scene, named, 2, ["nodeConfig.planes.control.rangs", "[]", "did you mean \"ranges\""]);
}

#[test]
fn directories_that_cannot_be_written_are_named() {
    let scene = Scene::new();
    let file = scene.world.path("file");
    std::fs::write(&file, "in the way").unwrap();
    let path = file.display().to_string();

    refused(&scene, json!({"stateDirectory": file}), 5, [&path, "", ""]);
    let bootstrap = json!({"bootstrap": {"discovery": "127.0.0.1:15010", "directory": file}});
    refused(&scene, bootstrap, 106, [&path, "", ""]);
}

#[test]
fn an_ipam_plugin_that_is_not_there_is_named_with_where_we_looked() {
    let scene = Scene::new();
    let plugins = scene.world.plugins().display().to_string();

    refused(&scene, plane(json!({"ipam": {"type": "nobody"}})), 105, ["nobody", "CNI_PATH", &plugins]);
}

#[test]
fn a_range_without_a_free_address_and_an_address_that_is_taken_are_named() {
    let scene = Scene::new();
    let small = plane(
        json!({"ipam": {"ranges": [{"subnet": "10.60.0.0/24", "rangeStart": "10.60.0.5", "rangeEnd": "10.60.0.5"}]}}),
    );
    let (holder, previous) = scene.world.pod_with_primary();
    let conf = testbed::world::laid_over(scene.conf(small.clone()), json!({"prevResult": previous}));
    scene.world.add(&holder, &conf);
    let before = scene.world.state(&[&scene.pod, &holder]);

    let exhausted = scene.add(small.clone());
    let mut asking = small;
    let wish = r#"[{"name": "p", "ips": ["10.60.0.5"]}]"#;
    asking["runtimeConfig"] = json!({ANNOTATIONS: {"multiplane.dev/planes": wish}});
    let taken = scene.add(asking);

    assert_eq!(faults_of_message(&exhausted, 11, ["10.60.0.5", "", ""]), Vec::<String>::new());
    assert_ne!(taken.status, Some(0), "{}", taken.stdout);
    assert_eq!(
        faults_of_message(&taken, taken.code().unwrap_or_default(), ["10.60.0.5", "", ""]),
        Vec::<String>::new()
    );
    let after = scene.world.state(&[&scene.pod, &holder]);
    assert_eq!(before.difference(&after), Vec::<String>::new());
}
