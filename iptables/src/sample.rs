//! A pod with a plane of each fate, for tests.

use planes::capture::{CaptureOptions, Captured, PortRange, Scope};
use planes::{Layout, OtherMesh, Proxy, Traffic};

use crate::policy::{Plane, Policy};

pub(crate) fn proxy() -> Proxy {
    Proxy {
        uids: vec![1337],
        gids: vec![1337],
        inbound_port: 15006,
        outbound_port: 15001,
        layout: Layout::default(),
        other_mesh: OtherMesh::default(),
        options: CaptureOptions::default(),
    }
}

pub(crate) fn plane(ifname: &str, traffic: Traffic, addresses: &[&str]) -> Plane {
    Plane {
        ifname: ifname.parse().unwrap(),
        traffic,
        captured: Captured::default(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        extra: Vec::new(),
        forward: false,
    }
}

/// Inbound two ports of one plane, outbound all of another.
pub(crate) fn by_direction() -> Policy {
    let mut inbound = plane("eth0", Traffic::Capture, &["10.244.0.5", "fd00:244::5"]);
    let ports = vec![PortRange { first: 80, last: 80 }, PortRange { first: 8000, last: 8010 }];
    inbound.captured = Captured { inbound: Scope::Ports(ports), outbound: Scope::Nothing };
    let mut outbound = plane("media", Traffic::Capture, &["10.75.9.2"]);
    outbound.captured = Captured { inbound: Scope::Nothing, outbound: Scope::All };
    Policy { planes: vec![inbound, outbound], ..policy() }
}

pub(crate) fn policy() -> Policy {
    let mut vip = plane("vip0", Traffic::Capture, &[]);
    vip.extra = vec!["192.0.2.80/32".parse().unwrap(), "2001:db8::80/128".parse().unwrap()];
    let mut router = plane("n6", Traffic::Bypass, &["10.80.0.2"]);
    router.forward = true;
    Policy {
        proxy: Some(proxy()),
        planes: vec![
            plane("eth0", Traffic::Capture, &["10.244.0.5", "fd00:244::5"]),
            plane("media", Traffic::Bypass, &["10.75.9.2"]),
            plane("oam", Traffic::Deny, &["10.90.0.2"]),
            vip,
            router,
        ],
        undeclared: Traffic::Bypass,
    }
}
