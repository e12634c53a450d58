//! Every rule of the CNI specification that a plugin can be held to, one test or more per rule, run through the built
//! binary. The IDs are those of our reading of the specification (docs/testing.md lists them with their sections).
//!
//! `reference.rs` puts the same rules to Debian's reference `bridge`: that tests the tests.

mod add;
mod check;
mod del;
mod delegates;
mod gc;
mod general;
mod reference;
mod status;
mod version;

use serde_json::{Value, json};
use testbed::plugin::Answer;
use testbed::world::World;

/// The versions that we speak.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A configuration of that version.
fn conf_of(world: &World, version: &str) -> Value {
    world.conf(json!({"cniVersion": version}))
}

/// Fails unless the answer is an error object of that code whose text has all of `words`.
#[track_caller]
fn assert_refused(answer: &Answer, code: u64, words: &[&str]) {
    assert_ne!(answer.status, Some(0), "{}", answer.stdout);
    assert_eq!(answer.code(), Some(code), "{}", answer.stdout);
    let message = answer.message();
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    assert_eq!(message.lines().count(), 1, "a pod event is one line: {message:?}");
}

/// Nothing of ours is left on the node or in the folders.
#[track_caller]
fn assert_nothing_left(world: &World) {
    assert_eq!(World::new().lasting(&[]).difference(&world.lasting(&[])), Vec::<String>::new());
}
