//! The real Envoy, started the way a sidecar is: as user 1337, in the pod's namespace, from the written file.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use netlink::Netns;
use serde_json::Value;

use super::poll::eventually;
use super::process::{Process, limit_open_files};
use super::{http, parts};

/// The user that sidecars run as.
pub const PROXY_UID: u32 = 1337;

/// Port of the admin interface on 127.0.0.1, as our bootstraps have it.
pub(crate) const ADMIN_PORT: u16 = 15000;

/// How an Envoy is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// `ulimit -n`; `None` keeps the test run's own.
    pub open_files: Option<u64>,
    /// Worker threads.
    pub concurrency: u32,
    /// Its user and group.
    pub uid: u32,
    /// How long connections of a chain that is gone may go on; `None` keeps Envoy's ten minutes.
    pub drain: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { open_files: None, concurrency: 1, uid: PROXY_UID, drain: None }
    }
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    netns: Netns,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts Envoy on a bootstrap file inside `netns`, where `lo` must be up, and waits for its admin interface.
    ///
    /// # Panics
    /// If it ends instead; its output is printed.
    #[must_use]
    pub fn start(netns: &Netns, bootstrap: &Path, options: &Options) -> Self {
        let mut command = Command::new(parts::envoy());
        // Hot restart would share memory by a name that all Envoys of this machine have in common.
        command.args(["--disable-hot-restart", "--log-level", "warning"]);
        command.args(["--concurrency", &options.concurrency.to_string()]).arg("-c").arg(bootstrap);
        if let Some(drain) = options.drain {
            command.args(["--drain-time-s", &drain.as_secs().to_string()]);
        }
        command.uid(options.uid).gid(options.uid).current_dir("/").env_clear();
        if let Some(limit) = options.open_files {
            limit_open_files(&mut command, limit);
        }
        let envoy = Self {
            process: Process::start(netns, "envoy", command),
            netns: Netns::open(&netns.path_from_proc()).expect("open the namespace once more"),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT)),
        };
        eventually("Envoy's admin interface answers", || {
            assert_eq!(envoy.process.exit_status(), None, "Envoy ended:\n{}", envoy.process.output());
            envoy.get("/server_info").ok().filter(|answer| answer.status == 200)
        });
        envoy
    }

    /// Waits until its listeners are there.
    pub fn until_ready(&self) {
        eventually("Envoy is ready", || self.get("/ready").ok().filter(|answer| answer.status == 200));
    }

    /// Asks the admin interface.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn get(&self, path: &str) -> Result<http::Response, std::io::Error> {
        http::get(&self.netns, self.admin, path)
    }

    /// `/server_info`: its `node` is the identity as Envoy understood it.
    ///
    /// # Panics
    /// If the admin interface does not answer with JSON.
    #[must_use]
    pub fn server_info(&self) -> Value {
        let answer = self.get("/server_info").expect("Envoy's admin interface answers");
        serde_json::from_str(&answer.body).expect("/server_info is JSON")
    }

    /// The counters and gauges whose names match a regular expression.
    ///
    /// # Panics
    /// If the admin interface does not answer.
    #[must_use]
    pub fn stats(&self, filter: &str) -> Vec<(String, u64)> {
        let answer = self.get(&format!("/stats?filter={filter}")).expect("Envoy's admin interface answers");
        counters(&answer.body).collect()
    }

    /// The number of its open files.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.pid())).map_or(0, Iterator::count)
    }

    /// The process behind it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// The counters and gauges of a page of `/stats`.
pub(crate) fn counters(page: &str) -> impl Iterator<Item = (String, u64)> {
    page.lines().filter_map(|line| {
        let (name, value) = line.rsplit_once(": ")?;
        Some((name.to_owned(), value.parse().ok()?))
    })
}

/// `envoy --mode validate`: needs no network.
///
/// # Errors
/// What Envoy said against the file.
///
/// # Panics
/// If Envoy cannot be started.
pub fn validate(bootstrap: &Path) -> Result<(), String> {
    let output = Command::new(parts::envoy())
        .args(["--mode", "validate", "--log-level", "error", "-c"])
        .arg(bootstrap)
        .env_clear()
        .output()
        .expect("start Envoy");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
