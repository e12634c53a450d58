//! Planes made in anonymous namespaces, read back from the kernel, and removed without a trace.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netlink::interface::{Assigned, configure, raise_loopback, release};
use netlink::link::{Mark, create, ensure_fixtures, remove, remove_fixtures};
use netlink::snapshot::snapshot;
use netlink::{Net, Netns, identity, interface, link};
use planes::plan::{BridgeLink, Dns, IpamPlan, LinkPlan, MacPlan, PlannedAttachment};
use planes::pod_network::HostSide;
use planes::{Attachment, AttachmentKey, Role, Traffic};

fn plan(plane: &str, number: u8) -> PlannedAttachment {
    PlannedAttachment {
        plane: plane.parse().unwrap(),
        role: Role::Plane,
        traffic: Traffic::Capture,
        ifname: plane.parse().unwrap(),
        host_ifname: format!("mp{plane}{number}").parse().unwrap(),
        link: LinkPlan::Bridge(BridgeLink {
            bridge: format!("br-{plane}").parse().unwrap(),
            bridge_mtu: None,
            gateway_addresses: Vec::new(),
            uplink: None,
            hairpin: false,
            isolated: false,
            vlan: None,
        }),
        mtu: None,
        mac: MacPlan::Kernel,
        ipam: IpamPlan::None,
        routes: Vec::new(),
        default_route: false,
        dns: Dns::default(),
        sysctls: BTreeMap::new(),
        extra_addresses: Vec::new(),
        forward: false,
        labels: BTreeMap::new(),
    }
}

fn key(container: &str) -> AttachmentKey {
    AttachmentKey {
        network: "telecom".parse().unwrap(),
        container: container.parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn attach(host: &Net, pod: &Net, plan: &PlannedAttachment, mark: Mark, address: &[&str]) -> Attachment {
    let assigned: Vec<Assigned> =
        address.iter().map(|a| Assigned { address: a.parse().unwrap(), gateway: None }).collect();
    ensure_fixtures(host, plan).await.unwrap();
    let created = create(host, pod, mark, plan).await.unwrap();
    let applied = configure(pod, plan, created.index, &assigned).await.unwrap();
    Attachment {
        plane: plan.plane.clone(),
        role: plan.role,
        traffic: plan.traffic,
        ifname: plan.ifname.clone(),
        index: created.index,
        mac: created.mac,
        mtu: created.mtu,
        addresses: assigned.iter().map(|one| one.address).collect(),
        gateways: applied.gateways,
        routes: applied.routes,
        table: applied.table,
        host_side: created.host_side,
        extra_addresses: Vec::new(),
        forward: false,
        labels: BTreeMap::new(),
    }
}

#[test]
fn a_bridge_plane_is_checked_clean_and_leaves_nothing() {
    block_on(async {
        let host = Net::open(Netns::anonymous().unwrap()).unwrap();
        let pod = Net::open(Netns::anonymous().unwrap()).unwrap();
        raise_loopback(&pod).await.unwrap();
        let before = snapshot(&pod).await.unwrap();
        let (control, media) = (plan("control", 1), plan("media", 1));
        let mark = Mark::of(&key("c1"));

        let one = attach(&host, &pod, &control, mark, &["10.75.8.7/24", "fd00:75::7/64"]).await;
        let two = attach(&host, &pod, &media, mark, &["10.80.0.7/16"]).await;

        assert_eq!(
            one.host_side,
            Some(HostSide {
                ifname: "mpcontrol1".parse().unwrap(),
                bridge: Some("br-control".parse().unwrap())
            })
        );
        for (plan, attachment) in [(&control, &one), (&media, &two)] {
            assert_eq!(link::check(&host, &pod, plan, attachment).await.unwrap(), []);
            assert_eq!(interface::check(&pod, plan, attachment).await.unwrap(), []);
        }
        let found = identity::enumerate(&pod, Instant::now() + Duration::from_secs(5)).await.unwrap();
        let addresses: Vec<String> =
            found.iter().flat_map(|i| &i.addresses).map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.75.8.7/24", "fd00:75::7/64", "10.80.0.7/16"]);

        let plans = [control, media];
        for _ in 0..2 {
            release(&pod, &plans, &[]).await.unwrap();
            assert!(remove(&host, Some(&pod), mark, &plans).await.is_empty());
            assert_eq!(snapshot(&pod).await.unwrap(), before);
        }
        for plan in &plans {
            remove_fixtures(&host, plan).await.unwrap();
        }
        assert_eq!(host.links().await.unwrap().len(), 1, "only lo is left on the node");
    });
}
