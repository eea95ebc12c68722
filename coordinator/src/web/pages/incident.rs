//! `/runs/{id}/incident.md`: the record of what happened to a run, to be kept and passed on.

use std::fmt::Write as _;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use landfall_proto::control::{Paging, Problem, Request, RunFilter};
use landfall_proto::id::RunId;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{AlertView, RunDetail, RunView};

use super::ask::told;
use super::{refusal, run};
use crate::cli::human::{bytes, instant, short, span};
use crate::edge::clock;
use crate::web::server::Site;

/// Runs behind the failed one that are looked at for its repair.
const LATER_RUNS: u32 = 100;

pub(super) async fn download(State(site): State<Site>, Path(id): Path<RunId>) -> Response {
    match gather(&site, id).await {
        Ok(text) => {
            let name = format!("attachment; filename=\"incident-{}.md\"", short(id));
            (
                [
                    (header::CONTENT_TYPE, "text/markdown; charset=utf-8".to_owned()),
                    (header::CONTENT_DISPOSITION, name),
                ],
                text,
            )
                .into_response()
        }
        Err(problem) => refusal(&problem),
    }
}

async fn gather(site: &Site, id: RunId) -> Result<String, Problem> {
    let detail = told!(site, Request::Run { id }, Run)?;
    let filter = RunFilter {
        node: Some(detail.run.node.clone()),
        routine: Some(detail.run.routine.clone()),
        ..RunFilter::default()
    };
    let paging = Paging { rows: Some(LATER_RUNS), after: None };
    let later = told!(site, Request::Runs { filter, paging: paging.clone() }, Runs)?;
    let alerts = told!(site, Request::Alerts { all: true, paging }, Alerts)?;
    let concerns = |alert: &&AlertView| {
        alert.alert.routine.as_ref() == Some(&detail.run.routine) && alert.alert.nodes.contains(&detail.run.node)
    };
    let alerts: Vec<&AlertView> = alerts.rows.iter().filter(concerns).collect();
    Ok(record(&detail, repair(&detail.run, &later.rows), &alerts, clock::now()))
}

/// The first run of the same task behind this one that is proven good.
fn repair<'a>(of: &RunView, runs: &'a [RunView]) -> Option<&'a RunView> {
    use landfall_proto::view::RunState::{Ok, Warning};
    let is_repair =
        |run: &&RunView| run.task == of.task && run.queued_at > of.queued_at && matches!(run.state, Ok | Warning);
    runs.iter().filter(is_repair).min_by_key(|run| run.queued_at)
}

/// The whole record as Markdown. Text of tools and people cannot begin a heading or leave its block.
pub(super) fn record(detail: &RunDetail, repair: Option<&RunView>, alerts: &[&AlertView], now: Timestamp) -> String {
    let run = &detail.run;
    let mut text = String::new();
    let mut say = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    say(format!("# Incident: {} of {} on {}, {}\n", run.task, run.routine, run.node, run.state.as_str()));
    say(format!("- Run: `{}`, round `{}`", run.id, run.round));
    say(format!(
        "- State: {}{}",
        run.state.as_str(),
        run.reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
    ));
    say(format!("- Started: {}", run.started_at.map_or_else(|| "never".to_owned(), instant)));
    say(format!("- Ended: {}", run.finished_at.map_or_else(|| "not yet".to_owned(), instant)));
    say(format!("- Duration: {}", run.duration_ms.map_or_else(|| "unknown".to_owned(), span)));
    if let Some(count) = run.bytes {
        say(format!("- Size: {}", bytes(count)));
    }
    if let Some(report) = &detail.report {
        say(format!("- Message: {}", plain(&report.message)));
        if let Some(exit) = report.exit {
            say(format!("- Exit: {}", run::ended(exit)));
        }
    }
    if !detail.cause.is_empty() {
        say(format!("- Cause: {}", detail.cause));
    }
    if !detail.fix.is_empty() {
        say(format!("- Suggested fix: {}", detail.fix));
    }
    say("\n## Timeline\n".to_owned());
    let mut steps: Vec<(Timestamp, String)> =
        detail.timeline.iter().map(|entry| (entry.at, plain(&entry.what))).collect();
    for alert in alerts {
        steps
            .push((alert.raised_at, format!("alert raised ({}): {}", alert.alert.severity, plain(&alert.alert.title))));
        steps.extend(alert.resolved_at.map(|at| (at, format!("alert resolved: {}", plain(&alert.alert.title)))));
        for sent in &alert.deliveries {
            let how = sent
                .error
                .as_ref()
                .map_or_else(|| "told".to_owned(), |error| format!("could not tell ({})", plain(error)));
            steps.push((sent.at, format!("{how} {}", plain(&sent.sink))));
        }
    }
    if let Some(repair) = repair {
        let proof = repair.snapshot.as_ref().map(|name| format!(", snapshot `{}`", plain(name))).unwrap_or_default();
        steps.push((
            repair.finished_at.unwrap_or(repair.queued_at),
            format!("repaired: run `{}` ended {}{proof}", repair.id, repair.state.as_str()),
        ));
    }
    steps.sort();
    for (at, what) in steps {
        say(format!("- {} — {what}", instant(at)));
    }
    say("\n## Repair\n".to_owned());
    say(match repair {
        Some(repair) => {
            format!("Verified by run `{}` at {}.", repair.id, instant(repair.finished_at.unwrap_or(repair.queued_at)))
        }
        None => "Not yet: no later run of this routine on this node has been proven good.".to_owned(),
    });
    let tail = detail.report.as_ref().map_or("", |report| &report.tail);
    if !tail.is_empty() {
        say("\n## Output\n".to_owned());
        for line in tail.lines() {
            say(format!("    {}", line.replace('\r', "")));
        }
    }
    say(format!("\nWritten by Landfall at {}.", instant(now)));
    text
}

/// One line, without anything that Markdown or HTML would act on.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '`' | '[' | ']' | '*' | '#' | '!' | '|' | '\\' => {
                safe.push('\\');
                safe.push(letter);
            }
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}
