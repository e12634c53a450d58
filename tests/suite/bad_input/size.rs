//! Absurd sizes: refused in good time, with a short message; large but lawful ones are served.

use serde_json::json;
use testbed::world::laid_over;

use super::{ANNOTATIONS, Scene, faults_of_message, ipam, plane};

const PLANES: &str = "multiplane.dev/planes";

#[test]
fn lists_and_texts_beyond_any_use_are_refused_by_their_size() {
    let many = |count: usize| vec![json!("10.60.0.0/24"); count];
    let asked = |text: String| json!({"runtimeConfig": {ANNOTATIONS: {PLANES: text}}});
    let name = "x".repeat(1 << 20);
    let scene = Scene::new();

    scene.refuses_each(
        7,
        &[
            (ipam(json!({"ranges": many(5000)})), ["planes[0].ipam.ranges", "5000", "4096"]),
            (json!({"default": vec!["control"; 5000]}), ["default", "5000", "4096"]),
            (plane(json!({"name": name})), ["planes[0].name", "xxx", "63"]),
            (asked(vec!["media"; 100].join(",")), [PLANES, "100", "64"]),
            (asked("media,".repeat(20_000)), [PLANES, "120000 bytes", "65536"]),
            (asked("[".repeat(60_000)), [PLANES, "[[[", "JSON"]),
            (asked("[".repeat(260_000)), [PLANES, "260000 bytes", "65536"]),
        ],
    );
    scene.refuses_each(2, &[(json!({name.as_str(): 1}), ["xxx", "1", "unknown key"])]);
}

#[test]
fn stdin_without_an_end_in_sight_and_nesting_without_a_bottom_are_refused() {
    let scene = Scene::new();
    let add = |stdin: &[u8]| scene.world.call_raw("ADD", &scene.pod.environment(), stdin);

    let long = add(&vec![b' '; 5 << 20]);
    let deep = add("[".repeat(1 << 20).as_bytes());
    let keys = add(format!("{{{}", "\"a\":{".repeat(100_000)).as_bytes());

    assert_eq!(faults_of_message(&long, 5, ["stdin", "4194304", "shorten"]), Vec::<String>::new());
    assert_eq!(faults_of_message(&deep, 6, ["stdin", "recursion", ""]), Vec::<String>::new());
    assert_eq!(faults_of_message(&keys, 6, ["stdin", "recursion", ""]), Vec::<String>::new());
    assert_eq!(scene.before.difference(&scene.world.state(&[&scene.pod])), Vec::<String>::new());
}

/// 256 KiB is what Kubernetes allows in all, and the manifest comes among the annotations once more.
#[test]
fn the_largest_annotations_that_kubernetes_allows_are_served() {
    let scene = Scene::new();
    let manifest = json!({"spec": "x".repeat(255 << 10)}).to_string();
    let conf = scene.conf(json!({"runtimeConfig": {ANNOTATIONS: {
        "kubectl.kubernetes.io/last-applied-configuration": manifest, PLANES: "media"}}}));

    let answer = scene.world.done("ADD", &scene.pod.environment(), &conf);
    assert!(scene.pod.interfaces().contains_key("media"));
    let check = laid_over(conf.clone(), json!({"prevResult": answer.stdout}));
    scene.world.done("CHECK", &scene.pod.environment(), &check);
    scene.world.del(&scene.pod, &conf);
    let saved = scene.before.difference(&scene.world.lasting(&[&scene.pod]));
    assert_eq!(saved, Vec::<String>::new());
}

#[test]
fn a_catalogue_of_a_thousand_planes_is_served() {
    let scene = Scene::new();
    let planes: Vec<_> = (0..1000)
        .map(|n| {
            let range = format!("10.{}.{}.0/24", 100 + n / 250, n % 250);
            json!({"name": format!("p{n}"), "kind": "bridge", "bridge": format!("mp-p{n}"), "ipam": {"ranges": [range]}})
        })
        .collect();

    let answer = scene.add(json!({"planes": planes, "default": ["p999"]}));

    assert_eq!(answer.status, Some(0), "{}", answer.stdout);
    assert_eq!(scene.pod.interfaces()["p999"], ["10.103.249.1/24"]);
}
