//! Wholly or not at all: an ADD that fails just after any of its steps leaves node and pod as they were.

use super::stage::{Stage, chained_conf, conf, environment};

/// `undo::Step` of cni-plugin, first to last.
const STEPS: [&str; 10] = [
    "record",
    "claim",
    "leases",
    "delegates",
    "links",
    "late-delegates",
    "interfaces",
    "capture",
    "bootstrap",
    "saved",
];

#[test]
fn an_add_that_fails_after_any_step_leaves_node_and_pod_as_they_were() {
    let stage = Stage::new();
    let warm = stage.pod();
    stage.done("ADD", &environment("warm", &warm), &conf());
    stage.done("DEL", &environment("warm", &warm), &conf());

    for step in STEPS {
        let pod = stage.pod();
        let before = stage.picture(&pod);
        let call = environment("c1", &pod);

        let error = stage.refused("ADD", &call.clone().with("MULTIPLANE_FAIL_AFTER", step), &conf());

        assert!(error["msg"].as_str().unwrap().contains(step), "{step}: {error}");
        assert_eq!(error.get("details"), None, "{step}: nothing that could not be undone: {error}");
        assert_eq!(stage.picture(&pod), before, "after {step}");
        stage.done("ADD", &call, &conf());
        assert_ne!(stage.picture(&pod), before, "control: a whole ADD is seen");
        stage.done("DEL", &call, &conf());
        assert_eq!(stage.picture(&pod), before, "after {step}, ADD and DEL");
    }
}

#[test]
fn a_chained_add_that_fails_gives_back_the_default_route_and_the_delegated_address() {
    let stage = Stage::new();
    let (warm, prev) = stage.pod_with_primary();
    stage.done("ADD", &environment("warm", &warm), &chained_conf(&prev));
    stage.done("DEL", &environment("warm", &warm), &chained_conf(&prev));

    for step in STEPS {
        let (pod, prev) = stage.pod_with_primary();
        let before = stage.picture(&pod);
        let (call, conf) = (environment("c1", &pod), chained_conf(&prev));

        let error = stage.refused("ADD", &call.clone().with("MULTIPLANE_FAIL_AFTER", step), &conf);

        assert!(error["msg"].as_str().unwrap().contains(step), "{step}: {error}");
        assert_eq!(stage.picture(&pod), before, "after {step}");
        stage.done("ADD", &call, &conf);
        assert_ne!(stage.picture(&pod), before, "control: a whole ADD is seen");
        stage.done("DEL", &call, &conf);
        assert_eq!(stage.picture(&pod), before, "after {step}, ADD and DEL");
    }
}
