//! What stands above every page: whether the coordinator sees the log and somebody leads, and the mesh in one line.

use landfall_proto::control::{Problem, Request};
use landfall_proto::time::{Duration, Timestamp, after};
use landfall_proto::view::StatusView;
use maud::{Markup, html};

use super::ask::told;
use crate::web::markup;
use crate::web::server::Site;

/// A loop that has not come round with the log in sight for so long does not see it.
const OUT_OF_SIGHT: Duration = Duration::from_secs(15);

pub(super) async fn part(site: &Site, now: Timestamp) -> Markup {
    match told!(site, Request::Status, Status) {
        Ok(status) => pulse(&status, now),
        Err(problem) => markup::problem(&problem),
    }
}

/// Banners first, then one line.
pub(super) fn pulse(status: &StatusView, now: Timestamp) -> Markup {
    let troubles = troubles(status, now);
    html! {
        @for trouble in &troubles { (markup::problem(trouble)) }
        p.sub {
            a href="/nodes" { (status.nodes_online) " of " (status.nodes) " nodes heard" }
            " · " a href="/queue" { (status.runs_running) " running, " (status.runs_queued) " queued" }
            " · "
            a href="/alerts" {
                @if status.alerts_open > 0 { b.t-bad { (status.alerts_open) @if status.alerts_open == 1 { " open alert" } @else { " open alerts" } } } @else { "no open alert" }
            }
            " · led by " @match &status.leader { Some(leader) => b { (leader) }, None => b.t-bad { "nobody" } }
            @if !status.standbys.is_empty() { ", " (status.standbys.len()) " standing by" }
        }
    }
}

fn troubles(status: &StatusView, now: Timestamp) -> Vec<Problem> {
    let mut troubles = Vec::new();
    let mut add = |what: &str, why: String, fix: &str| {
        troubles.push(Problem { what: what.to_owned(), why, fix: fix.to_owned(), code: None });
    };
    if status.leader.is_none() {
        add(
            "Nobody leads: no run is started and no round is judged",
            "no coordinator has claimed the lead in the log".to_owned(),
            "nodes back up on their own schedule meanwhile; see that `landfall serve` runs and reaches the bus",
        );
    }
    let is_blind = status.lag.is_none() || status.last_pass_at.is_none_or(|at| after(at, OUT_OF_SIGHT) < now);
    if is_blind {
        let since = status
            .last_pass_at
            .map_or_else(|| "since it began".to_owned(), |at| format!("since {}", markup::instant(at)));
        add(
            "The coordinator does not see the log: what is shown may be out of date",
            format!("the bus has not shown where the log ends {since}"),
            "see that the bus runs; `landfall doctor` finds out more. What cannot be seen is not judged",
        );
    } else if status.lag.is_some_and(|lag| lag > 1000) {
        let lag = status.lag.unwrap_or(0);
        add(
            "The coordinator is still reading the log",
            format!("{lag} facts are not folded yet"),
            "wait; nothing is decided before it has read up to the end",
        );
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::tests::status;

    #[test]
    fn a_page_says_so_when_its_coordinator_is_blind_or_leaderless() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let well = pulse(&status(now), now).into_string();
        assert!(!well.contains("banner"), "{well}");
        let blind = pulse(&StatusView { lag: None, ..status(now) }, now).into_string();
        assert!(blind.contains("does not see the log"));
        let long_ago = after(status(now).started_at, Duration::from_secs(0));
        let stuck = pulse(&StatusView { last_pass_at: Some(long_ago), ..status(now) }, now).into_string();
        assert!(stuck.contains("does not see the log") && stuck.contains("2026-11-20 10:00:00Z"));
        let alone = pulse(&StatusView { leader: None, ..status(now) }, now).into_string();
        assert!(alone.contains("Nobody leads") && alone.contains("led by <b class=\"t-bad\">nobody"));
    }
}
