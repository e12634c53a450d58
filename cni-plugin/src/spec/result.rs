//! The result of a plugin that stands alone (CNI SPEC 1.1.0, section 5, "Success"), in the shape of the
//! version asked for.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use planes::Route;
use planes::plan::Dns;
use serde_json::{Map, Value, json};

use super::prev::Interface;
use super::version::Version;

/// A result with interfaces of the pod alone: never one of the node, whose name could equal a pod's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniResult {
    /// Pod-side interfaces, the primary first.
    pub interfaces: Vec<Interface>,
    /// Addresses, each on one of `interfaces`.
    pub ips: Vec<Ip>,
    /// Routes of the primary.
    pub routes: Vec<Route>,
    /// Resolver settings.
    pub dns: Dns,
}

/// An address of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// With prefix length.
    pub address: IpNetwork,
    /// The subnet's gateway.
    pub gateway: Option<IpAddr>,
    /// Position in [`CniResult::interfaces`].
    pub interface: usize,
}

impl CniResult {
    /// Writes the result in the shape of `version`. An address whose interface is not listed is left out:
    /// go-cni panics on a bad index.
    #[must_use]
    pub fn to_value(&self, version: Version) -> Value {
        let mut result = Map::new();
        result.insert("cniVersion".into(), json!(version.as_str()));
        let interfaces: Vec<Value> = self.interfaces.iter().map(|entry| entry.to_value(version)).collect();
        let count = interfaces.len();
        let ips: Vec<Value> =
            self.ips.iter().filter(|ip| ip.interface < count).map(|ip| ip.to_value(version)).collect();
        let routes: Vec<Value> = self.routes.iter().map(|route| route_value(route, version)).collect();
        for (key, list) in [("interfaces", interfaces), ("ips", ips), ("routes", routes)] {
            if !list.is_empty() {
                result.insert(key.into(), Value::Array(list));
            }
        }
        // 0.3 and 0.4 results of the reference always carry it
        if !self.dns.is_empty() || version <= Version::V040 {
            result.insert("dns".into(), json!(self.dns));
        }
        Value::Object(result)
    }
}

impl Ip {
    /// `version` ("4" or "6") is required up to 0.4.0 and unknown after it.
    fn to_value(&self, version: Version) -> Value {
        let mut entry = json!({ "address": self.address, "interface": self.interface });
        if let Some(gateway) = self.gateway {
            entry["gateway"] = json!(gateway);
        }
        if version <= Version::V040 {
            entry["version"] = json!(if self.address.is_ipv4() { "4" } else { "6" });
        }
        entry
    }
}

/// Attributes beside `dst` and `gw` came with 1.1.0.
fn route_value(route: &Route, version: Version) -> Value {
    let plain = Route { mtu: None, advmss: None, priority: None, ..route.clone() };
    if version >= Version::V110 { json!(route) } else { json!(plain) }
}

#[cfg(test)]
mod tests {
    use planes::Mtu;

    use super::*;

    fn result() -> CniResult {
        let mtu = Mtu::try_from(1500).unwrap();
        let interface = Interface {
            name: "eth0".parse().unwrap(),
            mac: "0a:00:00:00:00:02".parse().ok(),
            mtu,
            sandbox: "/ns".into(),
        };
        let ip =
            |address: &str, interface| Ip { address: address.parse().unwrap(), gateway: None, interface };
        let route = Route {
            dst: "0.0.0.0/0".parse().unwrap(),
            gw: "10.1.0.1".parse().ok(),
            mtu: Some(1400),
            advmss: None,
            priority: None,
        };
        CniResult {
            interfaces: vec![interface],
            ips: vec![ip("10.1.0.2/16", 0), ip("fd00::2/64", 0), ip("10.9.0.2/16", 1)],
            routes: vec![route],
            dns: Dns::default(),
        }
    }

    #[test]
    fn each_version_has_its_shape() {
        for version in Version::ALL {
            let value = result().to_value(version);

            assert_eq!(value["cniVersion"], version.as_str());
            assert_eq!(value["ips"][0].get("version").is_some(), version <= Version::V040, "{version}");
            assert_eq!(value.get("dns").is_some(), version <= Version::V040, "{version}");
            assert_eq!(value["interfaces"][0].get("mtu").is_some(), version >= Version::V110, "{version}");
            assert_eq!(value["routes"][0].get("mtu").is_some(), version >= Version::V110, "{version}");
        }
    }

    #[test]
    fn an_index_is_never_out_of_range() {
        let value = result().to_value(Version::V100);

        assert_eq!(value["ips"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn families_are_text() {
        let value = result().to_value(Version::V031);

        assert_eq!(value["ips"][0]["version"], "4");
        assert_eq!(value["ips"][1]["version"], "6");
    }
}
