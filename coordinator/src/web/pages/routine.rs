//! Routines: the list, and one with its schedule explained, its protection, who differs, and its last rounds.

use landfall_proto::control::{Paging, Problem, Request};
use landfall_proto::id::RoutineName;
use landfall_proto::overview::{BoardFilter, BoardView};
use landfall_proto::report::TaskKind;
use landfall_proto::time::Timestamp;
use landfall_proto::view::RoutineView;
use maud::{Markup, html};

use super::ask::told;
use super::shown::{Glance, Shown};
use super::{acting, acts, card, list, round};
use crate::edge::clock;
use crate::web::access::Role;
use crate::web::markup::{self, Section, Tone, age, dash, dash_because, heads, lasting, tag, time};

const ROUNDS: u32 = 10;

pub(super) async fn list(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, now, .. } = glance;
    let routines = told!(site, Request::Routines, Routines)?;
    Ok(Shown::new("Routines", Section::Routines)
        .fixed(
            html! { div.head { h1 { "Routines" } span.sub { "All plans of one name, on every node that has one." } } },
        )
        .live(
            "list",
            &html! {
                section.card.flush {
                    @if routines.is_empty() {
                        p.empty { "No node has announced a plan yet." }
                    } @else {
                        (table(&routines, now))
                    }
                }
            },
        ))
}

fn table(routines: &[RoutineView], now: Timestamp) -> Markup {
    html! {
        div.scroll { table.fold {
            (heads(&["Routine", "Schedule", "Next", "#Nodes", "RPO", "Last round"]))
            tbody { @for routine in routines {
                tr id={ "t-" (routine.name) } {
                    th scope="row" {
                        a href={ "/routines/" (routine.name) } { (routine.name) }
                        @if !routine.differs.is_empty() { span.sub.t-warn { (routine.differs.len()) " differ" } }
                    }
                    td.wide data-name="Schedule" {
                        @match &routine.explained { Some(words) => (words), None => span.t-dim { "by hand only" } }
                    }
                    td.tight data-name="Next" {
                        @match routine.next_slots.first() { Some(at) => (time(*at, now)), None => (dash()) }
                    }
                    td.num data-name="Nodes" { (routine.nodes.len()) }
                    td.tight data-name="RPO" {
                        @match routine.rpo_ms {
                            Some(rpo) => (age(rpo)), None => (dash_because("no plan says how old a backup may be"))
                        }
                    }
                    td data-name="Last round" {
                        @match &routine.last_round {
                            Some(last) => {
                                a href={ "/rounds/" (last.id) } { (list::verdict(last)) } " "
                                (time(last.opened_at, now))
                            },
                            None => (dash())
                        }
                    }
                }
            } }
        } }
    }
}

pub(super) async fn show(glance: Glance<'_>, name: &RoutineName) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let routine = told!(site, Request::Routine { name: name.clone() }, Routine)?;
    let paging = Paging { rows: Some(ROUNDS), after: None };
    let rounds = told!(site, Request::Rounds { routine: Some(name.clone()), open: None, paging }, Rounds)?;
    let filter = BoardFilter { search: Some(name.to_string()), ..BoardFilter::default() };
    let board = told!(site, Request::Board { filter }, Board)?;
    Ok(Shown::new(format!("Routine {name}"), Section::Routines)
        .fixed(acts::told(query))
        .live("routine-head", &html! { div.head { h1 { (routine.name) } span.sub { (routine.nodes.len()) " nodes" } } (differs(&routine)) })
        .fixed(if acting::may(Role::Operator) { starting(&routine) } else { html! {} })
        .live("routine", &html! { div.two { (card::card(&routine, now)) (schedule(&routine, now)) } (nodes(name, &board, now)) (card::drift(routine.protection.as_ref())) })
        .live("rounds", &html! {
            section.card.flush { h2 { "Last rounds" } (list::rounds(&rounds.rows, now))
                p.note.pages { a href={ "/rounds?routine=" (name) } { "All rounds" } a href={ "/trends?routine=" (name) } { "Trends" } a href={ "/snapshots?routine=" (name) } { "What landed" } } }
        })
        .fixed(card::printed(now)))
}

fn differs(routine: &RoutineView) -> Markup {
    html! {
        @if !routine.differs.is_empty() {
            div.banner { strong { "Not every node has the same plan" }
                "Most nodes agree; these have another one: "
                @for node in routine.differs.iter().take(50) { a href={ "/nodes/" (node) } { (node) } " " }
                div { "Now: compare the plan files on these nodes; " code { "landfall nodes NODE" } " says how they differ." } }
        }
    }
}

fn starting(routine: &RoutineView) -> Markup {
    html! {
        form.filter method="post" action={ "/routines/" (routine.name) "/start" } {
            (acts::token())
            input type="hidden" name="request" value=(clock::command_id().0);
            label { "What" select name="task" { @for task in TaskKind::ALL { option value=(task) { (task) } } } }
            label {
                "Where"
                select name="node" {
                    option value="" { "all nodes" } @for node in &routine.nodes { option value=(node) { (node) } }
                }
            }
            button.main type="submit" { "Start a round" }
            span.sub { "or " code { "landfall start " (routine.name) } }
        }
    }
}

fn schedule(routine: &RoutineView, now: Timestamp) -> Markup {
    html! {
        section.card {
            h2 { "Schedule" }
            @match (&routine.calendar, &routine.explained) {
                (Some(calendar), Some(words)) => {
                    p { (words) }
                    p.sub { code { (calendar) } " in " (routine.zone.as_deref().unwrap_or("UTC")) }
                }
                _ => p.sub { "It has no schedule: it runs by hand only." },
            }
            dl.facts {
                dt { "Starts within" } dd { (lasting(routine.start_within_ms)) " of its slot" }
                dt { "Ends within" } dd { (lasting(routine.finish_within_ms)) " of its slot; then the round is judged" }
                dt { "Converges by" } dd { (round::rule(&routine.rule.to_string())) }
                dt { "Retention" } dd { "every snapshot is kept: Landfall removes none" }
            }
            @if !routine.next_slots.is_empty() {
                ol.steps.slots {
                    @for slot in &routine.next_slots {
                        li { span { (in_zone(*slot, routine.zone.as_deref())) } (time(*slot, now)) }
                    }
                }
            }
        }
    }
}

/// Local time with its distance from UTC, so that a change of clocks is seen.
fn in_zone(at: Timestamp, zone: Option<&str>) -> String {
    let local = zone.and_then(|zone| at.in_tz(zone).ok());
    local.map_or_else(|| markup::instant(at), |local| local.strftime("%a %Y-%m-%d %H:%M %:z").to_string())
}

fn nodes(name: &RoutineName, board: &BoardView, now: Timestamp) -> Markup {
    html! {
        section.card.flush {
            h2 { "Nodes" }
            div.scroll { table.fold {
                (heads(&["Node", "State", "Last good", "#Failed since", "Verified"]))
                tbody { @for row in board.rows.iter().filter(|row| row.routine == *name) {
                    tr id={ "p-" (row.node) } {
                        th scope="row" { a href={ "/nodes/" (row.node) } { (row.node) } }
                        td data-name="State" {
                            (tag(markup::of_grade(row.grade), row.grade.as_str()))
                            @if !row.online { " " (tag(Tone::Warn, "not heard")) }
                        }
                        td.tight data-name="Last good" {
                            @match row.last_good_at { Some(at) => (time(at, now)), None => (dash_because("never")) }
                        }
                        td.num data-name="Failed since" { (row.failures_since_good) }
                        td.tight data-name="Verified" {
                            @match row.verified_at {
                                Some(at) => (time(at, now)), None => (dash_because("no check has ended well yet"))
                            }
                        }
                    }
                } }
            } }
            @if routine_is_cut(board) { p.pages { a href={ "/?search=" (name) } { "All nodes of this routine" } } }
        }
    }
}

fn routine_is_cut(board: &BoardView) -> bool {
    u32::try_from(board.rows.len()).is_ok_and(|rows| rows < board.found)
}
