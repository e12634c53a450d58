//! Rules in a namespace: set in one transaction, compared, removed.

use std::io;

use netlink::Netns;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
};
use netlink_packet_netfilter::nftables::{ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use crate::rules::{Rule, Table};
use crate::wire::{self, Expression};

/// `NETLINK_NETFILTER`.
const PROTOCOL: isize = 12;
/// `NFNL_SUBSYS_NFTABLES`, whose batch this is.
const SUBSYSTEM: u16 = 10;
/// Large enough for any answer of the kernel's.
const ANSWER: usize = 64 << 10;
/// The bits of an attribute's type that are no flags.
const KIND: u16 = 0x3fff;
const NLMSG_ERROR: u16 = 2;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE`.
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN`.
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
/// `NFTA_CHAIN_TABLE`, `_NAME`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
/// `struct nlmsghdr` and, behind it, `struct nfgenmsg`.
const HEADER: usize = 16;
const FAMILY: usize = 4;
/// `NFTA_RULE_CHAIN`, `_EXPRESSIONS`, `_USERDATA`.
const CHAIN: u16 = 2;
const EXPRESSIONS: u16 = 4;
const USERDATA: u16 = 7;

/// Rules cannot be set, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] netlink::Error),
    /// The kernel has no nf_tables, or lacks a part of it.
    #[error(
        "{operation}: this kernel lacks nf_tables or a part of it (CONFIG_NF_TABLES_INET, NFT_FIB_INET, NFT_NAT, \
         NFT_REDIR, NFT_CT, NFT_CONNLIMIT, NFT_REJECT): load the modules, or use a kernel that has them"
    )]
    Unsupported {
        /// What was tried.
        operation: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel refused one message, and with it all of them.
    #[error("{operation}")]
    Refused {
        /// Which message.
        operation: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another mesh has this pod, and the network's configuration says that this is refused.
    #[error("chains of another mesh are in the pod: {}; let one mesh have it, or write \"otherMesh\": \"warn\" into proxy", .0.join(", "))]
    OtherMesh(Vec<String>),
    /// The socket failed.
    #[error("talk to nf_tables")]
    Socket(#[source] io::Error),
    /// The kernel did not answer.
    #[error("set rules: the kernel confirmed none of {sent} messages; ask CHECK what is in force")]
    Silent {
        /// How many.
        sent: usize,
    },
}

impl Error {
    /// Whether the kernel has no nf_tables, or not all of it.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}

/// Puts the table in place of an earlier one, or leaves everything as it was.
///
/// # Errors
/// What the kernel refused.
pub fn apply(netns: &Netns, table: &Table) -> Result<(), Error> {
    netns.run(|| apply_here(table))?
}

/// As [`apply`], in the namespace of this thread.
fn apply_here(table: &Table) -> Result<(), Error> {
    // What is deleted costs a grace period of the kernel's, some 20 ms, when the socket closes (nft_rcv_nl_event): a pod's
    // first rules need not pay it.
    let ask = NfTablesMessage::GetTable(wire::by_name(table.name));
    let answers = exchange(&serialize(tables(ask), NLM_F_REQUEST, 1))?;
    let is_absent =
        |answer: &Answer| answer.error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
    if answers.iter().any(is_absent) {
        match transact(wire::create(table), NLM_F_EXCL) {
            // Somebody was faster.
            Err(Error::Refused { source, .. }) if source.raw_os_error() == Some(libc::EEXIST) => {}
            done => return done,
        }
    }
    transact(wire::replace(table), 0)
}

/// Removes a table of ours. Succeeds if there is none. Connections that it redirected are reset.
///
/// # Errors
/// What the kernel refused.
pub fn remove(netns: &Netns, name: &str) -> Result<(), Error> {
    netns.run(|| transact(wire::remove(name), 0))?
}

/// Names every rule that is missing, changed or foreign.
///
/// # Errors
/// The kernel cannot be asked.
pub fn check(netns: &Netns, table: &Table) -> Result<Vec<String>, Error> {
    let found = read(netns, table.name)?;
    let mut drifts = Vec::new();
    for chain in &table.chains {
        let mut here = found.iter().filter(|rule| rule.chain == chain.name);
        for rule in &chain.rules {
            if !here.next().is_some_and(|found| found.is(rule)) {
                drifts.push(format!(
                    "capture rule of table {} is gone or changed: {}: {rule}",
                    table.name, chain.name
                ));
                break;
            }
        }
        if let (true, Some(foreign)) = (drifts.is_empty(), here.next()) {
            drifts.push(format!(
                "foreign rule in table {}, chain {}: {}",
                table.name,
                chain.name,
                foreign.comment()
            ));
        }
    }
    let known = |name: &str| table.chains.iter().any(|chain| chain.name == name);
    let strangers = found.iter().filter(|rule| !known(&rule.chain));
    drifts.extend(strangers.map(|rule| format!("foreign chain {} in table {}", rule.chain, table.name)));
    Ok(drifts)
}

/// Chains of other meshes in the namespace, as `table chain`. Of two that redirect the first wins, so two meshes in one pod
/// do not work, and whose they are is the first thing to know. Of iptables' legacy backend only the tables are told: a pod's
/// namespace has none unless somebody used it there.
///
/// # Errors
/// The kernel cannot be asked. One without nf_tables has none.
pub fn foreign(netns: &Netns) -> Result<Vec<String>, Error> {
    let ask = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
    // Any family: iptables' tables are of `ip` and `ip6`.
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let request = serialize(NetfilterMessage::new(header, ask), NLM_F_REQUEST | NLM_F_DUMP, 1);
    let (legacy, answers) = netns.run(|| (legacy_tables(), exchange(&request)))?;
    let answers = match answers {
        Err(error) if error.is_unsupported() => return Ok(legacy),
        answers => answers?,
    };
    let chains = answers.iter().filter(|answer| answer.kind == NEW_CHAIN).map(|answer| {
        let chain = attributes(answer.body.get(FAMILY..).unwrap_or_default());
        (text(value(&chain, CHAIN_TABLE)), text(value(&chain, CHAIN_NAME)))
    });
    Ok(chains
        .filter(|(table, chain)| is_mesh(table, chain))
        .map(|(table, chain)| format!("{table} {chain}"))
        .chain(legacy)
        .collect())
}

/// Tables of iptables' legacy backend, in the namespace of this thread. No file, no backend.
fn legacy_tables() -> Vec<String> {
    let of = |family: &str| {
        let path = format!("/proc/thread-self/net/{family}_tables_names");
        redirecting(family, &std::fs::read_to_string(path).unwrap_or_default())
    };
    [of("ip"), of("ip6")].concat()
}

/// Those of the tables that can redirect, one name a line.
fn redirecting(family: &str, names: &str) -> Vec<String> {
    let tables = names.lines().filter(|name| ["nat", "mangle"].contains(name));
    tables.map(|name| format!("{name} ({family}tables-legacy)")).collect()
}

/// Names that Istio, Kuma and Linkerd give, in iptables and in nf_tables.
fn is_mesh(table: &str, chain: &str) -> bool {
    ["ISTIO_", "KUMA_", "PROXY_INIT_"].iter().any(|prefix| chain.starts_with(prefix))
        || ["istio-proxy", "kuma", "linkerd"].iter().any(|prefix| table.starts_with(prefix))
}

/// Sends messages as one, in the namespace of this thread; `first` are more flags of the first.
fn transact(messages: Vec<(NfTablesMessage, String)>, first: u16) -> Result<(), Error> {
    let (messages, operations): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
    let mut batch = serialize(control(ControlMessage::BatchBegin), NLM_F_REQUEST, 0);
    let last = messages.len();
    for ((message, number), count) in messages.into_iter().zip(1_u32..).zip(1..) {
        // Refusals are told in any case. Hundreds of acknowledgements would not fit into the socket's buffer, and the
        // last one is given when the whole is in force.
        let ack = if count == last { NLM_F_ACK } else { 0 };
        let more = if count == 1 { first } else { 0 };
        let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND | ack | more;
        batch.extend(serialize(tables(message), flags, number));
    }
    batch.extend(serialize(control(ControlMessage::BatchEnd), NLM_F_REQUEST, 0));
    judge(operations, &exchange(&batch)?)
}

/// What the kernel's answers to a batch mean. Its first refusal is the cause of all others.
fn judge(operations: Vec<String>, answers: &[Answer]) -> Result<(), Error> {
    match answers.iter().find_map(|answer| Some((answer.number, answer.error()?))) {
        Some((number, source)) => {
            let at = usize::try_from(number).unwrap_or(0).checked_sub(1);
            let of_a_message = at.and_then(|at| operations.into_iter().nth(at));
            let operation = of_a_message.unwrap_or_else(|| "set rules".to_owned());
            // The batch itself is answered so where nobody takes batches, a chain or an expression where its module
            // is not there (nfnetlink_rcv_batch, nf_tables_newrule).
            let lacks = match source.raw_os_error() {
                Some(libc::EOPNOTSUPP) => at.is_none(),
                Some(libc::ENOENT) => operation.starts_with("add "),
                Some(_) | None => false,
            };
            Err(if lacks {
                Error::Unsupported { operation, source }
            } else {
                Error::Refused { operation, source }
            })
        }
        None if answers.iter().any(|answer| usize::try_from(answer.number) == Ok(operations.len())) => Ok(()),
        None => Err(Error::Silent { sent: operations.len() }),
    }
}

/// One message of the kernel's.
#[derive(Debug)]
struct Answer {
    kind: u16,
    number: u32,
    body: Vec<u8>,
}

impl Answer {
    /// The error that it tells of; an acknowledgement tells of none.
    fn error(&self) -> Option<io::Error> {
        if self.kind != NLMSG_ERROR {
            return None;
        }
        let code = self.body.get(..4).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes);
        (code != 0).then(|| io::Error::from_raw_os_error(-code))
    }
}

fn control(message: ControlMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM), message)
}

fn tables(message: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0), message)
}

fn serialize(message: NetfilterMessage, flags: u16, number: u32) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = number;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Sends a batch and takes the answers. The kernel works while we send, so all answers are there when sending ends.
fn exchange(bytes: &[u8]) -> Result<Vec<Answer>, Error> {
    let mut socket = Socket::new(PROTOCOL).map_err(|source| match source.raw_os_error() {
        Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => {
            Error::Unsupported { operation: "open a netfilter socket".to_owned(), source }
        }
        Some(_) | None => Error::Socket(source),
    })?;
    socket.bind_auto().map_err(Error::Socket)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(Error::Socket)?;
    // A batch is one message to the socket. Who may set rules may also ask for the room that they need.
    let _ = setsockopt(&socket, sockopt::SndBufForce, &(2 * bytes.len() + ANSWER));
    socket.send(bytes, 0).map_err(Error::Socket)?;
    socket.set_non_blocking(true).map_err(Error::Socket)?;
    let mut answers = Vec::new();
    loop {
        let mut buffer = Vec::with_capacity(ANSWER);
        match socket.recv(&mut buffer, 0) {
            Ok(0) => return Ok(answers),
            Ok(_) => take(&buffer, &mut answers),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answers),
            // More refusals than there was room for: the first, which is the cause, was kept.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => return Err(Error::Socket(error)),
        }
    }
}

/// Splits what one call received into messages (`struct nlmsghdr`).
fn take(mut bytes: &[u8], answers: &mut Vec<Answer>) {
    while let Some(header) = bytes.get(..HEADER) {
        let length = usize::try_from(word(header, 0)).unwrap_or(0);
        let Some(body) = bytes.get(HEADER..length) else { return };
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        answers.push(Answer { kind, number: word(header, 8), body: body.to_vec() });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// The rules of a table, chain by chain in the kernel's order.
fn read(netns: &Netns, table: &str) -> Result<Vec<Found>, Error> {
    let attributes = vec![RuleAttribute::Table(table.to_owned())];
    let ask = NfTablesMessage::GetRule(RuleMessage { attributes });
    let answers = netns.run(|| exchange(&serialize(tables(ask), NLM_F_REQUEST | NLM_F_DUMP, 1)))??;
    let operation = || format!("list rules of table inet {table}");
    match answers.iter().find_map(Answer::error) {
        Some(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        // nfnetlink_rcv_msg, where nobody takes these messages
        Some(source) if source.raw_os_error() == Some(libc::EINVAL) => {
            Err(Error::Unsupported { operation: operation(), source })
        }
        Some(source) => Err(Error::Refused { operation: operation(), source }),
        None => Ok(answers.iter().filter(|answer| answer.kind == NEW_RULE).map(Found::parse).collect()),
    }
}

/// Attributes of one level, by their numbers.
type Attributes = Vec<(u16, Vec<u8>)>;

/// A rule as the kernel has it.
#[derive(Debug)]
struct Found {
    chain: String,
    comment: Vec<u8>,
    expressions: Vec<(String, Attributes)>,
}

impl Found {
    fn parse(answer: &Answer) -> Self {
        let rule = attributes(answer.body.get(FAMILY..).unwrap_or_default());
        let expressions = attributes(value(&rule, EXPRESSIONS));
        Self {
            chain: text(value(&rule, CHAIN)),
            comment: value(&rule, USERDATA).to_vec(),
            expressions: expressions.iter().map(|(_, element)| expression(element)).collect(),
        }
    }

    /// Whether it is the rule that was meant. The kernel adds attributes of its own and never leaves one out.
    fn is(&self, rule: &Rule) -> bool {
        let wanted = wire::expressions(rule);
        self.comment == wire::comment(rule.why)
            && self.expressions.len() == wanted.len()
            && self.expressions.iter().zip(&wanted).all(|(found, wanted)| same(found, wanted))
    }

    fn comment(&self) -> String {
        text(self.comment.get(2..).unwrap_or_default())
    }
}

fn expression(element: &[u8]) -> (String, Attributes) {
    let parts = attributes(element);
    (text(value(&parts, 1)), attributes(value(&parts, 2)))
}

/// The attributes of one level (`struct nlattr`), flags taken off.
fn attributes(mut bytes: &[u8]) -> Attributes {
    let mut list = Vec::new();
    while let Some(header) = bytes.get(..4) {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let Some(value) = bytes.get(4..length) else { break };
        list.push((u16::from_ne_bytes([header[2], header[3]]) & KIND, value.to_vec()));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    list
}

/// The value of the first attribute of a kind; of an absent one it is empty.
fn value(attributes: &Attributes, kind: u16) -> &[u8] {
    attributes.iter().find(|(found, _)| *found == kind).map_or(&[], |(_, value)| value)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn same((kind, found): &(String, Attributes), wanted: &Expression) -> bool {
    let has = |(number, value): &(u16, Vec<u8>)| {
        found.iter().any(|(other, bytes)| other == number && bytes == value)
    };
    *kind == wanted.kind && wanted.attributes.iter().all(has)
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
