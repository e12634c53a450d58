//! Calls as a real kubelet with containerd, and a real Multus, were seen to send them (Kubernetes 1.36, containerd 1.6.20
//! and 2.4.2, Multus of August 2026).

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::world::{Pod, World, laid_over};

const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
const UID: &str = "0f3f9c5e-6b0e-4c8f-9b6e-5b7e6a1d2c3b";
/// As containerd makes them.
const SANDBOX: &str = "3f1c5a0b7d9e8f6a4c2b1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a";

/// The chained call for a pod whose deployment was applied by kubectl: its whole manifest comes along.
fn conf(world: &World, previous: &Value, planes: &str) -> Value {
    let container = json!({"name": "app", "image": "registry.example/app:1.27.3", "env": [{"name": "A", "value": "\u{3c}html\u{3e}"}]});
    let manifest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "annotations": {"multiplane.dev/planes": planes}},
        "spec": {"containers": vec![container; 400]}});
    world.conf(json!({
        "cniVersion": "1.0.0", "prevResult": laid_over(previous.clone(), json!({"cniVersion": "1.0.0"})),
        "capabilities": {ANNOTATIONS: true},
        "runtimeConfig": {ANNOTATIONS: {
            "kubectl.kubernetes.io/last-applied-configuration": manifest.to_string(),
            "kubernetes.io/config.seen": "2026-11-22T10:11:12.131415161Z", "kubernetes.io/config.source": "api",
            "multiplane.dev/planes": planes,
        }},
    }))
}

/// Go's maps have no order: the keys come as `rotation` has them.
fn kubelet(container: &str, pod: &Pod, rotation: usize) -> Environment {
    let infra = format!("K8S_POD_INFRA_CONTAINER_ID={container}");
    let uid = format!("K8S_POD_UID={UID}");
    let mut pairs = ["K8S_POD_NAME=web-0", &infra, &uid, "IgnoreUnknown=1", "K8S_POD_NAMESPACE=default"];
    pairs.rotate_left(rotation);
    Environment::of(container, &pod.netns.path_from_proc()).with("CNI_ARGS", &pairs.join(";"))
}

fn bootstrap(world: &World) -> String {
    std::fs::read_to_string(world.path("pods").join(UID).join("envoy.json")).unwrap_or_default()
}

#[test]
fn a_kubelets_call_is_served_whatever_the_order_of_its_arguments() {
    let world = World::new();
    for rotation in 0..5 {
        let (pod, previous) = world.pod_with_primary();
        let container = format!("{}{rotation}", &SANDBOX[1..]);
        let call = kubelet(&container, &pod, rotation);
        let conf = conf(&world, &previous, "control@ctl0,media");

        world.done("ADD", &call, &conf);
        assert_eq!(pod.interfaces().keys().collect::<Vec<_>>(), ["ctl0", "eth0", "media"]);
        let text = bootstrap(&world);
        assert!(text.contains("\"web-0\"") && text.contains("\"default\""), "{text}");
        // A failed or finished sandbox gets DEL without `prevResult`, two or three times.
        let again = laid_over(conf, json!({"prevResult": "DELETE"}));
        for _ in 0..3 {
            world.done("DEL", &call, &again);
        }
        assert_eq!((pod.interfaces().len(), bootstrap(&world)), (1, String::new()));
    }
}

#[test]
fn inside_multus_delegates_keys_stand_twice_and_the_log_says_where_to_stand_instead() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();
    let infra = format!("K8S_POD_INFRA_CONTAINER_ID={SANDBOX}");
    let twice = format!(
        "IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;{infra};K8S_POD_UID={UID};IgnoreUnknown=1;K8S_POD_UID={UID}"
    );
    let call = kubelet(SANDBOX, &pod, 0).with("CNI_ARGS", &twice);

    let answer = world.done("ADD", &call, &world.conf(json!({"prevResult": previous})));
    assert!(answer.stderr.contains("after multus in the conflist"), "{}", answer.stderr);
    assert!(pod.interfaces().contains_key("control"));
    let (other, previous) = world.pod_with_primary();
    let outside =
        world.call("ADD", &kubelet("c-other", &other, 0), &world.conf(json!({"prevResult": previous})));
    assert!(!outside.stderr.contains("after multus in the conflist"), "control: {}", outside.stderr);
}

#[test]
fn a_key_with_two_values_is_refused_by_add_and_forgiven_by_del() {
    let world = World::new();
    let (pod, previous) = world.pod_with_primary();
    let before = world.state(&[&pod]);
    let conf = world.conf(json!({"prevResult": previous}));
    let call = kubelet(SANDBOX, &pod, 0).with("CNI_ARGS", "K8S_POD_UID=one;K8S_POD_UID=two");

    let refused = world.call("ADD", &call, &conf);

    assert_eq!(refused.code(), Some(4), "{}", refused.stdout);
    assert!(refused.message().contains("K8S_POD_UID"), "{}", refused.message());
    world.done("DEL", &call, &conf);
    assert_eq!(before.difference(&world.state(&[&pod])), Vec::<String>::new());
}

#[test]
fn a_pod_that_multus_did_not_find_has_a_fake_primary_address_and_is_served() {
    let world = World::new();
    let (pod, _) = world.pod_with_primary();
    let fake = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}],
        "ips": [{"address": "0.0.0.0/0", "gateway": "<nil>", "interface": 0}], "dns": {}});
    let conf = world.conf(json!({"prevResult": fake}));

    let answer = world.add(&pod, &conf);

    assert_eq!(answer.stdout["ips"], fake["ips"]);
    let text = std::fs::read_to_string(world.path("pods/uid-c0/envoy.json")).unwrap();
    assert!(text.contains("\"10.244.0.2,10.75.0.2\""), "the kernel's truth, not the fake: {text}");
    world.del(&pod, &conf);
}

#[test]
fn containerd_polls_status_with_empty_variables() {
    let world = World::new();
    let mut polled = Environment::none();
    for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        polled = polled.with(variable, "");
    }

    let answer = world.call("STATUS", &polled, &world.conf(json!({})));

    assert_eq!((answer.status, answer.stdout), (Some(0), Value::Null));
}

/// As seen after a sandbox died twice: DELs for the first container arrive 5 to 51 seconds after the third was added, with
/// no namespace, no `prevResult`, and the UID of the pod that lives.
#[test]
fn late_dels_of_dead_sandboxes_leave_the_living_one_alone() {
    let world = World::new();
    let conf_of = |previous: &Value| conf(&world, previous, "control,media");
    let sandboxes: Vec<(String, Pod, Value)> = (0..3)
        .map(|number| {
            let (pod, previous) = world.pod_with_primary();
            (format!("sandbox{number}"), pod, previous)
        })
        .collect();
    let late = |container: &str, pod: &Pod| {
        let call = kubelet(container, pod, 1).with("CNI_NETNS", "");
        let conf = laid_over(conf_of(&Value::Null), json!({"prevResult": "DELETE"}));
        world.done("DEL", &call, &conf);
    };
    for (container, pod, previous) in &sandboxes {
        // kubelet sends the DEL of the sandbox that died, 0.2 s later the ADD of the next.
        world.done("ADD", &kubelet(container, pod, 2), &conf_of(previous));
        if container != "sandbox2" {
            late(container, pod);
        }
    }
    let (_, living, _) = &sandboxes[2];
    let before = world.state(&[living]);
    assert!(bootstrap(&world).contains("10.244.0.4"), "{}", bootstrap(&world));

    for _ in 0..3 {
        late("sandbox0", &sandboxes[0].1);
        late("sandbox1", &sandboxes[1].1);
    }

    assert_eq!(before.difference(&world.state(&[living])), Vec::<String>::new());
    let (container, pod, _) = &sandboxes[2];
    late(container, pod);
    let left = world.lasting(&[]);
    let ours = left.lines().filter(|line| line.contains(container.as_str()) || line.contains(UID)).count();
    assert_eq!(ours, 0, "control: its own DEL does take it away");
}
