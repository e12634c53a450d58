//! No plugin outlives us. A runtime that loses its patience kills us with a signal that nobody can catch, and sends DEL;
//! a plugin that still ran would write its lease after that.

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::Command;

/// Lets the kernel kill the child when the thread that starts it ends (prctl(2), `PR_SET_PDEATHSIG`): start it from the
/// thread that waits for it, as a current-thread runtime does.
pub(super) fn forbid(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe functions may be called: it makes two
    // system calls and allocates nothing.
    #[expect(unsafe_code, reason = "std has no safe way to set the signal before exec")]
    unsafe {
        command.pre_exec(move || die_with(parent).map_err(Into::into));
    }
}

/// The signal does not come if the parent died before it was asked for.
fn die_with(parent: Pid) -> Result<(), Errno> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}
