//! The sysctls that a multi-homed pod needs.

use planes::plan::PlannedAttachment;
use planes::pod_network::Role;

use super::apply::Target;
use super::{Before, is_adopted, is_adopted_primary, is_steered};
use crate::sysctl::{ARP_ANNOUNCE, ARP_IGNORE, ARP_NOTIFY, FORWARDING, RP_FILTER, V4, Values, v4};
use crate::{Error, Link, Net};

/// Sets them on all planes, and returns what each adopted interface had before: the others die with the pod.
pub(super) async fn apply(pod: &Net, targets: &[Target<'_>], links: &[Link]) -> Result<Vec<Before>, Error> {
    let tuned = || targets.iter().filter(|target| target.plan.role != Role::Undeclared);
    let adopted = tuned().filter(|target| is_adopted(target.plan));
    let read: Vec<String> = adopted.flat_map(|target| wanted(target.plan).into_keys()).collect();
    let write: Values = tuned().flat_map(|target| wanted_files(target.plan)).collect();
    let old = pod.exchange_sysctls(&read, &write)?;
    let befores = targets.iter().map(|target| before(target.plan, &old)).collect();
    let each = targets.iter().zip(links).filter(|(target, _)| target.plan.role != Role::Undeclared);
    let changes = each.map(|(target, link)| v4(link, &wanted_v4(target.plan))).collect();
    if let Err(error) = pod.change_all(changes).await {
        // The first error is the one to report.
        let _ = pod.write_sysctls(&old);
        return Err(error);
    }
    Ok(befores)
}

/// What the sysctls of adopted interfaces are now, one [`Before`] per plan, empty for the others. Save it before
/// [`super::configure_all`], as after a kill nobody could tell any more.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn settings_before(pod: &Net, plans: &[PlannedAttachment]) -> Result<Vec<Before>, Error> {
    let adopted = plans.iter().filter(|plan| is_adopted(plan) && plan.role != Role::Undeclared);
    let names: Vec<String> = adopted.flat_map(|plan| wanted(plan).into_keys()).collect();
    let old = pod.exchange_sysctls(&names, &Values::new())?;
    Ok(plans.iter().map(|plan| before(plan, &old)).collect())
}

fn before(plan: &PlannedAttachment, old: &Values) -> Before {
    let mut before = Before::default();
    if is_adopted(plan) {
        let here = |name: &str| name.split('/').nth(2) == Some(plan.ifname.as_str());
        before.sysctls =
            old.iter().filter(|(name, _)| here(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    }
    before
}

/// Puts saved values back, each by the way by which it was set.
pub(super) async fn put_back(pod: &Net, link: &Link, before: &Before) -> Result<(), Error> {
    let number = |(name, value): (&String, &String)| {
        let name = name.strip_prefix("ipv4/conf/")?.split('/').nth(1)?;
        by_netlink(&format!("ipv4.{name}"), value)
    };
    let numbers: Vec<(V4, i32)> = before.sysctls.iter().filter_map(number).collect();
    let files = before.sysctls.iter().filter(|entry| number(*entry).is_none());
    let files: Values = files.map(|(name, value)| (name.clone(), value.clone())).collect();
    let by_number = if numbers.is_empty() { Ok(()) } else { pod.change_all(vec![v4(link, &numbers)]).await };
    by_number.and(pod.write_sysctls(&files).map(drop))
}

/// IPv4 sysctls of the plane, set by netlink, those last that its configuration asks for.
fn wanted_v4(plan: &PlannedAttachment) -> Vec<(V4, i32)> {
    // An address answers ARP on its own plane alone, and asks with that plane's address.
    let mut values = vec![(ARP_IGNORE, 1), (ARP_ANNOUNCE, 2)];
    if is_steered(plan) {
        // Loose: the path back to a client behind another plane's prefix is decided by the source rule.
        values.push((RP_FILTER, 2));
    }
    if !is_adopted(plan) {
        values.push((ARP_NOTIFY, 1));
        values.push((FORWARDING, i32::from(plan.forward)));
    }
    values.extend(plan.sysctls.iter().filter_map(|(name, value)| by_netlink(name, value)));
    values
}

/// A setting of the configuration that netlink can carry; the others are written as files.
fn by_netlink(name: &str, value: &str) -> Option<(V4, i32)> {
    Some((V4::named(name.strip_prefix("ipv4.")?)?, value.parse().ok()?))
}

fn v4_name(plan: &PlannedAttachment, sysctl: V4) -> String {
    format!("ipv4/conf/{}/{}", plan.ifname, sysctl.0)
}

/// IPv6 sysctls of the plane and those that its configuration asks for.
fn wanted_files(plan: &PlannedAttachment) -> Values {
    let mut values = Values::new();
    let mut v6 = |name: &str, value: &str| {
        values.insert(format!("ipv6/conf/{}/{name}", plan.ifname), value.to_owned());
    };
    // The identity is decided at ADD: no router may add an address or a default route later.
    if !is_adopted_primary(plan) {
        v6("accept_ra", "0");
        v6("autoconf", "0");
    }
    if !is_adopted(plan) {
        v6("disable_ipv6", "0");
        v6("forwarding", if plan.forward { "1" } else { "0" });
        v6("ndisc_notify", "1");
        // Else a link that goes down loses its addresses, and the identity with them.
        v6("keep_addr_on_down", "1");
    }
    for (name, value) in plan.sysctls.iter().filter(|(name, value)| by_netlink(name, value).is_none()) {
        if let Some((family, name)) = name.split_once('.') {
            values.insert(format!("{family}/conf/{}/{name}", plan.ifname), value.clone());
        }
    }
    values
}

/// Every sysctl with the value it should have, for CHECK.
pub(super) fn wanted(plan: &PlannedAttachment) -> Values {
    if plan.role == Role::Undeclared {
        return Values::new();
    }
    let mut values: Values = wanted_v4(plan)
        .into_iter()
        .map(|(sysctl, value)| (v4_name(plan, sysctl), value.to_string()))
        .collect();
    values.extend(wanted_files(plan));
    values
}
