//! `landfall runs [ID]`: runs by node, routine, round and outcome, or one with its timeline.

use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::{Paging, Request, RunFilter};
use landfall_proto::id::{NodeId, RoutineName, RunId};
use landfall_proto::report::Outcome;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{Page, RunDetail, RunView};

use super::ask::{Mesh, expect_reply};
use super::completion::{self, Live};
use super::failure::{Failure, USAGE};
use super::human::{
    ago_or_dash, bytes_or_dash, dash, instant, number_or_dash, short, span_or_dash, state_tone, witness,
};
use super::rounds::{self, only_one};
use super::screen::{Screen, Tone};
use crate::edge::clock;

const SEARCH_PAGES_MAX: usize = 50;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall runs --open\n  landfall runs --node web-1 --outcome failed\n  landfall runs 9c41d2"
)]
pub(super) struct Runs {
    /// One run; the first letters of its id are enough
    #[arg(add = ArgValueCompleter::new(Live::Runs))]
    id: Option<String>,
    #[arg(long, add = ArgValueCompleter::new(Live::Nodes))]
    node: Option<NodeId>,
    #[arg(long, add = ArgValueCompleter::new(Live::Routines))]
    routine: Option<RoutineName>,
    #[arg(long, add = ArgValueCompleter::new(Live::Rounds))]
    round: Option<String>,
    /// ok, warning, partial, failed, skipped, cancelled or lost
    #[arg(long, value_parser = outcome, add = completion::outcomes())]
    outcome: Option<Outcome>,
    /// Only runs that have not ended
    #[arg(long, conflicts_with = "outcome")]
    open: bool,
    /// How many
    #[arg(long, default_value_t = 20)]
    rows: u32,
}

fn outcome(text: &str) -> Result<Outcome, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| "write ok, warning, partial, failed, skipped, cancelled or lost".to_owned())
}

pub(super) async fn run(options: &Runs, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    if let Some(text) = &options.id {
        let id = resolve(text, mesh).await?;
        let detail = expect_reply!(mesh.ask(&Request::Run { id }).await?, Run)?;
        if screen.json {
            screen.json_answer(&detail);
        } else {
            show(&detail, clock::now(), screen);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if options.rows == 0 {
        return Err(Failure::new(USAGE, "no rows are wanted", "--rows is 0", "write --rows 20"));
    }
    let round = match &options.round {
        Some(text) => Some(rounds::resolve(text, mesh).await?),
        None => None,
    };
    let filter = RunFilter {
        node: options.node.clone(),
        routine: options.routine.clone(),
        round,
        outcome: options.outcome,
        ended: options.open.then_some(false),
    };
    let paging = Paging { rows: Some(options.rows), after: None };
    let page = expect_reply!(mesh.ask(&Request::Runs { filter, paging }).await?, Runs)?;
    if screen.json {
        screen.json_answer(&page);
    } else {
        list(&page, clock::now(), screen);
    }
    Ok(ExitCode::SUCCESS)
}

/// The run whose id begins so; it must be the only one.
pub(super) async fn resolve(text: &str, mesh: &Mesh) -> Result<RunId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let mut found: Vec<RunId> = Vec::new();
    let mut after = None;
    for _ in 0..SEARCH_PAGES_MAX {
        let paging = Paging { rows: None, after };
        let page = expect_reply!(mesh.ask(&Request::Runs { filter: RunFilter::default(), paging }).await?, Runs)?;
        found.extend(page.rows.iter().map(|run| run.id).filter(|id| id.to_string().starts_with(text)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    only_one("run", text, &found)
}

fn list(page: &Page<RunView>, now: Timestamp, screen: &Screen) {
    if page.rows.is_empty() {
        screen.note("no such run");
        return;
    }
    let rows = page.rows.iter().map(|run| row(run, now, screen)).collect();
    screen.table(
        &["RUN", "NODE", "ROUTINE", "TASK", "STATE", "REASON", "STARTED", "DURATION", "BYTES", "SNAPSHOT"],
        rows,
    );
    if page.next.is_some() {
        screen.note("more with --rows");
    }
}

fn row(run: &RunView, now: Timestamp, screen: &Screen) -> Vec<String> {
    let why = run.waits_for.as_ref().map(ToString::to_string);
    vec![
        short(run.id),
        run.node.to_string(),
        run.routine.to_string(),
        run.task.to_string(),
        screen.paint(run.state.as_str(), state_tone(run.state)),
        why.or_else(|| run.reason.map(|reason| reason.to_string())).unwrap_or_else(dash),
        ago_or_dash(run.started_at, now),
        span_or_dash(run.duration_ms),
        bytes_or_dash(run.bytes),
        run.snapshot.as_ref().filter(|snapshot| !snapshot.is_empty()).map_or_else(dash, short),
    ]
}

fn show(detail: &RunDetail, now: Timestamp, screen: &Screen) {
    let run = &detail.run;
    screen.line(&format!("run {}  {} {} on {}", run.id, run.routine, run.task, run.node));
    screen.line(&format!("state    {}", screen.paint(run.state.as_str(), state_tone(run.state))));
    if let Some(wait) = &run.waits_for {
        screen.line(&format!("waits    {wait}"));
    }
    screen.line(&format!("round    {}", run.round));
    screen.line(&format!(
        "started  {}   duration {}   attempts {}",
        ago_or_dash(run.started_at, now),
        span_or_dash(run.duration_ms),
        run.attempts
    ));
    screen.line(&format!(
        "files    {}   bytes {}   added {}",
        number_or_dash(run.files),
        bytes_or_dash(run.bytes),
        bytes_or_dash(run.added_bytes)
    ));
    screen.line(&format!(
        "snapshot {}   repository {}   witness {}",
        run.snapshot.as_deref().unwrap_or("-"),
        run.repository.as_ref().map_or("-", |repository| repository.as_str()),
        witness(run.witness.as_ref())
    ));
    if let Some(report) = &detail.report {
        screen.line(&format!("reason   {} — {}", report.reason, report.message));
        for finding in &report.findings {
            screen.line(&format!("finding  {finding}"));
        }
        if report.unread.count > 0 {
            screen.line(&format!("unread   {}: {}", report.unread.count, report.unread.names.join(", ")));
        }
    }
    if !detail.cause.is_empty() {
        screen.line(&format!("cause    {}", detail.cause));
    }
    if !detail.fix.is_empty() {
        screen.line(&format!("now      {}", detail.fix));
    }
    screen.line("");
    for entry in &detail.timeline {
        screen.line(&format!("{}  {}", screen.paint(&instant(entry.at), Tone::Dim), entry.what));
    }
}
