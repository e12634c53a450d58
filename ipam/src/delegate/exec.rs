//! One process: started, fed, listened to, and ended in time whatever it does.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use planes::PluginName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::{Error, Variables, Verb, orphan};

/// Results are a few hundred bytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// How long a pipe may stay open after the plugin's end: a child of it that holds it must not hold us.
const LINGER: Duration = Duration::from_millis(500);
/// A binary that is being replaced is busy for a moment (execve(2), `ETXTBSY`).
const BUSY_ROUNDS: usize = 20;
const BUSY_PACE: Duration = Duration::from_millis(50);
/// A killed process is gone within microseconds unless the kernel is stuck in it.
const DEATH: Duration = Duration::from_secs(1);

/// What is asked of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) plugin: &'a PluginName,
    pub(super) path: &'a Path,
    pub(super) verb: Verb,
    pub(super) patience: Duration,
}

/// What it left.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
}

impl Call<'_> {
    pub(super) async fn run(self, environment: Variables, stdin: Vec<u8>) -> Result<Ended, Error> {
        let work = async {
            let mut running = self.start(&environment).await?;
            let mut stdout = Vec::new();
            let status = running.talk(&stdin, &mut stdout).await;
            let broken = |source| Error::Talk { plugin: self.plugin.clone(), verb: self.verb, source };
            Ok(Ended { status: status.map_err(broken)?, stdout })
        };
        let late = |_| Error::Slow { plugin: self.plugin.clone(), verb: self.verb, patience: self.patience };
        timeout(self.patience, work).await.map_err(late)?
    }

    async fn start(self, environment: &Variables) -> Result<Running, Error> {
        let mut command = Command::new(self.path);
        command.env_clear().envs(environment).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        orphan::forbid(&mut command);
        let mut round = 1;
        loop {
            match command.spawn() {
                Ok(child) => return Ok(Running { group: child.id(), child }),
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && round < BUSY_ROUNDS => {
                    round += 1;
                    sleep(BUSY_PACE).await;
                }
                Err(source) => return Err(Error::Start { path: self.path.to_owned(), source }),
            }
        }
    }
}

/// A plugin at work, leader of a process group of its own.
struct Running {
    child: Child,
    /// `None` once it was waited for: its number may be another's by then.
    group: Option<u32>,
}

impl Running {
    async fn talk(&mut self, stdin: &[u8], stdout: &mut Vec<u8>) -> io::Result<ExitStatus> {
        let (mut input, mut output) = (self.child.stdin.take(), self.child.stdout.take());
        let feed = async {
            if let Some(mut pipe) = input.take() {
                // who ends without reading it all says why on stdout
                let _ = pipe.write_all(stdin).await;
            }
            Ok(())
        };
        let listen = async {
            let Some(pipe) = &mut output else { return Ok(()) };
            while pipe.read_buf(stdout).await? > 0 {
                if stdout.len() > LONGEST_ANSWER {
                    return Err(io::Error::other("it answers with more than 1 MiB"));
                }
            }
            Ok(())
        };
        let mut exchange = std::pin::pin!(async { tokio::try_join!(feed, listen) });
        let status = tokio::select! {
            done = &mut exchange => {
                done?;
                self.child.wait().await?
            }
            status = self.child.wait() => {
                if let Ok(done) = timeout(LINGER, exchange).await {
                    done?;
                }
                status?
            }
        };
        self.group = None;
        Ok(status)
    }
}

/// Dropped in the middle, by a deadline of ours or our caller's: the group is killed and the plugin waited for, so that
/// a DEL that follows finds nobody at work.
impl Drop for Running {
    fn drop(&mut self) {
        let Some(Ok(group)) = self.group.map(i32::try_from) else { return };
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < DEATH {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
