//! The agent's command line: one file a verb.

mod completion;
mod config;
mod doctor;
mod plan;
mod plans;
mod print;
mod run;
mod runs;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{CONFIG_PATH, Config};
use crate::runner::Engine;

/// Runs this machine's backups, proves that they landed, and says so
#[derive(Debug, Parser)]
#[command(name = "landfall-agent", version, max_term_width = 110, after_help = EXAMPLES)]
struct Tool {
    /// The agent's own file
    #[arg(long, global = true, env = "LANDFALL_AGENT_CONFIG", default_value = CONFIG_PATH, value_name = "FILE")]
    config: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  landfall-agent config example > /etc/landfall/agent.toml
  landfall-agent plan example > /etc/landfall/plans.d/nightly.toml
  landfall-agent doctor                 is everything there that a backup needs?
  landfall-agent run nightly            back up now and watch it, with or without a daemon
  landfall-agent runs                   the last runs on this node
  landfall-agent serve                  the daemon: schedule, bus, alarms

Exit codes: 0 done (also with a warning, or already done), 1 failed, 2 wrong usage or files, 3 partial, 4 skipped,
130 cancelled.";

/// Usage or files are wrong.
const USAGE: u8 = 2;

#[derive(Debug, Subcommand)]
enum Verb {
    /// The daemon: keeps the schedule, listens to the bus, raises alarms
    #[command(
        after_help = "Examples:\n  landfall-agent serve\n  LANDFALL_LOG=debug landfall-agent --config ./agent.toml serve\n\nSIGHUP reads plans again; SIGTERM lets runs end within `drain`, then cancels them to be taken up at the next start."
    )]
    Serve,
    /// Run a plan now and watch it
    Run(run::Run),
    /// The last runs on this node, or one run with its log
    Runs(runs::Runs),
    /// The plans of this node, with everything that is wrong with their files
    Plans(plans::Plans),
    /// Check plan files, or print a commented example
    #[command(subcommand)]
    Plan(plan::Plan),
    /// Check the agent's own file, or print a commented example
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Look at everything that a backup needs; each finding comes with a fix
    Doctor(doctor::Doctor),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  source <(landfall-agent completion bash)        in ~/.bashrc; the same with zsh in ~/.zshrc\n  landfall-agent completion fish | source         in ~/.config/fish/config.fish\n  landfall-agent completion bash > /etc/bash_completion.d/landfall-agent\n\nPlans and runs are read from this node's folders while you type. A script that was written to a file is written again\nafter an upgrade."
    )]
    Completion { shell: clap_complete::Shell },
    /// The embedded engine; started by the agent itself
    #[command(hide = true)]
    Worker,
}

/// Parses, does what is asked and says how it went.
pub fn main() -> ExitCode {
    completion::answer_shell();
    let tool = Tool::parse();
    let done = match tool.verb {
        Verb::Worker => return crate::worker::main_worker(),
        Verb::Completion { shell } => completion::print(shell),
        Verb::Plan(plan) => plan.main(),
        Verb::Config(verb) => verb.main(&tool.config),
        Verb::Serve => load(tool.config).and_then(serve::main),
        Verb::Run(run) => load(tool.config).and_then(|config| run.main(config)),
        Verb::Runs(runs) => load(tool.config).and_then(|config| runs.main(&config)),
        Verb::Plans(plans) => load(tool.config).and_then(|config| plans.main(&config)),
        Verb::Doctor(doctor) => load(tool.config).and_then(|config| doctor.main(&config)),
    };
    done.unwrap_or_else(|error| {
        print::complain(&format!("{error:#}"));
        ExitCode::from(USAGE)
    })
}

fn load(path: PathBuf) -> anyhow::Result<Config> {
    Ok(Config::load(&path)?)
}

fn engine() -> anyhow::Result<Engine> {
    Ok(Engine::new(std::env::current_exe().context("this program's own path cannot be found")?))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // What blocks says so and gets a thread of its own, so one worker is enough. A second one would mostly be woken in
    // vain, and that is up to a fifth of the processor time of an idle agent.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("the program's threads cannot be started")
}
