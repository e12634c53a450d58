//! A long-running peer in a network namespace. It ends with its value, and also if the test run is killed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use netlink::Netns;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// A running peer.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    exit: Arc<Mutex<Option<ExitStatus>>>,
    parent: Option<JoinHandle<()>>,
    log: File,
}

impl Process {
    /// Starts `command` inside `netns`; its output goes to a file that is printed if the test fails.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(netns: &Netns, name: &str, mut command: Command) -> Self {
        let log = tempfile::tempfile().expect("make a log file");
        let output = || Stdio::from(log.try_clone().expect("duplicate the log's descriptor"));
        command.stdin(Stdio::null()).stdout(output()).stderr(output());
        die_with_parent(&mut command);
        let netns = Netns::open(&netns.path_from_proc()).expect("open the namespace once more");
        let exit = Arc::new(Mutex::new(None));
        let (started, pid) = mpsc::channel();
        let parent = std::thread::spawn({
            let exit = Arc::clone(&exit);
            move || netns.run(|| be_parent(&mut command, &started, &exit)).expect("enter the namespace")
        });
        let pid = pid.recv().expect("the parent thread lives").unwrap_or_else(|error| {
            panic!("start {name}: {error}");
        });
        Self { name: name.to_owned(), pid, exit, parent: Some(parent), log }
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal; none is sent to a process that has ended, whose ID may be another's by now.
    fn signal(&self, signal: Signal) {
        let exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_none() {
            let _ = kill(self.pid, signal); // it may be ending at this moment
        }
    }

    /// Everything it has printed.
    #[must_use]
    pub fn output(&self) -> String {
        // The descriptor and its offset are shared with the process: read without moving it.
        let length = self.log.metadata().map_or(0, |metadata| metadata.len());
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = self.log.read_at(&mut text, 0).unwrap_or(0);
        text.truncate(read);
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(parent) = self.parent.take() {
            let _ = parent.join();
        }
        if std::thread::panicking() {
            let output = self.output();
            let from = output.char_indices().rev().nth(8000).map_or(0, |(at, _)| at);
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the failed test")]
            {
                eprintln!("----- end of the output of {}:\n{}", self.name, &output[from..]);
            }
        }
    }
}

/// Starts the process and stays until it has ended: the death of the *thread* that started it is what
/// `PR_SET_PDEATHSIG` watches (prctl(2)), so this thread lives as long as the test run does, or the process.
fn be_parent(
    command: &mut Command,
    started: &mpsc::Sender<std::io::Result<Pid>>,
    exit: &Mutex<Option<ExitStatus>>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return started.send(Err(error)).unwrap_or(()),
    };
    let pid = pid_of(&child);
    let _ = started.send(Ok(pid));
    // Wait without reaping, then reap under the lock: whoever holds the lock may use the process ID.
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::errno::Errno::EINTR) {
    }
    let mut exit = exit.lock().unwrap_or_else(PoisonError::into_inner);
    *exit = child.wait().ok();
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().expect("process IDs are positive and below 2^22"))
}

/// Has the kernel kill the process if the thread that started it dies, as when the test run is killed.
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl(2) is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into));
    }
}

/// Limits the number of open files, as a container runtime would (`ulimit -n`).
pub fn limit_open_files(command: &mut Command, limit: u64) {
    // SAFETY: setrlimit(2) is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(move || {
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, limit, limit)
                .map_err(Into::into)
        });
    }
}
