//! What people, pods and other programs get wrong, put to the built binary case by case: the right code; field, value and
//! cure in one line, as a pod event shows it; and node, pod and disk exactly as they were.
//!
//! Every table starts from one configuration that is accepted (`the_configuration_that_every_case_spoils_is_accepted`), so
//! that a case is refused for its own fault and no other.

mod addresses;
mod annotations;
mod configuration;
mod environment;
mod node;
mod size;
mod stdin;

use serde_json::{Value, json};
use testbed::plugin::{Answer, Environment};
use testbed::world::{Pod, State, World, laid_over};

/// The capability by which a runtime hands over a pod's annotations.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
/// A pod event of more than this is cut by Kubernetes at 1024 bytes, with words of the runtime before it.
const LONGEST: usize = 700;

/// An edit of the good configuration, and the words that the refusal has: field, value, cure.
type Case<'a> = (Value, [&'a str; 3]);

/// A node and a chained pod that stand through a whole table.
struct Scene {
    world: World,
    pod: Pod,
    previous: Value,
    before: State,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let (pod, previous) = world.pod_with_primary();
        let before = world.state(&[&pod]);
        Self { world, pod, previous, before }
    }

    /// The good configuration, spoilt by `edit`.
    fn conf(&self, edit: Value) -> Value {
        laid_over(self.world.conf(json!({"prevResult": self.previous})), edit)
    }

    fn add(&self, edit: Value) -> Answer {
        self.world.call("ADD", &self.pod.environment(), &self.conf(edit))
    }

    fn add_in(&self, environment: &Environment) -> Answer {
        self.world.call("ADD", environment, &self.conf(json!({})))
    }

    /// What is wrong with a refusal; nothing if all is as it has to be.
    fn faults(&self, answer: &Answer, code: u64, words: [&str; 3]) -> Vec<String> {
        let mut faults = faults_of_message(answer, code, words);
        let changed = self.before.difference(&self.world.state(&[&self.pod]));
        faults.extend(changed.into_iter().map(|line| format!("left behind: {line}")));
        faults
    }

    /// Puts a table of configurations to ADD. DEL then forgives each of them: a configuration that has become bad since
    /// must not keep a pod from going.
    #[track_caller]
    fn refuses_each(&self, code: u64, cases: &[Case<'_>]) {
        let mut faults = Vec::new();
        for (edit, words) in cases {
            let answer = self.add(edit.clone());
            let forgiven = self.world.call("DEL", &self.pod.environment(), &self.conf(edit.clone()));
            let mut found = self.faults(&answer, code, *words);
            if forgiven.status != Some(0) {
                found.push(format!("DEL refuses it too: {}", forgiven.stdout));
            }
            let edit: String = edit.to_string().chars().take(120).collect();
            faults.extend(found.into_iter().map(|fault| format!("{edit}: {fault}")));
        }
        assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    }
}

fn faults_of_message(answer: &Answer, code: u64, words: [&str; 3]) -> Vec<String> {
    let message = answer.message();
    let mut faults = Vec::new();
    if answer.status == Some(0) || answer.code() != Some(code) {
        faults.push(format!("exits {:?} with {}, not with code {code}", answer.status, answer.stdout));
    }
    let missing = words.into_iter().filter(|word| !message.contains(word));
    faults.extend(missing.map(|word| format!("{message:?} does not say {word:?}")));
    if message.chars().any(char::is_control) || message.len() > LONGEST {
        faults.push(format!("no single short line: {message:?}"));
    }
    faults
}

/// One plane `p`, asked for, spoilt by `edit`.
fn plane(edit: Value) -> Value {
    let good = json!({"name": "p", "kind": "bridge", "bridge": "mp-p", "ipam": {"ranges": ["10.60.0.0/24"]}});
    json!({"planes": [laid_over(good, edit)], "default": ["p"]})
}

/// One plane `p` of another kind, without keys of a bridge.
fn of_kind(keys: Value) -> Value {
    let good = json!({"name": "p", "ipam": {"ranges": ["10.60.0.0/24"], "scope": "node"}});
    json!({"planes": [laid_over(good, keys)], "default": ["p"]})
}

/// One plane `p` with this `ipam` object.
fn ipam(ipam: Value) -> Value {
    plane(json!({"ipam": ipam}))
}

#[test]
fn the_configuration_that_every_case_spoils_is_accepted() {
    for edit in [json!({}), plane(json!({})), of_kind(json!({"kind": "bridge"}))] {
        let scene = Scene::new();

        let answer = scene.add(edit.clone());

        assert_eq!(answer.status, Some(0), "{edit}: {}", answer.stdout);
        assert_ne!(scene.before.difference(&scene.world.state(&[&scene.pod])), Vec::<String>::new());
    }
}

#[test]
fn a_refusal_that_says_too_little_or_leaves_something_is_noticed() {
    let scene = Scene::new();
    let answer = scene.add(json!({"defualt": []}));

    assert_eq!(scene.faults(&answer, 2, ["defualt", "[]", "default"]), Vec::<String>::new());
    assert_eq!(scene.faults(&answer, 7, ["defualt", "[]", "nothing of that"]).len(), 2);
    testbed::world::command(&scene.pod.netns, "ip", "link add left type veth peer name over");
    assert_ne!(scene.faults(&answer, 2, ["defualt", "[]", "default"]), Vec::<String>::new());
}
