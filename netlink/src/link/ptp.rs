//! Point-to-point planes: a veth whose node end answers as the gateway and routes to this pod alone.
//!
//! ```text
//! ip address add 10.1.0.1/32 dev mp…; ip route add 10.1.0.7/32 dev mp… scope link      # on the node
//! ```

use ipnetwork::IpNetwork;
use planes::Attachment;
use planes::plan::PlannedAttachment;
use planes::pod_network::{HostSide, Route};

use super::{Created, Mark, veth};
use crate::error::or_exists;
use crate::interface::Assigned;
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
    for assigned in addresses {
        if let Some(gateway) = assigned.gateway {
            or_exists(host.add_address(&link, IpNetwork::from(gateway)).await)?;
        }
        host.add_route(&link, &to_pod(assigned.address), crate::interface::MAIN_TABLE).await?;
    }
    Ok(())
}

fn to_pod(address: IpNetwork) -> Route {
    Route { dst: IpNetwork::from(address.ip()), gw: None, mtu: None, advmss: None, priority: None }
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
    Ok(drift)
}
