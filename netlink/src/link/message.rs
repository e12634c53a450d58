//! Building blocks of link messages.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use planes::plan::{MacPlan, PlannedAttachment};
use planes::{IfName, MacAddr, Mtu};

use super::Mark;
use crate::request::{CHANGE, CREATE};
use crate::{Error, Link, Net, Netns};

/// A link message under construction.
#[derive(Debug, Default)]
pub(crate) struct Message(LinkMessage);

impl Message {
    pub(crate) fn named(name: &IfName) -> Self {
        Self::default().with(LinkAttribute::IfName(name.to_string()))
    }

    pub(crate) fn at(index: u32) -> Self {
        let mut message = Self::default();
        message.0.header.index = index;
        message
    }

    pub(crate) fn with(mut self, attribute: LinkAttribute) -> Self {
        self.0.attributes.push(attribute);
        self
    }

    pub(crate) fn with_mtu(self, mtu: Option<Mtu>) -> Self {
        match mtu {
            Some(mtu) => self.with(LinkAttribute::Mtu(mtu.get())),
            None => self,
        }
    }

    pub(crate) fn with_mac(self, mac: Option<MacAddr>) -> Self {
        match mac {
            Some(mac) => self.with(LinkAttribute::Address(mac.bytes().to_vec())),
            None => self,
        }
    }

    pub(crate) fn with_mark(self, mark: Mark) -> Self {
        self.with(LinkAttribute::Group(mark.get()))
    }

    pub(crate) fn in_netns(self, netns: &Netns) -> Self {
        self.with(LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd()))
    }

    pub(crate) fn of_kind(self, kind: InfoKind, data: Option<InfoData>) -> Self {
        let mut infos = vec![LinkInfo::Kind(kind)];
        infos.extend(data.map(LinkInfo::Data));
        self.with(LinkAttribute::LinkInfo(infos))
    }

    pub(crate) fn up(mut self) -> Self {
        self.0.header.flags |= LinkFlags::Up;
        self.0.header.change_mask |= LinkFlags::Up;
        self
    }

    pub(crate) fn down(mut self) -> Self {
        self.0.header.flags.remove(LinkFlags::Up);
        self.0.header.change_mask |= LinkFlags::Up;
        self
    }

    pub(crate) fn from_inner(message: LinkMessage) -> Self {
        Self(message)
    }

    pub(crate) fn into_inner(self) -> LinkMessage {
        self.0
    }
}

/// The address to ask for, as the plan has it.
pub(crate) fn planned_mac(plan: &PlannedAttachment) -> Option<MacAddr> {
    match plan.mac {
        MacPlan::Kernel => None,
        MacPlan::Fixed(mac) | MacPlan::Derived(mac) => Some(mac),
    }
}

impl Net {
    /// `ip link add NAME …`: fails if the name is taken.
    pub(crate) async fn add_link(&self, object: &IfName, message: Message) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewLink(message.into_inner());
        self.change("create interface", || object.to_string(), message, CREATE).await
    }

    /// `ip link set NAME …`.
    pub(crate) async fn set_link(&self, object: &IfName, message: Message) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewLink(message.into_inner());
        self.change("change interface", || object.to_string(), message, CHANGE).await
    }

    /// `ip link del NAME`; succeeds if it is gone.
    pub(crate) async fn remove_link(&self, name: &IfName) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelLink(Message::named(name).into_inner());
        crate::error::or_absent(self.change("delete interface", || name.to_string(), message, CHANGE).await)
    }

    /// Makes a [`child`] and reads it back.
    pub(crate) async fn add_child(
        &self,
        pod: &Net,
        mark: Mark,
        plan: &PlannedAttachment,
        master: &Link,
        kind: (InfoKind, InfoData),
    ) -> Result<Link, Error> {
        let message = child(mark, plan, master.index, kind).in_netns(pod.netns());
        self.add_link(&plan.ifname, message).await?;
        pod.existing_link(&plan.ifname).await
    }
}

/// A child of an interface of the node, to be made straight inside the pod, and down: its settings come before its
/// first frame.
///
/// `IFLA_LINK_NETNSID` is not needed: the request is sent into the node's namespace, where the parent is, and names the
/// pod's by descriptor.
fn child(mark: Mark, plan: &PlannedAttachment, master: u32, kind: (InfoKind, InfoData)) -> Message {
    Message::named(&plan.ifname)
        .with(LinkAttribute::Link(master))
        .with_mtu(plan.mtu)
        .with_mac(planned_mac(plan))
        .with_mark(mark)
        .of_kind(kind.0, Some(kind.1))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
