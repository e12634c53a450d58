//! One process measured: wall time and peak memory.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netlink::Netns;
use nix::libc;

/// How often each row is measured; rows take turns, so that a slow moment of the machine hits all of them.
const ROUNDS: usize = 15;

/// Medians of the rows that `turn` measures. One round more: the first makes fixtures, loads modules and fills caches.
pub(crate) fn in_turns<const N: usize>(
    mut turn: impl FnMut(usize) -> Result<[Cost; N], String>,
) -> Result<[Cost; N], String> {
    let mut rows: [Vec<Cost>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=ROUNDS {
        let costs = turn(round)?;
        if round > 0 {
            rows.iter_mut().zip(costs).for_each(|(row, cost)| row.push(cost));
        }
    }
    Ok(rows.map(|row| median(&row)))
}

/// A node or a pod.
pub(crate) fn namespace() -> Result<Netns, String> {
    Netns::anonymous().map_err(|error| error.to_string())
}

/// What one process, or a row of them, cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) peak_kib: u64,
}

impl Cost {
    /// One process after the other: times add up, and memory is the largest one's.
    pub(crate) fn then(self, next: Self) -> Self {
        Self { wall: self.wall + next.wall, peak_kib: self.peak_kib.max(next.peak_kib) }
    }
}

/// Runs a command inside `netns` with `stdin`, from just before its start until it is reaped.
pub(crate) fn run(netns: &Netns, mut command: Command, stdin: &str) -> Result<Cost, String> {
    let begin = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = netns.run(|| command.spawn()).map_err(|error| error.to_string())?;
    let mut child = child.map_err(|error| format!("start {command:?}: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        let _ = pipe.write_all(stdin.as_bytes()); // who does not read its input says why
    }
    // Results are far smaller than a pipe, so nobody waits for a reader.
    let (status, peak_kib) = reap(child.id())?;
    let wall = begin.elapsed();
    if status == 0 {
        return Ok(Cost { wall, peak_kib });
    }
    let mut said = String::new();
    for pipe in [child.stdout.take().map(read), child.stderr.take().map(read)].into_iter().flatten() {
        said.push_str(&pipe);
    }
    Err(format!("{command:?}: {said}"))
}

fn read(mut pipe: impl std::io::Read) -> String {
    let mut text = String::new();
    let _ = pipe.read_to_string(&mut text);
    text
}

/// wait4(2): the only call that tells the peak memory of one child.
fn reap(pid: u32) -> Result<(i32, u64), String> {
    let pid = libc::pid_t::try_from(pid).map_err(|error| error.to_string())?;
    let mut status = 0;
    // SAFETY: an all-zero rusage is valid: it holds plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for writes during the call.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if reaped != pid {
        return Err(format!("wait4: {}", std::io::Error::last_os_error()));
    }
    Ok((status, u64::try_from(usage.ru_maxrss).unwrap_or(0)))
}

/// The middle one by time, with the largest memory of all.
pub(crate) fn median(costs: &[Cost]) -> Cost {
    let mut sorted = costs.to_vec();
    sorted.sort_by_key(|cost| cost.wall);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    Cost { peak_kib: costs.iter().map(|cost| cost.peak_kib).max().unwrap_or(0), ..middle }
}

/// `12.3 ms`.
pub(crate) fn milliseconds(cost: Cost) -> String {
    format!("{:.1} ms", cost.wall.as_secs_f64() * 1e3)
}

/// `5.3 MiB`.
pub(crate) fn mebibytes(cost: Cost) -> String {
    format!("{:.1} MiB", f64::from(u32::try_from(cost.peak_kib).unwrap_or(u32::MAX)) / 1024.0)
}

/// `0.15×`: how one compares with another.
pub(crate) fn ratio(ours: Cost, other: Cost) -> String {
    format!("{:.2}×", ours.wall.as_secs_f64() / other.wall.as_secs_f64().max(1e-9))
}
