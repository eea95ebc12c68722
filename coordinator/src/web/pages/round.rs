//! Rounds: the list, and one as a grid of its nodes that fills while it converges, with its verdict and reasons.

use landfall_proto::control::{Paging, Problem, Request};
use landfall_proto::id::{RoundId, RoutineName};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::{Standing, Verdict, VerdictKind};
use landfall_proto::view::{RoundDetail, RunState, RunView};
use maud::{Markup, html};

use super::ask::told;
use super::list::{self, RunColumns};
use super::shown::{Glance, Shown};
use super::{acting, acts, run};
use crate::cli::human::short_round;
use crate::web::access::Role;
use crate::web::markup::{Section, Tone, dash_because, of_state, tag, time, when};

const ROWS: u32 = 30;

pub(super) async fn list(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let routine = query.get("routine").and_then(|name| name.parse::<RoutineName>().ok());
    let open = query.get("open").map(|open| open == "yes");
    let paging = Paging { rows: Some(ROWS), after: query.get("after").map(str::to_owned) };
    let page = told!(site, Request::Rounds { routine: routine.clone(), open, paging }, Rounds)?;
    Ok(Shown::new("Rounds", Section::Rounds)
        .fixed(html! {
            div.head {
                h1 { "Rounds" @if let Some(routine) = &routine { " of " (routine) } }
                span.sub { "One round is one slot of a routine on all of its nodes. It ends in exactly one verdict." }
            }
        })
        .live("list", &html! { section.card.flush { (list::rounds(&page.rows, now)) (list::more(query, "/rounds", page.next.as_deref())) } }))
}

pub(super) async fn show(glance: Glance<'_>, id: RoundId) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let detail = told!(site, Request::Round { id }, Round)?;
    Ok(Shown::new(format!("Round of {}", detail.round.routine), Section::Rounds)
        .fixed(acts::told(query))
        .live("round-head", &html! { (head(&detail, now)) (verdict(&detail)) })
        .live(
            "round-grid",
            &html! { section.card { h2 { "Nodes" } div.grid { @for run in &detail.runs { (cell(run)) } } } },
        )
        .live("round-more", &html! { div.two { (facts(&detail, now)) (late(&detail)) } (runs(&detail, now)) }))
}

fn head(detail: &RoundDetail, now: Timestamp) -> Markup {
    let round = &detail.round;
    html! {
        div.head {
            div {
                h1 { a href={ "/routines/" (round.routine) } { (round.routine) } " " (list::verdict(round)) }
                p.sub {
                    (round.task) " · round " span.mono { (short_round(round.id)) } " · opened "
                    (time(round.opened_at, now)) " by " (list::opened_by(&round.opened_by))
                    @if let Some(by) = &round.by { " (" (by) ")" }
                }
            }
            div.acts {
                @if round.verdict.is_none() && acting::may(Role::Operator) {
                    form.inline method="post" action={ "/rounds/" (round.id) "/cancel" } {
                        (acts::token()) button.danger type="submit" { "Cancel the round" }
                    }
                }
            }
        }
        @let done = round.good + round.bad;
        progress max=(round.expected.max(1)) value=(done) { (done) " of " (round.expected) }
        p.sub {
            (list::standing(round))
            @if round.verdict.is_none() { " · a verdict falls at the latest " (time(round.deadline, now)) }
        }
    }
}

fn verdict(detail: &RoundDetail) -> Markup {
    let Some(verdict) = &detail.verdict else { return html! {} };
    let class = match verdict.kind {
        VerdictKind::Converged => "good",
        VerdictKind::Diverged | VerdictKind::Overdue => "bad",
    };
    html! {
        section class={ "card answer " (class) } {
            div.sign aria-hidden="true" { @if class == "good" { "✓" } @else { "✕" } }
            div {
                h2 { (verdict.kind) ": " (verdict.summary) }
                @if verdict.late { p.sub { "Judged after its deadline: the coordinator did not see the log then." } }
                ul { @for node in reasons(verdict) { li { (node) } } }
            }
        }
    }
}

/// Each node that is not good, and why.
fn reasons(verdict: &Verdict) -> Vec<Markup> {
    let is_told = |standing: Standing| standing != Standing::Good;
    let said = verdict.nodes.iter().filter(|node| is_told(node.standing)).map(|node| {
        let standing = match node.standing {
            Standing::Good => "good",
            Standing::Bad => "bad",
            Standing::Missing => "missing",
        };
        html! {
            a href={ "/nodes/" (node.node) } { (node.node) } " is " b { (standing) }
            @if let Some(reason) = node.reason { ": " (reason.cause()) }
        }
    });
    said.collect()
}

fn cell(run: &RunView) -> Markup {
    let tone = of_state(run.state);
    html! {
        a class={ "cell " (tone.class()) } id={ "c-" (run.id) } href={ "/runs/" (run.id) } {
            b { (run.node) }
            span { span aria-hidden="true" { (tone.mark()) } (run.state.as_str()) }
            @if run.state == RunState::Running {
                @let progress = run.progress.as_ref();
                @if let Some(phase) = run.phase { span.sub { (phase.as_str()) @if let Some(percent) = progress.and_then(|progress| progress.percent) { ", " (percent) " %" } } }
            }
            @if let Some(reason) = list::reason(run) { span.sub { (reason) } }
            @if let Some(wait) = &run.waits_for { span.sub { (wait) } }
        }
    }
}

fn facts(detail: &RoundDetail, now: Timestamp) -> Markup {
    let round = &detail.round;
    html! {
        section.card {
            h2 { "Facts" }
            dl.facts {
                dt { "Round" } dd.mono { (round.id) }
                dt { "Slot" }
                dd {
                    @match round.slot {
                        Some(at) => (when(at)), None => (dash_because("it was not opened by a schedule"))
                    }
                }
                dt { "Deadline" } dd { (when(round.deadline)) " (" (time(round.deadline, now)) ")" }
                dt { "Converges by" } dd { (rule(&round.rule.to_string())) }
                dt { "Expected" } dd { (round.expected) " nodes, frozen when it was opened" }
                dt { "Concluded" } dd { @match round.concluded_at { Some(at) => (when(at)), None => "not yet" } }
            }
        }
    }
}

/// The rule with what it means.
pub(super) fn rule(rule: &str) -> Markup {
    let means = if rule == "all" {
        "every expected node has a good backup".to_owned()
    } else if rule.starts_with("quorum") {
        "so many nodes have a good backup".to_owned()
    } else {
        "each value of that label is covered by a good backup".to_owned()
    };
    html! { code { (rule) } ": " (means) }
}

fn late(detail: &RoundDetail) -> Markup {
    html! {
        section.card {
            h2 { "After the verdict" }
            @if detail.late.is_empty() {
                p.sub { @if detail.verdict.is_some() { "Nothing arrived late." } @else { "There is no verdict yet. What arrives after it will be listed here and will not change it." } }
            } @else {
                ol.steps { @for entry in &detail.late { li { (when(entry.at)) span { (entry.what) } } } }
            }
        }
    }
}

fn runs(detail: &RoundDetail, now: Timestamp) -> Markup {
    html! {
        section.card.flush {
            h2 { "Runs" }
            @if detail.runs.iter().any(|run| run.witness.is_some()) {
                p.note.sub { "Seen at the destination by a neighbour: "
                    @for run in detail.runs.iter().filter(|run| run.witness.is_some()).take(50) { (run.node) " " (run::witness(run.witness.as_ref())) ". " } }
            }
            (list::runs(&detail.runs, now, RunColumns::Node))
            @if detail.runs.len() >= 500 {
                p.note { (tag(Tone::Plain, "500 runs are shown; `landfall runs --round` lists all")) }
            }
        }
    }
}
