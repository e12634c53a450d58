//! Variables. A runtime sets them, but names of pods and containers reach it from outside.

use testbed::plugin::Environment;

use super::Scene;

/// A variable, what it is set to, and what the refusal says besides both.
const CASES: &[(&str, &str, &str)] = &[
    ("CNI_CONTAINERID", "", "missing"),
    ("CNI_CONTAINERID", "../../etc", "container ID"),
    ("CNI_CONTAINERID", "/abs", "container ID"),
    ("CNI_CONTAINERID", "-x", "container ID"),
    ("CNI_CONTAINERID", ".hidden", "container ID"),
    ("CNI_CONTAINERID", "a b", "container ID"),
    ("CNI_CONTAINERID", "a\nb", "container ID"),
    ("CNI_CONTAINERID", "ünïcode", "container ID"),
    ("CNI_IFNAME", "", "missing"),
    ("CNI_IFNAME", ".", "interface name"),
    ("CNI_IFNAME", "..", "interface name"),
    ("CNI_IFNAME", "a/b", "interface name"),
    ("CNI_IFNAME", "a:b", "interface name"),
    ("CNI_IFNAME", "a b", "interface name"),
    ("CNI_IFNAME", "a\tb", "interface name"),
    ("CNI_IFNAME", "sixteen-bytes-xx", "interface name"),
    ("CNI_NETNS", "", "missing"),
    ("CNI_NETNS", "/nowhere", "network namespace"),
    ("CNI_NETNS", "/etc/passwd", "network namespace"),
    ("CNI_NETNS", "/proc/self/ns/mnt", "network namespace"),
    ("CNI_NETNS", "/tmp", "network namespace"),
    ("CNI_NETNS", "relative", "network namespace"),
    ("CNI_COMMAND", "add", "use ADD"),
    ("CNI_COMMAND", "ADD ", "use ADD"),
    ("CNI_COMMAND", "UPDATE", "use ADD"),
    ("CNI_ARGS", "K8S_POD_NAME", "KEY=value"),
    ("CNI_ARGS", "=x", "KEY=value"),
    ("CNI_ARGS", "K8S_POD_UID=a;K8S_POD_UID=b", "give it once"),
    ("CNI_ARGS", "K8S_POD_UID=../../../etc", "starting with a letter or digit"),
    ("CNI_ARGS", "K8S_POD_UID=a/b", "starting with a letter or digit"),
    ("CNI_ARGS", "K8S_POD_NAMESPACE=..", "starting with a letter or digit"),
    ("CNI_ARGS", "K8S_POD_NAME=a b", "starting with a letter or digit"),
];

#[test]
fn each_bad_variable_is_code_4_and_named_with_its_value_and_rule() {
    let scene = Scene::new();
    let mut faults = Vec::new();
    for (variable, value, says) in CASES {
        let answer = scene.add_in(&scene.pod.environment().with(variable, value));
        // The last part of an argument is the value that is at fault, and control characters are escaped.
        let at_fault = value.rsplit(['=', ';']).next().unwrap_or_default();
        let shown: String = at_fault.escape_debug().collect();
        let found = scene.faults(&answer, 4, [variable, &shown, says]);
        faults.extend(found.into_iter().map(|fault| format!("{variable}={value:?}: {fault}")));
    }
    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
}

#[test]
fn variables_that_are_missing_are_all_named_at_once() {
    let scene = Scene::new();

    let answer = scene.add_in(&Environment::none());

    let all = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    assert_eq!(scene.faults(&answer, 4, all), Vec::<String>::new());
}

#[test]
fn the_nodes_own_namespace_is_no_pod() {
    let scene = Scene::new();
    let own = scene.world.node.path_from_proc().display().to_string();

    let answer = scene.add_in(&scene.pod.environment().with("CNI_NETNS", &own));

    assert_eq!(scene.faults(&answer, 8, ["CNI_NETNS", &own, "give the pod's"]), Vec::<String>::new());
}

#[test]
fn values_of_absurd_length_are_cut() {
    let scene = Scene::new();
    let long = "x".repeat(100_000);
    for variable in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_COMMAND"] {
        let answer = scene.add_in(&scene.pod.environment().with(variable, &long));
        if variable == "CNI_CONTAINERID" && answer.status == Some(0) {
            continue;
        }
        assert_eq!(scene.faults(&answer, 4, [variable, "xxx", ""]), Vec::<String>::new(), "{variable}");
    }
    let answer = scene.add_in(&scene.pod.environment().with("CNI_ARGS", &format!("K8S_POD_UID={long}")));
    assert_eq!(scene.faults(&answer, 4, ["K8S_POD_UID", "xxx", "253"]), Vec::<String>::new());
}
