//! One rtnetlink connection into one namespace. The socket keeps the namespace in which it was opened, so the
//! connection is used from anywhere.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::StreamExt;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use planes::IfName;

use crate::found::Link;
use crate::{Error, Netns};

pub(crate) const CREATE: u16 = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
pub(crate) const CHANGE: u16 = NLM_F_REQUEST | NLM_F_ACK;
const DUMP: u16 = NLM_F_REQUEST | NLM_F_DUMP;

/// A connection to the links, addresses, routes and rules of one namespace. Clones share it.
#[derive(Debug, Clone)]
pub struct Net {
    handle: rtnetlink::Handle,
    netns: Arc<Netns>,
}

impl Net {
    /// Opens a connection inside `netns`; its task runs on the current tokio runtime.
    ///
    /// # Errors
    /// If the namespace cannot be entered or no socket can be had.
    pub fn open(netns: Netns) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::current();
        let opened = netns.run(|| {
            let _context = runtime.enter();
            rtnetlink::new_connection()
        })?;
        let object = netns.path_from_proc().display().to_string();
        let (connection, handle, _) =
            opened.map_err(|source| Error::io("open netlink socket in namespace", object, source))?;
        tokio::spawn(connection);
        Ok(Self { handle, netns: Arc::new(netns) })
    }

    /// The namespace that the connection leads into.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The link of that name, if there is one.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn link_by_name(&self, name: &IfName) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_string()));
        self.link(message, || name.to_string()).await
    }

    /// The link of that index, if there is one.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn link_by_index(&self, index: u32) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.link(message, || format!("index {index}")).await
    }

    /// The link of that name.
    ///
    /// # Errors
    /// Absent links are an error that says so.
    pub async fn existing_link(&self, name: &IfName) -> Result<Link, Error> {
        self.link_by_name(name).await?.ok_or_else(|| {
            Error::io("find interface", name.to_string(), io::Error::from_raw_os_error(nix::libc::ENODEV))
        })
    }

    async fn link(
        &self,
        message: LinkMessage,
        object: impl FnOnce() -> String,
    ) -> Result<Option<Link>, Error> {
        match self.request(RouteNetlinkMessage::GetLink(message), NLM_F_REQUEST).await {
            Ok(answers) => Ok(answers.into_iter().find_map(Link::from_answer)),
            Err(source) => match Error::io("find interface", object(), source) {
                error if error.is_absent() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Every link of the namespace. For pods: a node's are never dumped, as there may be thousands.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let answers = self.dump("interfaces", RouteNetlinkMessage::GetLink(LinkMessage::default())).await?;
        Ok(answers.into_iter().filter_map(Link::from_answer).collect())
    }

    /// Every address of the namespace, in the kernel's order.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn addresses(&self) -> Result<Vec<AddressMessage>, Error> {
        let answers =
            self.dump("addresses", RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?;
        Ok(answers.into_iter().filter_map(address_of).collect())
    }

    /// Every route of one family, all tables.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn routes(&self, family: Family) -> Result<Vec<RouteMessage>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = family.into();
        let answers = self.dump("routes", RouteNetlinkMessage::GetRoute(message)).await?;
        Ok(answers.into_iter().filter_map(route_of).collect())
    }

    /// Every policy rule of one family.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn rules(&self, family: Family) -> Result<Vec<RuleMessage>, Error> {
        let mut message = RuleMessage::default();
        message.header.family = family.into();
        let answers = self.dump("rules", RouteNetlinkMessage::GetRule(message)).await?;
        Ok(answers.into_iter().filter_map(rule_of).collect())
    }

    async fn dump(
        &self,
        what: &'static str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        self.request(message, DUMP).await.map_err(|source| Error::io("list", what.to_owned(), source))
    }

    /// Sends one change and waits for its acknowledgement.
    pub(crate) async fn change(
        &self,
        operation: &'static str,
        object: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), Error> {
        self.request(message, flags).await.map(drop).map_err(|source| Error::io(operation, object(), source))
    }

    /// Sends one request and gathers its answers.
    pub(crate) async fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let mut answers = Vec::new();
        let mut responses = self.handle.clone().request(request).map_err(io::Error::other)?;
        while let Some(response) = responses.next().await {
            match response.payload {
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                _ => {}
            }
        }
        Ok(answers)
    }
}

/// The two address families of planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl From<Family> for netlink_packet_route::AddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Inet,
            Family::V6 => Self::Inet6,
        }
    }
}

fn address_of(answer: RouteNetlinkMessage) -> Option<AddressMessage> {
    if let RouteNetlinkMessage::NewAddress(message) = answer { Some(message) } else { None }
}

fn route_of(answer: RouteNetlinkMessage) -> Option<RouteMessage> {
    if let RouteNetlinkMessage::NewRoute(message) = answer { Some(message) } else { None }
}

fn rule_of(answer: RouteNetlinkMessage) -> Option<RuleMessage> {
    if let RouteNetlinkMessage::NewRule(message) = answer { Some(message) } else { None }
}
