//! A round on a terminal: a line for each node, drawn again in place.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use landfall_proto::id::RunId;
use landfall_proto::report::{Progress, TaskKind};
use landfall_proto::view::{RoundDetail, RunState, RunView};

use super::describe::{figures, round_text, run_text};
use super::latest;
use crate::cli::screen::Screen;

/// With more runs than this, only those that move are shown.
const BARS_MAX: usize = 40;

/// Columns of the longest name that is shown whole.
const NAME_COLUMNS_MAX: usize = 24;

const TICK: Duration = Duration::from_millis(120);

pub(super) struct Bars<'a> {
    screen: &'a Screen,
    all: MultiProgress,
    runs: BTreeMap<RunId, Row>,
    summary: ProgressBar,
    noted: Option<String>,
}

struct Row {
    bar: ProgressBar,
    /// Figures are shown only while the coordinator has not said that the run has ended.
    moves: bool,
}

impl<'a> Bars<'a> {
    pub(super) fn new(screen: &'a Screen) -> Self {
        let all = screen.bars();
        let summary = all.add(ProgressBar::new_spinner().with_style(style("{spinner} {elapsed} {wide_msg}")));
        summary.enable_steady_tick(TICK);
        Self { screen, all, runs: BTreeMap::new(), summary, noted: None }
    }

    pub(super) fn update(&mut self, detail: &RoundDetail, heard: &BTreeMap<RunId, Progress>) {
        let shown = shown(&detail.runs);
        self.runs.retain(|id, row| {
            let stays = shown.iter().any(|run| run.id == *id);
            if !stays {
                self.all.remove(&row.bar);
            }
            stays
        });
        let columns = shown.iter().map(|run| name(run).len()).max().unwrap_or_default().min(NAME_COLUMNS_MAX);
        for run in &shown {
            let summary = &self.summary;
            let row = self.runs.entry(run.id).or_insert_with(|| Row {
                bar: self.all.insert_before(summary, ProgressBar::new(100).with_style(unknown_style())),
                moves: true,
            });
            row.bar.set_prefix(format!("{:columns$.NAME_COLUMNS_MAX$}", name(run)));
            row.moves = matches!(run.state, RunState::Sent | RunState::Running);
            let progress = latest(run, heard);
            match run.state {
                RunState::Sent | RunState::Running => {
                    set_percent(&row.bar, progress.and_then(|progress| progress.percent))
                }
                RunState::Ok | RunState::Warning | RunState::Partial => set_percent(&row.bar, Some(100)),
                RunState::Queued
                | RunState::Cancelling
                | RunState::Unknown
                | RunState::Failed
                | RunState::Skipped
                | RunState::Cancelled
                | RunState::Lost => set_percent(&row.bar, None),
            }
            row.bar.set_message(run_text(run, progress, self.screen));
        }
        self.summary.set_message(round_text(detail, detail.runs.len() - shown.len()));
        self.noted = None;
    }

    pub(super) fn moved(&mut self, progress: &Progress) {
        if let Some(row) = self.runs.get(&progress.run).filter(|row| row.moves) {
            set_percent(&row.bar, progress.percent);
            row.bar.set_message(figures(progress));
        }
    }

    pub(super) fn note(&mut self, text: &str) {
        if self.noted.as_deref() != Some(text) {
            self.summary.set_message(text.to_owned());
            self.noted = Some(text.to_owned());
        }
    }

    /// Clears the lines: the table that follows says it all.
    pub(super) fn end(&mut self) {
        self.summary.finish_and_clear();
        // A terminal that went away needs no clearing.
        let _ = self.all.clear();
    }
}

fn shown(runs: &[RunView]) -> Vec<&RunView> {
    if runs.len() <= BARS_MAX {
        return runs.iter().collect();
    }
    let moves = |run: &&RunView| matches!(run.state, RunState::Sent | RunState::Running | RunState::Cancelling);
    runs.iter().filter(moves).take(BARS_MAX).collect()
}

fn name(run: &RunView) -> String {
    match run.task {
        TaskKind::Backup => run.node.to_string(),
        TaskKind::Check => format!("{} (check)", run.node),
    }
}

/// A bar only where a percentage is known; none is made up.
fn set_percent(bar: &ProgressBar, percent: Option<u8>) {
    match percent {
        Some(percent) => {
            bar.set_style(style("{prefix} [{bar:24}] {pos:>3} % {wide_msg}"));
            bar.set_position(u64::from(percent));
        }
        None => {
            bar.set_style(unknown_style());
            bar.tick();
        }
    }
}

fn unknown_style() -> ProgressStyle {
    style("{prefix} [                        ]     - {wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are well formed").progress_chars("#>-")
}
