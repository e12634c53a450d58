//! Rules as nf_tables messages (linux/netfilter/nf_tables.h). Expressions are written attribute by attribute, all in one
//! way, as half of those needed are not in `netlink-packet-netfilter`: redir, nat, fib, connlimit, reject, notrack.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::Family;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, ExpressionAttribute, Expressions, Hook as WireHook, HookNumber,
    InetHookNumber, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, TableAttribute, TableMessage,
};
use planes::IfName;
use planes::capture::PortRange;

use crate::rules::{Action, Chain, Hook, Kind, Match, Reach, Rule, Table};

/// `NF_ACCEPT`, the policy of every chain.
const ACCEPT: u32 = 1;
/// `NF_DROP`.
const DROP: u32 = 0;
/// `NFT_REG_VERDICT`.
const VERDICT: u32 = 0;
/// `NFT_REG_1` and `NFT_REG_2`: 16 bytes each.
const ONE: u32 = 1;
const TWO: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// `NFT_CMP_LTE`, `NFT_CMP_GTE`.
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;
/// Type of a rule's comment in its user data (`NFTNL_UDATA_RULE_COMMENT`, libnftnl).
const COMMENT: u8 = 0;

/// One expression: its kind and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) kind: &'static str,
    pub(crate) attributes: Vec<(u16, Vec<u8>)>,
}

/// The messages that make `table` anew, whatever was there before, without a moment in between.
pub(crate) fn replace(table: &Table) -> Vec<(NfTablesMessage, String)> {
    let named = |what: &str| format!("{what} table inet {}", table.name);
    let mut messages = vec![
        (NfTablesMessage::NewTable(by_name(table.name)), named("add")),
        (NfTablesMessage::DeleteTable(by_name(table.name)), named("delete")),
    ];
    messages.extend(create(table));
    messages
}

/// The messages that make `table` where there is none.
pub(crate) fn create(table: &Table) -> Vec<(NfTablesMessage, String)> {
    let what = format!("add table inet {}", table.name);
    let mut messages = vec![(NfTablesMessage::NewTable(by_name(table.name)), what)];
    for chain in &table.chains {
        messages.push((new_chain(table, chain), format!("add chain {}", chain.name)));
        for rule in &chain.rules {
            messages.push((new_rule(table, chain, rule), format!("add rule to {}: {rule}", chain.name)));
        }
    }
    messages
}

/// The messages that remove a table, also one that is not there.
pub(crate) fn remove(name: &str) -> Vec<(NfTablesMessage, String)> {
    let what = format!("delete table inet {name}");
    vec![
        (NfTablesMessage::NewTable(by_name(name)), what.clone()),
        (NfTablesMessage::DeleteTable(by_name(name)), what),
    ]
}

pub(crate) fn by_name(name: &str) -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(name.to_owned())] }
}

fn new_chain(table: &Table, chain: &Chain) -> NfTablesMessage {
    let hook = match chain.hook {
        Hook::Prerouting => InetHookNumber::PreRouting,
        Hook::Output => InetHookNumber::LocalOut,
    };
    // The kernel's priority is signed, its attribute's bits are the same.
    let priority = chain.priority.cast_unsigned();
    NfTablesMessage::NewChain(ChainMessage {
        attributes: vec![
            ChainAttribute::Table(table.name.to_owned()),
            ChainAttribute::Name(chain.name.to_owned()),
            ChainAttribute::Hook(vec![
                WireHook::Number(HookNumber::Inet(hook)),
                WireHook::Priority(priority),
            ]),
            ChainAttribute::Policy(ACCEPT),
            ChainAttribute::Type(
                match chain.kind {
                    Kind::Filter => "filter",
                    Kind::Nat => "nat",
                }
                .to_owned(),
            ),
        ],
    })
}

fn new_rule(table: &Table, chain: &Chain, rule: &Rule) -> NfTablesMessage {
    let expressions = expressions(rule).into_iter().map(|expression| {
        let attributes =
            expression.attributes.into_iter().map(|(kind, value)| DefaultNla::new(kind, value)).collect();
        let name = expression.kind.to_owned();
        ListAttribute::Element(vec![
            ExpressionAttribute::Name(name.clone()),
            ExpressionAttribute::Data(Expressions::Other { expression_type: name, attributes }),
        ])
    });
    NfTablesMessage::NewRule(RuleMessage {
        attributes: vec![
            RuleAttribute::Table(table.name.to_owned()),
            RuleAttribute::Chain(chain.name.to_owned()),
            RuleAttribute::Expressions(expressions.collect()),
            RuleAttribute::UserData(comment(rule.why)),
        ],
    })
}

/// A rule's comment as `nft` keeps and lists it: type, length, text with its final zero.
pub(crate) fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let mut bytes = vec![COMMENT, length];
    bytes.extend(text.bytes().take(usize::from(length) - 1));
    bytes.push(0);
    bytes
}

/// The expressions of a rule, in the order in which the kernel runs them. What two matches both depend on (the family,
/// the protocol) is compared once, as `nft` does.
pub(crate) fn expressions(rule: &Rule) -> Vec<Expression> {
    let mut expressions: Vec<Expression> = Vec::new();
    for mut more in rule.matches.iter().map(matching) {
        if let [key, value, _, ..] = &more[..]
            && expressions.windows(2).any(|pair| pair[0] == *key && pair[1] == *value)
        {
            more.drain(..2);
        }
        expressions.extend(more);
    }
    expressions.extend(acting(rule.action));
    expressions
}

fn matching(one: &Match) -> Vec<Expression> {
    match one {
        Match::In(name) => vec![meta(IIFNAME), compare(EQUAL, padded(name))],
        Match::NotIn(name) => vec![meta(IIFNAME), compare(NOT_EQUAL, padded(name))],
        Match::Out(name) => vec![meta(OIFNAME), compare(EQUAL, padded(name))],
        Match::NotOut(name) => vec![meta(OIFNAME), compare(NOT_EQUAL, padded(name))],
        Match::From(subnet) => address(Side::Source, subnet, EQUAL),
        Match::NotFrom(subnet) => address(Side::Source, subnet, NOT_EQUAL),
        Match::To(subnet) => address(Side::Destination, subnet, EQUAL),
        Match::Family(family) => vec![meta(NFPROTO), compare(EQUAL, vec![protocol(*family)])],
        Match::User(uid) => vec![meta(SKUID), compare(EQUAL, uid.to_ne_bytes().to_vec())],
        Match::Group(gid) => vec![meta(SKGID), compare(EQUAL, gid.to_ne_bytes().to_vec())],
        Match::Ports(range) => ports(*range),
        Match::Opens => {
            // fin 1, syn 2, rst 4, ack 16
            let flags = payload(TRANSPORT, 13, 1);
            vec![
                meta(L4PROTO),
                compare(EQUAL, vec![TCP]),
                flags,
                mask(vec![0x17]),
                compare(EQUAL, vec![0x02]),
            ]
        }
        Match::Reaches(reach) => vec![fib_type(), compare(EQUAL, route_type(*reach).to_ne_bytes().to_vec())],
        // NFTA_CONNLIMIT_COUNT, NFTA_CONNLIMIT_FLAGS: NFT_CONNLIMIT_F_INV is "over"
        Match::MoreThan(count) => vec![expression("connlimit", [(1, be(*count)), (2, be(1))])],
    }
}

fn ports(range: PortRange) -> Vec<Expression> {
    let mut expressions = vec![meta(L4PROTO), compare(EQUAL, vec![TCP]), payload(TRANSPORT, 2, 2)];
    let (first, last) = (range.first.to_be_bytes().to_vec(), range.last.to_be_bytes().to_vec());
    if first == last {
        expressions.push(compare(EQUAL, first));
    } else {
        // As nft writes a range of ports, so that what it sets is what CHECK expects.
        expressions.extend([compare(AT_LEAST, first), compare(AT_MOST, last)]);
    }
    expressions
}

fn acting(action: Action) -> Vec<Expression> {
    match action {
        Action::Accept => vec![verdict(ACCEPT)],
        Action::Drop => vec![verdict(DROP)],
        Action::Notrack => vec![expression("notrack", [])],
        // NFTA_REDIR_REG_PROTO_MIN
        Action::Redirect(port) => {
            vec![load(ONE, port.to_be_bytes().to_vec()), expression("redir", [(1, be(ONE))])]
        }
        Action::Dnat(to, port) => vec![
            load(ONE, octets(to)),
            load(TWO, port.to_be_bytes().to_vec()),
            // NFTA_NAT_TYPE (NFT_NAT_DNAT), _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN
            expression(
                "nat",
                [(1, be(1)), (2, be(u32::from(protocol(Family::of(to))))), (3, be(ONE)), (5, be(TWO))],
            ),
        ],
        // NFTA_REJECT_TYPE: NFT_REJECT_TCP_RST
        Action::Reset => vec![expression("reject", [(1, be(1))])],
    }
}

/// `enum nft_meta_keys`.
const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
const SKUID: u32 = 10;
const SKGID: u32 = 11;
const NFPROTO: u32 = 15;
const L4PROTO: u32 = 16;
/// `enum nft_payload_bases`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

#[derive(Debug, Clone, Copy)]
enum Side {
    Source,
    Destination,
}

fn address(side: Side, subnet: &IpNetwork, operator: u32) -> Vec<Expression> {
    let mut network = octets(subnet.network());
    let bits = usize::from(subnet.prefix());
    let is_whole_bytes = bits.is_multiple_of(8) && bits > 0;
    if is_whole_bytes {
        // so many bytes are loaded and compared, and no mask is needed
        network.truncate(bits / 8);
    }
    let length = u32::try_from(network.len()).unwrap_or(16);
    let offset = match (side, subnet) {
        (Side::Source, IpNetwork::V4(_)) => 12,
        (Side::Destination, IpNetwork::V4(_)) => 16,
        (Side::Source, IpNetwork::V6(_)) => 8,
        (Side::Destination, IpNetwork::V6(_)) => 24,
    };
    let family = compare(EQUAL, vec![protocol(Family::of(subnet.ip()))]);
    let mut expressions = vec![meta(NFPROTO), family, payload(NETWORK, offset, length)];
    if !is_whole_bytes {
        expressions.push(mask(octets(subnet.mask())));
    }
    expressions.push(compare(operator, network));
    expressions
}

/// `NFTA_META_KEY`, `NFTA_META_DREG`.
fn meta(key: u32) -> Expression {
    expression("meta", [(2, be(key)), (1, be(ONE))])
}

/// `NFTA_CMP_SREG`, `_OP`, `_DATA`.
fn compare(operator: u32, value: Vec<u8>) -> Expression {
    expression("cmp", [(1, be(ONE)), (2, be(operator)), (3, data(&value))])
}

/// `NFTA_PAYLOAD_DREG`, `_BASE`, `_OFFSET`, `_LEN`.
fn payload(base: u32, offset: u32, length: u32) -> Expression {
    expression("payload", [(1, be(ONE)), (2, be(base)), (3, be(offset)), (4, be(length))])
}

/// `NFTA_BITWISE_SREG`, `_DREG`, `_LEN`, `_MASK`, `_XOR`.
fn mask(mask: Vec<u8>) -> Expression {
    let length = u32::try_from(mask.len()).unwrap_or(16);
    let zero = vec![0; mask.len()];
    expression("bitwise", [(1, be(ONE)), (2, be(ONE)), (3, be(length)), (4, data(&mask)), (5, data(&zero))])
}

/// `NFTA_FIB_DREG`, `_RESULT` (NFT_FIB_RESULT_ADDRTYPE), `_FLAGS` (NFTA_FIB_F_DADDR | NFTA_FIB_F_IIF).
fn fib_type() -> Expression {
    expression("fib", [(1, be(ONE)), (2, be(3)), (3, be(0x2 | 0x8))])
}

/// `NFTA_IMMEDIATE_DREG`, `_DATA`.
fn load(register: u32, value: Vec<u8>) -> Expression {
    expression("immediate", [(1, be(register)), (2, data(&value))])
}

/// `NFTA_DATA_VERDICT` with `NFTA_VERDICT_CODE`.
fn verdict(code: u32) -> Expression {
    expression("immediate", [(1, be(VERDICT)), (2, attribute(2, &attribute(1, &be(code))))])
}

/// `NFTA_DATA_VALUE`.
fn data(value: &[u8]) -> Vec<u8> {
    attribute(1, value)
}

/// A nested attribute: length, type, value, padding.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(value.len() + 8);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn expression<const N: usize>(kind: &'static str, attributes: [(u16, Vec<u8>); N]) -> Expression {
    Expression { kind, attributes: attributes.into() }
}

fn be(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// `IFNAMSIZ` bytes: the whole register is compared, so no name is a prefix of another.
fn padded(name: &IfName) -> Vec<u8> {
    let mut bytes = name.as_str().as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn protocol(family: Family) -> u8 {
    match family {
        Family::V4 => IPV4,
        Family::V6 => IPV6,
    }
}

/// `RTN_LOCAL` and its neighbours (linux/rtnetlink.h).
fn route_type(reach: Reach) -> u32 {
    match reach {
        Reach::Local => 2,
        Reach::Broadcast => 3,
        Reach::Anycast => 4,
        Reach::Multicast => 5,
    }
}
