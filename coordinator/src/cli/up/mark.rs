//! Which process a child is: its pid, and when it started, so that a pid which was given out again is not taken for it.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::sleep;

use super::place::Place;
use super::private;

/// How long a process of an earlier life may take to end before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// The leader of a process group of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pid: u32,
    /// Since the machine's start, in the kernel's ticks.
    started_ticks: u64,
}

impl Mark {
    /// The process as it is at this moment; `None` once it has gone.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        started(&text).map(|started_ticks| Self { pid, started_ticks })
    }

    pub(super) fn write(self, path: &Path) -> io::Result<()> {
        private::write(path, &format!("{}\n{}\n", self.pid, self.started_ticks))
    }

    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        Some(Self { pid: lines.next()?.parse().ok()?, started_ticks: lines.next()?.parse().ok()? })
    }

    fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// Sends a signal to a child's whole group.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // A group that has ended in the meantime is what was wanted.
        let _ = kill_process_group(pid, signal);
    }
}

/// A supervisor that was killed leaves its children behind, on their port and files. Ends those that are still ours.
pub(super) async fn end_leftovers(place: &Place) -> usize {
    let Ok(entries) = std::fs::read_dir(place.marks()) else { return 0 };
    let left: Vec<Mark> =
        entries.flatten().filter_map(|entry| Mark::read(&entry.path())).filter(|mark| mark.is_alive()).collect();
    left.iter().for_each(|mark| signal(mark.pid, Signal::TERM));
    let gone = async {
        while left.iter().any(|mark| mark.is_alive()) {
            sleep(POLL).await;
        }
    };
    if tokio::time::timeout(END_WITHIN, gone).await.is_err() {
        left.iter().filter(|mark| mark.is_alive()).for_each(|mark| signal(mark.pid, Signal::KILL));
    }
    left.len()
}

/// The 22nd field; the second is a name in parentheses, in which anything may stand. A zombie has ended.
fn started(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn a_process_is_known_by_its_pid_and_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Mark::of(std::process::id()).unwrap();
        mark.write(&folder.path().join("me")).unwrap();
        assert_eq!(Mark::read(&folder.path().join("me")), Some(mark));
        assert!(mark.is_alive());
        assert!(!Mark { started_ticks: mark.started_ticks + 1, ..mark }.is_alive(), "the same pid, another process");
        assert_eq!(started("12 (a) b) S 1 12 12 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 777 1 1"), Some(777));
    }

    #[tokio::test]
    async fn only_processes_that_are_still_ours_are_ended() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(folder.path()).unwrap();
        let sleeper = || std::process::Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let (mut ours, mut foreign) = (sleeper(), sleeper());
        Mark::of(ours.id()).unwrap().write(&place.mark("bus")).unwrap();
        let other = Mark::of(foreign.id()).unwrap();
        Mark { started_ticks: other.started_ticks + 1, ..other }.write(&place.mark("node-1")).unwrap();
        assert_eq!(end_leftovers(&place).await, 1);
        assert!(!ours.wait().unwrap().success());
        assert!(foreign.try_wait().unwrap().is_none());
        foreign.kill().unwrap();
        foreign.wait().unwrap();
    }
}
