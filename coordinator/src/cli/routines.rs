//! `landfall routines [NAME]`: all plans of one name, their schedule and their last round.

use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::Request;
use landfall_proto::id::RoutineName;
use landfall_proto::protection::RestoreView;
use landfall_proto::time::Timestamp;
use landfall_proto::view::RoutineView;

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::human::{ago, ago_or_dash, bytes, dash, instant, span, verdict_tone};
use super::screen::{Screen, Tone};
use crate::edge::clock;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  landfall routines\n  landfall routines nightly")]
pub(super) struct Routines {
    /// One routine
    #[arg(add = ArgValueCompleter::new(Live::Routines))]
    name: Option<RoutineName>,
}

pub(super) async fn run(options: &Routines, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    if let Some(name) = &options.name {
        let routine = expect_reply!(mesh.ask(&Request::Routine { name: name.clone() }).await?, Routine)?;
        if screen.json {
            screen.json_answer(&routine);
        } else {
            show(&routine, clock::now(), screen);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let routines = expect_reply!(mesh.ask(&Request::Routines).await?, Routines)?;
    if screen.json {
        screen.json_answer(&routines);
    } else if routines.is_empty() {
        screen.note("no node has announced a plan yet");
    } else {
        let now = clock::now();
        let rows = routines.iter().map(|routine| row(routine, now, screen)).collect();
        screen.table(&["ROUTINE", "NODES", "CALENDAR", "ZONE", "NEXT", "RULE", "LAST VERDICT", "WHEN"], rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(routine: &RoutineView, now: Timestamp, screen: &Screen) -> Vec<String> {
    let last = routine.last_round.as_ref();
    vec![
        routine.name.to_string(),
        routine.nodes.len().to_string(),
        routine.calendar.clone().unwrap_or_else(|| "by hand".to_owned()),
        routine.zone.clone().unwrap_or_else(dash),
        routine.next_slots.first().map_or_else(dash, |slot| ago(*slot, now)),
        routine.rule.to_string(),
        last.and_then(|round| round.verdict).map_or_else(dash, |kind| screen.paint(kind.as_str(), verdict_tone(kind))),
        ago_or_dash(last.map(|round| round.opened_at), now),
    ]
}

fn show(routine: &RoutineView, now: Timestamp, screen: &Screen) {
    screen.line(&format!("routine {}  on {} nodes  rule {}", routine.name, routine.nodes.len(), routine.rule));
    if let Some(calendar) = &routine.calendar {
        screen.line(&format!(
            "calendar {calendar} ({})  {}",
            routine.zone.as_deref().unwrap_or("UTC"),
            routine.explained.as_deref().unwrap_or_default()
        ));
    }
    for slot in &routine.next_slots {
        screen.line(&format!("  next {}  {}", instant(*slot), ago(*slot, now)));
    }
    screen.line(&format!(
        "start within {}   finish within {}{}",
        span(routine.start_within_ms),
        span(routine.finish_within_ms),
        routine.rpo_ms.map(|rpo| format!("   last good at most {} old", span(rpo))).unwrap_or_default()
    ));
    card(routine, now, screen);
    let nodes: Vec<&str> = routine.nodes.iter().map(|node| node.as_str()).collect();
    screen.line(&format!("nodes    {}", nodes.join(", ")));
    if !routine.differs.is_empty() {
        let differs: Vec<&str> = routine.differs.iter().map(|node| node.as_str()).collect();
        screen.line(&format!("differs  {} (another definition than most)", differs.join(", ")));
    }
    for (what, variants) in routine.protection.iter().flat_map(|known| &known.drift) {
        for variant in variants {
            let nodes: Vec<&str> = variant.nodes.iter().map(|node| node.as_str()).collect();
            screen.line(&format!("  {what}: {} on {} ({})", variant.value, variant.count, nodes.join(", ")));
        }
    }
    if let Some(round) = &routine.last_round {
        let verdict = round
            .verdict
            .map_or_else(|| "converging".to_owned(), |kind| screen.paint(kind.as_str(), verdict_tone(kind)));
        screen.line(&format!("last     round {} opened {}: {verdict}", round.id, ago(round.opened_at, now)));
    }
}

/// The protection card: what a person has to know at night.
fn card(routine: &RoutineView, now: Timestamp, screen: &Screen) {
    let card = &routine.card;
    let line = |name: &str, value: String| {
        if !value.is_empty() {
            screen.line(&format!("{name:<8} {value}"));
        }
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some(risk) = routine.risk {
        line("risk", screen.paint(&format!("{risk}: {}", risk.meaning()), Tone::Bad));
    }
    line("protects", card.protects.join(", "));
    line("class", text(&card.data_class));
    line("owner", text(&card.owner));
    line("contact", text(&card.contact));
    line("then", card.escalation.join(", then "));
    line("runbook", text(&card.runbook));
    if let Some(known) = &routine.protection {
        let values = known.targets.iter().map(|target| target.value.as_str());
        line("kept at", values.collect::<Vec<_>>().join(", "));
        line(
            "oldest",
            known
                .oldest_good
                .as_ref()
                .map_or_else(String::new, |(node, at)| format!("last good of {} on {node}", ago(*at, now))),
        );
        line("restore", restore(card.rto.map(|rto| rto.as_ms()), known.restore.as_ref()));
    }
    for (number, step) in card.restore.iter().enumerate() {
        screen.line(&format!("  {}. {step}", number + 1));
    }
}

fn restore(rto_ms: Option<u64>, found: Option<&RestoreView>) -> String {
    let promised = rto_ms.map(|rto| format!("at most {}", span(rto)));
    let measured = found.map(|found| {
        let kept = match rto_ms {
            Some(rto) if found.duration_ms > rto => " (too long)",
            Some(_) => " (kept)",
            None => "",
        };
        format!(
            "about {}{kept} for {} of {} at {}/s",
            span(found.duration_ms),
            bytes(found.bytes),
            found.node,
            bytes(found.rate_bytes)
        )
    });
    match (promised, measured) {
        (None, None) => String::new(),
        (Some(promised), None) => format!("{promised}; unknown until a check has read data at the destination"),
        (promised, Some(measured)) => promised.into_iter().chain([measured]).collect::<Vec<_>>().join("; "),
    }
}
