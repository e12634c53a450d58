//! Calls that are disturbed at each of their points, one at a time: what the tests of kills and of faults share.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testbed::world::{Pod, World, laid_over};

/// A bound for the loops, far above the number of points of any verb.
const MOST_POINTS: usize = 2_000;

/// A chained pod with an adopted primary and two planes, which is the most that ADD has to undo, and its configuration
/// with `edit` laid over it.
pub(super) fn chained(world: &World, edit: Value) -> (Pod, Value) {
    let (pod, previous) = world.pod_with_primary();
    let conf = world.conf(json!({"default": ["control", "media"], "prevResult": previous}));
    (pod, laid_over(conf, edit))
}

/// Takes the node's end of the pod's primary away: the chain's first plugin made it, and it would be in the next point's
/// way.
pub(super) fn forget_primary(world: &World, pod: &Pod) {
    world.on_node(&format!("link del prim{}", &pod.container[1..]));
}

/// Runs `attempt` for each point until it says that there was none, and returns how many there were. `what` happens at
/// each, and `attempt` gives the name of the call at which it did.
pub(super) fn every_point(what: &str, mut attempt: impl FnMut(usize) -> Option<&'static str>) -> usize {
    let mut hit: BTreeMap<&str, usize> = BTreeMap::new();
    for point in 1..MOST_POINTS {
        let Some(call) = attempt(point) else {
            #[expect(clippy::print_stdout, reason = "which points were hit, for a person who asks")]
            {
                println!("{what} at {} points: {hit:?}", point - 1);
            }
            return point - 1;
        };
        *hit.entry(call).or_default() += 1;
    }
    unreachable!("{what}: no end within {MOST_POINTS} system calls")
}
