//! Interface sysctls of a pod. IPv4's are set by netlink, so a read-only `/proc/sys` does no harm; IPv6's only exist in
//! `/proc/sys`, and there in the namespace of the thread that opens the file.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, LinkAttribute};

use crate::link::Message;
use crate::request::Change;
use crate::{Error, Link, Net};

/// `IFLA_INET_CONF` (linux/if_link.h).
const IFLA_INET_CONF: u16 = 1;

/// An IPv4 interface sysctl with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct V4(pub(crate) &'static str, u16);

pub(crate) const FORWARDING: V4 = V4("forwarding", 1);
pub(crate) const RP_FILTER: V4 = V4("rp_filter", 8);
pub(crate) const ARP_ANNOUNCE: V4 = V4("arp_announce", 18);
pub(crate) const ARP_IGNORE: V4 = V4("arp_ignore", 19);
pub(crate) const ARP_NOTIFY: V4 = V4("arp_notify", 22);

/// The files below `net/ipv4/conf/<interface>` in the order of `IPV4_DEVCONF_*` (linux/ip.h), which counts from one.
const V4_NAMES: [&str; 33] = [
    "forwarding",
    "mc_forwarding",
    "proxy_arp",
    "accept_redirects",
    "secure_redirects",
    "send_redirects",
    "shared_media",
    "rp_filter",
    "accept_source_route",
    "bootp_relay",
    "log_martians",
    "tag",
    "arp_filter",
    "medium_id",
    "disable_xfrm",
    "disable_policy",
    "force_igmp_version",
    "arp_announce",
    "arp_ignore",
    "promote_secondaries",
    "arp_accept",
    "arp_notify",
    "accept_local",
    "src_valid_mark",
    "proxy_arp_pvlan",
    "route_localnet",
    "igmpv2_unsolicited_report_interval",
    "igmpv3_unsolicited_report_interval",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_gratuitous_arp",
    "bc_forwarding",
    "arp_evict_nocarrier",
];

impl V4 {
    /// The setting of that name, if it can be set by netlink.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (number, known) = (1_u16..).zip(V4_NAMES).find(|(_, known)| *known == name)?;
        Some(Self(known, number))
    }
}

/// Values of a pod's sysctls, by path below `/proc/sys/net`, for example `ipv6/conf/eth0/accept_ra`.
pub(crate) type Values = BTreeMap<String, String>;

/// Sets IPv4 sysctls of one link in one request, zeros included (`IFLA_AF_SPEC`).
pub(crate) fn v4(link: &Link, values: &[(V4, i32)]) -> Change {
    let numbers: Vec<DefaultNla> = values
        .iter()
        .map(|(sysctl, value)| DefaultNla::new(sysctl.1, value.to_ne_bytes().to_vec()))
        .collect();
    let mut bytes = vec![0; numbers.as_slice().buffer_len()];
    numbers.as_slice().emit(&mut bytes);
    let conf = AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, bytes));
    let message =
        Message::at(link.index).with(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![conf])]));
    let message = RouteNetlinkMessage::NewLink(message.into_inner());
    Change::set("change interface", format!("{} to its IPv4 sysctls", link.name), message)
}

impl Net {
    /// Sets what differs below `/proc/sys/net` and returns the old values of what it changed.
    pub(crate) fn write_sysctls(&self, wanted: &Values) -> Result<Values, Error> {
        self.exchange_sysctls(&[], wanted)
    }

    /// Sets what differs below `/proc/sys/net`, and returns the old values of what it changed, with those of `read`.
    pub(crate) fn exchange_sysctls(&self, read: &[String], wanted: &Values) -> Result<Values, Error> {
        if read.is_empty() && wanted.is_empty() {
            return Ok(Values::new());
        }
        self.netns().run(|| {
            let old = read.iter().filter_map(|name| Some((name.clone(), read_one(name).ok()?)));
            let mut old: Values = old.collect();
            let mut changed = Values::new();
            for (name, value) in wanted {
                match write_one(name, value) {
                    Ok(before) => changed.extend(before.map(|before| (name.clone(), before))),
                    Err(source) => {
                        // What was changed already goes back; the first error is the one to report.
                        for (name, before) in &changed {
                            let _ = std::fs::write(path(name), before);
                        }
                        return Err(Error::io("set sysctl", format!("net/{name}={value}"), source));
                    }
                }
            }
            old.extend(changed);
            Ok(old)
        })?
    }

    /// Reads values below `/proc/sys/net`; a missing file is a missing entry.
    pub(crate) fn read_sysctls<'a>(
        &self,
        names: impl Iterator<Item = &'a String> + Send,
    ) -> Result<Values, Error> {
        self.netns().run(|| names.filter_map(|name| Some((name.clone(), read_one(name).ok()?))).collect())
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(name)
}

fn read_one(name: &str) -> io::Result<String> {
    Ok(std::fs::read_to_string(path(name))?.trim().to_owned())
}

/// Writes only what differs: `/proc/sys` may be read-only and right all the same. The old value, if it was changed.
fn write_one(name: &str, value: &str) -> io::Result<Option<String>> {
    let old = match read_one(name) {
        Ok(old) => old,
        // A kernel without IPv6 has none of its sysctls, and needs none.
        Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("ipv6/") => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if old == value {
        return Ok(None);
    }
    std::fs::write(path(name), value)?;
    Ok(Some(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for known in [FORWARDING, RP_FILTER, ARP_ANNOUNCE, ARP_IGNORE, ARP_NOTIFY] {
            assert_eq!(V4::named(known.0), Some(known));
        }
        assert_eq!(V4::named("arp_evict_nocarrier").map(|known| known.1), Some(33));
        assert_eq!(V4::named("none"), None);
    }
}
