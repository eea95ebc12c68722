//! A report to print: how everything stands, how well promises were kept in the last days, and what is open.

use landfall_proto::control::{Paging, Problem, Request};
use landfall_proto::overview::{BoardFilter, BoardView};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::{RoundView, RoutineView};
use maud::{Markup, html};

use super::alert;
use super::ask::told;
use super::monitor;
use super::shown::{Glance, Shown};
use super::{storage, trend};
use crate::web::markup::{Section, Tone, age, dash, heads, of_grade, tag, when};

/// Days that the report looks back.
const DAYS: u32 = 30;

/// Routines whose rounds are counted.
const ROUTINES_MAX: usize = 50;

/// Rounds of one routine that are counted.
const ROUNDS_MAX: u32 = 100;

/// Open alerts that are shown.
const OPEN: u32 = 20;

pub(super) async fn show(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, now, memory, .. } = glance;
    // It is made once, to be printed: nothing of it changes while it is open.
    if memory.has_page {
        return Ok(Shown::new("Report", Section::Report));
    }
    let open = Paging { rows: Some(OPEN), after: None };
    // Asked together, they wait for one turn of the coordinator's loop and not for one each.
    let (board, trends, storages, routines, open, monitors) = tokio::try_join!(
        async { told!(site, Request::Board { filter: BoardFilter::default() }, Board) },
        async { told!(site, Request::Trends { routine: None, node: None, days: DAYS }, Trends) },
        storage::all(site),
        async { told!(site, Request::Routines, Routines) },
        async { told!(site, Request::Alerts { all: false, paging: open }, Alerts) },
        async { told!(site, Request::Monitors { paging: Paging::default() }, Monitors) },
    )?;
    let mut kept = Vec::new();
    for routine in routines.iter().take(ROUTINES_MAX) {
        let paging = Paging { rows: Some(ROUNDS_MAX), after: None };
        let rounds =
            told!(site, Request::Rounds { routine: Some(routine.name.clone()), open: Some(false), paging }, Rounds)?;
        kept.push(compliance(routine, &rounds.rows, now));
    }
    Ok(Shown::new("Report", Section::Report)
        .fixed(html! { div.head { div { h1 { "Backup report of " (site.cluster) } p.sub { "As of " (when(now)) ", looking back " (DAYS) " days. Print it with the browser." } } } })
        .fixed(trend::summary(&trends.days, &storages))
        .fixed(html! { section.card.flush { h2 { "Rounds that converged" } (table(&kept)) } })
        .fixed(html! { section.card.flush { h2 { "Capacity" } (storage::table(&storages)) } })
        .fixed(html! { section.card.flush { h2 { "Where everything stands" } (standing(&board)) } })
        .fixed(html! { @if !monitors.monitors.is_empty() { section.card.flush { h2 { "Programs that only ping, by their own word" } (monitor::table(&monitors, now)) } } })
        .fixed(html! { section.stack { h2 { "Open alerts" } @if open.rows.is_empty() { p { "None." } } @for one in &open.rows { (alert::card(one, now)) } } }))
}

/// How many of a routine's rounds ended as promised.
struct Kept {
    routine: String,
    rpo_ms: Option<u64>,
    converged: u32,
    diverged: u32,
    overdue: u32,
    is_cut: bool,
}

fn compliance(routine: &RoutineView, rounds: &[RoundView], now: Timestamp) -> Kept {
    let recent = || rounds.iter().filter(|round| between(round.opened_at, now).as_ms() < u64::from(DAYS) * 86_400_000);
    let count = |kind: VerdictKind| {
        u32::try_from(recent().filter(|round| round.verdict == Some(kind)).count()).unwrap_or(u32::MAX)
    };
    Kept {
        routine: routine.name.to_string(),
        rpo_ms: routine.rpo_ms,
        converged: count(VerdictKind::Converged),
        diverged: count(VerdictKind::Diverged),
        overdue: count(VerdictKind::Overdue),
        is_cut: u32::try_from(recent().count()).is_ok_and(|count| count >= ROUNDS_MAX),
    }
}

fn table(kept: &[Kept]) -> Markup {
    html! {
        div.scroll { table.fold {
            (heads(&["Routine", "RPO", "#Converged", "#Diverged", "#Overdue", "#Compliance"]))
            tbody { @for one in kept {
                @let all = one.converged + one.diverged + one.overdue;
                tr { th scope="row" { (one.routine) @if one.is_cut { span.sub { "the last " (ROUNDS_MAX) " rounds" } } }
                    td data-name="RPO" { @match one.rpo_ms { Some(rpo) => (age(rpo)), None => (dash()) } }
                    td.num data-name="Converged" { (one.converged) } td.num data-name="Diverged" { (one.diverged) }
                    td.num data-name="Overdue" { (one.overdue) }
                    td.num data-name="Compliance" { @if all > 0 { b { (trend::percent(one.converged, all)) } } @else { (dash()) } } }
            } }
        } }
    }
}

fn standing(board: &BoardView) -> Markup {
    html! {
        div.scroll { table.fold {
            (heads(&["Node", "Routine", "State", "Last good", "Verified", "#Failed since"]))
            tbody { @for row in &board.rows {
                tr { th scope="row" { (row.node) } td data-name="Routine" { (row.routine) }
                    td data-name="State" {
                        (tag(of_grade(row.grade), row.grade.as_str()))
                        @if !row.online { " " (tag(Tone::Warn, "not heard")) }
                    }
                    td data-name="Last good" { @match row.last_good_at { Some(at) => (when(at)), None => (dash()) } }
                    td data-name="Verified" { @match row.verified_at { Some(at) => (when(at)), None => (dash()) } }
                    td.num data-name="Failed since" { (row.failures_since_good) } }
            } }
        } }
        @if u32::try_from(board.rows.len()).is_ok_and(|rows| rows < board.found) {
            p.note { "The first " (board.rows.len()) " of " (board.found) ", the worst first." }
        }
    }
}
