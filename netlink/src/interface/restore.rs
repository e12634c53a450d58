//! What is undone inside a pod that lives on: rules and tables belong to no link, and an adopted interface is not ours
//! to delete.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use planes::IfName;
use planes::plan::PlannedAttachment;
use serde::{Deserialize, Serialize};

use super::{FIRST_TABLE, MAIN_TABLE, SPECIFIC_PRIORITY, table_of, tune};
use crate::route::{is_ours, out, table};
use crate::rule::{self, Rule};
use crate::{Error, Family, Net, route};

/// What an interface that is not ours had before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Sysctls by path below `/proc/sys/net`.
    pub sysctls: BTreeMap<String, String>,
}

/// Removes the rules, tables and routes of an attachment from a pod that lives on. They are found by our mark together
/// with the links that still exist, the attachment's addresses, and links that are gone: also after a kill, and also
/// when somebody deleted a link behind our back. Succeeds if there are none.
///
/// # Errors
/// The first removal that failed; the others were tried.
pub async fn release(pod: &Net, plans: &[PlannedAttachment], addresses: &[IpAddr]) -> Result<(), Error> {
    let links = pod.links().await?;
    let planned = |name: &IfName| plans.iter().any(|plan| plan.ifname == *name);
    let indexes: BTreeSet<u32> =
        links.iter().filter(|link| planned(&link.name)).map(|link| link.index).collect();
    let lives = |table: u32| links.iter().any(|link| table_of(link.index) == table);
    let asks_for_default = plans.iter().any(|plan| plan.default_route);

    let mut tables: BTreeSet<u32> = indexes.iter().copied().map(table_of).collect();
    let mut changes = Vec::new();
    for family in Family::BOTH {
        let rules: Vec<Rule> = pod.rules(family).await?.iter().filter_map(rule::ours).collect();
        let orphans =
            rules.iter().map(|rule| rule.table).filter(|table| *table > FIRST_TABLE && !lives(*table));
        tables.extend(orphans);
        let of_address = rules.iter().filter(|rule| rule.source.is_some_and(|ip| addresses.contains(&ip)));
        tables.extend(of_address.map(|rule| rule.table));
        let gone = |rule: &&Rule| {
            tables.contains(&rule.table) || (asks_for_default && rule.priority == SPECIFIC_PRIORITY)
        };
        changes.extend(rules.iter().filter(gone).copied().map(rule::removing));
        let routes = pod.routes(family).await?.into_iter().filter(|found| {
            let in_main =
                table(found) == MAIN_TABLE && out(found).is_some_and(|index| indexes.contains(&index));
            let orphan = table(found) > FIRST_TABLE && !lives(table(found));
            is_ours(found) && (in_main || orphan || tables.contains(&table(found)))
        });
        changes.extend(routes.map(route::removing));
    }
    pod.change_each(changes).await.into_iter().collect()
}

/// Puts back what an interface had before. Succeeds if the interface is gone.
///
/// # Errors
/// The first step that failed; the others were tried.
pub async fn restore(pod: &Net, ifname: &IfName, before: &Before) -> Result<(), Error> {
    match pod.link_by_name(ifname).await? {
        Some(link) => tune::put_back(pod, &link, before).await,
        None => Ok(()),
    }
}
