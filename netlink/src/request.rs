//! Requests to the kernel and its answers. The kernel works off one socket's requests in the order of sending, so that
//! many are queued first and awaited afterwards: on a busy node each wait costs more than the kernel's work.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;

use crate::{Error, Net};

pub(crate) const QUESTION: u16 = NLM_F_REQUEST;
pub(crate) const CHANGE: u16 = NLM_F_REQUEST | NLM_F_ACK;
pub(crate) const CREATE: u16 = CHANGE | NLM_F_CREATE | NLM_F_EXCL;
pub(crate) const REPLACE: u16 = CHANGE | NLM_F_CREATE | NLM_F_REPLACE;
const DUMP: u16 = NLM_F_REQUEST | NLM_F_DUMP;

/// No request of ours keeps the kernel longer; a lost answer must not hang an ADD.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// `NLM_F_DUMP_INTR` (linux/netlink.h): the table changed while it was read, and entries may be missing.
const DUMP_INTERRUPTED: u16 = 0x10;
/// How often such a dump is tried again.
const DUMP_ATTEMPTS: usize = 10;

impl Net {
    pub(crate) async fn dump(
        &self,
        what: &'static str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        let mut attempts = 1..=DUMP_ATTEMPTS;
        loop {
            match self.request(message.clone(), DUMP).await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted && attempts.next().is_some() => {}
                answers => return answers.map_err(|source| Error::io("list", what.to_owned(), source)),
            }
        }
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

    /// Sends all changes in order before it waits for the first answer, and returns all answers in that order.
    pub(crate) async fn change_each(&self, changes: Vec<Change>) -> Vec<Result<(), Error>> {
        let sent = changes.into_iter().map(|Change { operation, object, message, flags, fine }| {
            let answer = self.request(message, flags);
            async move {
                match answer.await {
                    Err(source) if source.raw_os_error().is_some_and(|errno| fine.contains(&errno)) => Ok(()),
                    answer => answer.map(drop).map_err(|source| Error::io(operation, object, source)),
                }
            }
        });
        // The adapter is lazy: without this all requests would be sent one by one after all.
        let sent: Vec<_> = sent.collect();
        join_all(sent).await
    }

    /// As [`Net::change_each`]; the first refusal is the answer.
    pub(crate) async fn change_all(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.change_each(changes).await.into_iter().collect()
    }

    /// Queues one request at once; the future gathers its answers.
    pub(crate) fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> impl Future<Output = io::Result<Vec<RouteNetlinkMessage>>> + use<> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let queued = self.handle.clone().request(request);
        async move {
            let stream = queued.map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
            let received = tokio::time::timeout(ANSWER_WITHIN, stream.collect::<Vec<_>>()).await?;
            read_answers(flags, received)
        }
    }
}

/// A change to be sent with others.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) operation: &'static str,
    pub(crate) object: String,
    pub(crate) message: RouteNetlinkMessage,
    flags: u16,
    /// Error numbers that mean success.
    fine: &'static [i32],
}

impl Change {
    /// Makes something that must not be there yet.
    pub(crate) fn create(operation: &'static str, object: String, message: RouteNetlinkMessage) -> Self {
        Self { operation, object, message, flags: CREATE, fine: &[] }
    }

    /// Makes something unless it is there.
    pub(crate) fn ensure(operation: &'static str, object: String, message: RouteNetlinkMessage) -> Self {
        Self { operation, object, message, flags: CREATE, fine: &[nix::libc::EEXIST] }
    }

    /// Makes something unless it is there, or the kernel knows no such thing: IPv6 may be switched off.
    pub(crate) fn ensure_if_known(
        operation: &'static str,
        object: String,
        message: RouteNetlinkMessage,
    ) -> Self {
        let fine = &[nix::libc::EEXIST, nix::libc::EAFNOSUPPORT, nix::libc::EOPNOTSUPP];
        Self { operation, object, message, flags: CREATE, fine }
    }

    /// Changes something that is there.
    pub(crate) fn set(operation: &'static str, object: String, message: RouteNetlinkMessage) -> Self {
        Self { operation, object, message, flags: CHANGE, fine: &[] }
    }

    /// Removes something unless it is gone.
    pub(crate) fn remove(operation: &'static str, object: String, message: RouteNetlinkMessage) -> Self {
        Self { operation, object, message, flags: CHANGE, fine: &GONE }
    }
}

/// What the kernel says of links, addresses, rules and routes that are not there, or cannot be.
const GONE: [i32; 6] = [
    nix::libc::ENOENT,
    nix::libc::ENODEV,
    nix::libc::ESRCH,
    nix::libc::EADDRNOTAVAIL,
    nix::libc::ENXIO,
    nix::libc::EAFNOSUPPORT,
];

/// What the kernel said to one request. An answer that has no end is none: the connection died under it.
fn read_answers(
    flags: u16,
    received: Vec<NetlinkMessage<RouteNetlinkMessage>>,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut answers = Vec::new();
    let mut ended = false;
    for message in received {
        if flags == DUMP && message.header.flags & DUMP_INTERRUPTED != 0 {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let code = match message.payload {
            NetlinkPayload::InnerMessage(inner) => {
                answers.push(inner);
                // A plain question is answered by one message and no acknowledgement.
                ended |= flags == QUESTION;
                continue;
            }
            NetlinkPayload::Error(refusal) => refusal.raw_code(),
            NetlinkPayload::Done(end) => end.code,
            NetlinkPayload::Overrun(_) => return Err(io::Error::from_raw_os_error(nix::libc::ENOBUFS)),
            _ => continue,
        };
        if code < 0 {
            return Err(io::Error::from_raw_os_error(code.wrapping_neg()));
        }
        ended = true;
    }
    if ended { Ok(answers) } else { Err(io::Error::from(io::ErrorKind::ConnectionAborted)) }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{DoneMessage, ErrorMessage, NetlinkHeader};
    use netlink_packet_route::link::LinkMessage;

    use super::*;

    fn message(
        flags: u16,
        payload: NetlinkPayload<RouteNetlinkMessage>,
    ) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        NetlinkMessage::new(header, payload)
    }

    fn link() -> NetlinkPayload<RouteNetlinkMessage> {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(LinkMessage::default()))
    }

    fn verdict(errno: i32) -> NetlinkPayload<RouteNetlinkMessage> {
        let mut message = ErrorMessage::default();
        message.code = std::num::NonZeroI32::new(-errno);
        NetlinkPayload::Error(message)
    }

    #[test]
    fn an_answer_without_an_end_is_none() {
        for (flags, received) in [(CHANGE, vec![]), (DUMP, vec![message(0, link())]), (QUESTION, vec![])] {
            let error = read_answers(flags, received).unwrap_err();

            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
    }

    #[test]
    fn an_acknowledgement_is_success_and_a_number_is_the_error() {
        assert!(read_answers(CHANGE, vec![message(0, verdict(0))]).is_ok_and(|answers| answers.is_empty()));
        let refused = read_answers(CHANGE, vec![message(0, verdict(nix::libc::EEXIST))]).unwrap_err();

        assert_eq!(refused.raw_os_error(), Some(nix::libc::EEXIST));
    }

    #[test]
    fn an_interrupted_dump_is_to_be_repeated() {
        let done = || NetlinkPayload::Done(DoneMessage::default());
        let whole = vec![message(0, link()), message(0, done())];
        let torn = vec![message(0, link()), message(DUMP_INTERRUPTED, done())];

        assert_eq!(read_answers(DUMP, whole).unwrap().len(), 1);
        assert_eq!(read_answers(DUMP, torn).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
