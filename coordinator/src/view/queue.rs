//! The queue as people see it: four figures, what runs, what waits and why, and what ended lately.

use std::cmp::Reverse;

use landfall_proto::overview::{QueueCard, QueueFilter, QueueView};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::time::{Duration, Timestamp, after, between};
use landfall_proto::view::RunView;

use super::{Scene, run as run_view};
use crate::core::run::{Run, Stage};

const DAY: Duration = Duration::from_secs(86_400);

/// Runs that entered the queue longer ago are not looked at for the figures of two days; no run takes a day longer.
const LOOKED_BACK: Duration = Duration::from_secs(3 * 86_400);

/// Runs whose duration makes the mean.
const AVERAGE_OF: usize = 50;

const FINISHED_SHOWN: usize = 25;

const ACTIVE_SHOWN: usize = 100;

const WAITING_SHOWN: usize = 100;

/// Gathers what the cards and the list of finished runs need, from runs that come newest first.
pub struct QueueScan<'a> {
    scene: Scene<'a>,
    filter: &'a QueueFilter,
    counts: Counts,
    /// Ends and durations of completed runs.
    durations: Vec<(Timestamp, u64)>,
    finished: Vec<RunView>,
}

#[derive(Default)]
struct Counts {
    completed: u32,
    completed_before: u32,
    failed: u32,
    failed_before: u32,
}

impl<'a> QueueScan<'a> {
    pub const fn new(scene: Scene<'a>, filter: &'a QueueFilter) -> Self {
        let counts = Counts { completed: 0, completed_before: 0, failed: 0, failed_before: 0 };
        Self { scene, filter, counts, durations: Vec::new(), finished: Vec::new() }
    }

    /// Whether runs that entered the queue at this instant, and all before, change nothing any more.
    pub fn is_enough(&self, queued_at: Timestamp) -> bool {
        let is_old = after(queued_at, LOOKED_BACK) < self.scene.now;
        is_old && self.durations.len() >= AVERAGE_OF && self.finished.len() >= FINISHED_SHOWN
    }

    pub fn take(&mut self, run: &Run) {
        let Some(end) = run.end.as_ref() else { return };
        let age = between(end.at, self.scene.now);
        let (today, yesterday) = (age < DAY, age >= DAY && age.as_ms() < 2 * DAY.as_ms());
        match kind(end.outcome) {
            Some(QueueCard::Completed) => {
                self.counts.completed += u32::from(today);
                self.counts.completed_before += u32::from(yesterday);
                if let Some(started_at) = end.report.as_ref().map(|report| report.started_at).or(run.started_at) {
                    self.durations.push((end.at, between(started_at, end.at).as_ms()));
                }
            }
            Some(QueueCard::Failed) => {
                self.counts.failed += u32::from(today);
                self.counts.failed_before += u32::from(yesterday);
            }
            Some(QueueCard::InQueue) | None => {}
        }
        let of_card = match self.filter.card {
            None => true,
            Some(card) => Some(card) == kind(end.outcome) && today,
        };
        if of_card && fits(run, self.filter) {
            self.finished.push(run_view(self.scene, run, None));
        }
    }

    /// `complete` is false where history was left out.
    pub fn view(mut self, complete: bool) -> QueueView {
        let Scene { mesh, now, .. } = self.scene;
        self.durations.sort_by_key(|(at, _)| Reverse(*at));
        self.durations.truncate(AVERAGE_OF);
        let average_of = u64::try_from(self.durations.len()).unwrap_or(u64::MAX);
        let sum: u64 = self.durations.iter().map(|(_, ms)| ms).fold(0, |sum, ms| sum.saturating_add(*ms));
        self.finished.sort_by_key(|run| Reverse(run.finished_at));
        self.finished.truncate(FINISHED_SHOWN);
        let is_wanted = |run: &&Run| fits(run, self.filter);
        let shows_active = self.filter.card.is_none();
        let shows_waiting = matches!(self.filter.card, None | Some(QueueCard::InQueue));
        let active = || mesh.runs().values().filter(|run| run.is_active());
        let is_shown = |run: &&Run| shows_active || (shows_waiting && run.stage == Stage::Sent);
        let mut alive: Vec<&Run> = active().filter(is_wanted).filter(is_shown).collect();
        alive.sort_by_key(|run| (run.started_at.unwrap_or(Timestamp::MAX), run.id));
        let waiting: Vec<&Run> = mesh.queue(now).filter(is_wanted).filter(|_| shows_waiting).collect();
        let shown = |runs: &[&Run], most: usize| {
            runs.iter().take(most).map(|run| run_view(self.scene, run, None)).collect::<Vec<RunView>>()
        };
        let sent = active().filter(|run| run.stage == Stage::Sent).count();
        QueueView {
            in_queue: number(mesh.queued_count() + sent),
            completed: self.counts.completed,
            completed_before: self.counts.completed_before,
            failed: self.counts.failed,
            failed_before: self.counts.failed_before,
            average_ms: sum.checked_div(average_of),
            average_of: u32::try_from(average_of).unwrap_or(u32::MAX),
            complete,
            active: shown(&alive, ACTIVE_SHOWN),
            waiting: shown(&waiting, WAITING_SHOWN),
            waiting_total: number(waiting.len()),
            finished: self.finished,
        }
    }
}

/// Which card an ended run counts for. Skipped and cancelled runs are neither completed nor failed.
const fn kind(outcome: Outcome) -> Option<QueueCard> {
    match outcome {
        Outcome::Ok | Outcome::Warning => Some(QueueCard::Completed),
        Outcome::Failed | Outcome::Partial | Outcome::Lost => Some(QueueCard::Failed),
        Outcome::Skipped | Outcome::Cancelled => None,
    }
}

fn fits(run: &Run, filter: &QueueFilter) -> bool {
    let is_task = |task: TaskKind| task == run.task;
    let is_node = |part: &String| run.node.as_str().to_lowercase().contains(&part.to_lowercase());
    filter.task.is_none_or(is_task) && filter.node.as_ref().is_none_or(is_node)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::view::tests::{Stage, at};

    fn queue(stage: &Stage, now: Timestamp, filter: &QueueFilter) -> QueueView {
        let progress = BTreeMap::new();
        let scene = Scene { mesh: &stage.mesh, policy: &stage.policy, progress: &progress, now };
        let mut scan = QueueScan::new(scene, filter);
        for run in stage.mesh.runs().values() {
            scan.take(run);
        }
        scan.view(true)
    }

    #[test]
    fn a_run_counts_for_today_then_for_the_day_before_then_no_more() {
        let stage = Stage::new().with_a_verdict();
        let cards = |second: u64| {
            let queue = queue(&stage, at(second), &QueueFilter::default());
            (queue.completed, queue.completed_before, queue.failed, queue.failed_before)
        };
        let day = 86_400;
        assert_eq!(cards(70), (1, 0, 1, 0));
        assert_eq!(cards(day + 100), (0, 1, 0, 1));
        assert_eq!(cards(2 * day + 100), (0, 0, 0, 0));
    }

    #[test]
    fn the_mean_is_of_completed_runs_without_their_time_in_the_queue() {
        let stage = Stage::new().with_a_verdict();
        let queue = queue(&stage, at(70), &QueueFilter::default());
        let run = stage.mesh.runs().values().find(|run| run.outcome() == Some(Outcome::Ok)).unwrap();
        let report = run.end.as_ref().unwrap().report.as_ref().unwrap();
        let own = between(report.started_at, run.end.as_ref().unwrap().at).as_ms();
        assert_eq!((queue.average_ms, queue.average_of), (Some(own), 1));
        assert!(report.started_at > run.queued_at);
    }

    #[test]
    fn a_card_and_a_name_filter_lists_and_leave_the_figures_alone() {
        let stage = Stage::new().with_a_verdict();
        let with = |card, node: Option<&str>| {
            let filter = QueueFilter { card, node: node.map(str::to_owned), task: None };
            let queue = queue(&stage, at(70), &filter);
            (queue.finished.iter().map(|run| run.node.to_string()).collect::<Vec<_>>(), queue.failed)
        };
        assert_eq!(with(Some(QueueCard::Failed), None), (vec!["b".to_owned()], 1));
        assert_eq!(with(Some(QueueCard::Completed), None), (vec!["a".to_owned()], 1));
        assert_eq!(with(None, Some("A")), (vec!["a".to_owned()], 1));
        assert_eq!(with(Some(QueueCard::InQueue), None).0, Vec::<String>::new());
    }
}
