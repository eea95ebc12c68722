//! Trends: success, duration, size, growth and speed over days, drawn without a script and told as a table.

use landfall_proto::control::{Problem, Request};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::overview::{DAYS_MAX, StorageView, TrendDay, TrendsView};
use landfall_proto::view::RoutineView;
use maud::{Markup, html};

use super::ask::told;
use super::shown::{Glance, Query, Shown};
use super::storage;
use crate::web::markup::{Section, bars, bytes, bytes_or_dash, heads, line, span, span_or_dash};

/// Spans that can be chosen, in days.
const SPANS: [u32; 3] = [7, 30, DAYS_MAX];

pub(super) async fn show(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, .. } = glance;
    let routine = query.get("routine").and_then(|name| name.parse::<RoutineName>().ok());
    let node = query.get("node").and_then(|name| name.parse::<NodeId>().ok());
    let days = query.number("days").unwrap_or(30).clamp(1, DAYS_MAX);
    let routines = told!(site, Request::Routines, Routines)?;
    let trends = told!(site, Request::Trends { routine, node, days }, Trends)?;
    let storages = storage::all(site).await?;
    Ok(Shown::new("Trends", Section::Trends)
        .fixed(html! { div.head { h1 { "Trends" } } })
        .fixed(choice(query, &routines, days))
        .live("trends", &body(&trends, &storages)))
}

fn choice(query: &Query, routines: &[RoutineView], days: u32) -> Markup {
    let chosen = query.get("routine").unwrap_or_default();
    html! {
        form.filter method="get" action="/trends" data-live {
            label {
                "Routine"
                select name="routine" {
                    option value="" { "all" }
                    @for routine in routines {
                        option value=(routine.name) selected[routine.name.as_str() == chosen] { (routine.name) }
                    }
                }
            }
            label {
                "Node"
                input type="search" name="node" value=(query.get("node").unwrap_or_default()) maxlength="64" placeholder="its whole name" autocomplete="off";
            }
            label {
                "Days"
                select name="days" { @for span in SPANS { option value=(span) selected[span == days] { (span) } } }
            }
            button type="submit" { "Show" }
        }
    }
}

fn body(trends: &TrendsView, storages: &[StorageView]) -> Markup {
    html! {
        @if !trends.complete {
            div.banner {
                strong { "Not all of it" }
                "There is more history than is looked at for one page; the first days are missing. Choose a routine, a node or fewer days."
            }
        }
        (summary(&trends.days, storages))
        div.two {
            (chart("Backups a day", "good below, failed above in red, other in grey", bars("Backups a day by result", &counts(&trends.days), &most(&trends.days, |day| u64::from(day.good + day.failed + day.other), |count| format!("{count} runs")))))
            (chart("Duration", "mean of each day's good backups", figure(&trends.days, "Mean duration of each day", |day| day.duration_ms, span)))
            (chart("Size", "mean of what was backed up", figure(&trends.days, "Mean size of each day", |day| day.bytes, bytes)))
            (chart("Growth of the destination", "what all backups of a day added", grown(&trends.days)))
            (chart("Speed", "bytes backed up for each second of the runs", figure(&trends.days, "Speed of each day", |day| day.rate_bytes, |rate| format!("{}/s", bytes(rate)))))
        }
        section.card.flush { h2 { "Destinations" } (storage::table(storages)) }
        div.two { (storage::drawings(storages)) }
        p.sub { "Days are those of " (trends.zone) ". A day without a good backup is a gap, not a zero." }
        details.card.flush { summary.pages { "The same as a table" } (table(&trends.days)) }
    }
}

/// Good out of all that could have been good; what nobody knows counts for neither.
pub(super) fn success(days: &[TrendDay]) -> Option<(u32, u32)> {
    let good: u32 = days.iter().map(|day| day.good).sum();
    let failed: u32 = days.iter().map(|day| day.failed).sum();
    (good + failed > 0).then_some((good, good + failed))
}

/// `99.3 %`, rounded down: nothing that failed once is a hundred.
pub(super) fn percent(part: u32, whole: u32) -> String {
    let thousandths = u64::from(part) * 1000 / u64::from(whole.max(1));
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

pub(super) fn summary(days: &[TrendDay], storages: &[StorageView]) -> Markup {
    let (soonest, of) = storage::soonest(storages);
    let added: u64 = days.iter().filter_map(|day| day.added_bytes).sum();
    let known = u64::try_from(days.iter().filter(|day| day.added_bytes.is_some()).count()).unwrap_or(0);
    html! {
        div.cards {
            (tile("Success", &success(days).map_or_else(|| "–".to_owned(), |(good, all)| percent(good, all)), &success(days).map_or_else(|| "no backup in these days".to_owned(), |(good, all)| format!("{good} of {all} backups"))))
            (tile("Growth a day", &added.checked_div(known).map_or_else(|| "–".to_owned(), bytes), "mean of the days that had a backup"))
            (tile("Days until full", &soonest, &of))
        }
    }
}

fn tile(name: &str, figure: &str, more: &str) -> Markup {
    html! { div.card.tile { div.name { (name) } div.figure { (figure) } div.more { (more) } } }
}

fn chart(name: &str, about: &str, drawn: Markup) -> Markup {
    html! { section.card { h2 { (name) } (drawn) p.sub { (about) } } }
}

fn counts(days: &[TrendDay]) -> Vec<(String, Vec<u64>)> {
    let column = |day: &TrendDay| {
        let text = format!("{}: {} good, {} failed, {} other", day.date, day.good, day.failed, day.other);
        (text, vec![u64::from(day.good), u64::from(day.failed), u64::from(day.other)])
    };
    days.iter().map(column).collect()
}

fn grown(days: &[TrendDay]) -> Markup {
    let column = |day: &TrendDay| {
        let text = day.added_bytes.map_or_else(|| "nothing known".to_owned(), bytes);
        (format!("{}: {text}", day.date), vec![day.added_bytes.unwrap_or(0)])
    };
    let columns: Vec<(String, Vec<u64>)> = days.iter().map(column).collect();
    bars("Growth of each day", &columns, &most(days, |day| day.added_bytes.unwrap_or(0), bytes))
}

fn figure(
    days: &[TrendDay],
    label: &str,
    value: impl Fn(&TrendDay) -> Option<u64>,
    text: impl Fn(u64) -> String,
) -> Markup {
    let points: Vec<(String, Option<u64>)> = days
        .iter()
        .map(|day| (format!("{}: {}", day.date, value(day).map_or_else(|| "–".to_owned(), &text)), value(day)))
        .collect();
    line(label, &points, &most(days, |day| value(day).unwrap_or(0), &text))
}

/// What the top of a chart stands for.
fn most(days: &[TrendDay], value: impl Fn(&TrendDay) -> u64, text: impl Fn(u64) -> String) -> String {
    days.iter().map(value).max().filter(|most| *most > 0).map_or_else(|| "nothing yet".to_owned(), text)
}

fn table(days: &[TrendDay]) -> Markup {
    html! {
        div.scroll { table {
            (heads(&["Day", "#Good", "#Failed", "#Other", "#Duration", "#Size", "#Added", "#Speed"]))
            tbody { @for day in days.iter().rev() {
                tr { th scope="row" { (day.date) } td.num { (day.good) } td.num { (day.failed) } td.num { (day.other) } td.num { (span_or_dash(day.duration_ms)) }
                    td.num { (bytes_or_dash(day.bytes)) } td.num { (bytes_or_dash(day.added_bytes)) } td.num { (bytes_or_dash(day.rate_bytes)) @if day.rate_bytes.is_some() { "/s" } } }
            } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_among_many_is_never_a_hundred_percent() {
        assert_eq!(percent(9999, 10_000), "99.9 %");
        assert_eq!(percent(3, 3), "100.0 %");
        let lost = TrendDay { other: 5, ..TrendDay::default() };
        assert_eq!(success(std::slice::from_ref(&lost)), None, "what nobody knows is no failure");
        assert_eq!(success(&[lost, TrendDay { good: 2, failed: 1, ..TrendDay::default() }]), Some((2, 3)));
    }
}
