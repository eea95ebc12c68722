//! Monitors: programs that only ping. The list, and one with what it expects and what it said.

use landfall_proto::control::{Paging, Problem, Request};
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{
    Expects, MonitorDetail, MonitorState, MonitorView, MonitorsView, PingKind, PingView, RunningView,
};
use landfall_proto::time::Timestamp;
use maud::{Markup, html};

use super::ask::told;
use super::list;
use super::shown::{Glance, Shown};
use crate::web::markup::{Section, Tone, bytes_or_dash, dash, dash_because, heads, problem, span_or_dash, tag, time};

/// Monitors of one page.
const ROWS: u32 = 100;

pub(super) async fn list(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let paging = Paging { rows: Some(ROWS), after: query.get("after").map(str::to_owned) };
    let all = told!(site, Request::Monitors { paging }, Monitors)?;
    Ok(Shown::new("Monitors", Section::Monitors)
        .fixed(html! { div.head { h1 { "Monitors" } span.sub { "Programs that Landfall does not run. What they say of themselves is not proven." } } })
        .live("list", &html! {
            section.card.flush {
                @if all.monitors.is_empty() {
                    p.empty { "There is no monitor. " code { "landfall monitor add NAME --every 1d" } " makes one." }
                } @else { (table(&all, now)) (list::further(query, "/monitors", all.next.as_deref(), ["← The worst", "More →"])) }
            }
        }))
}

/// A part of them, the worst first; for other pages too.
pub(super) fn table(all: &MonitorsView, now: Timestamp) -> Markup {
    html! {
        div.scroll { table.fold {
            (heads(&["Monitor", "State", "Last good", "Next", "Expects", "#Failed since", "#Took"]))
            tbody { @for monitor in &all.monitors {
                tr id={ "m-" (monitor.spec.name) } {
                    th scope="row" {
                        a href={ "/monitors/" (monitor.spec.name) } { (monitor.spec.name) }
                        @if !monitor.spec.note.is_empty() { span.sub { (monitor.spec.note) } }
                    }
                    td data-name="State" { (state(monitor)) }
                    td.tight data-name="Last good" {
                        @match monitor.last_good_at { Some(at) => (time(at, now)), None => (dash_because("never")) }
                    }
                    td.tight data-name="Next" {
                        @match monitor.expected_at { Some(at) => (time(at, now)), None => (dash_because("its calendar is never due again")) }
                    }
                    td.wide data-name="Expects" { (expects(monitor)) }
                    td.num data-name="Failed since" { (monitor.failures_since_good) }
                    td.num data-name="Took" { (span_or_dash(monitor.last_duration_ms)) }
                }
            } }
        } }
        @if all.next.is_some() { p.note { "These are " (all.monitors.len()) " of " (all.counts.values().sum::<u32>()) ", the worst first." } }
    }
}

/// How all of them stand, in a sentence and a tone; `None` where there are none.
pub(super) fn summary(all: &MonitorsView) -> Option<(Tone, String)> {
    let count = |state: MonitorState| all.counts.get(&state).copied().unwrap_or(0);
    let said: Vec<String> = [
        (MonitorState::Failed, "failed by their own word"),
        (MonitorState::Overdue, "overdue: what became of them is unknown"),
        (MonitorState::Late, "late, within their grace"),
        (MonitorState::New, "not heard of yet"),
        (MonitorState::Up, "up"),
    ]
    .into_iter()
    .filter(|(state, _)| count(*state) > 0)
    .map(|(state, words)| format!("{} {words}", count(state)))
    .collect();
    let tone = all.counts.keys().max().copied().map(of_state)?;
    Some((tone, said.join(", ")))
}

const fn of_state(state: MonitorState) -> Tone {
    match state {
        MonitorState::New => Tone::Dim,
        MonitorState::Up => Tone::Good,
        MonitorState::Late => Tone::Warn,
        MonitorState::Overdue | MonitorState::Failed => Tone::Bad,
    }
}

fn state(monitor: &MonitorView) -> Markup {
    html! {
        (tag(of_state(monitor.state), monitor.state.as_str()))
        @if let Some(run) = &monitor.running { " " (tag(Tone::Busy, &running(run))) }
    }
}

fn running(run: &RunningView) -> String {
    let stage = run.stage.map_or("running", |stage| stage.as_str());
    run.percent.map_or_else(|| stage.to_owned(), |percent| format!("{stage} {percent} %"))
}

fn expects(monitor: &MonitorView) -> Markup {
    html! {
        @match &monitor.spec.expects {
            Expects::Every { period } => { "every " (period) },
            Expects::Slots { calendar, zone } => {
                (monitor.explained.as_deref().unwrap_or(calendar)) span.sub { code { (calendar) } " in " (zone) }
            }
        }
    }
}

pub(super) async fn show(glance: Glance<'_>, name: &RoutineName) -> Result<Shown, Problem> {
    let Glance { site, now, .. } = glance;
    let one = told!(site, Request::Monitor { name: name.clone() }, Monitor)?;
    Ok(Shown::new(format!("Monitor {name}"), Section::Monitors)
        .live("monitor-head", &html! { div.head { h1 { (name) } (state(&one.monitor)) } (trouble(&one.monitor)) })
        .live("monitor", &html! { div.two { (definition(&one.monitor, now)) (standing(&one.monitor, now)) } })
        .live("pings", &pings(&one, now)))
}

fn trouble(monitor: &MonitorView) -> Markup {
    html! {
        @if let Some(failure) = &monitor.failure {
            (problem(&Problem {
                what: format!("It failed by its own word: {}", failure.message),
                why: failure.reason.cause().to_owned(),
                fix: "look at what its last ping says, and at the program itself".to_owned(),
                code: None,
            }))
        } @else if monitor.state == MonitorState::Overdue {
            (problem(&Problem {
                what: "Nothing was heard of it in time: what became of it is unknown".to_owned(),
                why: "no ping came within its grace, or a run that began did not end".to_owned(),
                fix: "look whether the program runs, and whether it reaches this address".to_owned(),
                code: None,
            }))
        }
    }
}

fn definition(monitor: &MonitorView, now: Timestamp) -> Markup {
    let spec = &monitor.spec;
    html! {
        section.card {
            h2 { "Protection" }
            dl.facts {
                dt { "Protects" } dd { @if spec.note.is_empty() { (dash_because("nobody has said so")) } @else { (spec.note) } }
                dt { "Ask" } dd { @if spec.owner.is_empty() { (dash_because("nobody has said so")) } @else { (spec.owner) } }
                dt { "Expects" } dd { (expects(monitor)) }
                dt { "Grace" } dd { (spec.grace) @if let Some(late) = spec.late_after { ", told quietly after " (late) } }
                dt { "Reached by" } dd { @if monitor.has_key { "its UUID, " } "the slug " code { (spec.slug) } " with a ping key" }
                @if !spec.labels.is_empty() { dt { "Labels" } dd { @for (key, value) in &spec.labels { code { (key) "=" (value) } " " } } }
                dt { "Set" } dd { (time(monitor.set_at, now)) " by " (monitor.set_by) }
            }
        }
    }
}

fn standing(monitor: &MonitorView, now: Timestamp) -> Markup {
    let shown = |at: Option<Timestamp>, why: &str| at.map_or_else(|| dash_because(why), |at| time(at, now));
    html! {
        section.card {
            h2 { "How it stands" }
            dl.facts {
                dt { "Last ping" } dd { (shown(monitor.last_ping_at, "it has not told of an end yet")) }
                dt { "Last good" } dd { (shown(monitor.last_good_at, "never")) }
                dt { "Expected" } dd { (shown(monitor.expected_at, "its calendar is never due again")) }
                dt { "Told" } dd { (shown(monitor.overdue_at, "it is told already, or never due")) @if monitor.overdue_at.is_some() { " if nothing comes" } }
                @if let Some(run) = &monitor.running { dt { "Run" } dd { (running(run)) " since " (time(run.since, now)) } }
                dt { "Took" } dd { (span_or_dash(monitor.last_duration_ms)) }
                dt { "Pings" } dd { (monitor.pings) }
            }
        }
    }
}

fn pings(one: &MonitorDetail, now: Timestamp) -> Markup {
    html! {
        section.card.flush {
            h2 { "Latest pings" }
            @if one.pings.is_empty() { p.empty { "None yet." } } @else {
                div.scroll { table.fold {
                    (heads(&["When", "Says", "From", "#Took", "#Size", "Body"]))
                    tbody { @for ping in &one.pings { (row(ping, now)) } }
                } }
            }
        }
    }
}

fn row(view: &PingView, now: Timestamp) -> Markup {
    let ping = &view.ping;
    html! {
        tr id={ "p-" (ping.id) } {
            th.tight scope="row" { (time(view.at, now)) }
            td data-name="Says" {
                (tag(of_kind(ping.kind), &ping.kind.to_string()))
                @if let Some(stage) = ping.said.stage { span.sub { (stage) } }
                @if let Some(error) = &ping.said.error { span.sub.t-bad { (error) } }
            }
            td data-name="From" { (ping.from) @if !ping.agent.is_empty() { span.sub { (ping.method) " " (ping.agent) } } }
            td.num data-name="Took" { (span_or_dash(view.duration_ms)) }
            td.num data-name="Size" { (bytes_or_dash(ping.said.bytes)) }
            td.wide data-name="Body" {
                @if !ping.body.is_empty() { details { summary { (ping.body_bytes) " bytes" } pre { (ping.body) } } }
                @else if ping.body_bytes > 0 { (dash_because("its body is not kept")) }
                @else { (dash()) }
            }
        }
    }
}

const fn of_kind(kind: PingKind) -> Tone {
    match (kind, kind.is_good()) {
        (_, Some(true)) => Tone::Good,
        (_, Some(false)) => Tone::Bad,
        (PingKind::Start, None) => Tone::Busy,
        (_, None) => Tone::Dim,
    }
}
