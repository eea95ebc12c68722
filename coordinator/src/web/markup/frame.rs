//! The frame around every page: its head, where one can go, and what is said when the coordinator does not answer.

use landfall_proto::control::Problem;
use maud::{DOCTYPE, Markup, html};

use crate::web::assets;

/// Where in the house a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Section {
    Home,
    Queue,
    Rounds,
    Nodes,
    Routines,
    Monitors,
    Alerts,
    Trends,
    Report,
    /// None of those that the navigation names.
    Elsewhere,
}

const PLACES: [(Section, &str, &str); 9] = [
    (Section::Home, "/", "Overview"),
    (Section::Queue, "/queue", "Queue"),
    (Section::Rounds, "/rounds", "Rounds"),
    (Section::Nodes, "/nodes", "Nodes"),
    (Section::Routines, "/routines", "Routines"),
    (Section::Monitors, "/monitors", "Monitors"),
    (Section::Alerts, "/alerts", "Alerts"),
    (Section::Trends, "/trends", "Trends"),
    (Section::Report, "/report", "Report"),
];

/// What the frame has to know.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Frame<'a> {
    pub(in crate::web) title: &'a str,
    pub(in crate::web) active: Section,
    pub(in crate::web) cluster: &'a str,
    /// Whether the page has parts that change while it is open.
    pub(in crate::web) live: bool,
    /// Who looks at it; empty where that is not known.
    pub(in crate::web) who: &'a str,
}

/// A page that stands still: one to log in at, or one that only says what is wrong.
pub(in crate::web) fn page(title: &str, active: Section, body: &Markup) -> Markup {
    frame(Frame { title, active, cluster: "", live: false, who: "" }, body)
}

pub(in crate::web) fn frame(frame: Frame<'_>, body: &Markup) -> Markup {
    let Frame { title, active, cluster, live, who } = frame;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Landfall" @if !cluster.is_empty() { " " (cluster) } }
                link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg"));
                link rel="stylesheet" href=(assets::address("style.css"));
                @if live { script src=(assets::address("live.js")) defer {} }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    div.bar {
                        a.brand href="/" {
                            img src=(assets::address("icon.svg")) width="22" height="22" alt="";
                            "Landfall" @if !cluster.is_empty() { " " small { (cluster) } }
                        }
                        nav.main aria-label="Pages" {
                            @for (section, address, name) in PLACES {
                                a href=(address) aria-current=[(section == active).then_some("page")] { (name) }
                            }
                        }
                        @if live {
                            div.live {
                                span #live-state data-state="still" role="status" { "as of loading" }
                                button.small #live-pause type="button" hidden aria-pressed="false" { "Pause" }
                            }
                        }
                        @if !who.is_empty() { a.who href="/account" title="Password and log out" { (who) } }
                    }
                }
                main #main {
                    @if live {
                        div.banner.bad #over hidden role="alert" {
                            strong { "You are logged out" }
                            "This page is no longer kept fresh. Now: " a href="/login" { "log in again" } "."
                        }
                    }
                    (body)
                }
                footer { "Landfall " (env!("CARGO_PKG_VERSION")) " · times are UTC unless a zone is named" }
            }
        }
    }
}

/// What happened, why, and what to do now.
pub(in crate::web) fn problem(problem: &Problem) -> Markup {
    html! {
        div.banner.bad role="alert" {
            strong { (problem.what) }
            @if !problem.why.is_empty() { div { "Why: " (said(&problem.why)) } }
            @if !problem.fix.is_empty() { div { "Now: " (said(&problem.fix)) } }
        }
    }
}

/// A sentence in which a command or a key stands between backticks.
pub(in crate::web) fn said(words: &str) -> Markup {
    html! {
        @for (place, part) in words.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The field by which an act proves that it comes from a page of ours.
pub(in crate::web) fn csrf(token: &str) -> Markup {
    html! { input type="hidden" name="csrf" value=(token); }
}

/// The names of a table's columns; one that begins with `#` is a column of figures.
pub(in crate::web) fn heads(names: &[&str]) -> Markup {
    html! {
        thead { tr {
            @for name in names {
                @match name.strip_prefix('#') {
                    Some(name) => th.num scope="col" { (name) },
                    None => th scope="col" { (name) },
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code_and_nothing_is_more_than_text() {
        assert_eq!(said("run `a <b>` now <i>").into_string(), "run <code>a &lt;b&gt;</code> now &lt;i&gt;");
        assert_eq!(said("as it is").into_string(), "as it is");
    }
}
