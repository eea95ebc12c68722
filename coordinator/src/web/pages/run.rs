//! One run: what it is, its life in steps, what went wrong and what to do, its log as it grows.

use landfall_proto::control::{Problem, Request};
use landfall_proto::id::RunId;
use landfall_proto::report::{Exit, ProofLevel, RunReport, TaskKind};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::Witness;
use landfall_proto::view::{RunDetail, RunState, RunView};
use maud::{Markup, html};

use super::ask::told;
use super::log::{self, Tail};
use super::shown::{Glance, Shown};
use super::{acts, queue};
use crate::cli::human::short;
use crate::web::markup::{
    self, Section, bytes_or_dash, count_or_dash, dash, dash_because, said, span_or_dash, tag, time, when,
};

pub(super) async fn show(glance: Glance<'_>, id: RunId) -> Result<Shown, Problem> {
    let Glance { site, query, now, memory } = glance;
    let detail = told!(site, Request::Run { id }, Run)?;
    let run = &detail.run;
    let is_alive = is_alive(run.state);
    let shown = Shown::new(format!("Run {} on {}", short(run.id), run.node), Section::Queue)
        .fixed(acts::told(query))
        .live("run-head", &head(run, now))
        .live(
            "run-now",
            &html! { @if is_alive { section.card.flush { h2 { "At this moment" } (queue::work(run, now)) } } },
        )
        .live("run-error", &error(&detail))
        .live(
            "run-facts",
            &html! { div.two { (facts(&detail, now)) div.stack { (timeline(&detail)) (options(&detail)) } } },
        );
    // The stream follows the log by itself: only the first page asks for its end.
    if memory.has_page {
        return Ok(shown);
    }
    let tail = if run.started_at.is_some() { Some(log::tail(site, id).await) } else { None };
    Ok(shown.fixed(log_card(run, tail)).live("run-tail", &output(&detail)).fixed(criteria(run.task)))
}

/// When such a run counts as good, and what goes wrong most.
fn criteria(task: TaskKind) -> Markup {
    html! {
        details.card {
            summary { "What counts as good, and what goes wrong most" }
            p { "A " (task) " is good when " (task.good_when()) "." }
            dl.facts {
                @for reason in task.common_failures() { dt.mono { (reason) } dd { (reason.cause()) " " (reason.fix()) } }
            }
        }
    }
}

/// All that is known of the run but its log, in one piece.
#[cfg(test)]
pub(super) fn body(detail: &RunDetail, now: Timestamp) -> Markup {
    html! { (head(&detail.run, now)) (error(detail)) (facts(detail, now)) (timeline(detail)) (options(detail)) (output(detail)) }
}

const fn is_alive(state: RunState) -> bool {
    matches!(state, RunState::Sent | RunState::Running | RunState::Cancelling | RunState::Unknown)
}

fn head(run: &RunView, now: Timestamp) -> Markup {
    html! {
        div.head {
            div {
                h1 { (run.routine) " on " (run.node) " " (tag(markup::of_state(run.state), run.state.as_str())) }
                p.sub {
                    (run.task) " · run " span.mono { (run.id) } " · part of "
                    a href={ "/rounds/" (run.round) } { "its round" }
                }
            }
            div.acts {
                (acts::of_run(run, now))
                a.button.small href={ "/runs/" (run.id) "/incident.md" } { "Incident record" }
            }
        }
        @if run.state == RunState::Cancelling {
            p.banner {
                "Cancelling: its processes are being ended, and what they locked is freed. It is cancelled when the node has said that they are gone."
            }
        }
        @if run.state == RunState::Unknown {
            p.banner {
                "The node is not heard, so what this run does is unknown: neither failed nor good. The node keeps its result and tells it when it is back."
            }
        }
        @if let Some(wait) = &run.waits_for { p.banner { strong { "Waiting" } (wait) } }
    }
}

fn error(detail: &RunDetail) -> Markup {
    let run = &detail.run;
    let is_error = matches!(
        run.state,
        RunState::Failed
            | RunState::Partial
            | RunState::Lost
            | RunState::Skipped
            | RunState::Warning
            | RunState::Cancelled
    );
    let Some(reason) = run.reason.filter(|_| is_error) else { return html! {} };
    let is_bad = matches!(run.state, RunState::Failed | RunState::Lost | RunState::Partial);
    html! {
        section class={ "card answer " @if is_bad { "bad" } @else { "warn" } } {
            div.sign aria-hidden="true" { @if is_bad { "✕" } @else { "!" } }
            div {
                h2 { (reason) }
                @if let Some(report) = &detail.report { p { (report.message) } }
                dl.facts {
                    @if let Some(exit) = detail.report.as_ref().and_then(|report| report.exit) {
                        dt { "Exit" } dd { (ended(exit)) }
                    }
                    dt { "Cause" } dd { (said(&detail.cause)) }
                    @if !detail.fix.is_empty() { dt { "Suggested fix" } dd { (said(&detail.fix)) } }
                }
            }
        }
    }
}

pub(super) fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}

fn facts(detail: &RunDetail, now: Timestamp) -> Markup {
    let (run, report) = (&detail.run, detail.report.as_ref());
    html! {
        section.card {
            h2 { "Facts" }
            dl.facts {
                dt { "Node" } dd { a href={ "/nodes/" (run.node) } { (run.node) } }
                dt { "Routine" } dd { a href={ "/routines/" (run.routine) } { (run.routine) } }
                dt { "Slot" }
                dd {
                    @match run.slot {
                        Some(at) => (when(at)), None => { (dash_because("it was not started by a schedule")) }
                    }
                }
                dt { "Queued" } dd { (time(run.queued_at, now)) }
                dt { "Started" } dd { @match run.started_at { Some(at) => (time(at, now)), None => (dash()) } }
                dt { "Finished" } dd { @match run.finished_at { Some(at) => (time(at, now)), None => (dash()) } }
                dt { "Duration" } dd { (span_or_dash(run.duration_ms)) }
                dt { "Attempts" } dd { (run.attempts) }
                dt { "Files" } dd { (count_or_dash(run.files)) (changed(report)) }
                dt { "Size" } dd { (bytes_or_dash(run.bytes)) }
                dt { "Added" } dd { (bytes_or_dash(run.added_bytes)) }
                dt { "Proven" } dd { (proof(report)) }
                dt #snapshot { "Snapshot" }
                dd.mono {
                    @match run.snapshot.as_deref().filter(|name| !name.is_empty()) {
                        Some(name) => (name), None => (dash())
                    }
                }
                dt { "Repository" }
                dd.mono { @match &run.repository { Some(repository) => (repository.as_str()), None => (dash()) } }
                dt { "Witness" } dd { (witness(run.witness.as_ref())) }
            }
            @if let Some(report) = report { (unread(report)) }
            @if !detail.findings.is_empty() {
                h2 { "Findings" }
                ul { @for finding in &detail.findings { li { (finding.message) } } }
            }
            p.sub { "The same in a terminal: " code { "landfall runs " (short(run.id)) } }
        }
    }
}

fn changed(report: Option<&RunReport>) -> Markup {
    let Some(statistics) = report.map(|report| &report.statistics) else { return html! {} };
    html! {
        @if statistics.files_new.is_some() || statistics.files_changed.is_some() {
            span.t-dim {
                " (" (count_or_dash(statistics.files_new)) " new, " (count_or_dash(statistics.files_changed))
                " changed)"
            }
        }
    }
}

fn proof(report: Option<&RunReport>) -> Markup {
    let Some(evidence) = report.and_then(|report| report.evidence.as_ref()) else {
        return dash_because("nothing was read back from the destination for this run");
    };
    let level = match evidence.level {
        ProofLevel::Exit => "nothing but the program's word",
        ProofLevel::Landed => "it landed: read back from the destination",
        ProofLevel::Structure => "its structure was read and is whole",
        ProofLevel::Data => "its data was read and is whole",
        ProofLevel::Restored => "it was restored and compared",
    };
    html! {
        (level) @if !evidence.covers_sources { ", " b.t-bad { "without every source" } } ", " (when(evidence.read_at))
    }
}

pub(super) fn witness(witness: Option<&Witness>) -> Markup {
    match witness {
        None => dash_because("no neighbour was asked"),
        Some(Witness::Confirmed { by }) => html! { "✓ " (by) " saw it" },
        Some(Witness::Contradicted { by }) => html! { b.t-bad { "✕ not seen by " (by) } },
        Some(Witness::Pending) => html! { "being looked at" },
        Some(Witness::Unwitnessed) => html! { span.t-dim { "no other node can read the destination" } },
    }
}

fn unread(report: &RunReport) -> Markup {
    html! {
        @if report.unread.count > 0 {
            details { summary { (report.unread.count) " sources could not be read" }
                ul { @for name in &report.unread.names { li.mono { (name) } } } }
        }
    }
}

/// What the plan says; secrets are not masked here, because they never leave their node.
fn options(detail: &RunDetail) -> Markup {
    html! {
        @if !detail.options.is_empty() {
            section.card {
                h2 { "Options" }
                dl.facts { @for (name, value) in &detail.options { dt { (name) } dd { (value) } } }
                p.sub { "Secrets stay on the node and are never sent." }
            }
        }
    }
}

fn timeline(detail: &RunDetail) -> Markup {
    html! {
        section.card {
            h2 { "Timeline" }
            ol.steps { @for entry in &detail.timeline { li { (when(entry.at)) span { (entry.what) } } } }
        }
    }
}

fn log_card(run: &RunView, tail: Option<Result<Tail, Problem>>) -> Markup {
    html! {
        section.card.flush #log-card {
            div.pages {
                b { "Log" }
                @if run.started_at.is_some() { a href={ "/runs/" (run.id) "/log.txt" } { "Download" } }
                @if matches!(&tail, Some(Ok(tail)) if tail.is_cut) { span { "Its end; the download has all of it." } }
            }
            @match tail {
                Some(Ok(tail)) => (log_lines(tail.offset, false, &tail.lines)),
                Some(Err(problem)) => {
                    p.empty { (problem.what) ": " (problem.why) ". " (problem.fix) }
                    (log_lines(0, true, &html! {}))
                },
                None => {
                    p.empty.sub { "It has not started, so there is no log." }
                    @if run.state == RunState::Queued || is_alive(run.state) { (log_lines(0, true, &html! {})) }
                },
            }
        }
    }
}

/// Where the script puts what follows; hidden until there is something.
fn log_lines(offset: u64, hidden: bool, lines: &Markup) -> Markup {
    html! {
        div.log #log role="log" tabindex="0" aria-label="Log" data-offset=(offset) hidden[hidden] { (lines) }
    }
}

/// What the report itself kept of the output, for when the node is gone with its log.
fn output(detail: &RunDetail) -> Markup {
    let tail = detail.report.as_ref().map_or("", |report| &report.tail);
    html! {
        @if !tail.is_empty() { details.card { summary { "The output's end, as the report has it" } pre { (tail) } } }
    }
}
