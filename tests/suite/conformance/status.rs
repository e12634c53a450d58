//! S1 to S4.

use serde_json::{Value, json};
use testbed::plugin::Environment;
use testbed::world::{World, laid_over};

use super::{assert_refused, conf_of};

fn status(world: &World, conf: &Value) -> testbed::plugin::Answer {
    world.call("STATUS", &Environment::none(), conf)
}

#[test]
fn s1_a_node_that_can_serve_adds_is_ready_and_nothing_is_touched() {
    let world = World::new();
    let before = world.state(&[]);

    let answer = status(&world, &conf_of(&world, "1.1.0"));

    assert_eq!((answer.status, &answer.stdout), (Some(0), &Value::Null), "{}", answer.stdout);
    assert_eq!(before.difference(&world.state(&[])), Vec::<String>::new());
}

#[test]
fn s1_code_50_only_when_no_add_at_all_can_succeed() {
    let world = World::new();
    std::fs::write(world.path("file"), "").unwrap();
    let unwritable =
        laid_over(conf_of(&world, "1.1.0"), json!({"stateDirectory": world.path("file").join("x")}));
    assert_refused(&status(&world, &unwritable), 50, &["file"]);

    let plane = json!({"name": "wan", "kind": "macvlan", "master": "nowhere",
        "ipam": {"ranges": ["10.99.0.0/24"], "scope": "node"}});
    let mut conf = conf_of(&world, "1.1.0");
    conf["planes"].as_array_mut().unwrap().push(plane);
    let warned = status(&world, &conf);
    assert_eq!(warned.status, Some(0), "a plane that few pods ask for takes no node down: {}", warned.stdout);
    assert!(warned.stderr.contains("nowhere"), "{}", warned.stderr);
    let strict = laid_over(conf.clone(), json!({"strict": true}));
    assert_refused(&status(&world, &strict), 50, &["wan", "nowhere"]);
    let primary = laid_over(conf, json!({"primary": "wan"}));
    assert_refused(&status(&world, &primary), 50, &["wan", "nowhere"]);
}

#[test]
fn s1_a_bad_configuration_is_named() {
    let world = World::new();
    let bad = laid_over(conf_of(&world, "1.1.0"), json!({"defualt": []}));

    assert_refused(&status(&world, &bad), 2, &["defualt"]);
}

#[test]
fn s3_add_does_not_depend_on_status() {
    let world = World::new();
    let pod = world.pod();

    world.add(&pod, &conf_of(&world, "1.1.0"));
}

#[test]
fn s4_versions_without_the_verb_are_refused() {
    let world = World::new();

    assert_refused(&status(&world, &conf_of(&world, "1.0.0")), 1, &["STATUS"]);
}
