//! `landfall limits [set NAME N]`: how much may run at once.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::Request;
use landfall_proto::limit::LimitName;

use super::acts::{done, who};
use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::screen::Screen;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall limits\n  landfall limits set cluster 8\n  landfall limits set storage:nas 2\n  landfall limits set cluster 0      (nothing starts until it is raised)"
)]
pub(super) struct Limits {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Change a limit; it counts from the next decision on
    Set {
        /// cluster, node, repository, storage:NAME, label:KEY=VALUE, task:backup or task:check
        #[arg(add = ArgValueCompleter::new(Live::Limits))]
        name: LimitName,
        /// How many at once; 0 holds everything back
        size: u32,
    },
}

pub(super) async fn run(options: &Limits, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    if let Some(Act::Set { name, size }) = &options.act {
        let request = Request::SetLimit { name: name.clone(), value: *size, by: who() };
        return done(&mesh.ask(&request).await?, screen);
    }
    let limits = expect_reply!(mesh.ask(&Request::Limits).await?, Limits)?;
    if screen.json {
        screen.json_answer(&limits);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = limits
        .iter()
        .map(|limit| {
            let size = limit.size.map_or_else(|| "no limit".to_owned(), |size| size.to_string());
            vec![
                limit.name.to_string(),
                limit.used.to_string(),
                size,
                if limit.is_default { "default".to_owned() } else { String::new() },
            ]
        })
        .collect();
    screen.table(&["LIMIT", "USED", "SIZE", ""], rows);
    Ok(ExitCode::SUCCESS)
}
