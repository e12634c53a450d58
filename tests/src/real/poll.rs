//! Waiting for what another process or the kernel will do soon: look, with a deadline, never sleep and hope.

use std::time::{Duration, Instant};

/// How long a peer may take on a machine that does other things too. Only failures ever take this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `look` finds something.
///
/// # Panics
/// After [`PATIENCE`], naming `what` did not happen.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}
