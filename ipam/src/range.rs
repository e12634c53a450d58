//! Arithmetic on ranges of addresses, in 128 bits for both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use planes::plan::{AddressRange, RangeSet};

/// An address as a number, for arithmetic within its family.
fn number(address: IpAddr) -> u128 {
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

/// The range of the set that the address may be leased from.
pub(crate) fn range_of(set: &RangeSet, ip: IpAddr) -> Option<&AddressRange> {
    let is_hole =
        |range: &AddressRange| holes(set, range).iter().any(|(from, to)| (*from..=*to).contains(&number(ip)));
    set.ranges.iter().find(|range| range.holds(ip) && !is_hole(range))
}

/// Every leasable address of the set once, from behind `last` to the end and from the start to `last`: a pod that crashes
/// in a loop does not get the same address again and again.
pub(crate) fn round(set: &RangeSet, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> + '_ {
    let at = last.and_then(|last| set.ranges.iter().position(|range| range.holds(last)).map(|at| (at, last)));
    let (start, after) = match at {
        Some((at, last)) => (at, Some(number(last))),
        None => (0, None),
    };
    let rest = (0..set.ranges.len()).map(move |step| (start + 1 + step) % set.ranges.len());
    let first = span(set, start, after.map(behind));
    let others = rest.take(set.ranges.len() - 1).flat_map(|at| span(set, at, None));
    let again = after.into_iter().flat_map(move |last| span(set, start, Some((0, last))));
    first.chain(others).chain(again)
}

/// The bounds behind a number; nothing lies behind the last.
fn behind(last: u128) -> (u128, u128) {
    last.checked_add(1).map_or((1, 0), |next| (next, u128::MAX))
}

/// The leasable addresses of a range of the set that lie within `bounds`.
fn span(set: &RangeSet, at: usize, bounds: Option<(u128, u128)>) -> impl Iterator<Item = IpAddr> + '_ {
    let range = &set.ranges[at];
    let (low, high) = bounds.unwrap_or((0, u128::MAX));
    let (low, high) = (low.max(number(range.first)), high.min(number(range.last)));
    let runs = between(holes(set, range), low, high);
    runs.into_iter().flat_map(|(from, to)| from..=to).map(|number| address(number, range.first))
}

/// What is never leased, in order: excluded prefixes, and the gateways of all ranges of the set, as one range's gateway
/// may lie within another.
fn holes(set: &RangeSet, range: &AddressRange) -> Vec<(u128, u128)> {
    let is_v4 = range.first.is_ipv4();
    let gateways = set.ranges.iter().filter_map(|range| range.gateway).map(|gateway| (gateway, gateway));
    let excluded = range.exclude.iter().map(|prefix| (prefix.network(), prefix.broadcast()));
    let of_family = gateways.chain(excluded).filter(|(from, _)| from.is_ipv4() == is_v4);
    let mut holes: Vec<(u128, u128)> = of_family.map(|(from, to)| (number(from), number(to))).collect();
    holes.sort_unstable();
    holes
}

/// What is left of `low` to `high`. An excluded prefix of IPv6 is stepped over, not walked through.
fn between(holes: Vec<(u128, u128)>, low: u128, high: u128) -> Vec<(u128, u128)> {
    let mut runs = Vec::new();
    let mut next = Some(low);
    for (from, to) in holes {
        let Some(at) = next.filter(|at| *at <= high) else { return runs };
        if from > at {
            runs.push((at, high.min(from - 1)));
        }
        next = to.checked_add(1).map(|behind| behind.max(at));
    }
    runs.extend(next.filter(|at| *at <= high).map(|at| (at, high)));
    runs
}

/// The set as people read it.
pub(crate) fn describe(set: &RangeSet) -> String {
    let list: Vec<String> = set.ranges.iter().map(ToString::to_string).collect();
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

    #[test]
    fn an_excluded_half_of_a_huge_range_is_stepped_over() {
        let set = RangeSet {
            ranges: vec![AddressRange {
                subnet: "fd00::/64".parse().unwrap(),
                first: "fd00::1".parse().unwrap(),
                last: "fd00::ffff:ffff:ffff:ffff".parse().unwrap(),
                gateway: Some("fd00::8000:0:0:0".parse().unwrap()),
                exclude: vec!["fd00::/65".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
            }],
        };

        let first: Vec<String> = round(&set, None).take(2).map(|ip| ip.to_string()).collect();

        assert_eq!(first, ["fd00::8000:0:0:1", "fd00::8000:0:0:2"]);
    }

    #[test]
    fn the_gateway_of_one_range_is_not_leased_from_another() {
        let mut set =
            RangeSet { ranges: vec![range("10.0.0.8", "10.0.0.9"), range("10.0.0.20", "10.0.0.22")] };
        set.ranges[0].gateway = Some("10.0.0.21".parse().unwrap());

        let list: Vec<String> = round(&set, None).map(|ip| ip.to_string()).collect();

        assert_eq!(list, ["10.0.0.8", "10.0.0.9", "10.0.0.20", "10.0.0.22"]);
        assert!(range_of(&set, "10.0.0.21".parse().unwrap()).is_none());
        assert!(range_of(&set, "10.0.0.20".parse().unwrap()).is_some(), "control");
    }

    proptest! {
        #[test]
        fn holes_of_any_order_and_overlap_are_left_out(
            holes in proptest::collection::vec((0_u8..60, 0_u8..12), 0..6),
            low in 0_u8..70,
            length in 0_u8..70,
        ) {
            let (low, high) = (u128::from(low), u128::from(low + length));
            let mut holes: Vec<(u128, u128)> =
                holes.into_iter().map(|(from, length)| (from.into(), (from + length).into())).collect();
            holes.sort_unstable();
            let is_hole = |at: &u128| holes.iter().any(|(from, to)| (*from..=*to).contains(at));

            let left: Vec<u128> =
                between(holes.clone(), low, high).into_iter().flat_map(|(from, to)| from..=to).collect();

            prop_assert_eq!(left, (low..=high).filter(|at| !is_hole(at)).collect::<Vec<_>>());
        }

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
