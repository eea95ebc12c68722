//! `landfall rounds [ID]`: rounds with their verdicts, or one with its runs.

use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::{Paging, Request};
use landfall_proto::fact::coordinator::OpenedBy;
use landfall_proto::id::{RoundId, RoutineName};
use landfall_proto::report::TaskKind;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{Page, RoundDetail, RoundView, RunView};

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::{BAD, Failure};
use super::human::{
    ago, bytes_or_dash, dash, instant, number_or_dash, short, short_round, span_or_dash, state_tone, verdict_tone,
    witness,
};
use super::screen::Screen;
use crate::edge::clock;

/// Pages that are searched for a shortened id.
const SEARCH_PAGES_MAX: usize = 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall rounds\n  landfall rounds --routine nightly --rows 20\n  landfall rounds 3f2a1b"
)]
pub(super) struct Rounds {
    /// One round; the first letters of its id are enough
    #[arg(add = ArgValueCompleter::new(Live::Rounds))]
    id: Option<String>,
    /// Only rounds of this routine
    #[arg(long, add = ArgValueCompleter::new(Live::Routines))]
    routine: Option<RoutineName>,
    /// Only rounds without a verdict
    #[arg(long)]
    open: bool,
    /// How many
    #[arg(long, default_value_t = 20)]
    rows: u32,
}

pub(super) async fn run(options: &Rounds, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    if let Some(text) = &options.id {
        let id = resolve(text, mesh).await?;
        let detail = expect_reply!(mesh.ask(&Request::Round { id }).await?, Round)?;
        if screen.json {
            screen.json_answer(&detail);
        } else {
            show(&detail, screen);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let paging = Paging { rows: Some(options.rows), after: None };
    let request = Request::Rounds { routine: options.routine.clone(), open: options.open.then_some(true), paging };
    let page = expect_reply!(mesh.ask(&request).await?, Rounds)?;
    if screen.json {
        screen.json_answer(&page);
    } else {
        list(&page, clock::now(), screen);
    }
    Ok(ExitCode::SUCCESS)
}

/// The round whose id begins so; it must be the only one.
pub(super) async fn resolve(text: &str, mesh: &Mesh) -> Result<RoundId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let mut found: Vec<RoundId> = Vec::new();
    let mut after = None;
    for _ in 0..SEARCH_PAGES_MAX {
        let paging = Paging { rows: None, after };
        let page = expect_reply!(mesh.ask(&Request::Rounds { routine: None, open: None, paging }).await?, Rounds)?;
        found.extend(page.rows.iter().map(|round| round.id).filter(|id| id.to_string().starts_with(text)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    only_one("round", text, &found)
}

/// The one thing that a shortened id means.
pub(super) fn only_one<T: Copy + PartialEq + ToString>(what: &str, text: &str, found: &[T]) -> Result<T, Failure> {
    match found {
        [one] => Ok(*one),
        [] => Err(Failure::new(
            BAD,
            format!("there is no {what} {text}"),
            "no id begins so",
            format!("`landfall {what}s` lists them"),
        )),
        many => {
            let ids: Vec<String> = many.iter().take(5).map(ToString::to_string).collect();
            Err(Failure::new(
                BAD,
                format!("{text} is not one {what}"),
                format!("it begins {}", ids.join(", ")),
                "give more letters",
            ))
        }
    }
}

fn list(page: &Page<RoundView>, now: Timestamp, screen: &Screen) {
    if page.rows.is_empty() {
        screen.note("no round yet; `landfall start ROUTINE` opens one");
        return;
    }
    let rows = page.rows.iter().map(|round| row(round, now, screen)).collect();
    screen.table(&["ROUND", "ROUTINE", "TASK", "OPENED", "BY", "GOOD", "VERDICT"], rows);
    if page.next.is_some() {
        screen.note("more with --rows");
    }
}

fn row(round: &RoundView, now: Timestamp, screen: &Screen) -> Vec<String> {
    let name = round.by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
    let opened_by = match &round.opened_by {
        OpenedBy::Slot => "slot".to_owned(),
        OpenedBy::Operator => format!("operator{name}"),
        OpenedBy::Retry { of } => format!("retry of {}{name}", short(of)),
        OpenedBy::Node => "node".to_owned(),
    };
    vec![
        short_round(round.id),
        round.routine.to_string(),
        round.task.to_string(),
        ago(round.opened_at, now),
        opened_by,
        format!("{}/{}", round.good, round.expected),
        round.verdict.map_or_else(|| "converging".to_owned(), |kind| screen.paint(kind.as_str(), verdict_tone(kind))),
    ]
}

/// A whole round for people: the verdict's line, the table of its nodes, what came late.
pub(super) fn show(detail: &RoundDetail, screen: &Screen) {
    let round = &detail.round;
    let by = round.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    screen.line(&format!(
        "round {}  {} {}  opened {}{by}  deadline {}  rule {}",
        round.id,
        round.routine,
        round.task,
        instant(round.opened_at),
        instant(round.deadline),
        round.rule
    ));
    verdict_line(detail, screen);
    screen.line("");
    runs_table(&detail.runs, screen);
    for late in &detail.late {
        screen.line(&format!("late: {} {}", instant(late.at), late.what));
    }
}

pub(super) fn verdict_line(detail: &RoundDetail, screen: &Screen) {
    let round = &detail.round;
    match &detail.verdict {
        Some(verdict) => screen.line(&format!(
            "verdict: {} — {}",
            screen.paint(verdict.kind.as_str(), verdict_tone(verdict.kind)),
            verdict.summary
        )),
        None => screen.line(&format!(
            "converging: {} good, {} not good, {} still to report",
            round.good, round.bad, round.missing
        )),
    }
}

pub(super) fn runs_table(runs: &[RunView], screen: &Screen) {
    let header =
        ["NODE", "OUTCOME", "REASON", "FILES", "BYTES", "ADDED", "DURATION", "SNAPSHOT", "WITNESSED BY", "RUN"];
    let rows = runs
        .iter()
        .map(|run| {
            let why = run.waits_for.as_ref().map(ToString::to_string);
            let task = if run.task == TaskKind::Check { " (check)" } else { "" };
            vec![
                format!("{}{task}", run.node),
                screen.paint(run.state.as_str(), state_tone(run.state)),
                why.or_else(|| run.reason.map(|reason| reason.to_string())).unwrap_or_else(dash),
                number_or_dash(run.files),
                bytes_or_dash(run.bytes),
                bytes_or_dash(run.added_bytes),
                span_or_dash(run.duration_ms),
                run.snapshot.as_ref().map_or_else(dash, short),
                witness(run.witness.as_ref()),
                short(run.id),
            ]
        })
        .collect();
    screen.table(&header, rows);
}
