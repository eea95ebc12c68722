//! Which runs' folders go, which get the receipt that could not be written, and when to look.

use std::collections::BTreeSet;

use landfall_proto::id::RunId;
use landfall_proto::time::{Duration, Timestamp};

use super::runs::Journal;

/// Folders of ended runs that are kept; older ones are removed.
pub const FOLDERS_MAX: usize = 500;

/// Between two looks at all folders, where nothing is owed: five hundred of them are read each time.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Before a receipt that could not be written is tried again: a disk that is full is seldom so for seconds only.
const WRITE_AGAIN: Duration = Duration::from_secs(60);

/// When the folders are looked at, by the time that the process has been up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspections {
    looked_at: Option<Duration>,
    due_at: Option<Duration>,
}

/// One run's folder as it lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderSeen {
    pub run: RunId,
    /// When its receipt was written; absent where there is none.
    pub receipt_at: Option<Timestamp>,
}

/// What is done to folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Their ends wait in the outbox, and no receipt tells of them.
    pub rewrite: Vec<RunId>,
    pub remove: Vec<RunId>,
}

impl Inspections {
    /// A run has ended: another folder is there.
    pub fn ended(&mut self, uptime: Duration) {
        let next = self.looked_at.map_or(uptime, |at| plus(at, LOOK_EVERY).max(uptime));
        self.due(next);
    }

    /// A receipt could not be written.
    pub fn owes(&mut self, uptime: Duration) {
        self.due(plus(uptime, WRITE_AGAIN));
    }

    /// When to look next, if at all.
    pub const fn due_at(&self) -> Option<Duration> {
        self.due_at
    }

    /// The look has begun.
    pub const fn look(&mut self, uptime: Duration) {
        self.looked_at = Some(uptime);
        self.due_at = None;
    }

    fn due(&mut self, at: Duration) {
        self.due_at = Some(self.due_at.map_or(at, |known| known.min(at)));
    }
}

/// Decides about every folder. A run that is `live`, or that the journal has begun and not ended, keeps its own, and so does
/// one whose end is `unsent`: until the log has it, the receipt is what a journal that breaks is rebuilt from.
pub fn upkeep(folders: &[FolderSeen], journal: &Journal, live: &BTreeSet<RunId>, unsent: &BTreeSet<RunId>) -> Upkeep {
    let is_open = |run: RunId| live.contains(&run) || (journal.knows(run) && !journal.has_ended(run));
    let mut found = Upkeep::default();
    let mut ended: Vec<(Timestamp, RunId)> = Vec::new();
    for FolderSeen { run, receipt_at } in folders.iter().copied().filter(|folder| !is_open(folder.run)) {
        match (receipt_at, unsent.contains(&run)) {
            (Some(at), _) => ended.push((at, run)),
            (None, true) => found.rewrite.push(run),
            // The log has the end. Without a receipt a rebuilt journal would take the run for interrupted.
            (None, false) if journal.has_ended(run) => found.remove.push(run),
            (None, false) => {}
        }
    }
    ended.sort_unstable();
    let surplus = ended.len().saturating_sub(FOLDERS_MAX);
    found.remove.extend(ended.into_iter().map(|(_, run)| run).filter(|run| !unsent.contains(run)).take(surplus));
    found
}

const fn plus(at: Duration, by: Duration) -> Duration {
    Duration::from_ms(at.as_ms().saturating_add(by.as_ms()))
}

#[cfg(test)]
mod tests {
    use landfall_proto::fact::agent::RunAbout;
    use landfall_proto::id::RoundId;
    use landfall_proto::report::{Outcome, TaskKind, Trigger};
    use uuid::Uuid;

    use super::*;
    use crate::core::{Ended, Record};

    const fn run(number: u128) -> RunId {
        RunId(Uuid::from_u128(number))
    }

    fn seen(number: u128, second: Option<i64>) -> FolderSeen {
        FolderSeen { run: run(number), receipt_at: second.map(|second| Timestamp::from_second(second).unwrap()) }
    }

    fn journal(runs: &[(u128, bool)]) -> Journal {
        let mut journal = Journal::default();
        for (number, has_ended) in runs {
            let at = Timestamp::from_second(1).unwrap();
            let about = RunAbout {
                run: run(*number),
                round: RoundId(Uuid::nil()),
                routine: "db".parse().unwrap(),
                slot: None,
                task: TaskKind::Backup,
                trigger: Trigger::Hand,
                plan_hash: String::new(),
                repository: None,
            };
            let ended = has_ended.then_some(Ended { outcome: Outcome::Ok, at });
            journal.put(run(*number), Record { about, attempt: 1, begun_at: at, ended });
        }
        journal
    }

    #[test]
    fn the_oldest_go_and_neither_what_lives_nor_what_is_unsent() {
        let folders: Vec<FolderSeen> =
            (0..505_i32).map(|number| seen(number.unsigned_abs().into(), Some(number.into()))).collect();
        let (live, unsent) = (BTreeSet::from([run(0)]), BTreeSet::from([run(1)]));
        let found = upkeep(&folders, &journal(&[(2, false)]), &live, &unsent);
        assert_eq!(found.remove, [run(3), run(4), run(5)], "503 have ended, the live one and the open one apart");
    }

    #[test]
    fn a_folder_without_a_receipt_gets_one_or_goes_where_the_journal_knows_the_end() {
        let folders = [seen(1, None), seen(2, None), seen(3, None), seen(4, None), seen(5, None)];
        let known = journal(&[(1, true), (2, true), (3, false), (5, true)]);
        let found = upkeep(&folders, &known, &BTreeSet::from([run(5)]), &BTreeSet::from([run(1)]));
        assert_eq!(found, Upkeep { rewrite: vec![run(1)], remove: vec![run(2)] });
    }

    #[test]
    fn folders_are_looked_at_once_an_hour_at_most_and_soon_where_a_receipt_is_owed() {
        let at = Duration::from_secs;
        let mut inspections = Inspections::default();
        assert_eq!(inspections.due_at(), None);
        inspections.ended(at(5));
        assert_eq!(inspections.due_at(), Some(at(5)));
        inspections.look(at(5));
        inspections.ended(at(65));
        assert_eq!(inspections.due_at(), Some(at(3605)));
        inspections.owes(at(70));
        inspections.ended(at(75));
        assert_eq!(inspections.due_at(), Some(at(130)));
        inspections.look(at(130));
        assert_eq!(inspections.due_at(), None);
    }
}
