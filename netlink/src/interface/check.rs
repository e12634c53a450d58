//! Whether the pod's side is still as it was left.

use std::net::IpAddr;

use planes::plan::PlannedAttachment;
use planes::{Attachment, Role};

use super::{Assigned, MAIN_TABLE, is_steered, main_routes, steer, tune};
use crate::route::{describe_rule, destination, out, source_rule, table};
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
    let mut wanted: Vec<_> = main_routes(plan, assigned)
        .into_iter()
        .filter(|route| Family::of(route.dst.ip()) == family)
        .map(|route| (MAIN_TABLE, route))
        .collect();
    if is_steered(plan) {
        let own = super::table_of(link.index);
        wanted.extend(
            steer::routes(pod, plan, link, assigned, family).await?.into_iter().map(|route| (own, route)),
        );
    }
    let found = pod.routes(family).await?;
    let has = |number, dst| {
        found.iter().any(|route| {
            table(route) == number && out(route) == Some(link.index) && destination(route) == Some(dst)
        })
    };
    let missing = wanted.iter().filter(|(number, route)| !has(*number, route.dst));
    Ok(missing
        .map(|(number, route)| {
            Drift::new(format!("route {} by {} in table {number} is gone", route.dst, link.name))
        })
        .collect())
}

async fn rules(pod: &Net, attachment: &Attachment, link: &Link) -> Result<Vec<Drift>, Error> {
    let mut found = Vec::new();
    for family in Family::BOTH {
        found.extend(pod.rules(family).await?.iter().filter_map(source_rule));
    }
    let wanted =
        steer::rules(attachment.addresses.iter().map(ipnetwork::IpNetwork::ip), super::table_of(link.index));
    let missing = wanted.filter(|rule| !found.contains(rule));
    Ok(missing.map(|rule| Drift::new(format!("rule {} is gone", describe_rule(rule)))).collect())
}
