//! The protection card of a routine: what is protected, where to, what was promised and how it stands, and who is called.

use landfall_proto::card::Card;
use landfall_proto::protection::{ProtectionView, RestoreView, Variant};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::view::RoutineView;
use maud::{Markup, html};

use super::alert::is_web;
use crate::web::markup::{Tone, age, bytes, dash_because, heads, lasting, tag, time, when};

/// Longest value of one node that is shown in a cell, in characters.
const VALUE_CHARS_MAX: usize = 120;

pub(super) fn card(routine: &RoutineView, now: Timestamp) -> Markup {
    let card = &routine.card;
    html! {
        section.card id="card" {
            h2 { "Protection card" }
            @if let Some(risk) = routine.risk {
                p { (tag(Tone::Bad, &format!("risk {risk}"))) " " (risk.meaning()) }
            }
            dl.facts {
                dt { "Protects" }
                dd { @if card.protects.is_empty() { (dash_because("no plan says it in words")) } @else { (card.protects.join(", ")) } }
                @if let Some(class) = &card.data_class { dt { "Data class" } dd { (class) } }
                @if let Some(protection) = &routine.protection {
                    dt { "Kept at" } dd { (said(&protection.targets)) }
                    dt { "By" } dd { (said(&protection.drivers)) }
                }
                dt { "RPO" } dd { (rpo(routine, now)) }
                dt { "RTO" } dd { (rto(card, routine.protection.as_ref().and_then(|known| known.restore.as_ref()))) }
                dt { "Owner" }
                dd { @match &card.owner { Some(owner) => b { (owner) }, None => (dash_because("nobody is named")) } }
                @if let Some(contact) = &card.contact { dt { "Contact" } dd { (contact) } }
                dt { "Called next" }
                dd {
                    @if card.escalation.is_empty() { (dash_because("nobody is named")) }
                    @else { ol.steps { @for who in &card.escalation { li { (who) } } } }
                }
                @if let Some(url) = &card.runbook { dt { "Runbook" } dd { (link(url)) } }
            }
            @if !card.restore.is_empty() {
                h3 { "How to bring it back" }
                ol { @for step in &card.restore { li { code { (step) } } } }
            }
            @if *card == Card::default() {
                p.sub {
                    "Nobody has written a card yet. Add " code { "[card]" } " to the plan; " code { "landfall-agent plan example" }
                    " shows every key."
                }
            }
        }
    }
}

fn rpo(routine: &RoutineView, now: Timestamp) -> Markup {
    let Some(rpo) = routine.rpo_ms else { return dash_because("no plan says how old a backup may be") };
    let protection = routine.protection.as_ref();
    let never = protection.map_or(0, |known| known.never_good.len());
    html! {
        "a good backup is at most " b { (age(rpo)) } " old; "
        @if never > 0 {
            (tag(Tone::Bad, "not kept")) " there is none yet on "
            @for node in protection.iter().flat_map(|known| &known.never_good) { a href={ "/nodes/" (node) } { (node) } " " }
        } @else if let Some((node, at)) = protection.and_then(|known| known.oldest_good.as_ref()) {
            @if between(*at, now).as_ms() < rpo { (tag(Tone::Good, "kept")) } @else { (tag(Tone::Bad, "not kept")) }
            " the oldest is of " (time(*at, now)) ", on " a href={ "/nodes/" (node) } { (node) }
        }
    }
}

/// What was promised against what checks have measured; without a measurement nothing is claimed.
fn rto(card: &Card, restore: Option<&RestoreView>) -> Markup {
    html! {
        @match card.rto { Some(rto) => { "a restore takes at most " b { (rto) } "; " }, None => "none is set; " }
        @match restore {
            Some(found) => {
                @if let Some(rto) = card.rto {
                    @if found.duration_ms <= rto.as_ms() { (tag(Tone::Good, "kept")) } @else { (tag(Tone::Bad, "not kept")) } " "
                }
                "about " (lasting(found.duration_ms)) " for the " (bytes(found.bytes)) " of " a href={ "/nodes/" (found.node) } { (found.node) }
                ", at the " (bytes(found.rate_bytes)) "/s that " (found.measured_in) " data checks read the destination with"
            }
            None => span.t-dim { "how long it takes is unknown until a check has read data at the destination" }
        }
    }
}

fn said(variants: &[Variant]) -> String {
    let all: Vec<String> = variants
        .iter()
        .map(|variant| {
            if variants.len() == 1 { variant.value.clone() } else { format!("{} on {}", variant.value, variant.count) }
        })
        .collect();
    if all.is_empty() { "unknown".to_owned() } else { all.join(", ") }
}

fn link(url: &str) -> Markup {
    html! { @if is_web(url) { a href=(url) rel="noreferrer" { (url) } } @else { (url) } }
}

/// What is not the same on all nodes.
pub(super) fn drift(protection: Option<&ProtectionView>) -> Markup {
    let Some(known) = protection.filter(|known| !known.drift.is_empty()) else { return html! {} };
    html! {
        section.card.flush { h2 { "Not the same on every node" }
            div.scroll { table.fold {
                (heads(&["What", "Value", "#Nodes", "Which"]))
                tbody { @for (what, variants) in &known.drift {
                    @for (place, variant) in variants.iter().enumerate() {
                        tr {
                            th scope="row" { @if place == 0 { (what.replace('_', " ")) } }
                            td.wide data-name="Value" { (variant.value.chars().take(VALUE_CHARS_MAX).collect::<String>()) }
                            td.num data-name="Nodes" { (variant.count) }
                            td.wide data-name="Which" {
                                @for node in &variant.nodes { a href={ "/nodes/" (node) } { (node) } " " }
                                @if u32::try_from(variant.nodes.len()).is_ok_and(|named| named < variant.count) { "…" }
                            }
                        }
                    }
                } }
            } }
            p.note { "Sources may rightly differ from node to node; they are part of the definition, of which only a hash leaves a node." }
        }
    }
}

/// When the page was made, for paper.
pub(super) fn printed(now: Timestamp) -> Markup {
    html! { p.sub { "As of " (when(now)) ". Print it with the browser; keep a copy where it is found when this page is not." } }
}
