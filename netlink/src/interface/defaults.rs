//! The default route of a plane that asks for it.
//!
//! ```text
//! ip route add default via 10.75.8.1 dev ctl0                       # if there is no other
//! ip rule add lookup main suppress_prefixlength 0 priority 20001    # else: what main knows better goes first,
//! ip rule add lookup 20003 priority 20002                           # then the plane's table and its default
//! ```
//!
//! Another plugin's default route is never removed: that would break its CHECK, and a kill between our removal and
//! our record of it would lose the route for ever. Rules that go before it do as well, and carry our mark.

use planes::plan::PlannedAttachment;
use planes::pod_network::Route;

use super::{
    Assigned, DEFAULT_PRIORITY, MAIN_TABLE, SPECIFIC_PRIORITY, default_routes, is_adopted_primary,
    is_default, table_of,
};
use crate::route::out;
use crate::rule::Rule;
use crate::{Error, Family, Link, Net};

/// The default routes to add to the main table, and the rules to add where a default stands already.
pub(super) async fn of(
    pod: &Net,
    plan: &PlannedAttachment,
    link: &Link,
    assigned: &[Assigned],
) -> Result<(Vec<Route>, Vec<Rule>), Error> {
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    // An adopted primary has the default or is meant to have none.
    if !plan.default_route || is_adopted_primary(plan) {
        return Ok((routes, rules));
    }
    for route in default_routes(assigned) {
        let family = Family::of(route.dst.ip());
        if stands_elsewhere(pod, family, link).await? {
            rules.extend(outranking(family, table_of(link.index)));
        } else {
            routes.push(route);
        }
    }
    Ok((routes, rules))
}

async fn stands_elsewhere(pod: &Net, family: Family, link: &Link) -> Result<bool, Error> {
    let routes = pod.main_routes(family).await?;
    Ok(routes.iter().any(|route| is_default(route) && out(route) != Some(link.index)))
}

/// The rules that put a plane's default before the main table's.
pub(super) fn outranking(family: Family, table: u32) -> [Rule; 2] {
    let rule = |priority, table, but_default| Rule { family, priority, source: None, table, but_default };
    [rule(SPECIFIC_PRIORITY, MAIN_TABLE, true), rule(DEFAULT_PRIORITY, table, false)]
}
