//! Pods to make rules for.

use std::collections::BTreeMap;

use planes::capture::CaptureOptions;
use planes::{Attachment, AttachmentKey, Layout, Mtu, OtherMesh, PodNetwork, Proxy, Role, Traffic};

pub(crate) fn attachment(plane: &str, ifname: &str, traffic: Traffic, addresses: &[&str]) -> Attachment {
    Attachment {
        plane: plane.parse().unwrap(),
        role: if ifname == "eth0" { Role::Primary } else { Role::Plane },
        traffic,
        captured: Default::default(),
        ifname: ifname.parse().unwrap(),
        index: 2,
        mac: None,
        mtu: Mtu::try_from(1500).unwrap(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        gateways: Vec::new(),
        routes: Vec::new(),
        table: None,
        host_side: None,
        extra_addresses: Vec::new(),
        forward: false,
        labels: BTreeMap::new(),
    }
}

pub(crate) fn network(attachments: Vec<Attachment>, proxy: bool, undeclared: Traffic) -> PodNetwork {
    PodNetwork {
        key: AttachmentKey {
            network: "telecom".parse().unwrap(),
            container: "c1".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        },
        netns: "/run/netns/x".into(),
        netns_cookie: 7,
        pod: None,
        proxy: proxy.then(|| Proxy {
            uids: vec![1337],
            gids: vec![1337],
            inbound_port: 15006,
            outbound_port: 15001,
            layout: Layout::default(),
            other_mesh: OtherMesh::default(),
            options: CaptureOptions::default(),
        }),
        attachments,
        undeclared,
    }
}
