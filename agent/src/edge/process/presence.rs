//! Whether a process that somebody named is still there: its number, and since when it has been that number's owner.

use std::fs;

use landfall_proto::time::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::group::{ProcessMark, is_living, member};

/// Ticks of `/proc` in a second.
const TICKS: u64 = 100;

/// What this machine shows of a process by its number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Absent,
    /// There, since this moment, to the second.
    Since(Timestamp),
    /// There, and the system does not say since when.
    Hidden,
}

/// Looks for a process. One that has ended and was not taken note of by its parent counts as absent.
pub(crate) fn presence(pid: u32) -> Presence {
    if !exists(pid) {
        return Presence::Absent;
    }
    match member(pid) {
        Some(member) if !is_living(&member) => Presence::Absent,
        Some(member) => started_at(member.start_ticks).map_or(Presence::Hidden, Presence::Since),
        None => Presence::Hidden,
    }
}

impl ProcessMark {
    /// The mark of this process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id())
    }

    /// Whether this very process lives, and not one that came to have its number; `None` where the system does not say.
    pub(crate) fn lives(self) -> Option<bool> {
        if !exists(self.pid) {
            return Some(false);
        }
        let member = member(self.pid)?;
        (self.start_ticks != 0).then_some(member.start_ticks == self.start_ticks && is_living(&member))
    }
}

/// Asked with a signal that is not sent: `/proc` may hide the processes of others.
fn exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    test_kill_process(pid) != Err(Errno::SRCH)
}

fn started_at(start_ticks: u64) -> Option<Timestamp> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted: i64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_second(booted.checked_add(i64::try_from(start_ticks / TICKS).ok()?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_beginning() {
        let own = ProcessMark::own();
        assert_eq!(own.lives(), Some(true));
        assert_eq!(ProcessMark { start_ticks: own.start_ticks + 1, ..own }.lives(), Some(false), "a number used again");
        assert_eq!(ProcessMark { start_ticks: 0, ..own }.lives(), None);
        let Presence::Since(begun) = presence(std::process::id()) else { panic!("it is there") };
        let age = crate::edge::clock::now().duration_since(begun).as_secs();
        assert!((-2..3600).contains(&age), "{age} s");
    }

    #[test]
    fn a_process_that_ended_is_absent_before_and_after_its_parent_takes_note() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let mark = ProcessMark::of(child.id());
        while mark.lives() != Some(false) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(presence(mark.pid), Presence::Absent);
        child.wait().unwrap();
        assert_eq!(mark.lives(), Some(false));
    }
}
