//! Tables that several pages show: rounds, runs, and the links to the next part of a list.

use landfall_proto::fact::coordinator::OpenedBy;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{RoundView, RunView};
use maud::{Markup, html};

use super::acts;
use super::shown::Query;
use crate::cli::human::{short, short_round};
use crate::web::markup::{self, Tone, bytes_or_dash, dash, heads, span_or_dash, tag, time};

/// Links to the rows before and behind, where a list is passed over by number.
pub(super) fn turn(query: &Query, path: &str, found: u32, rows: u32) -> Markup {
    let from = query.number("from").unwrap_or(0);
    let until = found.min(from.saturating_add(rows));
    if from == 0 && found <= rows {
        return html! {};
    }
    let before = from.checked_sub(rows).filter(|before| *before > 0).map(|before| before.to_string());
    html! {
        nav.pages aria-label="Rows" {
            span { (from.saturating_add(1)) "–" (until) " of " (found) }
            @if from > 0 { a href=(query.with(path, "from", before.as_deref())) rel="prev" { "← Before" } }
            @if until < found { a href=(query.with(path, "from", Some(&until.to_string()))) rel="next" { "Next →" } }
        }
    }
}

/// Links to the beginning and to what follows, where a list is read from a mark on: the newest first.
pub(super) fn more(query: &Query, path: &str, next: Option<&str>) -> Markup {
    further(query, path, next, ["← Newest", "Older →"])
}

/// As [`more`], for lists of another order.
pub(super) fn further(query: &Query, path: &str, next: Option<&str>, [first, behind]: [&str; 2]) -> Markup {
    html! {
        @if next.is_some() || query.get("after").is_some() {
            nav.pages aria-label="Rows" {
                @if query.get("after").is_some() { a href=(query.with(path, "after", None)) { (first) } }
                @if let Some(next) = next { a href=(query.with(path, "after", Some(next))) rel="next" { (behind) } }
            }
        }
    }
}

/// The verdict, or how far it is from one.
pub(super) fn verdict(round: &RoundView) -> Markup {
    match round.verdict {
        Some(kind) => tag(markup::of_verdict(kind), kind.as_str()),
        None => tag(Tone::Busy, "converging"),
    }
}

pub(super) fn opened_by(by: &OpenedBy) -> &'static str {
    match by {
        OpenedBy::Slot => "schedule",
        OpenedBy::Operator => "operator",
        OpenedBy::Retry { .. } => "retry",
        OpenedBy::Node => "node",
    }
}

pub(super) fn rounds(rounds: &[RoundView], now: Timestamp) -> Markup {
    if rounds.is_empty() {
        return html! { p.empty { "No round yet. " code { "landfall start ROUTINE" } " opens one." } };
    }
    html! {
        div.scroll { table.fold {
            (heads(&["Round", "Verdict", "Nodes", "Opened", "By", "Concluded or due"]))
            tbody { @for round in rounds {
                tr id={ "r-" (round.id) } {
                    th scope="row" {
                        a href={ "/rounds/" (round.id) } { (round.routine) }
                        span.sub { (round.task) " · " span.mono { (short_round(round.id)) } }
                    }
                    td data-name="Verdict" { (verdict(round)) }
                    td data-name="Nodes" { (standing(round)) }
                    td.tight data-name="Opened" { (time(round.opened_at, now)) }
                    td data-name="By" { (opened_by(&round.opened_by)) @if let Some(by) = &round.by { span.sub { (by) } } }
                    td.tight data-name="Concluded" {
                        @match round.concluded_at {
                            Some(at) => (time(at, now)), None => { "due " (time(round.deadline, now)) }
                        }
                    }
                }
            } }
        } }
    }
}

/// `3 of 3 good, 1 bad`
pub(super) fn standing(round: &RoundView) -> Markup {
    html! {
        (round.good) " of " (round.expected) " good"
        @if round.bad > 0 { ", " b.t-bad { (round.bad) " bad" } }
        @if round.missing > 0 {
            ", "
            @if round.verdict.is_some() { b.t-bad { (round.missing) " missing" } } @else { (round.missing) " to come" }
        }
    }
}

/// Which columns a list of runs has beside the usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunColumns {
    Node,
    Routine,
    Both,
}

pub(super) fn runs(runs: &[RunView], now: Timestamp, columns: RunColumns) -> Markup {
    if runs.is_empty() {
        return html! { p.empty { "No run." } };
    }
    let (has_node, has_routine) = (columns != RunColumns::Routine, columns != RunColumns::Node);
    html! {
        div.scroll { table.fold.runs {
            thead { tr {
                th scope="col" { "Run" }
                @if has_node { th scope="col" { "Node" } }
                @if has_routine { th scope="col" { "Routine" } }
                th scope="col" { "Type" } th scope="col" { "Status" } th scope="col" { "Started" }
                th.num scope="col" { "Duration" }
                th.num scope="col" { "Size" } th scope="col" { "Actions" }
            } }
            tbody { @for run in runs {
                tr id={ "u-" (run.id) } {
                    th.mono scope="row" { a href={ "/runs/" (run.id) } { (short(run.id)) } }
                    @if has_node { td data-name="Node" { a href={ "/nodes/" (run.node) } { (run.node) } } }
                    @if has_routine {
                        td data-name="Routine" { a href={ "/routines/" (run.routine) } { (run.routine) } }
                    }
                    td data-name="Type" { (run.task) }
                    td data-name="Status" { (state(run)) }
                    td.tight data-name="Started" {
                        @match run.started_at { Some(at) => (time(at, now)), None => (dash()) }
                    }
                    td.num data-name="Duration" { (span_or_dash(run.duration_ms)) }
                    td.num data-name="Size" { (bytes_or_dash(run.bytes)) }
                    td.tight data-name="Actions" { (acts::of_run(run, now)) }
                }
            } }
        } }
    }
}

/// Why a run ended as it did, where that says more than its state.
pub(super) fn reason(run: &RunView) -> Option<&'static str> {
    let reason = run.reason.map(|reason| reason.as_str());
    reason.filter(|reason| *reason != "completed" && *reason != run.state.as_str())
}

/// The state with its reason.
pub(super) fn state(run: &RunView) -> Markup {
    html! {
        (tag(markup::of_state(run.state), run.state.as_str()))
        @if let Some(reason) = reason(run) { " " span.t-dim { (reason) } }
    }
}
