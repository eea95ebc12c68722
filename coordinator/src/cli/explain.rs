//! `landfall explain [WORD]`: what a task has to show to count as good, and what each reason means and asks for.

use std::process::ExitCode;

use clap::Args;
use landfall_proto::report::{Reason, TaskKind};
use serde::Serialize;

use super::completion;
use super::failure::{Failure, USAGE};
use super::screen::{Screen, Tone};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall explain                (every task: when it is good, and what goes wrong most)\n  landfall explain no_space\n  landfall explain check --json"
)]
pub(super) struct Explain {
    /// A reason as runs and alerts show it, or a task
    #[arg(add = completion::explained())]
    word: Option<String>,
}

#[derive(Debug, Serialize)]
struct TaskWords {
    task: TaskKind,
    good_when: &'static str,
    common_failures: Vec<ReasonWords>,
}

#[derive(Debug, Serialize)]
struct ReasonWords {
    reason: Reason,
    cause: &'static str,
    fix: &'static str,
    /// Whether the run tries again by itself.
    is_tried_again: bool,
}

pub(super) fn run(options: &Explain, screen: &Screen) -> Result<ExitCode, Failure> {
    let Some(word) = &options.word else {
        tasks(&TaskKind::ALL, screen);
        return Ok(ExitCode::SUCCESS);
    };
    let wanted = word.to_lowercase().replace('-', "_");
    if let Some(task) = TaskKind::ALL.into_iter().find(|task| task.as_str() == wanted) {
        tasks(&[task], screen);
    } else if let Some(reason) = Reason::ALL.iter().find(|reason| reason.as_str() == wanted) {
        if screen.json { screen.json_answer(&words(*reason)) } else { show(*reason, screen) }
    } else {
        let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        return Err(Failure::new(
            USAGE,
            format!("{word:?} is neither a task nor a reason"),
            "runs and alerts show reasons in this form",
            format!("the tasks are backup and check; the reasons are {}", all.join(", ")),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn tasks(tasks: &[TaskKind], screen: &Screen) {
    let said = tasks.iter().map(|task| TaskWords {
        task: *task,
        good_when: task.good_when(),
        common_failures: task.common_failures().iter().map(|reason| words(*reason)).collect(),
    });
    let said: Vec<TaskWords> = said.collect();
    if screen.json {
        screen.json_answer(&said);
        return;
    }
    for (place, task) in said.iter().enumerate() {
        if place > 0 {
            screen.line("");
        }
        screen.line(&format!("{}: good when {}", screen.paint(task.task.as_str(), Tone::Good), task.good_when));
        screen.line("  what goes wrong most:");
        for failure in &task.common_failures {
            screen.line(&format!("  {:<18} {} {}", failure.reason.as_str(), failure.cause, failure.fix));
        }
    }
}

fn show(reason: Reason, screen: &Screen) {
    screen.line(&format!("{}: {}", screen.paint(reason.as_str(), Tone::Warn), reason.cause()));
    if !reason.fix().is_empty() {
        screen.line(&format!("  now: {}", reason.fix()));
    }
    screen.line(if reason.is_transient() {
        "  A run tries it again by itself, within its `retries`."
    } else {
        "  A run does not try it again by itself."
    });
}

const fn words(reason: Reason) -> ReasonWords {
    ReasonWords { reason, cause: reason.cause(), fix: reason.fix(), is_tried_again: reason.is_transient() }
}
