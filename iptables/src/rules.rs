//! Rules as data: closed sets of matches and actions, so that two renderings cannot mean different things.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::Family;
use planes::IfName;
use planes::capture::PortRange;

/// One table of the family `inet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A base chain; its policy is `accept`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Where it hooks in.
    pub hook: Hook,
    /// In which order with others: lower comes first.
    pub priority: i32,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Kinds of chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lets pass or not.
    Filter,
    /// Rewrites the first packet of a connection.
    Nat,
}

/// Where packets are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// As they come in.
    Prerouting,
    /// As they are made here.
    Output,
}

/// One rule: all matches hold, then the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What must hold.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
    /// Why, in a few words; the kernel keeps it as the rule's comment.
    pub why: &'static str,
}

/// What a packet is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It came in by this interface.
    In(IfName),
    /// It did not.
    NotIn(IfName),
    /// It leaves by this interface.
    Out(IfName),
    /// It does not.
    NotOut(IfName),
    /// Its source lies in a subnet.
    From(IpNetwork),
    /// Its source does not.
    NotFrom(IpNetwork),
    /// Its destination lies in a subnet.
    To(IpNetwork),
    /// It is of one family.
    Family(Family),
    /// It was made by this user.
    User(u32),
    /// It was made by this group.
    Group(u32),
    /// It is TCP to one of these ports.
    Ports(PortRange),
    /// It opens a TCP connection: SYN and none of FIN, RST, ACK. Others belong to a connection that was never seen.
    Opens,
    /// Its destination is, on the interface by which it came in, of this kind.
    Reaches(Reach),
    /// More connections than this match already.
    MoreThan(u32),
}

/// Kinds of destinations (`enum rt_type`, linux/rtnetlink.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// An address of the interface itself.
    Local,
    /// A broadcast address.
    Broadcast,
    /// An anycast address.
    Anycast,
    /// A multicast group.
    Multicast,
}

/// What is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// This chain lets it pass.
    Accept,
    /// It is gone.
    Drop,
    /// Connection tracking never sees it.
    Notrack,
    /// Its connection goes to this port of ours, at the address of the interface by which it came in.
    Redirect(u16),
    /// Its connection goes to this address and port.
    Dnat(IpAddr, u16),
    /// Its sender is told that the connection is refused.
    Reset,
}
