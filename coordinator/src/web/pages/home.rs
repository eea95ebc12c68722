//! The overview: "is everything backed up?", one row for each node and routine, the worst first.

use std::collections::BTreeSet;

use landfall_proto::control::{Paging, Problem, Request};
use landfall_proto::monitor::MonitorsView;
use landfall_proto::overview::{BoardCounts, BoardFilter, BoardRow, BoardView, Grade};
use landfall_proto::time::{Duration, Timestamp, after, between};
use maud::{Markup, html};

use super::ask::told;
use super::shown::{Glance, Memory, Query, Shown};
use super::{list, monitor};
use crate::web::markup::{self, Section, Tone, age, dash, dash_because, tag, time};

/// Rows of one page.
const ROWS: u32 = 30;

/// How old the days that an open page shows may be.
const DAYS_FRESH: Duration = Duration::from_secs(300);

/// Rounds below the board.
const ROUNDS: u32 = 8;

/// What the squares of a strip mean: class, height, word.
const SQUARES: [(&str, u32, &str); 5] = [
    ("g", 10, "good"),
    ("w", 13, "with warnings or after a failure"),
    ("f", 16, "failed"),
    ("u", 8, "unknown"),
    ("", 3, "none"),
];

pub(super) async fn show(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, now, memory } = glance;
    let is_fresh = memory.strips.as_ref().is_some_and(|(at, _)| after(*at, DAYS_FRESH) > now);
    let mut board = told!(site, wanted(query, !is_fresh), Board)?;
    if board.rows.iter().any(|row| row.days.is_empty() && !memory.has_strip(row)) {
        board = told!(site, wanted(query, true), Board)?;
    }
    let paging = Paging { rows: Some(ROUNDS), after: None };
    let rounds = told!(site, Request::Rounds { routine: None, open: None, paging }, Rounds)?;
    let first = Paging { rows: Some(1), after: None };
    let monitors = told!(site, Request::Monitors { paging: first }, Monitors)?;
    let rows = rows(&board, now, memory);
    Ok(Shown::new("Overview", Section::Home)
        .live("answer", &html! { (answer(&board, now)) (heard(&monitors)) })
        .fixed(search(query))
        .live("board", &table(&board, &rows, query))
        .live(
            "rounds",
            &html! {
                section.card.flush {
                    h2 { "Last rounds" } (list::rounds(&rounds.rows, now))
                    p.note.pages { a href="/rounds" { "All rounds" } }
                }
            },
        ))
}

fn wanted(query: &Query, days: bool) -> Request {
    let (search, offset) = (query.get("search").map(str::to_owned), query.number("from").unwrap_or(0));
    Request::Board { filter: BoardFilter { search, days, offset, rows: Some(ROWS) } }
}

impl Memory {
    fn has_strip(&self, row: &BoardRow) -> bool {
        let key = (row.node.clone(), row.routine.clone());
        self.strips.as_ref().is_some_and(|(_, rows)| rows.contains(&key))
    }
}

/// The rows, each with its days, or with a mark for those that the browser has already.
fn rows(board: &BoardView, now: Timestamp, memory: &mut Memory) -> Vec<Markup> {
    let shown: BTreeSet<_> = board.rows.iter().map(|row| (row.node.clone(), row.routine.clone())).collect();
    match &mut memory.strips {
        // A row that has left the page took its strip along.
        Some((_, known)) if board.rows.iter().all(|row| row.days.is_empty()) => known.retain(|row| shown.contains(row)),
        strips => *strips = Some((now, shown)),
    }
    board.rows.iter().map(|row| board_row(row, now)).collect()
}

/// The question that the page is for, answered in words.
fn answer(board: &BoardView, now: Timestamp) -> Markup {
    let (tone, words) = words(board.counts);
    let oldest = board.rows.iter().filter(|row| row.grade == Grade::TooOld).filter_map(|row| row.last_good_at).min();
    html! {
        section class={ "card answer " (tone.class()) } {
            div.sign aria-hidden="true" { (sign(tone)) }
            div {
                h1 { (words) }
                p.sub {
                    (more(board.counts))
                    @if board.counts.unbounded > 0 {
                        " A line like " code { "rpo = \"26h\"" } " in a plan says how old its last good backup may be."
                    }
                    @if let Some(at) = oldest { " The oldest last good backup is from " (time(at, now)) "." }
                }
            }
        }
    }
}

/// What is told of programs that only ping stands beside the answer: it is their word, and nobody has proven it.
fn heard(monitors: &MonitorsView) -> Markup {
    let Some((tone, words)) = monitor::summary(monitors) else { return html! {} };
    html! {
        section class={ "card answer " (tone.class()) } {
            div.sign aria-hidden="true" { (sign(tone)) }
            div { h2 { a href="/monitors" { "Monitors" } ": " (words) } p.sub { "What they say of themselves; Landfall has not proven it." } }
        }
    }
}

const fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✕",
        Tone::Plain | Tone::Warn | Tone::Busy | Tone::Dim => "!",
    }
}

/// What is unknown is neither yes nor no.
fn words(counts: BoardCounts) -> (Tone, String) {
    let all = counts.protected + counts.unbounded + counts.waiting + counts.too_old + counts.never;
    let bad = counts.too_old + counts.never;
    if all == 0 {
        return (Tone::Warn, "Nothing is protected yet: no node has announced a plan".to_owned());
    }
    if bad > 0 {
        let are = if bad == 1 { "is" } else { "are" };
        return (Tone::Bad, format!("No: {bad} of {all} {are} missing or too old"));
    }
    if counts.waiting > 0 {
        return (Tone::Warn, format!("Not all yet: {} of {all} wait for their first backup", counts.waiting));
    }
    let whole = if all == 1 { "the one has a good backup".to_owned() } else { format!("all {all} have a good backup") };
    if counts.failing > 0 {
        return (Tone::Warn, format!("Yes, still: {whole}, but the last attempt of {} failed", counts.failing));
    }
    if counts.unheard > 0 {
        return (
            Tone::Warn,
            format!("Yes, as far as is known: {whole}, but {} are on nodes that are not heard", counts.unheard),
        );
    }
    if counts.unbounded > 0 {
        return (Tone::Warn, format!("Yes: {whole}, but for {} no plan says how old it may be", counts.unbounded));
    }
    (Tone::Good, format!("Yes: {whole} within its RPO"))
}

fn more(counts: BoardCounts) -> String {
    let mut said = Vec::new();
    for (count, what) in [
        (counts.protected, "within their RPO"),
        (counts.too_old, "older than their RPO"),
        (counts.never, "without any good backup"),
        (counts.waiting, "waiting for the first one"),
        (counts.unbounded, "good, without an RPO to measure them by"),
        (counts.unheard, "on nodes that are not heard"),
    ] {
        if count > 0 {
            said.push(format!("{count} {what}"));
        }
    }
    if said.is_empty() {
        "`landfall-agent plan example` prints a plan to begin with.".to_owned()
    } else {
        said.join(", ") + "."
    }
}

fn search(query: &Query) -> Markup {
    html! {
        form.filter method="get" action="/" role="search" data-live {
            label {
                "Node or routine"
                input type="search" name="search" value=(query.get("search").unwrap_or_default()) maxlength="64" autocomplete="off";
            }
            button type="submit" { "Search" }
            span.legend {
                @for (class, height, name) in SQUARES {
                    span {
                        svg.strip width="5" height="16" viewBox="0 0 5 16" aria-hidden="true" {
                            rect class=(class) x="0" y=(16 - height) width="4" height=(height) {}
                        }
                        (name)
                    }
                }
            }
        }
    }
}

fn table(board: &BoardView, rows: &[Markup], query: &Query) -> Markup {
    html! {
        section.card.flush {
            @if rows.is_empty() {
                p.empty { "Nothing here" @if query.get("search").is_some() { " has a name like that" } "." }
            } @else {
                div.scroll { table.fold {
                    thead { tr {
                        th scope="col" { "Node and routine" }
                        th scope="col" title="By the age of the last good backup against its RPO, not by the last result" {
                            "State"
                        }
                        th scope="col" title="The instant that a restore would bring back" { "Last good" }
                        th.num scope="col" title="Failed backups since the last good one" { "Failed since" }
                        th scope="col" { "Next" }
                        th scope="col" title="When the destination's structure and a part of its data were last read and found whole" {
                            "Verified"
                        }
                        th scope="col" title="When data was last restored from it and compared" { "Restore proven" }
                        th scope="col" { "Last 90 days" }
                    } }
                    tbody { @for row in rows { (row) } }
                } }
                (list::turn(query, "/", board.found, ROWS))
            }
        }
    }
}

fn board_row(row: &BoardRow, now: Timestamp) -> Markup {
    let strip = format!("s-{}-{}", row.node, row.routine);
    html! {
        tr id={ "b-" (row.node) "-" (row.routine) } {
            th scope="row" {
                a href={ "/nodes/" (row.node) } { (row.node) }
                span.sub {
                    a href={ "/routines/" (row.routine) } { (row.routine) }
                    @if !row.online { " · " span.t-warn { "not heard" } }
                }
            }
            td data-name="State" { (tag(markup::of_grade(row.grade), row.grade.as_str())) (last_result(row)) }
            td.tight data-name="Last good" { (last_good(row, now)) }
            td.num data-name="Failed since" {
                @if row.failures_since_good > 0 { b.t-bad { (row.failures_since_good) } } @else { span.t-dim { "0" } }
            }
            td.tight data-name="Next" {
                @match row.next_slot {
                    Some(at) => (time(at, now)), None => (dash_because("it runs by hand only: no schedule"))
                }
            }
            td.tight data-name="Verified" {
                @match row.verified_at {
                    Some(at) => (time(at, now)),
                    None => (dash_because("no check of this repository by this node has ended well yet"))
                }
            }
            td.tight data-name="Restored" {
                @match row.restored_at {
                    Some(at) => (time(at, now)), None => (dash_because("no restore of this backup has been proven yet"))
                }
            }
            td.days data-name="90 days" {
                @if row.days.is_empty() {
                    (markup::strip_unchanged(&strip))
                } @else {
                    (markup::strip(&strip, &row.days))
                }
            }
        }
    }
}

/// Only where the last result says something else than the state.
fn last_result(row: &BoardRow) -> Markup {
    let Some(outcome) = row.last_outcome.filter(|outcome| !outcome.is_good()) else { return html! {} };
    html! {
        span.sub {
            "last: "
            @match row.last_run { Some(run) => a href={ "/runs/" (run) } { (outcome) }, None => (outcome) }
            @if let Some(reason) = row.last_reason { " (" (reason) ")" }
        }
    }
}

/// Its age in the colour of its grade, with the RPO below.
fn last_good(row: &BoardRow, now: Timestamp) -> Markup {
    let class = match row.grade {
        Grade::Never | Grade::TooOld => "t-bad",
        Grade::Waiting | Grade::Unbounded | Grade::Protected => "",
    };
    html! {
        @match row.last_good_at {
            Some(at) => { span class=(class) {
                @match row.last_good_run {
                    Some(run) => a class=(class) href={ "/runs/" (run) } title=(markup::instant(at)) {
                        (age(between(at, now).as_ms())) " ago"
                    },
                    None => (time(at, now)),
                }
            } },
            None => span class=(class) { (dash()) " never" },
        }
        @if let Some(rpo) = row.rpo_ms { span.sub { "RPO " (age(rpo)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_answer_is_yes_without_but_only_where_nothing_is_missing_failing_or_unknown(
            (protected, unbounded, waiting, too_old, never, failing, unheard) in (0_u32..3, 0_u32..3, 0_u32..3, 0_u32..3, 0_u32..3, 0_u32..3, 0_u32..3)
        ) {
            let counts = BoardCounts { protected, unbounded, waiting, too_old, never, failing, unheard };
            let (tone, words) = words(counts);
            let is_well = protected > 0 && unbounded + waiting + too_old + never + failing + unheard == 0;
            prop_assert_eq!(tone == Tone::Good, is_well, "{}", words);
            prop_assert_eq!(tone == Tone::Bad, too_old + never > 0, "{}", words);
            let is_yes = words.starts_with("Yes");
            prop_assert_eq!(is_yes, protected + unbounded > 0 && waiting + too_old + never == 0, "{}", words);
        }
    }
}
