//! `landfall nodes [ID]`: who is in the mesh and how each stands.

use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::{Paging, Request};
use landfall_proto::id::NodeId;
use landfall_proto::time::Timestamp;
use landfall_proto::view::{NodeRoutineView, NodeView, Page};

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::human::{ago_or_dash, bytes, dash, outcome_tone};
use super::screen::{Screen, Tone};
use crate::edge::clock;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  landfall nodes\n  landfall nodes web-1 --json")]
pub(super) struct Nodes {
    /// One node
    #[arg(add = ArgValueCompleter::new(Live::Nodes))]
    id: Option<NodeId>,
    /// How many
    #[arg(long, default_value_t = 100)]
    rows: u32,
}

pub(super) async fn run(options: &Nodes, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    if let Some(id) = &options.id {
        let node = expect_reply!(mesh.ask(&Request::Node { id: id.clone() }).await?, Node)?;
        if screen.json {
            screen.json_answer(&node);
        } else {
            show(&node, clock::now(), screen);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let paging = Paging { rows: Some(options.rows), after: None };
    let page = expect_reply!(mesh.ask(&Request::Nodes { paging }).await?, Nodes)?;
    if screen.json {
        screen.json_answer(&page);
    } else {
        list(&page, clock::now(), screen);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(page: &Page<NodeView>, now: Timestamp, screen: &Screen) {
    if page.rows.is_empty() {
        screen.note("no node has announced itself yet; start `landfall-agent serve` on one");
        return;
    }
    let rows = page
        .rows
        .iter()
        .map(|node| {
            let good = node.routines.iter().filter_map(|routine| routine.last_good_at).min();
            vec![
                node.id.to_string(),
                presence(node, screen),
                ago_or_dash(node.last_beat_at, now),
                node.routines.len().to_string(),
                ago_or_dash(good, now),
                node.findings.len().to_string(),
                node.version.clone(),
                node.host.clone(),
            ]
        })
        .collect();
    screen.table(&["NODE", "STATE", "HEARD", "ROUTINES", "OLDEST LAST GOOD", "FINDINGS", "VERSION", "HOST"], rows);
    if page.next.is_some() {
        screen.note("more with --rows");
    }
}

fn presence(node: &NodeView, screen: &Screen) -> String {
    if node.retired {
        screen.paint("retired", Tone::Dim)
    } else if node.online {
        node.paused.as_ref().map_or_else(|| screen.paint("online", Tone::Good), |_| screen.paint("paused", Tone::Warn))
    } else {
        screen.paint("silent", Tone::Warn)
    }
}

fn show(node: &NodeView, now: Timestamp, screen: &Screen) {
    screen.line(&format!("node {}  {}  host {}  version {}", node.id, presence(node, screen), node.host, node.version));
    screen.line(&format!(
        "heard {}   outbox {}   clock {}",
        ago_or_dash(node.last_beat_at, now),
        node.outbox.map_or_else(dash, |count| count.to_string()),
        node.clock_skew_ms.map_or_else(dash, |skew| format!("{skew} ms off"))
    ));
    if let Some(why) = &node.paused {
        screen.line(&format!("paused: {why}"));
    }
    if let Some(vitals) = &node.vitals {
        screen.line(&format!(
            "load {:.2} per processor   memory {} of {} free   agent {}",
            vitals.load_per_cpu,
            bytes(vitals.memory_available_bytes),
            bytes(vitals.memory_total_bytes),
            bytes(vitals.agent_memory_bytes)
        ));
    }
    for (name, value) in &node.labels {
        screen.line(&format!("label {name}={value}"));
    }
    screen.line("");
    let rows = node.routines.iter().map(|routine| routine_row(routine, now, screen)).collect();
    screen.table(&["ROUTINE", "LAST", "WHEN", "LAST GOOD", "FAILED SINCE", "CHECKED"], rows);
    for finding in &node.findings {
        screen.line(&format!("{}: {}", finding.severity, finding.message));
    }
    for broken in &node.broken_plans {
        screen.line(&format!("broken plan {}: {}", broken.file, broken.error));
    }
}

fn routine_row(routine: &NodeRoutineView, now: Timestamp, screen: &Screen) -> Vec<String> {
    vec![
        routine.routine.to_string(),
        routine.last_outcome.map_or_else(dash, |outcome| screen.paint(outcome.as_str(), outcome_tone(outcome))),
        ago_or_dash(routine.last_finished_at, now),
        ago_or_dash(routine.last_good_at, now),
        routine.failures_since_good.to_string(),
        ago_or_dash(routine.last_checked_at, now),
    ]
}
