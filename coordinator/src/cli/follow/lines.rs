//! A round where nobody looks: one line for each step of each node.

use std::collections::BTreeMap;

use landfall_proto::id::RunId;
use landfall_proto::limit::WaitReason;
use landfall_proto::report::{Phase, TaskKind};
use landfall_proto::view::{RoundDetail, RunState, RunView};

use super::describe::run_text;
use crate::cli::human::instant;
use crate::cli::screen::Screen;
use crate::edge::clock;

pub(super) struct Lines<'a> {
    screen: &'a Screen,
    told: BTreeMap<RunId, Step>,
    noted: Option<String>,
}

/// What makes a line worth another one.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    state: RunState,
    phase: Option<Phase>,
    waits_for: Option<WaitReason>,
}

impl Step {
    fn of(run: &RunView) -> Self {
        // The phase of a run that has ended says nothing.
        let phase = run.phase.filter(|_| matches!(run.state, RunState::Sent | RunState::Running));
        Self { state: run.state, phase, waits_for: run.waits_for.clone() }
    }
}

impl<'a> Lines<'a> {
    pub(super) const fn new(screen: &'a Screen) -> Self {
        Self { screen, told: BTreeMap::new(), noted: None }
    }

    pub(super) fn update(&mut self, detail: &RoundDetail) {
        self.noted = None;
        for run in &detail.runs {
            let step = Step::of(run);
            if self.told.get(&run.id) != Some(&step) {
                self.tell(run);
                self.told.insert(run.id, step);
            }
        }
    }

    pub(super) fn note(&mut self, text: &str) {
        if self.noted.as_deref() != Some(text) {
            self.screen.note(text);
            self.noted = Some(text.to_owned());
        }
    }

    fn tell(&self, run: &RunView) {
        if self.screen.json {
            self.screen.json_line(&serde_json::json!({
                "event": "run", "at": clock::now(), "node": run.node, "run": run.id, "task": run.task, "state": run.state,
                "phase": run.phase, "waits_for": run.waits_for, "reason": run.reason, "progress": run.progress,
            }));
        } else if !self.screen.quiet {
            let task = if run.task == TaskKind::Check { " (check)" } else { "" };
            let text = run_text(run, run.progress.as_ref(), self.screen);
            self.screen.line(&format!("{}  {}{task}  {text}", instant(clock::now()), run.node));
        }
    }
}
