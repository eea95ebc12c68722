//! Answers that are computed over many records: the board, the queue and trends. Each look is bounded, and says where it ended.

use std::collections::BTreeSet;

use landfall_proto::control::Reply;
use landfall_proto::id::{NodeId, RoutineName, RunId};
use landfall_proto::overview::{BoardFilter, DAYS_MAX, QueueFilter};
use landfall_proto::report::TaskKind;
use landfall_proto::time::{Duration, Timestamp, after};
use uuid::Uuid;

use super::key::Index;
use super::ledger::LedgerError;
use super::reads::Reads;
use crate::view::{Board, Ended, QueueScan, RUNS_A_DAY_MAX, RowRuns, TrendScan};

/// Entries that are looked at for the queue's figures.
const QUEUE_SCAN_MAX: usize = 2000;

/// Entries that are looked at for trends.
const TRENDS_SCAN_MAX: usize = 5000;

/// Entries that are looked at for the days of one page of the board.
const DAYS_SCAN_MAX: usize = 10_000;

/// Entries that are fetched from the ledger at once.
const FETCH: usize = 100;

/// How far the board's days reach back, with a day for zones.
const DAYS_REACH: Duration = Duration::from_secs((DAYS_MAX as u64 + 1) * 86_400);

/// What to do after one entry of a list.
enum Then {
    Next,
    /// Go on behind this key.
    Skip(Vec<u8>),
    Enough,
}

impl Reads<'_> {
    pub(super) fn board(&self, filter: &BoardFilter) -> Result<Reply, LedgerError> {
        let board = Board::new(self.scene, filter);
        if !filter.days {
            return Ok(Reply::Board(board.view(None)));
        }
        let mut runs = RowRuns::new();
        let mut left = DAYS_SCAN_MAX;
        let mut looked_at = BTreeSet::new();
        for (node, routines) in board.nodes() {
            if self.days_of(node, routines, &mut left, &mut runs)? {
                looked_at.insert(node);
            }
        }
        for row in board.keys() {
            if looked_at.contains(&row.0) {
                runs.entry(row).or_default();
            } else {
                runs.remove(&row);
            }
        }
        Ok(Reply::Board(board.view(Some(&runs))))
    }

    /// Ended backups of one node; false where there was no room to look at all of them. Of a day with very many runs only the latest are looked at.
    fn days_of(&self, node: &NodeId, routines: u32, left: &mut usize, into: &mut RowRuns) -> Result<bool, LedgerError> {
        // Each routine may have checks beside its backups.
        let a_day = RUNS_A_DAY_MAX.saturating_mul(routines).saturating_mul(2);
        let mut day = (i64::MAX, 0_u32);
        let list = Index::RunByNode(node.to_string(), Timestamp::MAX, Uuid::nil()).list();
        self.walk(&list, left, |queued_at, id| {
            if after(queued_at, DAYS_REACH) < self.scene.now {
                return Ok(Then::Enough);
            }
            let number = queued_at.as_second().div_euclid(86_400);
            day = if day.0 == number { (number, day.1 + 1) } else { (number, 1) };
            if day.1 > a_day {
                let start = Timestamp::from_second(number * 86_400).unwrap_or(Timestamp::MIN);
                return Ok(Then::Skip(Index::RunByNode(node.to_string(), start, Uuid::max()).key()));
            }
            if let Some(run) = self.run(id)?.filter(|run| run.task == TaskKind::Backup)
                && let Some(ended) = Ended::of(&run)
            {
                into.entry((node.clone(), run.routine.clone())).or_default().push(ended);
            }
            Ok(Then::Next)
        })
    }

    pub(super) fn queue(&self, filter: &QueueFilter) -> Result<Reply, LedgerError> {
        let mut scan = QueueScan::new(self.scene, filter);
        let mut left = QUEUE_SCAN_MAX;
        let list = Index::RunByTime(Timestamp::MAX, Uuid::nil()).list();
        let complete = self.walk(&list, &mut left, |queued_at, id| {
            if scan.is_enough(queued_at) {
                return Ok(Then::Enough);
            }
            if let Some(run) = self.run(id)? {
                scan.take(&run);
            }
            Ok(Then::Next)
        })?;
        Ok(Reply::Queue(scan.view(complete)))
    }

    pub(super) fn trends(
        &self,
        routine: Option<&RoutineName>,
        node: Option<&NodeId>,
        days: u32,
    ) -> Result<Reply, LedgerError> {
        let mesh = self.scene.mesh;
        let known = routine.and_then(|name| mesh.routines().get(name));
        let zone = known.map_or_else(|| "UTC".to_owned(), |routine| routine.schedule(self.scene.policy).zone);
        let mut scan = TrendScan::new(self.scene.now, &zone, days);
        let (at, id) = (Timestamp::MAX, Uuid::nil());
        let list = match (node, routine) {
            (Some(node), _) => Index::RunByNode(node.to_string(), at, id).list(),
            (None, Some(routine)) => Index::RunByRoutine(routine.to_string(), at, id).list(),
            (None, None) => Index::RunByTime(at, id).list(),
        };
        let mut left = TRENDS_SCAN_MAX;
        let complete = self.walk(&list, &mut left, |queued_at, id| {
            if !scan.reaches(queued_at) && queued_at < self.scene.now {
                return Ok(Then::Enough);
            }
            if let Some(run) = self.run(id)?.filter(|run| routine.is_none_or(|routine| *routine == run.routine)) {
                scan.take(&run);
            }
            Ok(Then::Next)
        })?;
        Ok(Reply::Trends(scan.view(complete)))
    }

    /// Looks at entries of a list of runs from its beginning; false where `left` ended before the list did.
    fn walk(
        &self,
        list: &[u8],
        left: &mut usize,
        mut take: impl FnMut(Timestamp, RunId) -> Result<Then, LedgerError>,
    ) -> Result<bool, LedgerError> {
        let mut after: Option<Vec<u8>> = None;
        'fetch: loop {
            let entries = self.ledger.list(list, after.as_deref(), FETCH)?;
            let fetched = entries.len();
            for entry in entries {
                if *left == 0 {
                    return Ok(false);
                }
                *left -= 1;
                let Some(at) = entry.at() else { return Ok(true) };
                after = Some(entry.key());
                match take(at, RunId(entry.target()))? {
                    Then::Next => {}
                    Then::Enough => return Ok(true),
                    Then::Skip(behind) => {
                        after = Some(behind);
                        continue 'fetch;
                    }
                }
            }
            if fetched < FETCH {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_day_is_passed_over_and_nothing_of_the_day_before() {
        let start = Timestamp::from_second(20_000 * 86_400).unwrap();
        let of = |at: Timestamp, id: Uuid| Index::RunByNode("a".to_owned(), at, id).key();
        let behind = of(start, Uuid::max());
        assert!(of(start, Uuid::from_u128(7)) <= behind, "the first instant of the day is passed over");
        assert!(of(after(start, Duration::from_secs(86_399)), Uuid::nil()) < behind);
        let before = Timestamp::from_millisecond(start.as_millisecond() - 1).unwrap();
        assert!(of(before, Uuid::nil()) > behind);
    }
}
