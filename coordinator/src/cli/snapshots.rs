//! `landfall snapshots`: what landed, by routine and node, and whether somebody else saw it there.

use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::{Paging, Request, RunFilter};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::time::Timestamp;
use landfall_proto::view::RunView;

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::human::{ago_or_dash, bytes_or_dash, dash, number_or_dash, short, witness};
use super::screen::Screen;
use crate::edge::clock;

/// Pages of runs that are looked through.
const PAGES_MAX: usize = 50;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall snapshots --routine nightly\n  landfall snapshots --node web-1 --rows 5 --json\n\nWhat runs have left at the destination, the newest first. What was removed there since is not known here:\n`restic snapshots` asks the repository itself."
)]
pub(super) struct Snapshots {
    #[arg(long, add = ArgValueCompleter::new(Live::Nodes))]
    node: Option<NodeId>,
    #[arg(long, add = ArgValueCompleter::new(Live::Routines))]
    routine: Option<RoutineName>,
    /// How many
    #[arg(long, default_value_t = 20)]
    rows: usize,
}

pub(super) async fn run(options: &Snapshots, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let filter = RunFilter {
        node: options.node.clone(),
        routine: options.routine.clone(),
        ended: Some(true),
        ..RunFilter::default()
    };
    let (mut found, mut after): (Vec<RunView>, Option<String>) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let paging = Paging { rows: None, after };
        let page = expect_reply!(mesh.ask(&Request::Runs { filter: filter.clone(), paging }).await?, Runs)?;
        found.extend(page.rows.into_iter().filter(|run| run.snapshot.is_some()));
        after = page.next;
        if after.is_none() || found.len() >= options.rows {
            break;
        }
    }
    found.truncate(options.rows);
    if screen.json {
        screen.json_answer(&found);
    } else if found.is_empty() {
        screen.note("no run has left a snapshot yet");
    } else {
        let now = clock::now();
        let rows = found.iter().map(|run| row(run, now)).collect();
        let heads =
            ["SNAPSHOT", "NODE", "ROUTINE", "LANDED", "FILES", "SIZE", "ADDED", "WITNESSED BY", "REPOSITORY", "RUN"];
        screen.table(&heads, rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(run: &RunView, now: Timestamp) -> Vec<String> {
    vec![
        run.snapshot.as_ref().map_or_else(dash, short),
        run.node.to_string(),
        run.routine.to_string(),
        ago_or_dash(run.finished_at, now),
        number_or_dash(run.files),
        bytes_or_dash(run.bytes),
        bytes_or_dash(run.added_bytes),
        witness(run.witness.as_ref()),
        run.repository.as_ref().map_or_else(dash, short),
        short(run.id),
    ]
}
