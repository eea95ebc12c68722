//! `landfall logs ID [-f]`: the log of a run, read from the node that keeps it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::Request;

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::runs;
use super::screen::Screen;

/// How often a growing log is looked at.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  landfall logs 9c41d2\n  landfall logs 9c41d2 -f")]
pub(super) struct Logs {
    /// A run; the first letters of its id are enough
    #[arg(add = ArgValueCompleter::new(Live::Runs))]
    id: String,
    /// Go on until the run has ended
    #[arg(long, short)]
    follow: bool,
}

pub(super) async fn run(options: &Logs, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let run = runs::resolve(&options.id, mesh).await?;
    let mut offset = 0;
    loop {
        let piece = expect_reply!(mesh.ask(&Request::Logs { run, offset }).await?, Logs)?;
        if screen.json && !piece.text.is_empty() {
            screen.json_line(&piece);
        } else if !screen.json {
            screen.raw(&piece.text);
        }
        let grew = piece.next_offset > offset;
        offset = piece.next_offset;
        if grew {
            continue;
        }
        if piece.ended || !options.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(POLL).await;
    }
}
