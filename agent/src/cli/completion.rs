//! `completion`: what a shell needs to know to finish words.

use std::process::ExitCode;

use clap::CommandFactory;

use super::{Tool, print};

pub(super) fn print(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Tool::command(), "landfall-agent", &mut script);
    print::text(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}
