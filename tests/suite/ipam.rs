//! Addresses of the embedded store through the built plugin.

use std::process::{Child, Command};

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::world::{Pod, World};

/// One plane with one set per family, two addresses each.
fn conf(world: &World, edit: Value) -> Value {
    let mut ipam = json!({"ranges": [
        [{"subnet": "10.60.0.0/24", "rangeStart": "10.60.0.5", "rangeEnd": "10.60.0.6"}],
        [{"subnet": "fd00:60::/64", "rangeStart": "fd00:60::5", "rangeEnd": "fd00:60::6"}]]});
    ipam.as_object_mut().unwrap().extend(edit.as_object().cloned().unwrap_or_default());
    let plane = json!({"name": "p", "kind": "bridge", "bridge": "mp-p", "ipam": ipam});
    world.conf(json!({"planes": [plane], "default": ["p"], "stickyDirectory": world.path("sticky")}))
}

fn named(pod: &Pod, name: &str) -> Environment {
    Environment::of(&pod.container, &pod.netns.path_from_proc()).of_pod(name, name)
}

/// Adds a pod of that name; its code if it fails.
fn add(world: &World, pod: &Pod, name: &str, conf: &Value) -> Result<Vec<String>, Option<u64>> {
    let answer = world.call("ADD", &named(pod, name), conf);
    if answer.status == Some(0) {
        Ok(pod.interfaces()["eth0"].clone())
    } else {
        Err(answer.stdout["code"].as_u64())
    }
}

/// A process in the pod: a path through it is gone when it is, where the number of a file of ours may be another file's.
fn inhabit(pod: &Pod) -> Child {
    pod.netns.run(|| Command::new("sleep").arg("300").spawn().unwrap()).unwrap()
}

#[test]
fn both_families_are_leased_until_a_pod_that_ended_without_a_del_gives_way() {
    let world = World::new();
    let conf = conf(&world, json!({}));
    let [first, second, third] = [(); 3].map(|()| world.pod());
    let mut process = inhabit(&first);
    let path = format!("/proc/{}/ns/net", process.id());

    world.done("ADD", &named(&first, "a").with("CNI_NETNS", &path), &conf);
    assert_eq!(first.interfaces()["eth0"], ["10.60.0.5/24", "fd00:60::5/64"]);
    assert_eq!(add(&world, &second, "b", &conf).unwrap(), ["10.60.0.6/24", "fd00:60::6/64"]);
    assert_eq!(add(&world, &third, "c", &conf), Err(Some(11)), "control: both live");
    process.kill().unwrap();
    process.wait().unwrap();

    assert_eq!(add(&world, &third, "c", &conf).unwrap(), ["10.60.0.5/24", "fd00:60::5/64"]);
}

#[test]
fn a_sticky_pod_has_its_addresses_again_after_a_reboot() {
    let world = World::new();
    let conf = conf(&world, json!({"sticky": true}));
    let [first, second] = [(); 2].map(|()| world.pod());
    add(&world, &first, "a", &conf).unwrap();
    let wanted = add(&world, &second, "b", &conf).unwrap();
    for (pod, name) in [(&first, "a"), (&second, "b")] {
        world.done("DEL", &named(pod, name), &conf);
    }
    let state = conf["stateDirectory"].as_str().unwrap();
    std::fs::remove_dir_all(state).unwrap(); // it lies on tmpfs

    assert_eq!(add(&world, &world.pod(), "b", &conf).unwrap(), wanted, "another container of the same name");
}
