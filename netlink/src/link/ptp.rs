//! Point-to-point planes: a veth whose node end answers as the gateway and routes to this pod alone.
//!
//! ```text
//! ip address add 10.1.0.1/32 dev mp…; ip route add 10.1.0.7/32 dev mp… scope link      # on the node
//! sysctl net.ipv4.conf.mp….forwarding=1
//! ```

use ipnetwork::IpNetwork;
use planes::Attachment;
use planes::plan::PlannedAttachment;
use planes::pod_network::HostSide;

use super::{Created, Mark, veth};
use crate::interface::{Assigned, plain};
use crate::sysctl::{FORWARDING, v4};
use crate::{Drift, Error, Link, Net};

pub(super) async fn create(
    host: &Net,
    pod: &Net,
    mark: Mark,
    plan: &PlannedAttachment,
) -> Result<Created, Error> {
    let pod_end = veth::create(host, pod, mark, plan, None, plan.mtu).await?;
    let host_side = HostSide { ifname: plan.host_ifname.clone(), bridge: None };
    Ok(Created::from_link(&pod_end, Some(host_side)))
}

pub(super) async fn configure_host(
    host: &Net,
    plan: &PlannedAttachment,
    addresses: &[Assigned],
) -> Result<(), Error> {
    let link = host.existing_link(&plan.host_ifname).await?;
    // What comes from this pod is forwarded, whatever the node's other interfaces do. IPv6 knows no such setting of
    // one interface: there the node's own `net.ipv6.conf.all.forwarding` decides.
    host.change_all(vec![v4(&link, &[(FORWARDING, 1)])]).await?;
    for assigned in addresses {
        if let Some(gateway) = assigned.gateway {
            host.ensure_address(&link, IpNetwork::from(gateway)).await?;
        }
        host.ensure_route(&link, &plain(IpNetwork::from(assigned.address.ip()), None)).await?;
    }
    Ok(())
}

pub(super) async fn check(
    host: &Net,
    pod_end: &Link,
    plan: &PlannedAttachment,
    attachment: &Attachment,
) -> Result<Vec<Drift>, Error> {
    let (link, mut drift) = veth::check(host, pod_end, plan).await?;
    let Some(link) = link else { return Ok(drift) };
    for address in &attachment.addresses {
        if !host.has_route_to(&link, address.ip()).await? {
            drift.push(Drift::new(format!("route to {} by {} on the node is gone", address.ip(), link.name)));
        }
    }
    let found = host.addresses_of(&link).await?;
    let missing = attachment.gateways.iter().filter(|gateway| !found.iter().any(|one| one.ip() == **gateway));
    drift.extend(missing.map(|gateway| Drift::new(format!("gateway {gateway} on {} is gone", link.name))));
    Ok(drift)
}
