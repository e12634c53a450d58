//! The walking skeleton: a pod gets its planes, every address is learnt, its bootstrap is written, and DEL leaves nothing.

use serde_json::{Value, json};
use testbed::world::World;

/// `INSTANCE_IPS` of the one bootstrap that lies below the world's folder.
fn instance_ips(world: &World, directory: &str) -> String {
    let text = std::fs::read_to_string(world.path("pods").join(directory).join("envoy.json")).unwrap();
    let bootstrap: Value = serde_json::from_str(&text).unwrap();
    bootstrap["node"]["metadata"]["INSTANCE_IPS"].as_str().unwrap().to_owned()
}

#[test]
fn a_standalone_pod_gets_its_planes_and_del_leaves_nothing() {
    let world = World::new();
    let pod = world.pod();
    let before = world.lasting(&[&pod]);
    let conf = world.conf(json!({"always": ["control", "media"], "default": ["oam"]}));

    let answer = world.add(&pod, &conf);

    assert_eq!(answer.stdout["ips"].as_array().unwrap().len(), 1, "only the primary's: {}", answer.stdout);
    assert_eq!(answer.stdout["ips"][0]["address"], "10.75.0.2/24");
    let interfaces = pod.interfaces();
    assert_eq!(interfaces["eth0"], ["10.75.0.2/24"]);
    assert_eq!(interfaces["media"], ["10.80.0.2/24"]);
    assert_eq!(interfaces["oam"], ["10.90.0.2/24"]);
    assert_eq!(instance_ips(&world, "uid-c0"), "10.75.0.2,10.80.0.2,10.90.0.2");
    for _ in 0..2 {
        world.del(&pod, &conf);
        let after = world.lasting(&[&pod]);
        assert_eq!(before.difference(&after), Vec::<String>::new());
    }
}

#[test]
fn a_chained_pod_keeps_its_primary_and_the_result_of_the_chain() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();
    let before = world.lasting(&[&pod]);
    let conf = world.conf(json!({"default": ["control", "media"], "prevResult": previous}));

    let answer = world.add(&pod, &conf);

    let mut echoed = answer.stdout.clone();
    let ours = echoed["interfaces"].as_array_mut().unwrap().split_off(2);
    assert_eq!(echoed, previous, "prevResult is echoed verbatim, but for interfaces of ours");
    assert_eq!(ours.iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["control", "media"]);
    assert_eq!(pod.interfaces()["control"], ["10.75.0.2/24"]);
    assert_eq!(instance_ips(&world, "uid-c0"), "10.244.0.2,10.75.0.2,10.80.0.2");
    world.del(&pod, &conf);
    let after = world.lasting(&[&pod]);
    assert_eq!(before.difference(&after), Vec::<String>::new());
}
