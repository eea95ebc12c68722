//! `runs`: what was run on this node, from its receipts. Works whether or not a daemon lives.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use landfall_proto::id::{RoutineName, RunId};
use landfall_proto::report::{Reason, RunReport, TaskKind, Trigger};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::view::RunState;
use serde::Serialize;

use super::{completion, print};
use crate::config::Config;
use crate::edge::receipt::{Receipt, Runs as Directories, Trace};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall-agent runs\n  landfall-agent runs 6f1c           one run and its log; the beginning of its id is enough\n  landfall-agent runs --json | jq '.runs[] | select(.state == \"failed\")'"
)]
pub(super) struct Runs {
    /// A run's id, or its beginning
    #[arg(add = completion::runs())]
    id: Option<String>,
    /// Rows at most
    #[arg(long, short = 'n', default_value_t = 30)]
    rows: usize,
    /// Print JSON with stable field names
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listing {
    runs: Vec<Row>,
}

#[derive(Serialize)]
pub(super) struct Row {
    pub(super) id: RunId,
    pub(super) routine: RoutineName,
    pub(super) task: TaskKind,
    trigger: Trigger,
    slot: Option<Timestamp>,
    /// Without a receipt a run is under way, or its agent ended before it.
    pub(super) state: RunState,
    reason: Option<Reason>,
    attempt: u32,
    pub(super) started_at: Timestamp,
    finished_at: Option<Timestamp>,
    duration_ms: Option<u64>,
    report: Option<RunReport>,
}

impl Runs {
    pub(super) fn main(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let path = config.state_dir.join("runs");
        if !path.is_dir() {
            bail!(
                "{} does not exist: nothing has run here yet, or the configuration names another state_dir",
                path.display()
            );
        }
        let directories =
            Directories::new(path.clone()).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut rows: Vec<Row> = directories.traces()?.into_iter().map(row).collect();
        rows.reverse();
        match &self.id {
            Some(id) => self.one(&directories, rows, id),
            None => self.list(rows),
        }
    }

    fn list(&self, mut rows: Vec<Row>) -> anyhow::Result<ExitCode> {
        rows.truncate(self.rows);
        if self.json {
            print::json(&Listing { runs: rows })?;
            return Ok(ExitCode::SUCCESS);
        }
        let cells = rows.iter().map(|row| {
            let report = row.report.as_ref();
            let bytes = report.and_then(|report| report.evidence.as_ref()).map(|evidence| print::size(evidence.bytes));
            let took = row.finished_at.map(|finished_at| print::took(between(row.started_at, finished_at)));
            vec![
                row.id.to_string()[..8].to_owned(),
                row.routine.to_string(),
                row.task.to_string(),
                print::moment(row.started_at),
                took.unwrap_or_default(),
                row.state.as_str().to_owned(),
                row.reason.map(|reason| reason.to_string()).unwrap_or_default(),
                bytes.unwrap_or_default(),
            ]
        });
        print::table(&["RUN", "PLAN", "TASK", "STARTED", "TOOK", "STATE", "REASON", "SIZE"], cells.collect());
        Ok(ExitCode::SUCCESS)
    }

    fn one(&self, directories: &Directories, rows: Vec<Row>, id: &str) -> anyhow::Result<ExitCode> {
        let mut found: Vec<Row> = rows.into_iter().filter(|row| row.id.to_string().starts_with(id)).collect();
        if found.len() > 1 {
            bail!("{} runs begin with {id}; give more of the id", found.len());
        }
        let Some(row) = found.pop() else {
            bail!("no run on this node begins with {id}; `landfall-agent runs` lists them")
        };
        if self.json {
            print::json(&row)?;
            return Ok(ExitCode::SUCCESS);
        }
        print::line(&format!("{} of {}, run {}: {}", row.task, row.routine, row.id, row.state.as_str()));
        if let Some(report) = &row.report {
            describe(report);
        }
        print::line(&format!("log: {}", directories.directory(row.id).join("log").display()));
        let mut offset = 0;
        while let Some(piece) = directories.read_log(row.id, offset)? {
            print::text(&piece.text);
            offset = piece.next_offset;
            if piece.is_end {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What happened, why, and what to do.
pub(super) fn describe(report: &RunReport) {
    print::line(&report.message);
    if !report.outcome.is_good() {
        print::line(&format!("cause: {}", report.reason.cause()));
        if !report.reason.fix().is_empty() {
            print::line(&format!("fix:   {}", report.reason.fix()));
        }
    }
    if let Some(evidence) = &report.evidence {
        print::line(&format!(
            "snapshot {}: {} files, {}",
            evidence.snapshot,
            evidence.files,
            print::size(evidence.bytes)
        ));
    }
    for finding in &report.findings {
        print::line(&format!("note:  {finding}"));
    }
}

pub(super) fn row(trace: Trace) -> Row {
    match trace {
        Trace::Ended(receipt) => {
            let Receipt { about, attempt, report } = *receipt;
            Row {
                id: about.run,
                routine: about.routine,
                task: about.task,
                trigger: about.trigger,
                slot: about.slot,
                state: RunState::of(report.outcome),
                reason: Some(report.reason),
                attempt,
                started_at: report.started_at,
                finished_at: Some(report.finished_at),
                duration_ms: Some(between(report.started_at, report.finished_at).as_ms()),
                report: Some(report),
            }
        }
        Trace::Interrupted { intent, mark } => Row {
            id: intent.about.run,
            routine: intent.about.routine,
            task: intent.about.task,
            trigger: intent.about.trigger,
            slot: intent.about.slot,
            state: if mark.is_some() { RunState::Running } else { RunState::Unknown },
            reason: None,
            attempt: intent.attempt,
            started_at: intent.begun_at,
            finished_at: None,
            duration_ms: None,
            report: None,
        },
    }
}
