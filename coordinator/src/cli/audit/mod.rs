//! `landfall audit`: every promise of the mesh, checked over the log as it is, and over the receipts that lie on this machine.

mod answers;
mod log;
mod receipts;
mod repositories;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::ask::Mesh;
use super::context;
use super::failure::Failure;
use super::screen::Screen;
use crate::audit::{Audit as Found, History, audit};
use crate::edge::clock;

/// Some promise was not kept.
const BROKEN: u8 = 2;

/// The log could not be read, so nothing is known.
const COULD_NOT: u8 = 1;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    /// An agent's state folder on this machine, with its receipts below; may be given several times [default: those of `landfall up` beside the context file, and /var/lib/landfall]
    #[arg(long, value_name = "FOLDER")]
    state: Vec<PathBuf>,
    /// A folder of receipts: one folder for each run, with a receipt.json; may be given several times
    #[arg(long, value_name = "FOLDER")]
    receipts: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  landfall audit                                  every promise, over the whole log
  landfall audit --state /var/lib/landfall        with the receipts of this machine's agent
  landfall audit --receipts /mnt/old-disk/runs    with receipts that were saved from another one
  landfall audit --json | jq '.violations'        for programs

It only reads: the log from its first message, what coordinators say of themselves, and receipts. What cannot be told
from these is named and not judged; an agent's spool, processes and repositories are looked into by the simulator only.

Exit codes:
  0    every promise that could be looked at was kept
  1    the log could not be read: unknown, not bad
  2    a promise was broken";

/// Everything that was seen, and what could not be.
#[derive(Debug, Default)]
struct Seen {
    history: History,
    cluster: String,
    /// What could not be read, one sentence each.
    notes: Vec<String>,
}

/// Reads, judges, prints.
pub(super) async fn run(options: &Audit, named: Option<&Path>, screen: &Screen) -> Result<ExitCode, Failure> {
    let seen = look(options, named, screen).await.map_err(|failure| Failure { code: COULD_NOT, ..failure })?;
    let found = tokio::task::block_in_place(|| audit(&seen.history));
    show::show(&seen, &found, screen);
    Ok(code(&found))
}

fn code(found: &Found) -> ExitCode {
    if found.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
}

async fn look(options: &Audit, named: Option<&Path>, screen: &Screen) -> Result<Seen, Failure> {
    let connection = context::find(named)?;
    let mut seen = Seen { cluster: connection.cluster.to_string(), ..Seen::default() };
    let mesh = Mesh::connect(&connection).await?;
    log::read(&mesh, &mut seen, screen).await?;
    answers::collect(&mesh, &mut seen).await;
    repositories::of_witnesses(&mut seen.history);
    let folders = receipts::folders(&options.state, &options.receipts, named);
    receipts::read(&folders, &mut seen)?;
    answers::ask_for_missing(&mesh, &mut seen).await;
    seen.history.ended_at = Some(clock::now());
    Ok(seen)
}
