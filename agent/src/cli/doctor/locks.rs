//! What `doctor` says of the locks in a repository: whose each is, and whether anybody still holds it.

use std::collections::BTreeMap;

use super::Finding;
use crate::worker::lock::{UNLOCK, describe};
use crate::worker::protocol::{LockLife, LockSeen};

/// Locks that are told one by one.
const SHOWN_MAX: usize = 10;

/// The locks of one plan's repository. `own` are those that this agent recorded, each with whether its process still lives.
pub(in crate::cli) fn findings(plan: &str, locks: Option<&[LockSeen]>, own: &BTreeMap<String, bool>) -> Vec<Finding> {
    let finding = |ok: bool, what: String, fix: &str| {
        let name = format!("plan {plan}: locks");
        Finding { name, ok, what, fix: fix.to_owned() }
    };
    let Some(locks) = locks else {
        let fix = "Give the agent's user the right to read and write the repository's folder `locks`.";
        return vec![finding(
            false,
            "The repository's locks cannot be looked at, so no backup begins.".to_owned(),
            fix,
        )];
    };
    if locks.is_empty() {
        return vec![finding(true, "Nobody holds a lock on the repository.".to_owned(), "")];
    }
    let mut found: Vec<Finding> = locks
        .iter()
        .take(SHOWN_MAX)
        .map(|lock| {
            let about = describe(lock);
            match (own.get(&lock.id), lock.life, lock.exclusive) {
                (Some(true), ..) => finding(true, format!("Ours, of a run under way: {about}."), ""),
                (Some(false), ..) => {
                    let what = format!("Ours, left by a run that was killed: {about}. It goes before the next run.");
                    finding(true, what, "")
                }
                (None, LockLife::Held, false) => finding(true, format!("In use by another program: {about}."), ""),
                (None, LockLife::Held, true) => finding(
                    true,
                    format!("Another program has the repository for itself: {about}. Runs wait for it."),
                    "",
                ),
                (None, LockLife::Dead, _) | (None, LockLife::Unrenewed, false) => {
                    finding(true, format!("Left behind, and not by this agent: {about}. A prune waits for it."), UNLOCK)
                }
                (None, LockLife::Unrenewed, true) => finding(
                    false,
                    format!("Backups wait, because nobody here can tell whether its process lives: {about}."),
                    UNLOCK,
                ),
                (None, LockLife::Unreadable, _) => {
                    let fix = "Make sure that no program uses the repository, then run `restic unlock --remove-all`.";
                    finding(false, format!("Backups wait for a lock that cannot be read: {}.", lock.id), fix)
                }
            }
        })
        .collect();
    if locks.len() > SHOWN_MAX {
        found.push(finding(true, format!("{} more locks are not shown.", locks.len() - SHOWN_MAX), ""));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(id: &str, life: LockLife, exclusive: bool) -> LockSeen {
        let (hostname, username) = ("there".to_owned(), "root".to_owned());
        LockSeen { id: id.to_owned(), exclusive, hostname, username, pid: 7, age_s: 3_000, life }
    }

    #[test]
    fn each_lock_is_told_by_owner_and_only_what_stops_backups_is_bad() {
        let own = BTreeMap::from([("live".to_owned(), true), ("dead".to_owned(), false)]);
        let locks = [
            lock("live", LockLife::Held, false),
            lock("dead", LockLife::Dead, false),
            lock("other", LockLife::Held, true),
            lock("other", LockLife::Dead, true),
            lock("other", LockLife::Unrenewed, true),
            lock("other", LockLife::Unreadable, false),
        ];
        let found = findings("nightly", Some(&locks), &own);
        let (ok, has_fix): (Vec<bool>, Vec<bool>) =
            found.iter().map(|finding| (finding.ok, !finding.fix.is_empty())).unzip();
        assert_eq!(ok, [true, true, true, true, false, false], "{found:#?}");
        assert_eq!(has_fix, [false, false, false, true, true, true], "{found:#?}");
        assert!(findings("nightly", Some(&[]), &own)[0].ok);
        assert!(!findings("nightly", None, &own)[0].ok, "what is not known is not well");
    }
}
