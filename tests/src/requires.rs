//! What a test needs of the kernel. A test that cannot run says so, and `make test` counts it and compares it
//! with `tests/skips.allow`; it runs once more in the microVM, whose kernel has everything named here.

use std::collections::HashMap;
use std::io::Write;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use netlink::Netns;

/// The file that marks the microVM (see `real::microvm`).
pub const MICROVM_MARK: &str = "/etc/multiplane-microvm";

/// Something that not every kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// 802.1Q links (`CONFIG_VLAN_8021Q`).
    Vlan,
    /// IP-VLAN links (`CONFIG_IPVLAN`).
    Ipvlan,
    /// Bridges that filter by VLAN (`CONFIG_BRIDGE_VLAN_FILTERING`).
    BridgeVlan,
    /// Bonds, as masters of planes (`CONFIG_BONDING`).
    Bonding,
    /// Dummy links (`CONFIG_DUMMY`).
    Dummy,
    /// A PCI network card that nobody needs: never one of a real machine.
    SpareNic,
}

impl Feature {
    /// Its name in `SKIP` lines and in `tests/skips.allow`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vlan => "vlan",
            Self::Ipvlan => "ipvlan",
            Self::BridgeVlan => "bridge-vlan",
            Self::Bonding => "bonding",
            Self::Dummy => "dummy",
            Self::SpareNic => "spare-nic",
        }
    }

    /// The smallest use of it, tried in a namespace of its own.
    fn probe(self) -> &'static str {
        match self {
            Self::Vlan => {
                "ip link add veth0 type veth peer name veth1 && ip link add link veth0 name vlan5 type vlan id 5"
            }
            Self::Ipvlan => {
                "ip link add veth0 type veth peer name veth1 && ip link add link veth0 name ipvl0 type ipvlan"
            }
            Self::BridgeVlan => "ip link add br0 type bridge vlan_filtering 1",
            Self::Bonding => "ip link add bond1 type bond",
            Self::Dummy => "ip link add dummy1 type dummy",
            Self::SpareNic => {
                "test -e /etc/multiplane-microvm || { echo only the microVM has one >&2; exit 1; }"
            }
        }
    }
}

/// Whether the kernel has `feature`; if not, reports the calling test as skipped.
///
/// ```no_run
/// use testbed::requires::{self, Feature};
///
/// if !requires::has(Feature::Vlan) {
///     return;
/// }
/// ```
#[must_use]
pub fn has(feature: Feature) -> bool {
    match probe_once(feature) {
        Ok(()) => true,
        Err(reason) => {
            let test = std::thread::current();
            let test = test.name().unwrap_or("unnamed");
            // Past the harness, which would swallow the output of a test that passes.
            let _ = writeln!(std::io::stderr(), "SKIP {}: {reason} [{test}]", feature.name());
            false
        }
    }
}

fn probe_once(feature: Feature) -> Result<(), String> {
    static KNOWN: Mutex<Option<HashMap<Feature, Result<(), String>>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().entry(feature).or_insert_with(|| probe(feature)).clone()
}

fn probe(feature: Feature) -> Result<(), String> {
    let netns = Netns::anonymous().map_err(|error| error.to_string())?;
    let output = netns
        .run(|| Command::new("sh").args(["-c", feature.probe()]).output())
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_that_may_be_missing_is_allowed_to_skip_with_a_reason() {
        let allowed = include_str!("../skips.allow");

        for feature in [
            Feature::Vlan,
            Feature::Ipvlan,
            Feature::BridgeVlan,
            Feature::Bonding,
            Feature::Dummy,
            Feature::SpareNic,
        ] {
            let line = format!("{}: ", feature.name());
            assert!(allowed.lines().any(|entry| entry.starts_with(&line)), "{line}");
        }
    }
}
