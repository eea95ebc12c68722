//! The queue: four figures that filter, what runs with live bars, what waits and why, and what ended lately.

use landfall_proto::control::{Problem, Request};
use landfall_proto::limit::LimitName;
use landfall_proto::overview::{QueueCard, QueueFilter, QueueView};
use landfall_proto::report::{Progress, TaskKind};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::view::{LimitView, RunView};
use maud::{Markup, html};

use super::ask::told;
use super::list::{self, RunColumns};
use super::shown::{Glance, Query, Shown};
use super::{acting, acts};
use crate::cli::human::short;
use crate::web::access::Role;
use crate::web::markup::{Section, Tone, bytes, count_or_dash, dash, heads, lasting, of_state, span, tag, time};

pub(super) async fn show(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let filter = filter(query);
    let queue = told!(site, Request::Queue { filter: filter.clone() }, Queue)?;
    let limits = told!(site, Request::Limits, Limits)?;
    Ok(Shown::new("Queue", Section::Queue)
        .fixed(html! { div.head { h1 { "Queue" } } })
        .live("cards", &cards(&queue, query))
        .fixed(search(query))
        .live("queue", &html! { (active(&queue, now)) (waiting(&queue, now)) (finished(&queue, now, filter.card)) })
        .live("limits", &limits_card(&limits)))
}

fn filter(query: &Query) -> QueueFilter {
    let task = query.get("type").and_then(|name| TaskKind::ALL.into_iter().find(|task| task.as_str() == name));
    let card = query.get("show").and_then(|name| QueueCard::ALL.into_iter().find(|card| card.as_str() == name));
    QueueFilter { task, node: query.get("node").map(str::to_owned), card }
}

fn cards(queue: &QueueView, query: &Query) -> Markup {
    let least = if queue.complete { "" } else { "≥ " };
    let average = queue.average_ms.map_or_else(|| "–".to_owned(), span);
    html! {
        div.cards {
            (card(query, Some(QueueCard::InQueue), false, "In queue", "Runs that wait for a permit, and runs that were sent and have not begun",
                &queue.in_queue.to_string(), html! { (queue.active.len()) " under way" }))
            (card(query, Some(QueueCard::Completed), false, "Completed, 24 h", "Runs that ended ok or with a warning within the last 24 hours, against the 24 hours before",
                &format!("{least}{}", queue.completed), trend(queue.completed, queue.completed_before)))
            (card(query, Some(QueueCard::Failed), queue.failed > 0, "Failed, 24 h", "Runs that failed, landed in part only or were lost within the last 24 hours, against the 24 hours before",
                &format!("{least}{}", queue.failed), trend(queue.failed, queue.failed_before)))
            (card(query, None, false, "Average duration", "Mean of the last 50 completed runs, from start to end; time in the queue does not count",
                &average, html! { @if queue.average_of > 0 { "of the last " (queue.average_of) " completed" } @else { "nothing has completed yet" } }))
        }
    }
}

/// A card is a link: it filters, and once more shows everything again.
fn card(
    query: &Query,
    card: Option<QueueCard>,
    is_bad: bool,
    name: &str,
    title: &str,
    figure: &str,
    more: Markup,
) -> Markup {
    let is_chosen = card.is_some() && query.get("show") == card.map(QueueCard::as_str);
    let wanted = card.filter(|_| !is_chosen).map(QueueCard::as_str);
    html! {
        a class={ "tile" @if is_bad { " bad" } } href=(query.with("/queue", "show", wanted)) title=(title) aria-current=[is_chosen.then_some("true")] {
            div.name { (name) }
            div.figure { (figure) @if is_bad { span aria-hidden="true" { " ✕" } } }
            div.more { (more) }
        }
    }
}

fn trend(today: u32, before: u32) -> Markup {
    let word = match today.cmp(&before) {
        std::cmp::Ordering::Greater => format!("▲ {} more than the day before", today - before),
        std::cmp::Ordering::Less => format!("▼ {} fewer than the day before", before - today),
        std::cmp::Ordering::Equal => "as many as the day before".to_owned(),
    };
    html! { (word) }
}

fn search(query: &Query) -> Markup {
    let task = query.get("type").unwrap_or_default();
    html! {
        form.filter method="get" action="/queue" role="search" data-live {
            @if let Some(show) = query.get("show") { input type="hidden" name="show" value=(show); }
            label {
                "Node"
                input type="search" name="node" value=(query.get("node").unwrap_or_default()) maxlength="64" autocomplete="off" placeholder="part of a name";
            }
            label { "Type" select name="type" {
                option value="" { "all" }
                @for kind in TaskKind::ALL { option value=(kind) selected[task == kind.as_str()] { (kind) } }
            } }
            button type="submit" { "Filter" }
        }
    }
}

fn active(queue: &QueueView, now: Timestamp) -> Markup {
    html! {
        section.card.flush {
            h2 { "In progress" }
            @if queue.active.is_empty() { p.empty.sub { "Nothing is under way." } }
            @for run in &queue.active { (work(run, now)) }
        }
    }
}

/// One run that is alive: who, how far, how fast, what it does at this moment.
pub(super) fn work(run: &RunView, now: Timestamp) -> Markup {
    let progress = run.progress.as_ref();
    let phase = run.phase.map_or_else(|| run.state.as_str(), |phase| phase.as_str());
    html! {
        div.work id={ "w-" (run.id) } {
            div {
                a href={ "/runs/" (run.id) } { b { (run.node) } " · " (run.routine) } " "
                span.t-dim { (run.task) " " span.mono { (short(run.id)) } }
            }
            div { (bar(progress)) }
            div {
                (tag(of_state(run.state), if phase == "running" { "running" } else { phase })) " " (figures(progress))
            }
            div { (acts::of_run(run, now)) }
            div.action {
                @if let Some(at) = run.started_at { "for " (lasting(between(at, now).as_ms())) }
                @if let Some(action) = progress.map(|progress| &progress.action).filter(|action| !action.is_empty()) {
                    " · " (action)
                }
            }
        }
    }
}

/// No percentage is made up: a bar without a value only says that something is going on.
fn bar(progress: Option<&Progress>) -> Markup {
    match progress.and_then(|progress| progress.percent) {
        Some(percent) => html! { progress max="100" value=(percent) { (percent) " %" } },
        None => html! { progress { "no total known yet" } },
    }
}

fn figures(progress: Option<&Progress>) -> Markup {
    let Some(progress) = progress else { return html! { span.t-dim { "no figures yet" } } };
    html! {
        @if let Some(percent) = progress.percent { b { (percent) " %" } " · " }
        @if progress.files_done > 0 {
            (count_or_dash(Some(progress.files_done)))
            @if let Some(total) = progress.files_total { " of " (count_or_dash(Some(total))) } " files · "
        }
        (bytes(progress.bytes_done)) @if let Some(total) = progress.bytes_total { " of " (bytes(total)) }
        @if progress.rate_bytes > 0 { " · " (bytes(progress.rate_bytes)) "/s" }
        @if let Some(eta) = progress.eta_ms { " · " (lasting(eta)) " left" }
    }
}

fn waiting(queue: &QueueView, now: Timestamp) -> Markup {
    if queue.waiting.is_empty() {
        return html! {};
    }
    html! {
        section.card.flush {
            h2 {
                "Waiting"
                @if queue.waiting_total > u32::try_from(queue.waiting.len()).unwrap_or(0) {
                    " (the first " (queue.waiting.len()) " of " (queue.waiting_total) ")"
                }
            }
            div.scroll { table.fold {
                (heads(&["Place", "Run", "Node", "Routine", "Type", "Waits for", "Since", "Actions"]))
                tbody { @for (place, run) in queue.waiting.iter().enumerate() {
                    tr id={ "q-" (run.id) } {
                        td data-name="Place" { (place + 1) }
                        th.mono scope="row" { a href={ "/runs/" (run.id) } { (short(run.id)) } }
                        td data-name="Node" { a href={ "/nodes/" (run.node) } { (run.node) } }
                        td data-name="Routine" { (run.routine) }
                        td data-name="Type" { (run.task) }
                        td.wide data-name="Waits for" {
                            @match &run.waits_for { Some(wait) => (wait), None => (dash()) }
                        }
                        td.tight data-name="Since" { (time(run.queued_at, now)) }
                        td.tight data-name="Actions" { (acts::of_run(run, now)) }
                    }
                } }
            } }
        }
    }
}

fn finished(queue: &QueueView, now: Timestamp, card: Option<QueueCard>) -> Markup {
    let title = match card {
        Some(QueueCard::Completed) => "Completed in the last 24 hours",
        Some(QueueCard::Failed) => "Failed in the last 24 hours",
        Some(QueueCard::InQueue) => return html! {},
        None => "Last finished",
    };
    html! { section.card.flush { h2 { (title) } (list::runs(&queue.finished, now, RunColumns::Both)) } }
}

fn limits_card(limits: &[LimitView]) -> Markup {
    html! {
        section.card {
            h2 { "Limits" }
            @if limits.is_empty() { p.sub { "None." } }
            ul.limits { @for limit in limits {
                li {
                    (limit.name) ": " (limit.used) " of "
                    @match limit.size { Some(size) => (size), None => "any number" } " taken "
                    @if limit.size.is_some_and(|size| limit.used >= size) { (tag(Tone::Warn, "full")) }
                }
            } }
            @if acting::may(Role::Admin) { (setting(limits)) }
        }
    }
}

/// The cluster's limit as it is, to be changed.
fn setting(limits: &[LimitView]) -> Markup {
    let size = limits.iter().find(|limit| limit.name == LimitName::Cluster).and_then(|limit| limit.size);
    html! {
        form.filter method="post" action="/limits" {
            (acts::token())
            label {
                "Runs at once in the whole cluster" input type="number" name="value" value=[size] min="0" max="10000" required;
            }
            input type="hidden" name="name" value="cluster";
            button type="submit" { "Set" }
            span.sub { "or " code { "landfall limits set cluster 8" } }
        }
    }
}
