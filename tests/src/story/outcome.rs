//! What one request makes of a proxy: watched from outside until the client is done.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use netlink::Netns;

use super::scene::PORT;
use crate::real::envoy::{ADMIN_PORT, counters};
use crate::real::poll::eventually;
use crate::real::{Envoy, http};

/// The patience of the one request's client: whatever becomes of it is decided before, about 4 s are measured with 20,000
/// descriptors.
const BOUND: Duration = Duration::from_secs(60);

/// Exit status 139 to a shell.
pub const SIGSEGV: i32 = 11;

/// A connection to Envoy's admin interface that was accepted while there still were descriptors.
struct Admin(TcpStream);

impl Admin {
    fn open(netns: &Netns) -> Self {
        let mut stream = netns
            .run(|| TcpStream::connect(("127.0.0.1", ADMIN_PORT)))
            .expect("enter the pod")
            .expect("Envoy's admin interface");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").expect("ask Envoy");
        assert!(stream.read(&mut [0; 1024]).expect("Envoy answers") > 0);
        Self(stream)
    }

    /// The sum of these counters; nothing if Envoy did not live to tell.
    fn count(mut self, filter: &str) -> Option<u64> {
        let ask = format!("GET /stats?filter={filter} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        self.0.write_all(ask.as_bytes()).and_then(|()| self.0.read_to_end(&mut answer)).ok()?;
        let answer = http::parse(&answer).filter(|answer| answer.status == 200)?;
        Some(counters(&answer.body).map(|(_, value)| value).sum())
    }
}

/// What one request made of Envoy.
#[derive(Debug)]
pub struct Outcome {
    /// What the client was answered.
    pub answer: Option<u16>,
    /// The most descriptors that were seen until the client was done.
    pub descriptors: usize,
    /// What became of it.
    pub end: End,
}

/// What became of Envoy.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With its counters at this.
    Lives {
        /// The counters that were asked for, summed up.
        count: u64,
    },
    /// By this signal.
    Died(Option<i32>),
}

/// Nothing was counted, and the proxy serves on.
pub const UNHARMED: End = End::Lives { count: 0 };

impl Outcome {
    /// Makes the one request, from a namespace to an address; `counters` is a regular expression of Envoy's.
    pub fn of(envoy: &Envoy, pod: &Netns, counters: &str, (from, to): (&Netns, &str)) -> Self {
        let admin = Admin::open(pod);
        let to = SocketAddr::new(to.parse::<IpAddr>().expect("an address"), PORT);
        let mut descriptors = 0;
        let answer = std::thread::scope(|scope| {
            let call = scope.spawn(|| http::get_within(BOUND, from, to, "/").ok());
            while !call.is_finished() {
                descriptors = descriptors.max(envoy.open_files());
                std::thread::sleep(Duration::from_millis(2));
            }
            call.join().expect("the client ends")
        });
        descriptors = descriptors.max(envoy.open_files());
        let end = match admin.count(counters) {
            Some(count) => End::Lives { count },
            None => End::Died(eventually("Envoy has ended", || envoy.process().exit_status()).signal()),
        };
        Self { answer: answer.map(|answer| answer.status), descriptors, end }
    }

    /// The counters, if Envoy lives.
    pub fn lives_with(&self) -> Option<u64> {
        match self.end {
            End::Lives { count } => Some(count),
            End::Died(_) => None,
        }
    }
}
