//! The same rules put to Debian's reference `bridge`: where it keeps a rule and our test says that it does not, the test is
//! wrong. The rules that it breaks are named too, so that a test that cannot fail would be noticed.

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::real::parts;
use testbed::world::{Pod, World};

/// A world of the reference plugin with its configuration.
fn reference() -> (World, Value) {
    let world = World::of(parts::debian_plugin("bridge"));
    world.install(&parts::debian_plugin("host-local"));
    let conf = json!({
        "cniVersion": "1.0.0", "name": "reference", "type": "bridge", "bridge": "ref0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.75.0.0/24"}]], "dataDir": world.path("networks")},
    });
    (world, conf)
}

fn attached(world: &World, conf: &Value) -> Pod {
    let pod = world.pod();
    world.add(&pod, conf);
    pod
}

#[test]
fn g1_g2_a1_results_and_errors_have_the_specified_shape() {
    let (world, conf) = reference();
    let pod = world.pod();

    let result = world.add(&pod, &conf).stdout;

    assert_eq!(result["cniVersion"], "1.0.0");
    let at = usize::try_from(result["ips"][0]["interface"].as_u64().unwrap()).unwrap();
    assert_eq!(result["interfaces"][at]["name"], "eth0");
    assert!(pod.interfaces().contains_key("eth0"));
    let refused = world.call("ADD", &world.pod().environment(), &{
        let mut conf = conf.clone();
        conf["cniVersion"] = json!("1.0");
        conf
    });
    assert_eq!((refused.status == Some(0), refused.code()), (false, Some(1)));
}

#[test]
fn a1_a_name_that_is_taken_is_an_error() {
    let (world, conf) = reference();
    let pod = attached(&world, &conf);

    assert_ne!(world.call("ADD", &pod.environment(), &conf).status, Some(0));
}

#[test]
fn d2_d3_del_is_idempotent_and_needs_no_namespace() {
    let (world, conf) = reference();
    let pod = attached(&world, &conf);

    for netns in [None, Some(""), Some("/nowhere")] {
        let environment = pod.environment();
        let environment = netns.map_or(environment.clone(), |netns| environment.with("CNI_NETNS", netns));
        assert_eq!(world.call("DEL", &environment, &conf).status, Some(0), "{netns:?}");
    }
    assert!(pod.interfaces().is_empty());
}

#[test]
fn c2_a_drift_fails_the_check() {
    let (world, mut conf) = reference();
    let pod = world.pod();
    conf["prevResult"] = world.add(&pod, &conf).stdout;
    world.done("CHECK", &pod.environment(), &conf);

    testbed::world::command(&pod.netns, "ip", "address flush dev eth0");

    assert_ne!(world.call("CHECK", &pod.environment(), &conf).status, Some(0));
}

#[test]
fn missing_variables_are_code_4() {
    let (world, conf) = reference();

    let answer = world.call("ADD", &Environment::none(), &conf);

    assert_eq!(answer.code(), Some(4), "{}", answer.stdout);
}

#[test]
fn v1_version_works_as_libcni_calls_it() {
    let (world, _) = reference();
    let environment = Environment::none().with("CNI_NETNS", "dummy").with("CNI_IFNAME", "dummy");

    let answer = world.call("VERSION", &environment, &json!({"cniVersion": "1.0.0"}));

    assert_eq!(answer.status, Some(0));
    assert!(answer.stdout["supportedVersions"].as_array().unwrap().contains(&json!("1.0.0")));
}

#[test]
fn the_tests_can_fail_the_reference_loses_what_ours_keeps() {
    let (world, conf) = reference();

    // Its errors carry no version (section 5 of the specification asks for it), ours do.
    let answer = world.call("ADD", &Environment::none(), &conf);
    assert_eq!(answer.stdout.get("cniVersion"), None);
    // Debian's is older than the verb GC.
    let gc = world.call("GC", &Environment::none(), &conf);
    assert_ne!(gc.status, Some(0));
}
