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
