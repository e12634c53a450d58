//! Kills a program after its n-th system call of those that may change something, or lets that call fail, counted over all
//! its threads and children by one counter. `strace --inject` counts per call and per thread and never reaches all points.

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use netlink::Netns;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Set in the environment, every system call counts, not only those that may change something: several times as many
/// runs, for a person who has the time.
const EXHAUSTIVE: &str = "MULTIPLANE_EXHAUSTIVE";

/// How a traced run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Killed right after this system call.
    Killed {
        /// The call's name.
        call: &'static str,
    },
    /// It ended by itself, before the n-th call: there are no more points.
    Ended {
        /// Its exit status; `None` if a signal of its own ended it.
        status: Option<i32>,
        /// What it printed on stdout.
        stdout: String,
    },
}

/// Runs `command` inside `netns` with `stdin`, and kills it after the `point`-th system call (from 1).
///
/// # Panics
/// If it cannot be started or traced.
#[must_use]
pub fn kill_after(netns: &Netns, command: Command, stdin: &[u8], point: usize) -> Outcome {
    let run = || {
        let (main, child) = start(command, stdin);
        let mut count = 0;
        follow(main, child, |pid| match finished_change(pid) {
            Some(call) => {
                count += 1;
                if count == point { ControlFlow::Break(call) } else { ControlFlow::Continue(()) }
            }
            None => ControlFlow::Continue(()),
        })
    };
    match netns.run(run).expect("enter the namespace") {
        ControlFlow::Break(call) => Outcome::Killed { call },
        ControlFlow::Continue((status, stdout)) => Outcome::Ended { status, stdout },
    }
}

/// What came of a run in which one system call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulted {
    /// The call that failed, as the kernel under memory pressure would let it; `None` if there were fewer calls.
    pub call: Option<&'static str>,
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it printed on stdout.
    pub stdout: String,
}

/// Runs `command` inside `netns` with `stdin`, and lets the `point`-th system call (from 1) fail with `ENOMEM` in place of
/// being done.
///
/// # Panics
/// If it cannot be started or traced.
#[must_use]
pub fn fail_at(netns: &Netns, command: Command, stdin: &[u8], point: usize) -> Faulted {
    let run = || {
        let (main, child) = start(command, stdin);
        let (mut count, mut call, mut struck) = (0, None, None);
        let end = follow(main, child, |pid| {
            if struck == Some(pid) {
                struck = None;
                set_result(pid, -i64::from(libc::ENOMEM));
            } else if let Some(begun) = begun_change(pid) {
                count += 1;
                if count == point {
                    (call, struck) = (Some(begun), Some(pid));
                    skip_call(pid);
                }
            }
            ControlFlow::Continue(())
        });
        (call, end)
    };
    let (call, end) = netns.run(run).expect("enter the namespace");
    let (status, stdout) = end.continue_value().expect("nobody breaks it off");
    Faulted { call, status, stdout }
}

fn start(mut command: Command, stdin: &[u8]) -> (Pid, Child) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: ptrace(2) is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| ptrace::traceme().map_err(Into::into));
    }
    let mut child = command.spawn().expect("start the traced program");
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    pipe.write_all(stdin).expect("a configuration fits into a pipe");
    drop(pipe);
    let main = Pid::from_raw(i32::try_from(child.id()).expect("a process ID"));
    wait_for(Some(main)).expect("the program stops at its start");
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACEFORK
        | ptrace::Options::PTRACE_O_TRACEVFORK
        | ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, options).expect("set the tracer's options");
    ptrace::syscall(main, None).expect("go on");
    (main, child)
}

/// Follows the program to its end and returns its exit code and stdout; or kills it where `at_call`, asked at each system
/// call's begin and end, breaks off. The thread that started the program is its tracer, and waits for its own children
/// alone: other tests of this process have children too.
fn follow(
    main: Pid,
    mut child: Child,
    mut at_call: impl FnMut(Pid) -> ControlFlow<&'static str>,
) -> ControlFlow<&'static str, (Option<i32>, String)> {
    let mut status = None;
    while let Some(stop) = wait_for(None) {
        match stop {
            WaitStatus::PtraceSyscall(pid) => {
                if let ControlFlow::Break(call) = at_call(pid) {
                    end(main);
                    return ControlFlow::Break(call);
                }
                go_on(pid, None);
            }
            WaitStatus::Exited(pid, code) if pid == main => status = Some(code),
            // A new thread's first stop, and events of clone, fork and exec, are no signals of the program's.
            WaitStatus::Stopped(pid, Signal::SIGSTOP | Signal::SIGTRAP)
            | WaitStatus::PtraceEvent(pid, ..) => go_on(pid, None),
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            WaitStatus::Exited(..)
            | WaitStatus::Signaled(..)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => {}
        }
    }
    let mut stdout = String::new();
    let _ = child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut stdout));
    ControlFlow::Continue((status, stdout))
}

/// Replaces the call that this thread is about to make by one that does not exist.
fn skip_call(pid: Pid) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        registers.orig_rax = u64::MAX;
        let _ = ptrace::setregs(pid, registers);
    }
}

/// What the call that this thread has just left seems to have returned.
fn set_result(pid: Pid, result: i64) {
    if let Ok(mut registers) = ptrace::getregs(pid) {
        registers.rax = result.cast_unsigned();
        let _ = ptrace::setregs(pid, registers);
    }
}

/// A stop of any child of this thread; `None` when there are no more.
fn wait_for(pid: Option<Pid>) -> Option<WaitStatus> {
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    loop {
        match waitpid(pid, Some(flags)) {
            Ok(status) => return Some(status),
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// A thread that was killed between its stop and now has nothing to go on with.
fn go_on(pid: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(pid, signal);
}

/// Kills the program as a runtime does (SIGKILL to the process, that is to all its threads) and reaps what was traced.
fn end(main: Pid) {
    let _ = kill(main, Signal::SIGKILL);
    while let Some(stop) = wait_for(None) {
        match stop {
            WaitStatus::PtraceSyscall(pid)
            | WaitStatus::Stopped(pid, _)
            | WaitStatus::PtraceEvent(pid, ..) => go_on(pid, None),
            WaitStatus::Exited(..)
            | WaitStatus::Signaled(..)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => {}
        }
    }
}

/// The name of the system call that this thread has just finished, if it is one that may change something outside of the
/// process. All others leave the state as the one before them did.
fn finished_change(pid: Pid) -> Option<&'static str> {
    change(pid, libc::PTRACE_SYSCALL_INFO_EXIT)
}

/// As [`finished_change`], of a call that this thread is about to make.
fn begun_change(pid: Pid) -> Option<&'static str> {
    change(pid, libc::PTRACE_SYSCALL_INFO_ENTRY)
}

fn change(pid: Pid, side: u8) -> Option<&'static str> {
    let info = ptrace::syscall_info(pid).ok()?;
    if info.op != side {
        return None;
    }
    let registers = ptrace::getregs(pid).ok()?;
    let number = libc::c_long::try_from(registers.orig_rax).ok()?;
    let known = CHANGES.iter().find(|(change, _)| *change == number).map(|(_, name)| *name);
    if std::env::var_os(EXHAUSTIVE).is_some() {
        return Some(known.unwrap_or("other"));
    }
    let name = known?;
    // Opening changes something only where it may create or truncate.
    let creates = u64::try_from(libc::O_CREAT | libc::O_TRUNC).unwrap_or_default();
    (number != libc::SYS_openat || registers.rdx & creates != 0).then_some(name)
}

const CHANGES: &[(libc::c_long, &str)] = &[
    (libc::SYS_openat, "openat"),
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_link, "link"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_symlink, "symlink"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_chmod, "chmod"),
    (libc::SYS_fchmod, "fchmod"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_execve, "execve"),
];
