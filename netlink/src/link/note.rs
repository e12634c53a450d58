//! What a device of the node was before a pod got it, as text in its alias.

use std::fmt;

use ipnetwork::IpNetwork;
use netlink_packet_route::link::LinkAttribute;
use planes::{IfName, MacAddr, Mtu};

use super::Mark;
use super::message::Message;
use crate::{Error, Link, Net};

const PREFIX: &str = "multiplane:";
/// `IFALIASZ` (linux/if.h), with its NUL.
const LONGEST: usize = 255;

/// `multiplane:MARK NAME up|down mtu MTU [mac MAC] [ADDRESS…]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    mark: u32,
    name: IfName,
    is_up: bool,
    mtu: Mtu,
    mac: Option<MacAddr>,
    addresses: Vec<IpNetwork>,
}

impl Note {
    /// What there is to remember of `link`. The kernel makes link-local addresses again by itself.
    pub(super) fn of(mark: Mark, link: &Link, mut addresses: Vec<IpNetwork>) -> Result<Self, Error> {
        addresses.retain(|address| match address {
            IpNetwork::V4(_) => true,
            IpNetwork::V6(v6) => !v6.ip().is_unicast_link_local(),
        });
        let note = Self {
            mark: mark.get(),
            name: link.name.clone(),
            is_up: link.is_up,
            mtu: link.mtu,
            mac: link.mac,
            addresses,
        };
        if note.to_string().len() > LONGEST {
            let reason = "has more addresses than can be remembered; take them off before a pod gets it";
            return Err(Error::refused(format!("device {:?}", link.name.as_str()), reason));
        }
        Ok(note)
    }

    /// Reads an alias, if it is of this attachment: another's device is not ours to give back.
    pub(super) fn read(alias: &str, mark: Mark) -> Option<Self> {
        let mut words = alias.strip_prefix(PREFIX)?.split(' ');
        let found = u32::from_str_radix(words.next()?, 16).ok()?;
        let mut note = Self {
            mark: found,
            name: words.next()?.parse().ok()?,
            is_up: words.next()? == "up",
            mtu: Mtu::try_from(words.nth(1)?.parse::<u64>().ok()?).ok()?,
            mac: None,
            addresses: Vec::new(),
        };
        while let Some(word) = words.next() {
            match word {
                "mac" => note.mac = Some(words.next()?.parse().ok()?),
                address => note.addresses.push(address.parse().ok()?),
            }
        }
        (found == mark.get()).then_some(note)
    }

    /// The message that makes the link at `index` what it was, still down.
    pub(super) fn undoing(&self, index: u32) -> Message {
        Message::at(index)
            .down()
            .with(LinkAttribute::IfName(self.name.to_string()))
            .with(LinkAttribute::IfAlias(String::new()))
            .with_mtu(Some(self.mtu))
            .with_mac(self.mac)
    }

    /// Addresses and state, once the device is home.
    pub(super) async fn revive(&self, host: &Net) -> Result<(), Error> {
        let link = host.existing_link(&self.name).await?;
        for address in &self.addresses {
            host.ensure_address(&link, *address).await?;
        }
        if self.is_up { host.set_link(&link.name, Message::at(link.index).up()).await } else { Ok(()) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_up { "up" } else { "down" };
        write!(f, "{PREFIX}{:x} {} {state} mtu {}", self.mark, self.name, self.mtu)?;
        if let Some(mac) = self.mac {
            write!(f, " mac {mac}")?;
        }
        self.addresses.iter().try_for_each(|address| write!(f, " {address}"))
    }
}

#[cfg(test)]
mod tests {
    use planes::AttachmentKey;

    use super::*;

    fn mark(container: &str) -> Mark {
        Mark::of(&AttachmentKey {
            network: "telecom".parse().unwrap(),
            container: container.parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
        })
    }

    fn note() -> Note {
        Note {
            mark: mark("c1").get(),
            name: "ens5".parse().unwrap(),
            is_up: true,
            mtu: Mtu::try_from(9000).unwrap(),
            mac: Some("52:54:00:12:34:56".parse().unwrap()),
            addresses: vec!["192.0.2.7/24".parse().unwrap(), "2001:db8::7/64".parse().unwrap()],
        }
    }

    #[test]
    fn what_is_written_is_read_by_its_owner_alone() {
        let note = note();

        assert_eq!(Note::read(&note.to_string(), mark("c1")), Some(note.clone()));
        assert_eq!(Note::read(&note.to_string(), mark("c2")), None);
    }

    #[test]
    fn an_alias_of_somebody_else_is_no_note() {
        for alias in
            ["", "uplink to rack 7", "multiplane:", "multiplane:zz ens5 up mtu 1", "multiplane:1 ens5 up"]
        {
            assert_eq!(Note::read(alias, mark("c1")), None, "{alias}");
        }
    }
}
