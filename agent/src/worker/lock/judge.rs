//! What the locks of others mean for a run. Pure: it is told the time and what the machine shows.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use landfall_proto::report::Reason;

use super::super::failure::Failure;
use super::super::protocol::{LockLife, LockSeen};
use super::file::LockFile;
use crate::edge::process::Presence;

/// A lock that was not renewed for this long was left behind; restic itself draws the line there.
const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

/// Two renewals, which restic does every five minutes. A lock that missed them, and whose process this machine does not
/// have, belongs to nobody; before that it might belong to a machine or a container that has this one's name.
const MISSED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The machine's account of when a process began is as good as this.
const BEGIN_SLACK: SignedDuration = SignedDuration::from_secs(2);

/// What to do about a lock that nobody may hold any more.
pub(crate) const UNLOCK: &str = "Make sure that its process is gone, then run `restic unlock` on the repository.";

/// Whether the owner of a lock lives. `process` is what this machine shows under the lock's number.
pub(super) fn life(lock: &LockFile, host: &str, now: Timestamp, process: Presence) -> LockLife {
    let age = age(lock, now);
    if lock.hostname != host {
        return if age >= STALE_AFTER { LockLife::Unrenewed } else { LockLife::Held };
    }
    let owns_it = match process {
        Presence::Absent => false,
        // A process is older than its lock; a younger one only came to have the same number.
        Presence::Since(begun) => begun.duration_since(lock.time) <= BEGIN_SLACK,
        Presence::Hidden => true,
    };
    match owns_it {
        // However old the lock is: a process that was stopped goes on when it is woken.
        true => LockLife::Held,
        false if age >= MISSED_AFTER => LockLife::Dead,
        false => LockLife::Held,
    }
}

/// How long ago a lock was renewed; the clocks of two machines may differ.
pub(super) fn age(lock: &LockFile, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(lock.time)).unwrap_or_default()
}

/// Whether a run may work beside this lock, and what a person should know of it.
///
/// A lock that is shared disturbs nobody. An exclusive one may be a prune that deletes what a backup is about to rely on.
/// One that died half way is harmless, because restic deletes nothing that the indexes still name and writes new indexes
/// before it removes old ones. But it must be dead: a machine that slept, or that is cut off, may wake and go on deleting,
/// and no age of a lock proves that it will not. So only a process that this very machine no longer has is passed over.
pub(super) fn weigh(lock: &LockSeen) -> Result<Option<String>, Failure> {
    let about = describe(lock);
    match (lock.exclusive, lock.life) {
        (false, LockLife::Held) => Ok(None),
        (false, LockLife::Unrenewed | LockLife::Dead) => {
            Ok(Some(format!("{about} was left in the repository, and `restic prune` waits for it. {UNLOCK}")))
        }
        (true, LockLife::Dead) => Ok(Some(format!(
            "{about} was left in the repository by a program that ended in the middle of its work. {UNLOCK}"
        ))),
        (true, LockLife::Held) => Err(Failure::new(Reason::Lock, format!("The repository is in use: {about}."))),
        (true, LockLife::Unrenewed) => Err(Failure::new(
            Reason::Lock,
            format!("The repository is locked: {about}, and nobody here can tell whether its process lives."),
        )
        .because(UNLOCK)),
        (_, LockLife::Unreadable) => Err(Failure::new(
            Reason::Lock,
            format!("The repository has a lock that cannot be read: {}.", lock.id),
        )
        .because(
            "It may be an exclusive one. Make sure that no program uses the repository, then run `restic unlock --remove-all`.",
        )),
    }
}

/// A lock in words: who, where, since when.
pub(crate) fn describe(lock: &LockSeen) -> String {
    let kind = if lock.exclusive { "an exclusive lock" } else { "a lock" };
    let LockSeen { pid, username, hostname, .. } = lock;
    format!("{kind} of process {pid} of `{username}` on `{hostname}`, renewed {} ago", span(lock.age_s))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn lock(hostname: &str) -> LockFile {
        let (username, pid, uid, gid) = ("root".to_owned(), 7, 0, 0);
        LockFile { time: at(0), exclusive: true, hostname: hostname.to_owned(), username, pid, uid, gid }
    }

    fn seen(exclusive: bool, life: LockLife) -> LockSeen {
        LockSeen {
            id: "ab".repeat(32),
            exclusive,
            hostname: "there".to_owned(),
            username: "root".to_owned(),
            pid: 7,
            age_s: 2_400,
            life,
        }
    }

    #[test]
    fn age_alone_never_proves_that_the_process_of_another_machine_is_gone() {
        let life = |age| life(&lock("there"), "here", at(age), Presence::Absent);
        assert_eq!(life(29 * MINUTE), LockLife::Held);
        assert_eq!(life(30 * MINUTE), LockLife::Unrenewed);
        assert_eq!(life(100_000 * MINUTE), LockLife::Unrenewed);
        assert_eq!(life(-5 * MINUTE), LockLife::Held, "its clock is ahead");
    }

    #[test]
    fn on_this_machine_a_lock_is_dead_when_its_process_is_gone_and_two_renewals_were_missed() {
        let life = |age, process| life(&lock("here"), "here", at(age), process);
        assert_eq!(life(9 * MINUTE, Presence::Absent), LockLife::Held, "a container may have this machine's name");
        assert_eq!(life(10 * MINUTE, Presence::Absent), LockLife::Dead);
        assert_eq!(life(10 * MINUTE, Presence::Since(at(-MINUTE))), LockLife::Held);
        assert_eq!(
            life(10_000 * MINUTE, Presence::Since(at(-MINUTE))),
            LockLife::Held,
            "a stopped process wakes again"
        );
        assert_eq!(life(10 * MINUTE, Presence::Since(at(MINUTE))), LockLife::Dead, "the number was used again");
        assert_eq!(life(10 * MINUTE, Presence::Hidden), LockLife::Held);
    }

    #[test]
    fn only_an_exclusive_lock_stops_a_run_and_only_a_proven_dead_one_does_not() {
        assert_eq!(weigh(&seen(false, LockLife::Held)).unwrap(), None);
        for left in [seen(false, LockLife::Unrenewed), seen(false, LockLife::Dead), seen(true, LockLife::Dead)] {
            let note = weigh(&left).unwrap().unwrap();
            assert!(note.contains("`restic unlock`") && note.contains("process 7 of `root` on `there`"), "{note}");
        }
        for held in [seen(true, LockLife::Held), seen(true, LockLife::Unrenewed), seen(false, LockLife::Unreadable)] {
            assert_eq!(weigh(&held).unwrap_err().reason, Reason::Lock, "{held:?}");
        }
        let waits = weigh(&seen(true, LockLife::Held)).unwrap_err().message;
        assert!(waits.contains("40 minutes"), "{waits}");
    }
}
