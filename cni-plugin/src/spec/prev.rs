//! `prevResult`: read where we must, echoed as it came.
//!
//! It is kept as a JSON value, because fields that we do not know must survive (CNI SPEC 1.1.0, "ADD":
//! a plugin must pass the previous result through), and because earlier plugins compare it in CHECK.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use planes::{IfName, MacAddr, Mtu};
use serde_json::{Map, Value, json};

use super::Version;

/// The result of the plugins before us.
#[derive(Debug, Clone, PartialEq)]
pub struct PrevResult(Map<String, Value>);

/// `prevResult` cannot be built upon: code 7.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrevError {
    /// Not an object.
    #[error("prevResult: expected an object, found {found}")]
    Shape {
        /// The JSON type that was found.
        found: &'static str,
    },
    /// Of the family before interfaces were listed.
    #[error("prevResult.cniVersion {value:?}: put plugins of version 0.3.0 or newer before this one")]
    Family {
        /// The version as given.
        value: String,
    },
}

/// One of our pod-side interfaces as the result lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Name inside the pod.
    pub name: IfName,
    /// Ethernet address, unless a layer-3 device.
    pub mac: Option<MacAddr>,
    /// MTU, written from 1.1.0 on.
    pub mtu: Mtu,
    /// Path of the pod's namespace.
    pub sandbox: String,
}

impl Interface {
    /// The entry in the shape of `version`: `mtu` came with 1.1.0.
    #[must_use]
    pub fn to_value(&self, version: Version) -> Value {
        let mut entry = json!({ "name": self.name, "sandbox": self.sandbox });
        if let Some(mac) = self.mac {
            entry["mac"] = json!(mac);
        }
        if version >= Version::V110 {
            entry["mtu"] = json!(self.mtu);
        }
        entry
    }
}

impl PrevResult {
    /// Takes the value of the key `prevResult`; `null` is absent.
    ///
    /// # Errors
    /// Anything but an object, or a result of 0.1.0 or 0.2.0.
    pub fn parse(value: &Value) -> Result<Option<Self>, PrevError> {
        let Value::Object(object) = value else {
            return if value.is_null() { Ok(None) } else { Err(PrevError::Shape { found: kind(value) }) };
        };
        let version = object.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
        if matches!(version, "0.1.0" | "0.2.0") {
            return Err(PrevError::Family { value: version.to_owned() });
        }
        Ok(Some(Self(object.clone())))
    }

    /// The value as it came.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The result that we print: the same, in the configuration's version, our pod-side interfaces added.
    ///
    /// No addresses and no routes are added: earlier plugins' CHECK would miss them on `CNI_IFNAME`, and
    /// CRI-O makes every address of the result an address of the pod. An interface whose name is in the list
    /// already is left out, as go-cni keys interfaces by name alone and would merge the two.
    #[must_use]
    pub fn echo(&self, version: Version, ours: &[Interface]) -> Value {
        let mut object = self.0.clone();
        object.insert("cniVersion".into(), json!(version.as_str()));
        let taken: Vec<String> = self.interface_names().map(str::to_owned).collect();
        let mut added = ours
            .iter()
            .filter(|interface| !taken.iter().any(|name| name == interface.name.as_str()))
            .map(|interface| interface.to_value(version))
            .peekable();
        if added.peek().is_some() {
            match object.get_mut("interfaces") {
                Some(Value::Array(list)) => list.extend(added),
                Some(_) | None => {
                    object.insert("interfaces".into(), added.collect());
                }
            }
        }
        Value::Object(object)
    }

    /// Every address of the result, whichever interface it belongs to. Unreadable ones are skipped: they are
    /// other plugins' business, and Multus writes `0.0.0.0/0` for a pod it does not find.
    pub fn addresses(&self) -> impl Iterator<Item = IpNetwork> + '_ {
        let ips = self.0.get("ips").and_then(Value::as_array).into_iter().flatten();
        ips.filter_map(|ip| ip.get("address")?.as_str()?.parse::<IpNetwork>().ok())
            .filter(|address| !address.ip().is_unspecified())
    }

    /// The gateways of the result; `""` and Multus' `<nil>` are none.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let ips = self.0.get("ips").and_then(Value::as_array).into_iter().flatten();
        ips.filter_map(|ip| ip.get("gateway")?.as_str()?.parse().ok())
    }

    fn interface_names(&self) -> impl Iterator<Item = &str> {
        let list = self.0.get("interfaces").and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|entry| entry.get("name")?.as_str())
    }
}

/// The JSON type of a value, for messages.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prev() -> PrevResult {
        let value = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "cni0", "mac": "0a:00:00:00:00:01"}, {"name": "eth0", "sandbox": "/ns"}],
            "ips": [{"address": "10.1.0.2/16", "gateway": "10.1.0.1", "interface": 1}],
            "dns": {},
            "vendor/extra": {"kept": [1, 2.5, null]}
        });
        PrevResult::parse(&value).unwrap().unwrap()
    }

    fn interface(name: &str) -> Interface {
        let mtu = Mtu::try_from(1500).unwrap();
        Interface {
            name: name.parse().unwrap(),
            mac: "0a:00:00:00:00:02".parse().ok(),
            mtu,
            sandbox: "/ns".into(),
        }
    }

    #[test]
    fn the_echo_changes_the_version_alone() {
        let mut expected = prev().to_value();
        expected["cniVersion"] = json!("0.4.0");

        assert_eq!(prev().echo(Version::V040, &[]), expected);
    }

    #[test]
    fn our_interfaces_are_appended_so_that_indices_stay() {
        let echo = prev().echo(Version::V110, &[interface("net1")]);

        assert_eq!(echo["interfaces"][1]["name"], "eth0");
        assert_eq!(
            echo["interfaces"][2],
            json!({"name": "net1", "mac": "0a:00:00:00:00:02", "mtu": 1500, "sandbox": "/ns"})
        );
        assert_eq!(echo["ips"], prev().to_value()["ips"]);
    }

    #[test]
    fn mtu_is_written_from_1_1_0_on() {
        let echo = prev().echo(Version::V100, &[interface("net1")]);

        assert_eq!(echo["interfaces"][2].get("mtu"), None);
    }

    #[test]
    fn a_name_that_is_listed_already_is_not_listed_again() {
        let echo = prev().echo(Version::V110, &[interface("cni0")]);

        assert_eq!(echo["interfaces"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn null_interfaces_become_a_list_only_when_there_is_something_to_list() {
        let sparse = PrevResult::parse(&json!({"interfaces": null})).unwrap().unwrap();

        assert_eq!(sparse.echo(Version::V100, &[])["interfaces"], Value::Null);
        assert_eq!(sparse.echo(Version::V100, &[interface("a")])["interfaces"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_pod_that_multus_did_not_find_has_no_address() {
        let fake = json!({"ips": [{"address": "0.0.0.0/0", "gateway": "<nil>"}, {"address": "x"}, 7]});
        let fake = PrevResult::parse(&fake).unwrap().unwrap();

        assert_eq!(fake.addresses().count(), 0);
        assert_eq!(fake.gateways().count(), 0);
        assert_eq!(prev().addresses().count(), 1);
        assert_eq!(prev().gateways().count(), 1);
    }

    #[test]
    fn shapes_that_are_no_result_are_refused() {
        assert_eq!(PrevResult::parse(&Value::Null), Ok(None));
        assert_eq!(PrevResult::parse(&json!([])), Err(PrevError::Shape { found: "a list" }));
        assert!(PrevResult::parse(&json!({"cniVersion": "0.2.0", "ip4": {}})).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z0-9./:]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let key =
                prop_oneof!["interfaces", "ips", "address", "name", "gateway", "cniVersion", "[a-z]{0,8}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_answered_without_panic(value in any_json()) {
            if let Ok(Some(prev)) = PrevResult::parse(&value) {
                let _ = (prev.addresses().count(), prev.gateways().count());
                let echo = prev.echo(Version::V110, &[interface("net1")]);
                prop_assert_eq!(&echo["cniVersion"], "1.1.0");
                prop_assert_eq!(echo.get("ips"), value.get("ips"));
            }
        }
    }
}
