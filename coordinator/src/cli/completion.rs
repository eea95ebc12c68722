//! `landfall completion SHELL`: a completion script on the standard output.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall completion bash > /etc/bash_completion.d/landfall\n  landfall completion zsh > ~/.zfunc/_landfall"
)]
pub(super) struct Completion {
    shell: Shell,
}

pub(super) fn run(options: &Completion) -> ExitCode {
    clap_complete::generate(options.shell, &mut super::Tool::command(), "landfall", &mut std::io::stdout());
    ExitCode::SUCCESS
}
