//! Destinations: the room that each has, drawn over weeks, and when it will be full.

use landfall_proto::control::{Paging, Problem, Request};
use landfall_proto::overview::{Forecast, SOON_DAYS, StorageView};
use landfall_proto::view::NodeView;
use maud::{Markup, html};

use super::ask::told;
use crate::web::markup::{Tone, bytes, dash, dash_because, heads, line, tag};
use crate::web::server::Site;

/// Destinations that one page shows.
const ROWS: u32 = 100;

/// Destinations that are drawn.
const DRAWN_MAX: usize = 6;

/// The first of all destinations, those that are full first in front.
pub(super) async fn all(site: &Site) -> Result<Vec<StorageView>, Problem> {
    let paging = Paging { rows: Some(ROWS), after: None };
    let mut rows = told!(site, Request::Storages { name: None, paging }, Storages)?.rows;
    rows.sort_by_key(|storage| (left(storage).unwrap_or(u64::MAX), storage.name.clone()));
    Ok(rows)
}

/// Those that a node backs up to.
pub(super) async fn of_node(site: &Site, node: &NodeView) -> Result<Vec<StorageView>, Problem> {
    let mut names: Vec<&String> = node.routines.iter().filter_map(|routine| routine.storage.as_ref()).collect();
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for name in names.into_iter().take(DRAWN_MAX) {
        let paging = Paging { rows: Some(1), after: None };
        // One that is reached without a path is not seen by anybody, which is no trouble.
        if let Ok(page) = told!(site, Request::Storages { name: Some(name.clone()), paging }, Storages) {
            found.extend(page.rows);
        }
    }
    Ok(found)
}

const fn left(storage: &StorageView) -> Option<u64> {
    match storage.forecast {
        Forecast::Filling { days, .. } => Some(days),
        Forecast::Unknown | Forecast::Steady => None,
    }
}

/// `12 days`, or why there is no number; and of which destination.
pub(super) fn soonest(storages: &[StorageView]) -> (String, String) {
    match storages.iter().filter_map(|storage| Some((left(storage)?, storage))).min_by_key(|(days, _)| *days) {
        Some((days, storage)) => (format!("{days} d"), format!("{}, if it goes on as in the last weeks", storage.name)),
        None if storages.is_empty() => {
            ("–".to_owned(), "unknown: no destination reports its free space yet".to_owned())
        }
        None if storages.iter().all(|storage| storage.forecast == Forecast::Unknown) => {
            ("–".to_owned(), "unknown: a forecast needs a sample a day for five days".to_owned())
        }
        None => ("–".to_owned(), "no destination fills up".to_owned()),
    }
}

pub(super) fn table(storages: &[StorageView]) -> Markup {
    html! {
        @if storages.is_empty() {
            p.empty.sub { "No destination reports its free space: only those that a node reaches by a path do." }
        } @else {
            div.scroll { table.fold {
                (heads(&["Destination", "Used", "#Free", "#Size", "#Grows a day", "Full in"]))
                tbody { @for storage in storages { (row(storage)) } }
            } }
        }
    }
}

fn row(storage: &StorageView) -> Markup {
    let room = storage.room();
    html! {
        tr {
            th scope="row" { (storage.name) @if storage.space.is_none() { span.sub { "not seen at the moment" } } }
            td data-name="Used" {
                @match storage.used_percent() { Some(percent) => { progress max="100" value=(percent) { (percent) " %" } " " (percent) " %" }, None => (dash()) }
            }
            td.num data-name="Free" { @match room { Some(room) => (bytes(room.free_bytes)), None => (dash()) } }
            td.num data-name="Size" { @match room { Some(room) => (bytes(room.total_bytes)), None => (dash()) } }
            td.num data-name="Grows a day" {
                @match storage.forecast {
                    Forecast::Filling { bytes_a_day, .. } => (bytes(bytes_a_day)), Forecast::Steady => "no",
                    Forecast::Unknown => (dash_because("fewer than five daily samples"))
                }
            }
            td data-name="Full in" {
                @match storage.forecast {
                    Forecast::Filling { days, .. } if days < SOON_DAYS => (tag(Tone::Warn, &format!("{days} days"))),
                    Forecast::Filling { days, .. } => { (days) " days" },
                    Forecast::Steady => "not in sight",
                    Forecast::Unknown => span.t-dim { "unknown" }
                }
            }
        }
    }
}

/// How the use of each has grown, one point a day.
pub(super) fn drawings(storages: &[StorageView]) -> Markup {
    html! {
        @for storage in storages.iter().filter(|storage| storage.samples.len() > 1).take(DRAWN_MAX) {
            section.card { h2 { "Used at " (storage.name) } (drawing(storage)) p.sub { "one sample a day; the top line is the most that was used" } }
        }
    }
}

fn drawing(storage: &StorageView) -> Markup {
    let used = |at: usize| storage.samples.get(at).map(|sample| sample.total_bytes.saturating_sub(sample.free_bytes));
    let points: Vec<(String, Option<u64>)> = storage
        .samples
        .iter()
        .enumerate()
        .map(|(at, sample)| {
            let day = sample.at.to_string();
            (format!("{}: {} used", day.get(..10).unwrap_or(&day), bytes(used(at).unwrap_or(0))), used(at))
        })
        .collect();
    let most = points.iter().filter_map(|(_, used)| *used).max().map_or_else(|| "nothing yet".to_owned(), bytes);
    line(&format!("Used space of {} over days", storage.name), &points, &most)
}
