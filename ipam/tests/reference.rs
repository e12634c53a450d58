//! Debian's `host-local` and `static` as oracles: what they lease, our store leases too, and [`ipam::delegate`] speaks
//! with the real ones. `tests/setup/all.sh` installs them.

#![expect(clippy::unwrap_used, reason = "clippy exempts tests, and not what they call")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ipam::Store;
use ipam::delegate::{Given, Plugin, Subject, Variables};
use planes::plan::{AddressRange, EmbeddedIpam, RangeSet};
use planes::{AttachmentKey, Role};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const PLUGINS: &str = "/usr/lib/cni";

/// The same network for both: a folder each.
struct Pair {
    root: TempDir,
    store: Store,
    conf: Value,
    ipam: EmbeddedIpam,
}

/// A range as both read it.
fn range(subnet: &str, first: &str, last: &str, gateway: &str) -> AddressRange {
    AddressRange {
        subnet: subnet.parse().unwrap(),
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
        exclude: Vec::new(),
    }
}

fn as_written(range: &AddressRange) -> Value {
    json!({"subnet": range.subnet, "rangeStart": range.first, "rangeEnd": range.last, "gateway": range.gateway})
}

impl Pair {
    fn new(sets: Vec<Vec<AddressRange>>) -> Self {
        let root = TempDir::new().unwrap();
        std::fs::create_dir_all(root.path().join("net/attachments")).unwrap();
        let ranges: Vec<Vec<Value>> = sets.iter().map(|set| set.iter().map(as_written).collect()).collect();
        let conf = json!({"cniVersion": "1.0.0", "name": "net", "ipam":
            {"type": "host-local", "dataDir": root.path().join("host-local"), "ranges": ranges}});
        let range_sets = sets.into_iter().map(|ranges| RangeSet { ranges }).collect();
        let ipam =
            EmbeddedIpam { range_sets, static_addresses: Vec::new(), requested: Vec::new(), sticky: false };
        let store = Store::new(root.path().join("net"), root.path().join("sticky"));
        Self { root, store, conf, ipam }
    }

    fn record(&self, key: &AttachmentKey) -> std::path::PathBuf {
        self.root.path().join(format!("net/attachments/{}@{}.json", key.container, key.ifname))
    }

    /// Our answer; `None` if exhausted or taken.
    fn ours(&self, key: &AttachmentKey, requested: Option<&str>) -> Option<Vec<String>> {
        let mut ipam = self.ipam.clone();
        ipam.requested.extend(requested.map(|ip| ip.parse::<std::net::IpAddr>().unwrap()));
        let mut locked = self.store.lock(PATIENCE).unwrap();
        let leases = locked.choose(key, None, &"p".parse().unwrap(), &ipam, &|_| false).ok()?;
        std::fs::write(self.record(key), "{}").unwrap();
        locked.link(key, &leases).unwrap();
        Some(leases.iter().map(|lease| format!("{} {:?}", lease.address, lease.gateway)).collect())
    }

    async fn theirs(&self, key: &AttachmentKey, requested: Option<&str>) -> Option<Vec<String>> {
        let name = "host-local".parse().unwrap();
        let arguments = requested.map(|ip| format!("IP={ip}"));
        let variables = variables(arguments.as_deref());
        let plugin =
            Plugin::find(&name, &variables, PATIENCE).expect("tests/setup/all.sh installs host-local");
        plugin.add(subject(key), &self.conf).await.ok().as_ref().map(texts)
    }

    async fn del(&self, key: &AttachmentKey) {
        let addresses = self.store.addresses_of(key).unwrap();
        self.store.release(key, addresses).unwrap();
        let _ = std::fs::remove_file(self.record(key));
        let (name, variables) = ("host-local".parse().unwrap(), variables(None));
        let plugin =
            Plugin::find(&name, &variables, PATIENCE).expect("tests/setup/all.sh installs host-local");
        plugin.del(subject(key), &self.conf).await.unwrap();
    }
}

fn texts(given: &Given) -> Vec<String> {
    given.addresses.iter().map(|given| format!("{} {:?}", given.address, given.gateway)).collect()
}

fn variables(arguments: Option<&str>) -> Variables {
    let mut variables: Variables = BTreeMap::from([("CNI_PATH".into(), PLUGINS.into())]);
    variables.insert("CNI_ARGS".into(), arguments.unwrap_or("K8S_POD_NAME=amf-0").into());
    variables
}

fn key(number: u64) -> AttachmentKey {
    AttachmentKey {
        network: "net".parse().unwrap(),
        container: format!("c{number}").parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    }
}

fn subject(key: &AttachmentKey) -> Subject<'_> {
    let netns = Path::new("/proc/self/ns/net");
    Subject { container: &key.container, netns, ifname: &key.ifname, role: Role::Primary }
}

/// Numbers that look random and are the same in each run.
fn dice(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// ADDs and DELs in random order, at the edge of exhaustion half of the time.
async fn same_addresses(sets: Vec<Vec<AddressRange>>, mut seed: u64) {
    let pair = Pair::new(sets);
    let mut living: Vec<AttachmentKey> = Vec::new();
    let (mut given, mut refused) = (0, 0);
    for number in 0..60 {
        let is_del = !living.is_empty() && dice(&mut seed).is_multiple_of(3);
        if is_del {
            let one = usize::try_from(dice(&mut seed)).unwrap() % living.len();
            pair.del(&living.swap_remove(one)).await;
            continue;
        }
        let key = key(number);
        let (ours, theirs) = (pair.ours(&key, None), pair.theirs(&key, None).await);
        assert_eq!(ours, theirs, "ADD {number} with {} living", living.len());
        match ours {
            Some(_) => {
                given += 1;
                living.push(key);
            }
            None => refused += 1,
        }
    }
    assert!(given > 10 && refused > 0, "control: {given} given, {refused} refused");
}

#[tokio::test]
async fn one_range_is_leased_as_host_local_leases_it() {
    same_addresses(vec![vec![range("10.0.0.0/28", "10.0.0.1", "10.0.0.8", "10.0.0.3")]], 1).await;
}

#[tokio::test]
async fn several_ranges_of_a_set_are_leased_as_host_local_leases_them() {
    let set = vec![
        range("10.0.0.0/28", "10.0.0.2", "10.0.0.5", "10.0.0.1"),
        range("10.1.0.0/24", "10.1.0.253", "10.1.0.254", "10.1.0.253"),
        range("10.2.0.0/30", "10.2.0.1", "10.2.0.2", "10.2.0.1"),
    ];
    same_addresses(vec![set], 2).await;
}

#[tokio::test]
async fn both_families_are_leased_as_host_local_leases_them() {
    let sets = vec![
        vec![range("10.0.0.0/28", "10.0.0.2", "10.0.0.7", "10.0.0.1")],
        vec![range("fd00::/64", "fd00::ffff:ffff:ffff:fff0", "fd00::ffff:ffff:ffff:ffff", "fd00::1")],
    ];
    same_addresses(sets, 3).await;
}

#[tokio::test]
async fn a_requested_address_is_given_and_refused_as_host_local_does() {
    let pair = Pair::new(vec![vec![range("10.0.0.0/28", "10.0.0.1", "10.0.0.8", "10.0.0.3")]]);
    let expected = [("10.0.0.7", true), ("10.0.0.7", false), ("10.0.0.8", true), ("10.0.0.8", false)];
    for (number, (address, is_given)) in (0..).zip(expected) {
        let key = key(number);
        let (ours, theirs) = (pair.ours(&key, Some(address)), pair.theirs(&key, Some(address)).await);

        assert_eq!(ours, theirs, "{address}");
        assert_eq!(ours.is_some(), is_given, "{address}");
    }
}

#[tokio::test]
async fn the_real_static_plugin_gives_what_its_configuration_says() {
    let (name, variables) = ("static".parse().unwrap(), variables(None));
    let plugin = Plugin::find(&name, &variables, PATIENCE).expect("tests/setup/all.sh installs static");
    let key = key(1);
    for version in ["0.2.0", "0.3.1", "0.4.0", "1.0.0"] {
        let conf = json!({"cniVersion": version, "name": "net", "ipam": {"type": "static",
            "addresses": [{"address": "10.10.0.1/24", "gateway": "10.10.0.254"}, {"address": "fd00::1/64"}],
            "routes": [{"dst": "10.20.0.0/16"}], "dns": {"nameservers": ["10.10.0.53"]}}});

        let given = plugin.add(subject(&key), &conf).await.unwrap();

        assert_eq!(texts(&given), ["10.10.0.1/24 Some(10.10.0.254)", "fd00::1/64 None"], "{version}");
        assert_eq!(given.dns.nameservers, ["10.10.0.53"], "{version}");
        assert!(given.routes.iter().any(|route| route.dst.to_string() == "10.20.0.0/16"), "{version}");
        plugin.del(subject(&key), &conf).await.unwrap();
    }
}

#[tokio::test]
async fn real_plugins_older_than_gc_and_status_do_not_fail_them() {
    for name in ["host-local", "static"] {
        let (name, variables) = (name.parse().unwrap(), variables(None));
        let plugin = Plugin::find(&name, &variables, PATIENCE).expect("tests/setup/all.sh installs it");
        let conf = json!({"cniVersion": "1.1.0", "name": "net", "ipam": {"type": name.as_str()}});

        plugin.gc(&conf).await.unwrap();
        plugin.status(&conf).await.unwrap();
    }
}

#[tokio::test]
async fn a_version_raised_since_add_keeps_no_address() {
    let pair = Pair::new(vec![vec![range("10.0.0.0/28", "10.0.0.2", "10.0.0.2", "10.0.0.1")]]);
    let (name, variables) = ("host-local".parse().unwrap(), variables(None));
    let plugin = Plugin::find(&name, &variables, PATIENCE).expect("tests/setup/all.sh installs host-local");
    plugin.add(subject(&key(1)), &pair.conf).await.unwrap();
    let mut raised = pair.conf.clone();
    raised["cniVersion"] = json!("1.1.0");

    assert!(
        plugin.add(subject(&key(2)), &raised).await.unwrap_err().is_incompatible(),
        "control: it is too old"
    );
    plugin.del(subject(&key(1)), &raised).await.unwrap();

    plugin.add(subject(&key(3)), &pair.conf).await.unwrap();
}
