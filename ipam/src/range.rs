//! Arithmetic on ranges of addresses, in 128 bits for both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use planes::plan::{AddressRange, RangeSet};

/// An address as a number, for arithmetic within its family.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address of that number in the family of `like`.
fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// Whether the address may be leased from the range.
pub(crate) fn is_leasable(range: &AddressRange, ip: IpAddr) -> bool {
    range.first.is_ipv4() == ip.is_ipv4()
        && (number(range.first)..=number(range.last)).contains(&number(ip))
        && range.gateway != Some(ip)
        && !range.exclude.iter().any(|excluded| excluded.contains(ip))
}

/// The range of the set that the address may be leased from.
pub(crate) fn range_of(set: &RangeSet, ip: IpAddr) -> Option<&AddressRange> {
    set.ranges.iter().find(|range| is_leasable(range, ip))
}

/// Every leasable address of the set once, from behind `last` to the end and from the start to `last`: a pod that crashes
/// in a loop does not get the same address again and again.
pub(crate) fn round(set: &RangeSet, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> + '_ {
    let at =
        last.and_then(|last| set.ranges.iter().position(|range| holds(range, last)).map(|at| (at, last)));
    let (start, after) = match at {
        Some((at, last)) => (at, Some(number(last))),
        None => (0, None),
    };
    let rest = (0..set.ranges.len()).map(move |step| (start + 1 + step) % set.ranges.len());
    let first = span(&set.ranges[start], after.map(behind));
    let others = rest.take(set.ranges.len() - 1).flat_map(|at| span(&set.ranges[at], None));
    let again = after.into_iter().flat_map(move |last| span(&set.ranges[start], Some((0, last))));
    first.chain(others).chain(again)
}

/// The bounds behind a number; nothing lies behind the last.
fn behind(last: u128) -> (u128, u128) {
    last.checked_add(1).map_or((1, 0), |next| (next, u128::MAX))
}

fn holds(range: &AddressRange, ip: IpAddr) -> bool {
    range.first.is_ipv4() == ip.is_ipv4() && (number(range.first)..=number(range.last)).contains(&number(ip))
}

/// The leasable addresses of a range that lie within `bounds`.
fn span(range: &AddressRange, bounds: Option<(u128, u128)>) -> impl Iterator<Item = IpAddr> + '_ {
    let (low, high) = bounds.unwrap_or((0, u128::MAX));
    let (low, high) = (low.max(number(range.first)), high.min(number(range.last)));
    (low..=high).map(|number| address(number, range.first)).filter(|ip| is_leasable(range, *ip))
}

/// The set as people read it.
pub(crate) fn describe(set: &RangeSet) -> String {
    let list: Vec<String> =
        set.ranges.iter().map(|range| format!("{}-{}", range.first, range.last)).collect();
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(first: &str, last: &str) -> AddressRange {
        AddressRange {
            subnet: "10.0.0.0/24".parse().unwrap(),
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            gateway: Some("10.0.0.2".parse().unwrap()),
            exclude: vec!["10.0.0.4/31".parse().unwrap()],
        }
    }

    #[test]
    fn a_round_goes_on_behind_the_last_and_ends_with_it() {
        let set = RangeSet { ranges: vec![range("10.0.0.1", "10.0.0.6"), range("10.0.0.11", "10.0.0.12")] };
        let list = |last: Option<&str>| {
            round(&set, last.map(|l| l.parse().unwrap())).map(|ip| ip.to_string()).collect::<Vec<_>>()
        };

        assert_eq!(list(None), ["10.0.0.1", "10.0.0.3", "10.0.0.6", "10.0.0.11", "10.0.0.12"]);
        assert_eq!(list(Some("10.0.0.3")), ["10.0.0.6", "10.0.0.11", "10.0.0.12", "10.0.0.1", "10.0.0.3"]);
        assert_eq!(list(Some("10.0.0.12")), ["10.0.0.1", "10.0.0.3", "10.0.0.6", "10.0.0.11", "10.0.0.12"]);
        assert_eq!(list(Some("10.9.9.9")), list(None), "a last address outside of the set does not count");
    }

    #[test]
    fn the_ends_of_the_address_space_do_not_overflow() {
        let whole = AddressRange {
            subnet: "::/0".parse().unwrap(),
            first: "::".parse().unwrap(),
            last: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(),
            gateway: None,
            exclude: Vec::new(),
        };
        let set = RangeSet { ranges: vec![whole] };

        assert_eq!(
            round(&set, Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap())).next(),
            Some("::".parse().unwrap())
        );
    }

    proptest! {
        #[test]
        fn every_leasable_address_comes_exactly_once(first in 1_u8..100, length in 0_u8..50, last in any::<Option<u8>>()) {
            let set = RangeSet { ranges: vec![range(&format!("10.0.0.{first}"), &format!("10.0.0.{}", first + length))] };
            let mut list: Vec<IpAddr> = round(&set, last.map(|last| IpAddr::from([10, 0, 0, last]))).collect();
            let count = list.len();
            list.sort();
            list.dedup();

            prop_assert_eq!(list.len(), count);
            let leasable = (first..=first + length).filter(|n| ![2, 4, 5].contains(n)).count();
            prop_assert_eq!(count, leasable);
        }
    }
}
