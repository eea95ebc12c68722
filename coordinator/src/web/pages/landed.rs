//! `/snapshots`: what landed, the newest first, and whether somebody else saw it there.

use landfall_proto::control::{Paging, Problem, Request, RunFilter};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::time::Timestamp;
use landfall_proto::view::RunView;
use maud::{Markup, html};

use super::ask::told;
use super::list;
use super::run::witness;
use super::shown::{Glance, Query, Shown};
use crate::cli::human::short;
use crate::web::markup::{Section, bytes_or_dash, count_or_dash, dash, heads, time};

/// Runs that one page looks at.
const RUNS: u32 = 100;

pub(super) async fn show(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let routine = query.get("routine").and_then(|name| name.parse::<RoutineName>().ok());
    let node = query.get("node").and_then(|name| name.parse::<NodeId>().ok());
    let filter = RunFilter { node, routine, ended: Some(true), ..RunFilter::default() };
    let paging = Paging { rows: Some(RUNS), after: query.get("after").map(str::to_owned) };
    let runs = told!(site, Request::Runs { filter, paging }, Runs)?;
    let landed: Vec<&RunView> = runs.rows.iter().filter(|run| run.snapshot.is_some()).collect();
    Ok(Shown::new("What landed", Section::Elsewhere)
        .fixed(html! {
            div.head { div {
                h1 { "What landed" }
                p.sub { "Each snapshot that a run left at its destination, as the destination itself showed it. What was removed there since is not known here." }
            } }
        })
        .fixed(choice(query))
        .live("landed", &html! {
            section.card.flush {
                @if landed.is_empty() { p.empty.sub { "None of these runs left a snapshot." } } @else { (table(&landed, now)) }
                (list::more(query, "/snapshots", runs.next.as_deref()))
            }
        }))
}

fn choice(query: &Query) -> Markup {
    let field = |name: &str| query.get(name).unwrap_or_default().to_owned();
    html! {
        form.filter method="get" action="/snapshots" data-live {
            label { "Routine" input type="search" name="routine" value=(field("routine")) maxlength="64" placeholder="its whole name" autocomplete="off"; }
            label { "Node" input type="search" name="node" value=(field("node")) maxlength="64" placeholder="its whole name" autocomplete="off"; }
            button type="submit" { "Show" }
        }
    }
}

fn table(runs: &[&RunView], now: Timestamp) -> Markup {
    html! {
        div.scroll { table.fold {
            (heads(&["Snapshot", "Node", "Routine", "Landed", "#Files", "#Size", "#Added", "Seen by a neighbour", "Repository"]))
            tbody { @for run in runs {
                tr id={ "s-" (run.id) } {
                    th scope="row" { a.mono href={ "/runs/" (run.id) } { (run.snapshot.as_ref().map(short).unwrap_or_default()) } }
                    td data-name="Node" { a href={ "/nodes/" (run.node) } { (run.node) } }
                    td data-name="Routine" { a href={ "/routines/" (run.routine) } { (run.routine) } }
                    td.tight data-name="Landed" { @match run.finished_at { Some(at) => (time(at, now)), None => (dash()) } }
                    td.num data-name="Files" { (count_or_dash(run.files)) }
                    td.num data-name="Size" { (bytes_or_dash(run.bytes)) }
                    td.num data-name="Added" { (bytes_or_dash(run.added_bytes)) }
                    td data-name="Seen by" { (witness(run.witness.as_ref())) }
                    td.mono data-name="Repository" { @match &run.repository { Some(id) => (short(id)), None => (dash()) } }
                }
            } }
        } }
    }
}
