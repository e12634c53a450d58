//! A pod for unit tests: `eth0` as primary, `media` as a plane of ours, and what the kernel says of them.

use netlink::identity::Interface;
use netlink::interface::{Applied, Before};
use netlink::link::Created;
use planes::{FoundInterface, NetConf, Request, resolve};
use serde_json::{Value, json};

use crate::state::Record;

/// Two bridge planes, the primary included.
pub(crate) fn conf() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "telecom", "type": "multiplane",
        "planes": [
            {"name": "control", "kind": "bridge", "bridge": "mp-control", "dns": {"nameservers": ["10.75.8.1"]},
             "ipam": {"ranges": [["10.75.8.0/24"]], "gateway": "10.75.8.1"}},
            {"name": "media", "kind": "bridge", "bridge": "mp-media", "ipam": {"ranges": [["10.75.9.0/24"]]}},
        ],
        "default": ["control", "media"]
    })
}

/// The record of an ADD of that network; in a chain, `eth0` is another plugin's.
pub(crate) fn record(chained: bool) -> Record {
    let Value::Object(conf) = conf() else { unreachable!("an object") };
    let key = planes::AttachmentKey {
        network: "telecom".parse().unwrap(),
        container: "c1".parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    };
    let eth0 = FoundInterface { name: key.ifname.clone(), mac: None, addresses: Vec::new() };
    let request = Request {
        key,
        netns: "/run/netns/c1".as_ref(),
        pod: None,
        annotations: &Default::default(),
        chained,
        found: if chained { std::slice::from_ref(&eth0) } else { &[] },
        node: None,
    };
    let plan = resolve(&NetConf::parse(&conf).unwrap(), &request).unwrap();
    Record { netns_cookie: 7, plan, leases: Vec::new(), before: Vec::new(), homes: Vec::new(), network: None }
}

/// A link as `create` returns it.
pub(crate) fn created(index: u32) -> Created {
    Created { index, mac: mac(index), mtu: 1500.try_into().unwrap(), host_side: None }
}

/// What `configure` did.
pub(crate) fn applied(gateways: &[&str]) -> Applied {
    let gateways = gateways.iter().map(|gateway| gateway.parse().unwrap()).collect();
    Applied { mac: None, table: None, gateways, routes: Vec::new(), before: Before::default() }
}

/// An interface as enumeration finds it.
pub(crate) fn interface(index: u32, name: &str, addresses: &[&str]) -> Interface {
    Interface {
        index,
        name: name.parse().unwrap(),
        mac: mac(index),
        mtu: 1500.try_into().unwrap(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    }
}

fn mac(index: u32) -> Option<planes::MacAddr> {
    format!("0a:00:00:00:00:{index:02x}").parse().ok()
}
