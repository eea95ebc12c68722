//! The board: how well each node's data is protected by each routine, judged by the age of the last good backup.

use std::collections::BTreeMap;

use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::overview::{BoardCounts, BoardFilter, BoardRow, BoardView, DAYS_MAX, Grade};
use landfall_proto::report::TaskKind;
use landfall_proto::time::{Timestamp, after};

use super::Scene;
use super::day::{Days, Ended};
use crate::core::check;
use crate::core::node::{Node, NodeRoutine};
use crate::core::policy::Policy;

/// Rows of one answer at most.
const ROWS_MAX: u32 = 100;

/// Longest part of a name that is searched for.
const SEARCH_BYTES_MAX: usize = 64;

/// The rows that were asked for, before their history is looked at.
pub struct Board<'a> {
    scene: Scene<'a>,
    rows: Vec<Entry<'a>>,
    found: u32,
    counts: BoardCounts,
}

/// Ended backups of the rows, by node and routine.
pub type RowRuns = BTreeMap<(NodeId, RoutineName), Vec<Ended>>;

/// The order is the board's: grade and trouble first, then the older backup.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    trouble: u8,
    last_good_at: Option<Timestamp>,
}

struct Entry<'a> {
    rank: Rank,
    grade: Grade,
    node: &'a Node,
    routine: &'a RoutineName,
    state: &'a NodeRoutine,
}

impl<'a> Board<'a> {
    /// Looks at every node, and keeps the rows of one page.
    pub fn new(scene: Scene<'a>, filter: &BoardFilter) -> Self {
        let search = filter.search.as_deref().unwrap_or_default().to_lowercase();
        let is_wanted = |name: &str| search.len() <= SEARCH_BYTES_MAX && name.to_lowercase().contains(&search);
        let mut counts = BoardCounts::default();
        let mut rows = Vec::new();
        for node in scene.mesh.nodes().values().filter(|node| !node.is_retired()) {
            let online = scene.mesh.is_online(&node.id, scene.now);
            for (routine, state) in &node.routines {
                let grade = grade(routine, state, scene.policy, scene.now);
                let is_failing = state.backup.failures_since_good > 0;
                count(&mut counts, grade, is_failing, online);
                if is_wanted(node.id.as_str()) || is_wanted(routine.as_str()) {
                    let last_good_at = state.backup.last_good.as_ref().map(|good| good.at);
                    let rank = Rank { trouble: trouble(grade, is_failing, online), last_good_at };
                    rows.push(Entry { rank, grade, node, routine, state });
                }
            }
        }
        let found = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        rows.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| (&a.node.id, a.routine).cmp(&(&b.node.id, b.routine))));
        let wanted = filter.rows.unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX);
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let rows = rows.into_iter().skip(size(filter.offset)).take(size(wanted)).collect();
        Self { scene, rows, found, counts }
    }

    /// Nodes of the page, each with how many of its routines are shown.
    pub fn nodes(&self) -> BTreeMap<&'a NodeId, u32> {
        let mut nodes = BTreeMap::new();
        for row in &self.rows {
            *nodes.entry(&row.node.id).or_default() += 1;
        }
        nodes
    }

    /// The rows of the page.
    pub fn keys(&self) -> impl Iterator<Item = (NodeId, RoutineName)> + '_ {
        self.rows.iter().map(|row| (row.node.id.clone(), row.routine.clone()))
    }

    /// `runs` are absent where the days are not wanted; a row that is not among them has not been looked at.
    pub fn view(self, runs: Option<&RowRuns>) -> BoardView {
        let mut timings: BTreeMap<&RoutineName, Timing> = BTreeMap::new();
        let mut rows = Vec::with_capacity(self.rows.len());
        for entry in &self.rows {
            let timing = timings.entry(entry.routine).or_insert_with(|| Timing::of(self.scene, entry.routine));
            rows.push(row(self.scene, entry, timing, runs));
        }
        BoardView { rows, found: self.found, counts: self.counts }
    }
}

/// When a routine is due, which all its nodes share and a calendar takes a while to say.
struct Timing {
    days: Days,
    next_slot: Option<Timestamp>,
}

impl Timing {
    fn of(scene: Scene<'_>, routine: &RoutineName) -> Self {
        let routine = scene.mesh.routines().get(routine);
        let schedule = routine.map(|routine| routine.schedule(scene.policy)).unwrap_or_default();
        Self { days: Days::until(scene.now, &schedule.zone, DAYS_MAX), next_slot: schedule.next_after(scene.now) }
    }
}

fn row(scene: Scene<'_>, entry: &Entry<'_>, timing: &Timing, runs: Option<&RowRuns>) -> BoardRow {
    let Entry { node, routine, state, grade, .. } = entry;
    let (backup, checked) = (&state.backup, state.history(TaskKind::Check));
    let ended = runs.and_then(|runs| runs.get(&(node.id.clone(), (*routine).clone())));
    BoardRow {
        node: node.id.clone(),
        routine: (*routine).clone(),
        grade: *grade,
        online: scene.mesh.is_online(&node.id, scene.now),
        last_good_at: backup.last_good.as_ref().map(|good| good.at),
        last_good_run: backup.last_good.as_ref().map(|good| good.run),
        last_outcome: backup.last.as_ref().map(|last| last.outcome),
        last_reason: backup.last.as_ref().map(|last| last.reason),
        last_run: backup.last.as_ref().map(|last| last.run),
        last_finished_at: backup.last.as_ref().map(|last| last.finished_at),
        failures_since_good: backup.failures_since_good,
        rpo_ms: check::rpo(routine, state, scene.policy).map(|rpo| rpo.as_ms()),
        next_slot: timing.next_slot,
        verified_at: checked.last_good.as_ref().map(|good| good.at),
        restored_at: None,
        zone: timing.days.zone().to_owned(),
        days: ended.map(|ended| timing.days.strip(ended)).unwrap_or_default(),
    }
}

/// By the age of the last good backup. Without an RPO nothing is too old, but what was tried and never succeeded is told.
fn grade(name: &RoutineName, state: &NodeRoutine, policy: &Policy, now: Timestamp) -> Grade {
    let rpo = check::rpo(name, state, policy);
    let is_late = rpo.is_some_and(|rpo| now >= after(check::last_good_at(state), rpo));
    match (&state.backup.last_good, rpo) {
        (Some(_), None) => Grade::Unbounded,
        (Some(_), Some(_)) if is_late => Grade::TooOld,
        (Some(_), Some(_)) => Grade::Protected,
        (None, _) if state.backup.failures_since_good > 0 => Grade::Never,
        (None, _) if is_late => Grade::Never,
        (None, _) => Grade::Waiting,
    }
}

const fn trouble(grade: Grade, is_failing: bool, online: bool) -> u8 {
    match (grade, is_failing, online) {
        (Grade::Never, _, _) => 0,
        (Grade::TooOld, _, _) => 1,
        (_, true, _) => 2,
        (_, false, false) => 3,
        (Grade::Waiting, false, true) => 4,
        (Grade::Unbounded, false, true) => 5,
        (Grade::Protected, false, true) => 6,
    }
}

fn count(counts: &mut BoardCounts, grade: Grade, is_failing: bool, online: bool) {
    let of_grade = match grade {
        Grade::Never => &mut counts.never,
        Grade::TooOld => &mut counts.too_old,
        Grade::Waiting => &mut counts.waiting,
        Grade::Unbounded => &mut counts.unbounded,
        Grade::Protected => &mut counts.protected,
    };
    *of_grade += 1;
    counts.failing += u32::from(is_failing);
    counts.unheard += u32::from(!online);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::{Stage, at, node};
    use landfall_proto::overview::DayMark;
    use landfall_proto::report::Outcome;
    use proptest::prelude::*;

    fn board(stage: &Stage, now: Timestamp, filter: &BoardFilter, runs: Option<&RowRuns>) -> BoardView {
        let progress = BTreeMap::new();
        Board::new(Scene { mesh: &stage.mesh, policy: &stage.policy, progress: &progress, now }, filter).view(runs)
    }

    fn names(board: &BoardView) -> Vec<&str> {
        board.rows.iter().map(|row| row.node.as_str()).collect()
    }

    #[test]
    fn what_never_succeeded_comes_before_what_is_well() {
        let stage = Stage::new().with_a_verdict();
        let all = board(&stage, at(70), &BoardFilter::default(), None);
        assert_eq!(names(&all), ["b", "a"]);
        assert_eq!((all.rows[0].grade, all.rows[1].grade), (Grade::Never, Grade::Protected));
        assert_eq!((all.rows[0].failures_since_good, all.rows[0].last_outcome), (1, Some(Outcome::Failed)));
        assert_eq!(all.rows[1].last_good_at, Some(at(20)), "the age counts from when the snapshot was taken");
        assert_eq!((all.counts.never, all.counts.protected, all.counts.failing, all.found), (1, 1, 1, 2));
        assert!(all.rows.iter().all(|row| row.restored_at.is_none() && row.days.is_empty()));
    }

    #[test]
    fn a_search_knows_no_case_and_changes_no_count() {
        let stage = Stage::new().with_a_verdict();
        let search = |text: &str| BoardFilter { search: Some(text.to_owned()), ..BoardFilter::default() };
        let found = board(&stage, at(70), &search("A"), None);
        assert_eq!((names(&found), found.found, found.counts.never), (vec!["a"], 1, 1));
        assert_eq!(board(&stage, at(70), &search("NIGHT"), None).found, 2, "a routine's name counts too");
        assert!(board(&stage, at(70), &search("nobody"), None).rows.is_empty());
        let second = BoardFilter { offset: 1, rows: Some(1), ..BoardFilter::default() };
        assert_eq!(names(&board(&stage, at(70), &second, None)), ["a"]);
    }

    #[test]
    fn the_days_are_those_of_the_row() {
        let stage = Stage::new().with_a_verdict();
        let nightly = || "nightly".parse().unwrap();
        let ended = vec![Ended { queued_at: at(10), outcome: Outcome::Ok, good: true }];
        let runs = RowRuns::from([((node("a"), nightly()), ended), ((node("b"), nightly()), Vec::new())]);
        let filter = BoardFilter { days: true, ..BoardFilter::default() };
        let board = board(&stage, at(70), &filter, Some(&runs));
        let last = |row: &BoardRow| row.days.last().map(|day| day.mark);
        assert_eq!((last(&board.rows[0]), last(&board.rows[1])), (Some(DayMark::Nothing), Some(DayMark::Good)));
        assert_eq!(board.rows[1].days.len(), 90);
        let unseen = self::board(&stage, at(70), &filter, Some(&RowRuns::new()));
        assert!(unseen.rows.iter().all(|row| row.days.is_empty()), "what was not looked at is not told as nothing");
    }

    proptest! {
        /// The RPO of the stage is 100,000 s.
        #[test]
        fn a_backup_is_too_old_exactly_from_its_rpo_on(second in 70_u64..400_000) {
            let stage = Stage::new().with_a_verdict();
            let board = board(&stage, at(second), &BoardFilter::default(), None);
            let row = board.rows.iter().find(|row| row.node.as_str() == "a").unwrap();
            let expected = if second < 20 + 100_000 { Grade::Protected } else { Grade::TooOld };
            prop_assert_eq!(row.grade, expected);
        }

        #[test]
        fn what_waits_for_its_first_backup_is_late_after_its_rpo(second in 2_u64..400_000) {
            let board = board(&Stage::new(), at(second), &BoardFilter::default(), None);
            let expected = if second < 1 + 100_000 { Grade::Waiting } else { Grade::Never };
            prop_assert!(board.rows.iter().all(|row| row.grade == expected));
        }
    }
}
