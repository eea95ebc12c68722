//! Nodes: the list, and one with its condition, its routines and its last runs.

use landfall_proto::control::{Paging, Problem, Request, RunFilter};
use landfall_proto::id::NodeId;
use landfall_proto::overview::StorageView;
use landfall_proto::report::Vitals;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{FindingView, NodeRoutineView, NodeView};
use maud::{Markup, html};

use super::ask::told;
use super::list::{self, RunColumns};
use super::shown::{Glance, Shown};
use super::{acting, acts, storage};
use crate::web::access::Role;
use crate::web::markup::{self, Section, Tone, bytes, dash, dash_because, heads, span, tag, time};

const ROWS: u32 = 100;

const RUNS: u32 = 25;

/// A disk with less free space than this is drawn as a warning.
const FREE_PERCENT_LOW: u8 = 15;

pub(super) async fn list(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let paging = Paging { rows: Some(ROWS), after: query.get("after").map(str::to_owned) };
    let page = told!(site, Request::Nodes { paging }, Nodes)?;
    Ok(Shown::new("Nodes", Section::Nodes).fixed(html! { div.head { h1 { "Nodes" } } }).live(
        "list",
        &html! {
            section.card.flush {
                @if page.rows.is_empty() {
                    p.empty { "No node has announced itself yet. Start " code { "landfall-agent serve" } " on one." }
                }
                @else { (uncovered(&page.rows)) (table(&page.rows, now)) }
                (list::more(query, "/nodes", page.next.as_deref()))
            }
        },
    ))
}

/// Nodes that no routine protects: the gap that no failing backup shows.
fn uncovered(nodes: &[NodeView]) -> Markup {
    let bare: Vec<&NodeView> = nodes.iter().filter(|node| !node.retired && node.routines.is_empty()).collect();
    html! {
        @if !bare.is_empty() {
            div.banner {
                strong { "In no routine: nothing of these nodes is backed up" }
                @for node in &bare { a href={ "/nodes/" (node.id) } { (node.id) } " " }
                div { "Now: put a plan into their " code { "plans.d" } ", or retire them. " code { "landfall-agent plan example" } " shows one." }
            }
        }
    }
}

fn table(nodes: &[NodeView], now: Timestamp) -> Markup {
    html! {
        div.scroll { table.fold {
            (heads(&["Node", "State", "Heard", "#Routines", "Oldest last good", "Findings", "Version"]))
            tbody { @for node in nodes {
                tr id={ "n-" (node.id) } {
                    th scope="row" { a href={ "/nodes/" (node.id) } { (node.id) } span.sub { (node.host) } }
                    td data-name="State" { (presence(node)) }
                    td.tight data-name="Heard" {
                        @match node.last_beat_at {
                            Some(at) => (time(at, now)), None => (dash_because("not since this coordinator began"))
                        }
                    }
                    td.num data-name="Routines" { (node.routines.len()) }
                    td.tight data-name="Last good" {
                        @match node.routines.iter().filter_map(|routine| routine.last_good_at).min() {
                            Some(at) => (time(at, now)), None => (dash())
                        }
                    }
                    td.wide data-name="Findings" { (worst(&node.findings)) }
                    td.tight data-name="Version" { (node.version) }
                }
            } }
        } }
    }
}

fn worst(findings: &[FindingView]) -> Markup {
    let Some(worst) = findings.iter().max_by_key(|finding| finding.severity) else {
        return html! { span.t-dim { "none" } };
    };
    html! {
        (tag(markup::of_severity(worst.severity), worst.severity.as_str())) " " (worst.message)
        @if findings.len() > 1 { span.t-dim { " and " (findings.len() - 1) " more" } }
    }
}

fn presence(node: &NodeView) -> Markup {
    if node.retired {
        tag(Tone::Dim, "retired")
    } else if node.quarantined.is_some() {
        tag(Tone::Bad, "quarantined")
    } else if !node.online {
        tag(Tone::Warn, "not heard")
    } else if node.paused.is_some() {
        tag(Tone::Warn, "paused")
    } else {
        tag(Tone::Good, "online")
    }
}

pub(super) async fn show(glance: Glance<'_>, id: &NodeId) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let node = told!(site, Request::Node { id: id.clone() }, Node)?;
    let filter = RunFilter { node: Some(id.clone()), ..RunFilter::default() };
    let path = format!("/nodes/{id}");
    let paging = Paging { rows: Some(RUNS), after: query.get("after").map(str::to_owned) };
    let runs = told!(site, Request::Runs { filter, paging }, Runs)?;
    let storages = storage::of_node(site, &node).await?;
    Ok(Shown::new(format!("Node {id}"), Section::Nodes)
        .fixed(acts::told(query))
        .live(
            "node",
            &html! { (head(&node, now)) (findings(&node)) div.two { (condition(&node, now)) (routines(&node, now)) } (room(&storages)) },
        )
        .live(
            "runs",
            &html! {
                section.card.flush {
                    h2 { "Runs" } (list::runs(&runs.rows, now, RunColumns::Routine))
                    (list::more(query, &path, runs.next.as_deref()))
                }
            },
        )
        .fixed(retiring(&node)))
}

fn head(node: &NodeView, now: Timestamp) -> Markup {
    html! {
        div.head { div {
            h1 { (node.id) " " (presence(node)) }
            p.sub {
                (node.host) " · agent " (node.version) " · heard "
                @match node.last_beat_at { Some(at) => (time(at, now)), None => "not since this coordinator began" }
            }
        } }
        @if let Some(why) = &node.quarantined {
            div.banner.bad { strong { "Nothing is sent to this node, and nothing it reports counts" } (why) }
        }
        @if let Some(why) = &node.paused { div.banner { strong { "It starts nothing for now" } (why) } }
        @if !node.online && !node.retired {
            div.banner {
                strong { "It is not heard" }
                "What its backups do is unknown. It goes on with its own schedule, and tells everything when it is back."
            }
        }
    }
}

fn findings(node: &NodeView) -> Markup {
    html! {
        @if !node.findings.is_empty() || !node.broken_plans.is_empty() {
            section.card { h2 { "Findings" }
                ul { @for finding in &node.findings { li { (tag(markup::of_severity(finding.severity), finding.severity.as_str())) " " (finding.message) } }
                     @for broken in &node.broken_plans { li { (tag(Tone::Bad, "broken plan")) " " code { (broken.file) } ": " (broken.error) } } }
            }
        }
    }
}

fn condition(node: &NodeView, now: Timestamp) -> Markup {
    html! {
        section.card {
            h2 { "Condition" }
            @match &node.vitals {
                Some(vitals) => (vitals_of(node, vitals)),
                None => p.sub { "Unknown: it has not been heard since this coordinator began." }
            }
            @if !node.labels.is_empty() {
                p { @for (key, value) in &node.labels { (tag(Tone::Plain, &format!("{key}={value}"))) " " } }
            }
            @if let Some(at) = node.last_beat_at { p.sub { "As of " (time(at, now)) "." } }
        }
    }
}

fn vitals_of(node: &NodeView, vitals: &Vitals) -> Markup {
    html! {
        dl.facts {
            dt { "Load per processor" } dd { (format!("{:.2}", vitals.load_per_cpu)) }
            dt { "Memory free" } dd { (bytes(vitals.memory_available_bytes)) " of " (bytes(vitals.memory_total_bytes)) }
            dt { "The agent itself" } dd { (bytes(vitals.agent_memory_bytes)) }
            @if let Some(battery) = vitals.on_battery {
                dt { "Power" } dd { @if battery { "battery" } @else { "mains" } }
            }
            @if let Some(skew) = node.clock_skew_ms { dt { "Clock" } dd { (off(skew)) } }
            @if let Some(outbox) = node.outbox { dt { "Facts to tell" } dd { (outbox) } }
            @for (mount, space) in &vitals.disks {
                dt.mono { (mount) }
                dd {
                    progress class=[(space.free_percent() < FREE_PERCENT_LOW).then_some("warn")] max="100" value=(100 - space.free_percent()) { (100 - space.free_percent()) " % used" }
                    (bytes(space.free_bytes)) " of " (bytes(space.total_bytes)) " free"
                }
            }
        }
    }
}

fn room(storages: &[StorageView]) -> Markup {
    html! {
        @if !storages.is_empty() {
            section.card.flush { h2 { "Destinations" } (storage::table(storages)) }
            div.two { (storage::drawings(storages)) }
        }
    }
}

/// How far the node's clock is from the coordinator's.
fn off(skew_ms: i64) -> String {
    let far = span(skew_ms.unsigned_abs());
    match skew_ms {
        0 => "right".to_owned(),
        1.. => format!("{far} ahead"),
        _ => format!("{far} behind"),
    }
}

fn routines(node: &NodeView, now: Timestamp) -> Markup {
    html! {
        section.card.flush {
            h2 { "Routines" }
            @if node.routines.is_empty() { p.empty.sub { "It has announced no plan." } } @else {
                div.scroll { table.fold {
                    (heads(&["Routine", "Last", "Last good", "#Failed since", "Verified"]))
                    tbody { @for routine in &node.routines { (routine_row(routine, now)) } }
                } }
            }
        }
    }
}

fn routine_row(routine: &NodeRoutineView, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/routines/" (routine.routine) } { (routine.routine) } }
            td data-name="Last" {
                @match routine.last_outcome {
                    Some(outcome) => (tag(markup::of_outcome(outcome), outcome.as_str())), None => (dash())
                }
            }
            td.tight data-name="Last good" {
                @match routine.last_good_at { Some(at) => (time(at, now)), None => (dash_because("never")) }
            }
            td.num data-name="Failed since" { (routine.failures_since_good) }
            td.tight data-name="Verified" {
                @match routine.last_checked_at {
                    Some(at) => (time(at, now)), None => (dash_because("no check has ended well yet"))
                }
            }
        }
    }
}

fn retiring(node: &NodeView) -> Markup {
    html! {
        @if !node.retired && acting::may(Role::Admin) {
            details.card {
                summary { "Retire this node" }
                p {
                    "Nothing is expected of a retired node, and its alerts are resolved. Its backups stay where they are. It comes back when its agent announces plans again."
                }
                form method="post" action={ "/nodes/" (node.id) "/retire" } {
                    (acts::token()) button.danger type="submit" { "Retire " (node.id) }
                }
            }
        }
    }
}
