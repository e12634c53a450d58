//! One rtnetlink connection into one namespace. The socket keeps the namespace in which it was opened, so the
//! connection is used from anywhere.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::rule::RuleMessage;
use planes::IfName;

use crate::found::Link;
use crate::interface::MAIN_TABLE;
use crate::request::QUESTION;
use crate::{Error, Netns, route};

/// A connection to the links, addresses, routes and rules of one namespace. Clones share it.
#[derive(Debug, Clone)]
pub struct Net {
    pub(crate) handle: rtnetlink::Handle,
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
            // Filters of dumps (one link, one table) are obeyed only with strict checking (Linux 4.20).
            rtnetlink::new_connection_with_strict_check()
        })?;
        let object = netns.path_from_proc().display().to_string();
        let (mut connection, handle, _) =
            opened.map_err(|source| Error::io("open netlink socket in namespace", object, source))?;
        // Without them a connection that died would look like a request that was granted.
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        tokio::spawn(connection);
        Ok(Self { handle, netns: Arc::new(netns) })
    }

    /// Opens the connection anew: after a failed send or receive nothing goes through the old one any more, not even what
    /// would undo the work so far.
    ///
    /// # Errors
    /// As [`Net::open`]; the old connection stays then.
    pub fn reconnect(&mut self) -> Result<(), Error> {
        *self = Self::open(self.netns.try_clone()?)?;
        Ok(())
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
        mut message: LinkMessage,
        object: impl FnOnce() -> String,
    ) -> Result<Option<Link>, Error> {
        // Counters are most of an answer, and nobody here reads them.
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.request(RouteNetlinkMessage::GetLink(message), QUESTION).await {
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

    /// Every address of one link, in the kernel's order. The kernel looks the link up: cheap on any node.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn addresses_at(&self, index: u32) -> Result<Vec<AddressMessage>, Error> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        let answers = self.dump("addresses", RouteNetlinkMessage::GetAddress(message)).await?;
        Ok(answers.into_iter().filter_map(address_of).filter(|found| found.header.index == index).collect())
    }

    /// Every route of one family, all tables.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn routes(&self, family: Family) -> Result<Vec<RouteMessage>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = family.into();
        self.routes_like(message).await
    }

    /// The routes of one family in the main table that lead out of one link. The kernel filters: the answer is
    /// short on any node.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn routes_out_of(&self, family: Family, index: u32) -> Result<Vec<RouteMessage>, Error> {
        self.main_routes_of(family, Some(index)).await
    }

    /// Every route of one family in the main table. For pods.
    pub(crate) async fn main_routes(&self, family: Family) -> Result<Vec<RouteMessage>, Error> {
        self.main_routes_of(family, None).await
    }

    async fn main_routes_of(&self, family: Family, link: Option<u32>) -> Result<Vec<RouteMessage>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = family.into();
        message.attributes.push(RouteAttribute::Table(MAIN_TABLE));
        message.attributes.extend(link.map(RouteAttribute::Oif));
        let mut routes = self.routes_like(message).await?;
        // A kernel that ignores the filter must mix neither tables nor links up.
        routes.retain(|one| route::table(one) == MAIN_TABLE && (link.is_none() || route::out(one) == link));
        Ok(routes)
    }

    async fn routes_like(&self, message: RouteMessage) -> Result<Vec<RouteMessage>, Error> {
        let family = message.header.address_family;
        let answers = match self.dump("routes", RouteNetlinkMessage::GetRoute(message)).await {
            // A table that was never used is not there.
            Err(error) if error.is_absent() => Vec::new(),
            answers => answers?,
        };
        let routes = answers.into_iter().filter_map(route_of);
        // A kernel without IPv6 answers with what it has.
        Ok(routes.filter(|route| route.header.address_family == family).collect())
    }

    /// Every policy rule of one family.
    ///
    /// # Errors
    /// If the kernel refuses to answer.
    pub async fn rules(&self, family: Family) -> Result<Vec<RuleMessage>, Error> {
        let mut message = RuleMessage::default();
        message.header.family = family.into();
        let answers = match self.dump("rules", RouteNetlinkMessage::GetRule(message)).await {
            // A kernel without IPv6 has no rules of it.
            Err(error) if error.errno_is_unsupported() => Vec::new(),
            answers => answers?,
        };
        Ok(answers
            .into_iter()
            .filter_map(rule_of)
            .filter(|rule| rule.header.family == family.into())
            .collect())
    }

    /// The forwarding entries of one link (`bridge fdb show dev LINK`).
    pub(crate) async fn forwarding_at(&self, index: u32) -> Result<Vec<NeighbourMessage>, Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = netlink_packet_route::AddressFamily::Bridge;
        message.header.ifindex = index;
        let answers = self.dump("forwarding entries", RouteNetlinkMessage::GetNeighbour(message)).await?;
        Ok(answers
            .into_iter()
            .filter_map(neighbour_of)
            .filter(|found| found.header.ifindex == index)
            .collect())
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

fn neighbour_of(answer: RouteNetlinkMessage) -> Option<NeighbourMessage> {
    if let RouteNetlinkMessage::NewNeighbour(message) = answer { Some(message) } else { None }
}
