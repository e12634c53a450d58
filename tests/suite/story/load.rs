//! Load: new connections without a pause, and single ones that are held.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use netlink::Netns;
use testbed::real::http;
use testbed::real::poll::eventually;

use testbed::story::scene::PORT;

/// One new connection after the other, each with one GET.
pub(super) struct Load {
    tally: Arc<Tally>,
    thread: JoinHandle<()>,
}

/// What became of the requests so far.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    served: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    pub(super) fn start(from: &Netns, to: &str) -> Self {
        let from = Netns::open(&from.path_from_proc()).unwrap();
        let to = SocketAddr::new(to.parse::<IpAddr>().unwrap(), PORT);
        let tally = Arc::new(Tally::default());
        let thread = std::thread::spawn({
            let tally = Arc::clone(&tally);
            move || {
                while !tally.stop.load(Ordering::Relaxed) {
                    tally.count(to, http::get(&from, to, "/"));
                }
            }
        });
        Self { tally, thread }
    }

    /// Waits until so many more are answered with 200.
    pub(super) fn serves(&self, more: usize) {
        grows("requests are served", more, || self.served());
    }

    /// Waits until so many more have failed.
    pub(super) fn fails(&self, more: usize) {
        grows("requests fail", more, || self.tally.failures.lock().unwrap().len());
    }

    /// How many have been answered with 200.
    pub(super) fn served(&self) -> usize {
        self.tally.served.load(Ordering::Relaxed)
    }

    /// Ends it; what became of those that were not answered with 200.
    pub(super) fn end(self) -> Vec<String> {
        self.tally.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut self.tally.failures.lock().unwrap())
    }
}

impl Tally {
    fn count(&self, to: SocketAddr, answer: std::io::Result<http::Response>) {
        let failure = match answer {
            Ok(answer) if answer.status == 200 => {
                self.served.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(answer) => format!("{to}: {answer:?}"),
            Err(error) => format!("{to}: {error}"),
        };
        self.failures.lock().unwrap().push(failure);
    }
}

fn grows(what: &str, more: usize, count: impl Fn() -> usize) {
    let before = count();
    eventually(what, || (count() >= before + more).then_some(()));
}

/// A connection that stays open and silent.
pub(super) struct Held(TcpStream);

impl Held {
    pub(super) fn open(from: &Netns, to: &str) -> Self {
        let to = SocketAddr::new(to.parse::<IpAddr>().unwrap(), PORT);
        Self(from.run(|| TcpStream::connect(to)).unwrap().unwrap())
    }

    /// Whether nobody has cut it.
    pub(super) fn lives(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        matches!(self.0.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Speaks at last; whether the answer is 200.
    pub(super) fn answers(mut self) -> bool {
        self.0.set_nonblocking(false).unwrap();
        self.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut answer = [0; 12];
        let asked = self.0.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        asked.and_then(|()| self.0.read_exact(&mut answer)).is_ok() && answer == *b"HTTP/1.1 200"
    }
}
