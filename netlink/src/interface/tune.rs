//! The sysctls that a multi-homed pod needs.

use planes::plan::PlannedAttachment;
use planes::pod_network::Role;

use super::{Before, is_adopted, is_steered};
use crate::sysctl::{ARP_ANNOUNCE, ARP_IGNORE, ARP_NOTIFY, FORWARDING, RP_FILTER, V4, Values};
use crate::{Error, Link, Net};

/// Sets them, before the link comes up: a router advertisement may be the first frame that arrives.
pub(super) async fn apply(
    pod: &Net,
    plan: &PlannedAttachment,
    link: &Link,
    before: &mut Before,
) -> Result<(), Error> {
    if plan.role == Role::Undeclared {
        return Ok(());
    }
    let v4 = wanted_v4(plan);
    if is_adopted(plan) {
        let names: Vec<String> = v4.iter().map(|(sysctl, _)| v4_name(plan, *sysctl)).collect();
        before.sysctls.extend(pod.read_sysctls(names.iter())?);
    }
    pod.set_v4(link, &v4).await?;
    let changed = pod.write_sysctls(&wanted_files(plan))?;
    if is_adopted(plan) {
        for (name, old) in changed {
            before.sysctls.entry(name).or_insert(old);
        }
    }
    Ok(())
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
    if !(is_adopted(plan) && plan.role == Role::Primary) {
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
