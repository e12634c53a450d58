//! Whether the pod's side is still as it was left.

use std::net::IpAddr;

use netlink_packet_route::route::RouteMessage;
use planes::plan::PlannedAttachment;
use planes::pod_network::Route;
use planes::{Attachment, Role};

use super::{
    Assigned, MAIN_TABLE, defaults, is_adopted_primary, is_default, is_steered, main_routes, steer, table_of,
    tune,
};
use crate::route::{destination, gateway, out, table};
use crate::rule;
use crate::{Drift, Error, Family, Link, Net};

/// Names every address, route, rule and sysctl of a plane that is not as ADD left it.
///
/// # Errors
/// If the kernel refuses to answer.
pub async fn check(
    pod: &Net,
    plan: &PlannedAttachment,
    attachment: &Attachment,
) -> Result<Vec<Drift>, Error> {
    let Some(link) = pod.link_by_name(&attachment.ifname).await? else { return Ok(Vec::new()) };
    if attachment.role == Role::Undeclared {
        return Ok(Vec::new());
    }
    let assigned = assigned(attachment);
    let mut drift = addresses(pod, &link, attachment).await?;
    for family in Family::BOTH {
        drift.extend(routes(pod, plan, &link, &assigned, family).await?);
    }
    if is_steered(plan) {
        drift.extend(rules(pod, attachment, &link).await?);
    }
    let wanted = tune::wanted(plan);
    let found = pod.read_sysctls(wanted.keys())?;
    for (name, value) in &wanted {
        if let Some(found) = found.get(name).filter(|found| *found != value) {
            drift.push(Drift::new(format!("sysctl net/{name} is {found}, not {value}")));
        }
    }
    Ok(drift)
}

fn assigned(attachment: &Attachment) -> Vec<Assigned> {
    let gateway = |address: IpAddr| {
        attachment.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == address.is_ipv4())
    };
    attachment
        .addresses
        .iter()
        .map(|address| Assigned { address: *address, gateway: gateway(address.ip()) })
        .collect()
}

async fn addresses(pod: &Net, link: &Link, attachment: &Attachment) -> Result<Vec<Drift>, Error> {
    let found = pod.addresses_of(link).await?;
    let missing = attachment.addresses.iter().filter(|address| !found.contains(address));
    Ok(missing.map(|address| Drift::new(format!("address {address} of {} is gone", link.name))).collect())
}

async fn routes(
    pod: &Net,
    plan: &PlannedAttachment,
    link: &Link,
    assigned: &[Assigned],
    family: Family,
) -> Result<Vec<Drift>, Error> {
    if !steer::families(assigned).any(|one| one == family) {
        return Ok(Vec::new());
    }
    let here = |route: &Route| Family::of(route.dst.ip()) == family;
    let mut wanted: Vec<(u32, Route)> =
        main_routes(plan, assigned).into_iter().filter(here).map(|route| (MAIN_TABLE, route)).collect();
    let own = table_of(link.index);
    if is_steered(plan) {
        let routes = steer::own_routes(plan, assigned, family);
        wanted.extend(routes.into_iter().map(|route| (own, route)));
    }
    let found = pod.routes(family).await?;
    let mut drift: Vec<Drift> =
        wanted.iter().filter_map(|(number, route)| compare(&found, link, *number, route)).collect();
    let ends = found.iter().any(|route| table(route) == own && is_default(route));
    if is_steered(plan) && !steer::has_gateway(assigned, family) && !ends {
        drift.push(Drift::new(format!("route unreachable default in table {own} is gone")));
    }
    drift.extend(default(pod, plan, link, assigned, family).await?);
    Ok(drift)
}

/// Whether a route stands with its gateway.
fn compare(found: &[RouteMessage], link: &Link, number: u32, wanted: &Route) -> Option<Drift> {
    let object = format!("route {} by {} in table {number}", wanted.dst, link.name);
    let alike = found.iter().filter(|route| {
        table(route) == number && out(route) == Some(link.index) && destination(route) == Some(wanted.dst)
    });
    let gateways: Vec<_> = alike.map(gateway).collect();
    if gateways.contains(&wanted.gw) {
        return None;
    }
    let text = |gateway: Option<IpAddr>| gateway.map_or_else(|| "no gateway".to_owned(), |ip| ip.to_string());
    Some(match gateways.first() {
        Some(other) => Drift::new(format!("{object} goes via {}, not {}", text(*other), text(wanted.gw))),
        None => Drift::new(format!("{object} is gone")),
    })
}

/// A plane's default route stands in the main table, or before it by rules.
async fn default(
    pod: &Net,
    plan: &PlannedAttachment,
    link: &Link,
    assigned: &[Assigned],
    family: Family,
) -> Result<Option<Drift>, Error> {
    let wanted = plan.default_route && steer::has_gateway(assigned, family);
    if !wanted || is_adopted_primary(plan) {
        return Ok(None);
    }
    let in_main = pod.routes_out_of(family, link.index).await?.iter().any(is_default);
    let rules: Vec<_> = pod.rules(family).await?.iter().filter_map(rule::ours).collect();
    let outranks = defaults::outranking(family, table_of(link.index)).iter().all(|rule| rules.contains(rule));
    let drift = || Drift::new(format!("default route {} by {} is gone", super::any(family), link.name));
    Ok((!in_main && !outranks).then(drift))
}

async fn rules(pod: &Net, attachment: &Attachment, link: &Link) -> Result<Vec<Drift>, Error> {
    let mut found = Vec::new();
    for family in Family::BOTH {
        found.extend(pod.rules(family).await?.iter().filter_map(rule::ours));
    }
    let wanted =
        steer::rules(attachment.addresses.iter().map(ipnetwork::IpNetwork::ip), table_of(link.index));
    let missing = wanted.filter(|rule| !found.contains(rule));
    Ok(missing.map(|rule| Drift::new(format!("rule {} is gone", rule))).collect())
}
