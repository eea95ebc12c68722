//! `/runs/{id}/incident.md`: the record of what happened to a run, to be kept and passed on.

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
        alert.alert.routine.as_ref() == Some(&detail.run.routine)
            && alert.alert.nodes.contains(&detail.run.node)
            && alert.resolved_at.is_none_or(|at| at >= detail.run.queued_at)
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
    let mut lines =
        vec![format!("# Incident: {} of {} on {}, {}\n", run.task, run.routine, run.node, run.state.as_str())];
    lines.extend(facts(detail));
    lines.push("\n## Timeline\n".to_owned());
    let mut steps: Vec<(Timestamp, String)> =
        detail.timeline.iter().map(|entry| (entry.at, plain(&entry.what))).collect();
    steps.extend(alerts.iter().flat_map(|alert| told_by(alert)));
    if let Some(repair) = repair {
        let proof = repair.snapshot.as_ref().map(|name| format!(", snapshot {}", plain(name))).unwrap_or_default();
        let what = format!("repaired: run `{}` ended {}{proof}", repair.id, repair.state.as_str());
        steps.push((ended_at(repair), what));
    }
    steps.sort();
    lines.extend(steps.into_iter().map(|(at, what)| format!("- {} — {what}", instant(at))));
    lines.push("\n## Repair\n".to_owned());
    lines.push(match repair {
        Some(repair) => format!("Verified by run `{}` at {}.", repair.id, instant(ended_at(repair))),
        None => "Not yet: no later run of this routine on this node has been proven good.".to_owned(),
    });
    let tail = detail.report.as_ref().map_or("", |report| &report.tail);
    if !tail.is_empty() {
        lines.push("\n## Output\n".to_owned());
        lines.extend(tail.lines().map(|line| format!("    {}", line.replace('\r', ""))));
    }
    lines.push(format!("\nWritten by Landfall at {}.\n", instant(now)));
    lines.join("\n")
}

fn ended_at(run: &RunView) -> Timestamp {
    run.finished_at.unwrap_or(run.queued_at)
}

fn facts(detail: &RunDetail) -> Vec<String> {
    let run = &detail.run;
    let reason = run.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let mut facts = vec![
        format!("- Run: `{}`, round `{}`", run.id, run.round),
        format!("- State: {}{reason}", run.state.as_str()),
        format!("- Started: {}", run.started_at.map_or_else(|| "never".to_owned(), instant)),
        format!("- Ended: {}", run.finished_at.map_or_else(|| "not yet".to_owned(), instant)),
        format!("- Duration: {}", run.duration_ms.map_or_else(|| "unknown".to_owned(), span)),
    ];
    facts.extend(run.bytes.map(|count| format!("- Size: {}", bytes(count))));
    if let Some(report) = &detail.report {
        facts.push(format!("- Message: {}", plain(&report.message)));
        facts.extend(report.exit.map(|exit| format!("- Exit: {}", run::ended(exit))));
    }
    for (name, words) in [("Cause", &detail.cause), ("Suggested fix", &detail.fix)] {
        if !words.is_empty() {
            facts.push(format!("- {name}: {}", one_line(words)));
        }
    }
    facts
}

/// What became of one alert, and who was told.
fn told_by(view: &AlertView) -> Vec<(Timestamp, String)> {
    let title = plain(&view.alert.title);
    let mut steps = vec![(view.raised_at, format!("alert raised ({}): {title}", view.alert.severity))];
    if let Some(stakes) = &view.alert.stakes
        && let Some(called) = stakes.called()
    {
        steps.push((view.raised_at, format!("to be called: {}", plain(&called))));
    }
    steps.extend(view.resolved_at.map(|at| (at, format!("alert resolved: {title}"))));
    for sent in &view.deliveries {
        let sink = plain(&sent.sink);
        let how = match &sent.error {
            None => format!("told {sink}"),
            Some(error) => format!("could not tell {sink} ({})", plain(error)),
        };
        steps.push((sent.at, how));
    }
    steps
}

/// Our own words, which may be marked up, on one line.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
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
