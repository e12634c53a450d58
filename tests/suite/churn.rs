//! Many pods at once that come, go, and are killed in between, on planes with few addresses: no address has two living
//! owners at any time, and at the end nothing is left of anybody.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};
use testbed::real::poll::eventually;
use testbed::trace::Outcome;
use testbed::world::{Pod, World, laid_over};

const WORKERS: u64 = 4;
/// How many pods each worker makes; a person with time sets `MULTIPLANE_CHURN`.
const ROUNDS: usize = 12;
/// A point that most ADDs reach and some do not.
const POINTS: u64 = 120;

/// The same choices in each run (xorshift64); only the scheduling differs.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Addresses of living pods, each with its owner.
#[derive(Default)]
struct Owners(Mutex<BTreeMap<String, String>>);

impl Owners {
    fn take(&self, pod: &Pod) {
        let mut owners = self.0.lock().unwrap();
        for address in pod.interfaces().into_values().flatten() {
            let before = owners.insert(address.clone(), pod.container.clone());
            assert_eq!(before, None, "{address} has two owners, the other is {}", pod.container);
        }
    }

    /// Before DEL is sent: from then on another may have the address.
    fn leave(&self, pod: &Pod) {
        self.0.lock().unwrap().retain(|_, owner| *owner != pod.container);
    }
}

fn conf(world: &World) -> Value {
    let plane = |name: &str, second: u8| {
        json!({"name": name, "kind": "bridge", "bridge": format!("mp-{name}"), "ipam": {"ranges":
            [[{"subnet": format!("10.{second}.0.0/24"), "rangeStart": format!("10.{second}.0.1"), "rangeEnd": format!("10.{second}.0.12")}]]}})
    };
    world.conf(json!({"planes": [plane("control", 75), plane("media", 80)], "always": ["control", "media"], "default": []}))
}

/// One pod's life. Every ADD ends in one of four ways, every DEL in one of two; some pods are never deleted.
fn live(world: &World, conf: &Value, owners: &Owners, dice: &mut Dice) {
    let pod = world.pod();
    if dice.below(3) == 0 {
        let point = usize::try_from(1 + dice.below(POINTS)).unwrap_or(1);
        let outcome = world.call_killed("ADD", &pod.environment(), conf, point);
        match outcome {
            // Forgotten: its namespace ends, and whoever needs its addresses takes them.
            Outcome::Killed { .. } if dice.below(2) == 0 => return,
            Outcome::Killed { .. } => {}
            Outcome::Ended { status: Some(0), .. } => owners.take(&pod),
            Outcome::Ended { stdout, .. } => {
                let answer: Value = serde_json::from_str(&stdout).unwrap();
                assert_eq!(answer["code"], 11, "{stdout}");
            }
        }
    } else {
        let answer = world.call("ADD", &pod.environment(), conf);
        // Few addresses and many dead: "try again" is an answer, anything else is not.
        assert!(matches!(answer.code(), None | Some(11)), "{}", answer.stdout);
        if answer.status == Some(0) {
            owners.take(&pod);
            let check = laid_over(conf.clone(), json!({"prevResult": answer.stdout}));
            world.done("CHECK", &pod.environment(), &check);
        }
    }
    owners.leave(&pod);
    if dice.below(3) == 0 {
        let point = usize::try_from(1 + dice.below(POINTS / 3)).unwrap_or(1);
        let _ = world.call_killed("DEL", &pod.environment(), conf, point);
    }
    world.del(&pod, conf);
    assert!(pod.interfaces().is_empty(), "{:?}", pod.interfaces());
}

#[test]
fn pods_that_come_go_and_are_killed_at_the_same_time_share_no_address_and_leave_nothing() {
    let world = World::new();
    let conf = conf(&world);
    let first = world.pod();
    world.add(&first, &conf);
    world.del(&first, &conf);
    let before = world.lasting(&[]);
    let rounds = std::env::var("MULTIPLANE_CHURN").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let owners = Owners::default();

    std::thread::scope(|scope| {
        for worker in 1..=WORKERS {
            let (world, conf, owners) = (&world, &conf, &owners);
            scope.spawn(move || {
                let mut dice = Dice(worker.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                (0..rounds).for_each(|_| live(world, conf, owners, &mut dice));
            });
        }
    });

    world.collect(&conf);
    // The kernel ends the forgotten pods' namespaces, and with them their links, in its own time.
    let left = || before.difference(&world.lasting(&[]));
    eventually("nothing is left of anybody", || left().is_empty().then_some(()));
    // Every address can be had again.
    let pods: Vec<Pod> = (0..12).map(|_| world.pod()).collect();
    for pod in &pods {
        world.add(pod, &conf);
        owners.take(pod);
    }
    let none_left = world.call("ADD", &world.pod().environment(), &conf);
    assert_eq!(
        none_left.code(),
        Some(11),
        "control: the ranges are as small as they look: {}",
        none_left.stdout
    );
}
