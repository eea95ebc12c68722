//! Alerts: what is open, what was, and who was told of each.

use landfall_proto::alert::Alert;
use landfall_proto::card::Stakes;
use landfall_proto::control::{Paging, Problem, Request};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::view::AlertView;
use maud::{Markup, html};

use super::ask::told;
use super::list;
use super::shown::{Glance, Shown};
use crate::core::monitor_alerts;
use crate::web::markup::{self, Section, Tone, age, heads, said, span, tag, time};

const ROWS: u32 = 50;

pub(super) async fn show(glance: Glance<'_>) -> Result<Shown, Problem> {
    let Glance { site, query, now, .. } = glance;
    let first = Paging { rows: Some(ROWS), after: None };
    let open = told!(site, Request::Alerts { all: false, paging: first }, Alerts)?;
    let paging = Paging { rows: Some(ROWS), after: query.get("after").map(str::to_owned) };
    let all = told!(site, Request::Alerts { all: true, paging }, Alerts)?;
    let past: Vec<&AlertView> = all.rows.iter().filter(|alert| !alert.open).collect();
    Ok(Shown::new("Alerts", Section::Alerts)
        .fixed(html! { div.head { h1 { "Alerts" } span.sub { "Raised when the state asks for it, resolved when it no longer does." } } })
        .live("open", &html! {
            @if open.rows.is_empty() { section.card { p { "✓ No alert is open." } } }
            @for alert in &open.rows { (card(alert, now)) }
            @if open.next.is_some() { p { "More are open: " code { "landfall alerts" } } }
        })
        .live("past", &html! {
            section.card.flush { h2 { "History" }
                @if past.is_empty() { p.empty.sub { "No alert has been resolved yet." } } @else { (table(&past, now)) }
                (list::more(query, "/alerts", all.next.as_deref())) }
        }))
}

pub(super) fn card(view: &AlertView, now: Timestamp) -> Markup {
    let alert = &view.alert;
    html! {
        section class={ "card answer " (markup::of_severity(alert.severity).class()) } id={ "a-" (alert.id) } {
            div.sign aria-hidden="true" { (markup::of_severity(alert.severity).mark().trim()) }
            div {
                h2 { (alert.title) }
                p {
                    (tag(markup::of_severity(alert.severity), alert.severity.as_str())) " since "
                    (time(view.raised_at, now)) " · " code { (alert.key) }
                }
                @if let Some(cover) = &view.covered_by { p.sub { "Covered by " code { (cover) } ", which is told in its place." } }
                @if !alert.fix.is_empty() { p { b { "Now: " } (said(&alert.fix)) } }
                p.sub {
                    @if let Some(round) = alert.round { a href={ "/rounds/" (round) } { "its round" } " · " }
                    @if let Some(routine) = &alert.routine { a href={ (place(alert)) (routine) } { (routine) } " · " }
                    @for node in alert.nodes.iter().take(20) { a href={ "/nodes/" (node) } { (node) } " " }
                    @if let Some(at) = alert.last_good_at { "· last good backup " (time(at, now)) }
                }
                @if let Some(stakes) = &alert.stakes { (at_stake(stakes)) }
                @if let Some(runbook) = alert.runbook.as_ref().filter(|url| is_web(url)) {
                    p { a href=(runbook) rel="noreferrer" { "Runbook" } }
                }
                (deliveries(view, now))
            }
        }
    }
}

/// Where the thing that an alert names by its routine is shown.
fn place(alert: &Alert) -> &'static str {
    if monitor_alerts::is_about(alert) { "/monitors/" } else { "/routines/" }
}

/// Whose data it is, who is called, and how much is at stake.
fn at_stake(stakes: &Stakes) -> Markup {
    html! {
        @if let Some(risk) = stakes.risk { p { b { "Risk " (risk) ": " } (risk.meaning()) } }
        @if let Some(called) = stakes.called() { p { b { "To be called: " } (called) } }
    }
}

/// An address of another kind is not made a link: a plan could name one that runs a script.
pub(super) fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn deliveries(view: &AlertView, now: Timestamp) -> Markup {
    html! {
        @if view.deliveries.is_empty() {
            @if view.covered_by.is_none() { p.sub { "Nobody has been told yet." } }
        } @else {
            p.sub { "Told: " @for (place, sent) in view.deliveries.iter().enumerate() {
                @if place > 0 { " · " }
                @match &sent.error {
                    None => { "✓ " (sent.sink) @if sent.resolved { " (resolved)" } " " (time(sent.at, now)) },
                    Some(error) => { b.t-bad { "✕ " (sent.sink) } " " (error) },
                }
                @if sent.attempts > 1 { " after " (sent.attempts) " attempts" }
            } }
        }
    }
}

fn table(alerts: &[&AlertView], now: Timestamp) -> Markup {
    html! {
        div.scroll { table.fold {
            (heads(&["Alert", "Severity", "Raised", "Resolved", "Told"]))
            tbody { @for view in alerts {
                tr id={ "a-" (view.alert.id) } {
                    th.wide scope="row" { (view.alert.title) span.sub.mono { (view.alert.key) } }
                    td data-name="Severity" { (view.alert.severity) }
                    td.tight data-name="Raised" { (time(view.raised_at, now)) }
                    td.tight data-name="Resolved" {
                        @if let Some(at) = view.resolved_at {
                            (time(at, now)) span.sub { "after " (lasted(view.raised_at, at)) }
                        }
                    }
                    td data-name="Told" { (told_of(view)) }
                }
            } }
        } }
    }
}

fn lasted(from: Timestamp, until: Timestamp) -> String {
    let ms = between(from, until).as_ms();
    if ms < 60_000 { span(ms) } else { age(ms) }
}

fn told_of(view: &AlertView) -> Markup {
    let failed = view.deliveries.iter().filter(|sent| sent.error.is_some()).count();
    html! {
        (view.deliveries.len() - failed) " notices"
        @if failed > 0 { " " (tag(Tone::Bad, &format!("{failed} not delivered"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_become_links() {
        assert!(is_web("https://wiki.example/x") && is_web("http://wiki/x"));
        assert!(!is_web("javascript:alert(1)") && !is_web("data:text/html,x") && !is_web("//evil.example"));
    }
}
