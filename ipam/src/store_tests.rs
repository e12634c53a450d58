//! The store's promises: one owner per address, nothing lost, nothing listed on the common path.

use planes::plan::AddressRange;
use tempfile::TempDir;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn key(container: &str) -> AttachmentKey {
    AttachmentKey {
        network: "telecom".parse().unwrap(),
        container: container.parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    }
}

fn plane() -> PlaneName {
    "control".parse().unwrap()
}

fn ipam(first: &str, last: &str) -> EmbeddedIpam {
    let prefix = if first.contains(':') { "fd00::/64" } else { "10.0.0.0/24" };
    EmbeddedIpam {
        range_sets: vec![RangeSet {
            ranges: vec![AddressRange {
                subnet: prefix.parse().unwrap(),
                first: first.parse().unwrap(),
                last: last.parse().unwrap(),
                gateway: None,
                exclude: Vec::new(),
            }],
        }],
        static_addresses: Vec::new(),
        requested: Vec::new(),
        sticky: false,
    }
}

struct World {
    root: TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("net/attachments")).unwrap();
        let store = Store::new(root.path().join("net"), root.path().join("sticky"));
        Self { root, store }
    }

    fn record(&self, container: &str) -> PathBuf {
        self.root.path().join(format!("net/attachments/{container}@eth0.json"))
    }

    /// What ADD does: choose, record, link.
    fn add(&self, container: &str, ipam: &EmbeddedIpam) -> Result<Vec<String>, Error> {
        self.add_pod(container, None, ipam, &|_| false)
    }

    fn add_pod(
        &self,
        container: &str,
        pod: Option<&Pod>,
        ipam: &EmbeddedIpam,
        is_gone: &dyn Fn(&AttachmentKey) -> bool,
    ) -> Result<Vec<String>, Error> {
        let mut locked = self.store.lock(PATIENCE)?;
        let leases = locked.choose(&key(container), pod, &plane(), ipam, is_gone)?;
        fs::write(self.record(container), "{}").unwrap();
        locked.link(&key(container), &leases)?;
        Ok(leases.iter().map(|lease| lease.address.to_string()).collect())
    }

    fn del(&self, container: &str) {
        let addresses = self.store.addresses_of(&key(container)).unwrap();
        self.store.release(&key(container), addresses).unwrap();
        let _ = fs::remove_file(self.record(container));
    }

    fn leases(&self) -> usize {
        fs::read_dir(self.store.leases()).unwrap().count()
    }
}

#[test]
fn a_small_range_gives_each_address_once_and_then_says_exhausted() {
    let world = World::new();
    let range = ipam("10.0.0.1", "10.0.0.3");

    let given: Vec<String> = (0..3).flat_map(|n| world.add(&format!("c{n}"), &range).unwrap()).collect();
    assert_eq!(given, ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"]);

    let error = world.add("c3", &range).unwrap_err();
    assert!(error.is_exhausted(), "{error}");
    assert_eq!(
        error.to_string(),
        "plane control: every address of 10.0.0.1-10.0.0.3 is leased; delete pods or widen the plane's ranges"
    );
    world.del("c1");
    assert_eq!(world.add("c3", &range).unwrap(), ["10.0.0.2/24"]);
}

#[test]
fn a_pod_that_crashes_in_a_loop_gets_another_address_each_time() {
    let world = World::new();
    let range = ipam("10.0.0.1", "10.0.0.9");

    let given: Vec<String> = (0..4)
        .flat_map(|_| {
            let given = world.add("c", &range).unwrap();
            world.del("c");
            given
        })
        .collect();

    assert_eq!(given, ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"]);
    assert_eq!(world.leases(), 0);
}

fn sticky() -> EmbeddedIpam {
    EmbeddedIpam { sticky: true, ..ipam("10.0.0.1", "10.0.0.9") }
}

fn pod(name: &str) -> Pod {
    Pod { namespace: "core".into(), name: name.into(), uid: None }
}

#[test]
fn a_sticky_pod_gets_its_address_again_and_gives_way_when_another_has_it() {
    let world = World::new();
    let range = sticky();
    let add =
        |container: &str, name: &str| world.add_pod(container, Some(&pod(name)), &range, &|_| false).unwrap();

    let first = add("c1", "amf-0");
    assert_eq!(add("c2", "smf-0"), ["10.0.0.2/24"]);
    world.del("c1");
    assert_eq!(add("c3", "amf-0"), first, "the same name gets the same address");
    assert_ne!(add("c4", "amf-0"), first, "the old sandbox still has it");
}

#[test]
fn two_planes_of_a_pod_that_remember_one_address_get_two() {
    let world = World::new();
    let range = sticky();
    let pod = pod("amf-0");
    world.add_pod("c1", Some(&pod), &range, &|_| false).unwrap();
    fs::remove_file(world.record("c1")).unwrap(); // gone without a DEL: the lease is left

    let mut locked = world.store.lock(PATIENCE).unwrap();
    let mut choose = || locked.choose(&key("c2"), Some(&pod), &plane(), &range, &|_| false).unwrap();

    assert_ne!(choose()[0].address, choose()[0].address);
}

#[test]
fn a_requested_address_is_given_or_its_owner_is_named() {
    let world = World::new();
    let range = EmbeddedIpam { requested: vec!["10.0.0.7".parse().unwrap()], ..ipam("10.0.0.1", "10.0.0.9") };

    assert_eq!(world.add("c1", &range).unwrap(), ["10.0.0.7/24"]);
    let error = world.add("c2", &range).unwrap_err().to_string();
    assert!(error.contains("address 10.0.0.7 is leased to c1@eth0"), "{error}");
    assert_eq!(world.leases(), 1);
}

#[test]
fn both_families_and_fixed_addresses_come_together() {
    let world = World::new();
    let mut both = ipam("10.0.0.1", "10.0.0.9");
    both.range_sets.extend(ipam("fd00::1", "fd00::ffff:ffff:ffff:ffff").range_sets);
    both.static_addresses.push(StaticAddress { address: "192.0.2.1/32".parse().unwrap(), gateway: None });

    assert_eq!(world.add("c1", &both).unwrap(), ["192.0.2.1/32", "10.0.0.1/24", "fd00::1/64"]);
    assert!(world.add("c2", &both).unwrap_err().to_string().contains("192.0.2.1 is leased to c1@eth0"));
    assert_eq!(world.leases(), 3, "a refused ADD leases nothing");
}

#[test]
fn planes_of_one_attachment_that_share_a_range_get_different_addresses() {
    let world = World::new();
    let range = ipam("10.0.0.1", "10.0.0.2");
    let mut locked = world.store.lock(PATIENCE).unwrap();

    let one = locked.choose(&key("c"), None, &plane(), &range, &|_| false).unwrap();
    let two = locked.choose(&key("c"), None, &plane(), &range, &|_| false).unwrap();

    assert_ne!(one, two);
    assert!(locked.choose(&key("c"), None, &plane(), &range, &|_| false).unwrap_err().is_exhausted());
}

#[test]
fn what_ended_without_a_del_is_taken_before_a_range_counts_as_exhausted() {
    let world = World::new();
    let range = ipam("10.0.0.1", "10.0.0.2");
    world.add("dead", &range).unwrap();
    world.add("alive", &range).unwrap();

    assert!(world.add("new", &range).unwrap_err().is_exhausted(), "control: nobody is known to be gone");
    let is_gone = |owner: &AttachmentKey| *owner == key("dead");
    assert_eq!(world.add_pod("new", None, &range, &is_gone).unwrap(), ["10.0.0.1/24"]);

    // The dead one's late DEL finds that the address is another's by now.
    world.store.release(&key("dead"), ["10.0.0.1".parse().unwrap()]).unwrap();
    assert!(world.store.has(&key("new"), "10.0.0.1".parse().unwrap()));
    assert!(!world.store.has(&key("dead"), "10.0.0.1".parse().unwrap()));
}

#[test]
fn a_lease_whose_record_is_lost_is_nobodys() {
    let world = World::new();
    let range = ipam("10.0.0.1", "10.0.0.1");
    world.add("lost", &range).unwrap();
    fs::remove_file(world.record("lost")).unwrap();

    assert_eq!(world.add("c1", &range).unwrap(), ["10.0.0.1/24"]);
    fs::remove_file(world.record("c1")).unwrap();
    world.store.sweep(PATIENCE).unwrap();
    assert_eq!(world.leases(), 0);
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_then_named() {
    let world = World::new();
    let _held = world.store.lock(PATIENCE).unwrap();

    let error = world.store.lock(Duration::from_millis(20)).unwrap_err();

    assert!(error.is_locked() && error.to_string().contains("net/lock"), "{error}");
}

#[test]
fn a_nearly_full_range_is_still_searched_to_its_end() {
    let world = World::new();
    let wide = EmbeddedIpam {
        range_sets: vec![RangeSet {
            ranges: vec![AddressRange {
                subnet: "10.0.0.0/16".parse().unwrap(),
                first: "10.0.0.1".parse().unwrap(),
                last: "10.0.4.0".parse().unwrap(),
                gateway: None,
                exclude: Vec::new(),
            }],
        }],
        ..ipam("10.0.0.1", "10.0.0.1")
    };
    fs::create_dir_all(world.store.leases()).unwrap();
    fs::write(world.record("full"), "{}").unwrap();
    for number in (1..=1024_u32).filter(|number| *number != 1000) {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        symlink("../attachments/full@eth0.json", world.store.path(address.into())).unwrap();
    }

    assert_eq!(world.add("c", &wide).unwrap(), ["10.0.3.232/16"]);
    assert!(world.add("d", &wide).unwrap_err().is_exhausted());
}

/// Two processes that lease and release in a loop: each checks that what it got is its own.
#[test]
fn processes_never_share_an_address() {
    if let Some(root) = std::env::var_os("IPAM_TEST_ROOT") {
        return hammer(Path::new(&root));
    }
    let world = World::new();
    let children: Vec<_> = (0..4)
        .map(|_| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "store::tests::processes_never_share_an_address", "--nocapture"])
                .env("IPAM_TEST_ROOT", world.root.path())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();

    for mut child in children {
        assert!(child.wait().unwrap().success(), "a process found its address with another owner");
    }
    assert_eq!(world.leases(), 0);
}

fn hammer(root: &Path) {
    let world =
        World { root: TempDir::new().unwrap(), store: Store::new(root.join("net"), root.join("sticky")) };
    let range = ipam("10.0.0.1", "10.0.0.5");
    for round in 0..100 {
        let key = key(&format!("p{}r{round}", std::process::id()));
        let record = root.join(format!("net/attachments/{}@eth0.json", key.container));
        let mut locked = world.store.lock(PATIENCE).unwrap();
        let leases = locked.choose(&key, None, &plane(), &range, &|_| false).unwrap();
        fs::write(&record, "{}").unwrap();
        locked.link(&key, &leases).unwrap();
        drop(locked);
        let address = leases[0].address.ip();
        assert!(world.store.has(&key, address));
        world.store.release(&key, [address]).unwrap();
        fs::remove_file(record).unwrap();
    }
}

#[test]
fn a_range_counts_as_exhausted_when_nothing_is_free_and_nobody_has_gone() {
    let world = World::new();
    let ipam = ipam("10.0.0.1", "10.0.0.2");
    let network = "telecom".parse().unwrap();
    let exhausted =
        |is_gone: &dyn Fn(&AttachmentKey) -> bool| world.store.exhausted(&network, &ipam, is_gone).unwrap();

    assert_eq!(exhausted(&|_| false), None);
    world.add("a", &ipam).unwrap();
    assert_eq!(exhausted(&|_| false), None);
    world.add("b", &ipam).unwrap();

    assert!(exhausted(&|_| false).is_some_and(|ranges| ranges.contains("10.0.0.1")));
    assert_eq!(exhausted(&|owner| owner.container.as_str() == "a"), None);
}

/// Processes that lease and release until they are killed, at any instant: no address has two owners that live, and in
/// the end none is lost.
#[test]
fn processes_killed_at_any_instant_neither_share_nor_lose_an_address() {
    const SELF: &str = "store::tests::processes_killed_at_any_instant_neither_share_nor_lose_an_address";
    if let Some(root) = std::env::var_os("IPAM_TEST_KILLED") {
        return work_until_killed(Path::new(&root));
    }
    let world = World::new();
    for folder in ["held", "begun"] {
        fs::create_dir(world.root.path().join(folder)).unwrap();
    }
    let start = || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", SELF])
            .env("IPAM_TEST_KILLED", world.root.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut workers: Vec<_> = (0..3).map(|_| start()).collect();
    for round in 0..60_u64 {
        let index = usize::try_from(round).unwrap() % workers.len();
        await_begin(&mut workers[index], world.root.path());
        // how long it lives decides where it dies
        std::thread::sleep(Duration::from_micros(round * 7_919 % 9_000));
        end(std::mem::replace(&mut workers[index], start()));
    }
    workers.into_iter().for_each(end);

    assert!(
        fs::read_dir(world.store.directory.join("attachments")).unwrap().count() > 0,
        "control: some died at work"
    );
    let range = ipam("10.0.0.1", "10.0.0.4");
    let mut given: Vec<String> = (0..4)
        .flat_map(|number| world.add_pod(&format!("n{number}"), None, &range, &is_dead).unwrap())
        .collect();
    given.sort();
    assert_eq!(given, ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"]);
    assert!(world.add_pod("n4", None, &range, &is_dead).unwrap_err().is_exhausted());
}

/// A worker ends by our hand, or because it found something wrong.
fn end(mut worker: std::process::Child) {
    let ended = worker.try_wait().unwrap();
    assert!(ended.is_none(), "a process found its address with another that lives");
    worker.kill().unwrap();
    worker.wait().unwrap();
}

fn await_begin(worker: &mut std::process::Child, root: &Path) {
    let begin = Instant::now();
    while !root.join("begun").join(worker.id().to_string()).exists() {
        assert!(begin.elapsed() < 3 * PATIENCE && worker.try_wait().unwrap().is_none(), "no worker, no test");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A worker's attachments are called after its process.
fn is_dead(owner: &AttachmentKey) -> bool {
    let pid = owner.container.as_str().strip_prefix('p').and_then(|rest| rest.split('r').next());
    pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

fn work_until_killed(root: &Path) {
    let world =
        World { root: TempDir::new().unwrap(), store: Store::new(root.join("net"), root.join("sticky")) };
    let range = ipam("10.0.0.1", "10.0.0.4");
    for round in 0.. {
        let key = key(&format!("p{}r{round}", std::process::id()));
        let record = root.join(format!("net/attachments/{}@eth0.json", key.container));
        let mut locked = world.store.lock(PATIENCE).unwrap();
        let Ok(leases) = locked.choose(&key, None, &plane(), &range, &is_dead) else { continue };
        fs::write(&record, "{}").unwrap();
        locked.link(&key, &leases).unwrap();
        drop(locked);
        fs::write(root.join("begun").join(std::process::id().to_string()), "").unwrap();
        let address = leases[0].address.ip();
        let held = root.join("held").join(address.to_string());
        take(&held);
        fs::remove_file(&held).unwrap();
        world.store.release(&key, [address]).unwrap();
        fs::remove_file(record).unwrap();
    }
}

/// Marks the address as in use by this process; another that lives must not have marked it.
fn take(held: &Path) {
    let mark = PathBuf::from(std::process::id().to_string());
    while symlink(&mark, held).is_err() {
        let other = fs::read_link(held).unwrap();
        assert!(
            !Path::new("/proc").join(&other).exists(),
            "{} is held by {}",
            held.display(),
            other.display()
        );
        fs::remove_file(held).unwrap();
    }
}

#[test]
fn a_shared_address_would_be_noticed() {
    let folder = TempDir::new().unwrap();
    let held = folder.path().join("10.0.0.1");
    symlink("1", &held).unwrap(); // process 1 always lives

    assert!(std::panic::catch_unwind(|| take(&held)).is_err());
}

#[test]
fn directories_and_files_have_explicit_modes() {
    let world = World::new();
    let range = sticky();
    let pod = pod("amf-0");

    world.add_pod("c1", Some(&pod), &range, &|_| false).unwrap();

    let mode = |path: &str| fs::metadata(world.root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("net/leases"), mode("net/lock"), mode("sticky/telecom")), (0o755, 0o600, 0o755));
}
