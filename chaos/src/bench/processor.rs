//! What a process takes of the machine, as the system counts it.

use std::fs;

use anyhow::Context;

/// Linux shows times to programs in hundredths of a second, whatever its own clock's rate is.
const TICK_MS: f64 = 10.0;

/// Resident memory in MiB.
pub(super) fn resident(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "VmRSS:")
}

/// The most resident memory that it ever had, in MiB.
pub(super) fn peak(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "VmHWM:")
}

/// The part of the resident memory that is the process's own: not its program, which the system can drop and read again.
pub(super) fn own_memory(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "RssAnon:")
}

fn memory(pid: u32, kind: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} has ended"))?;
    let line = text.lines().find(|line| line.starts_with(kind)).context("the system does not tell the memory")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).context("the system does not tell the memory")?.parse()?;
    Ok(kibibytes / 1024.0)
}

/// Milliseconds of processor time since the process began. The exact counter knows living threads only, the other one
/// counts in hundredths of a second; neither is ever too large.
pub(super) fn time(pid: u32) -> anyhow::Result<f64> {
    Ok(of_living_threads(pid)?.max(in_ticks(pid)?))
}

fn of_living_threads(pid: u32) -> anyhow::Result<f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} has ended"))?;
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Ok(nanoseconds.sum::<u64>() as f64 / 1e6)
}

fn in_ticks(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} has ended"))?;
    // The name in brackets may hold anything, so what follows is counted from its last bracket.
    let rest = text.rsplit_once(')').context("the system's line is cut")?.1;
    let numbers: Vec<u64> = rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    Ok(numbers.iter().sum::<u64>() as f64 * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let pid = std::process::id();
        assert!(resident(pid).unwrap() > 0.5);
        assert!(peak(pid).unwrap() >= resident(pid).unwrap());
        let before = time(pid).unwrap();
        let mut sum = 0_u64;
        for number in 0..200_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        assert!(time(pid).unwrap() > before, "{sum}");
    }
}
