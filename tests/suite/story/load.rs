//! Load: new connections without a pause, and single ones that are held.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use netlink::Netns;
use testbed::real::http;
use testbed::real::poll::eventually;

use super::scene::PORT;

/// One new connection after the other, each with one GET.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    pub(super) fn start(from: &Netns, to: &str) -> Self {
        let from = Netns::open(&from.path_from_proc()).unwrap();
        let to = SocketAddr::new(to.parse::<IpAddr>().unwrap(), PORT);
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match http::get(&from, to, "/") {
                        Ok(answer) if answer.status == 200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                        Ok(answer) => failures.push(format!("{to}: {answer:?}")),
                        Err(error) => failures.push(format!("{to}: {error}")),
                    }
                }
                failures
            }
        });
        Self { stop, served, thread }
    }

    /// Waits until so many more have been answered.
    pub(super) fn served(&self, more: u64) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("the load is served", || {
            (self.served.load(Ordering::Relaxed) >= before + more).then_some(())
        });
    }

    /// Ends it; what became of those that were not answered with 200.
    pub(super) fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A connection that stays open and silent.
pub(super) struct Held(TcpStream);

impl Held {
    pub(super) fn open(from: &Netns, to: &str) -> Self {
        let to = SocketAddr::new(to.parse::<IpAddr>().unwrap(), PORT);
        Self(from.run(|| TcpStream::connect(to)).unwrap().unwrap())
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
