//! The operator's tool: one file a verb, speaking only the language of the mesh.

mod acts;
mod alert;
mod alerts;
mod ask;
mod asyncapi;
mod audit;
mod calendar;
mod check;
mod completion;
mod context;
mod doctor;
mod explain;
mod failure;
mod follow;
pub(crate) mod human;
mod limits;
mod logs;
mod monitor;
mod nodes;
mod rehearsal;
mod rounds;
mod routines;
mod runs;
mod screen;
mod serve;
mod snapshots;
mod status;
mod storages;
mod up;
mod user;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use ask::Mesh;
use failure::Failure;
use screen::Screen;

/// Did the backup land everywhere, could we restore it, and was somebody told if not?
#[derive(Debug, Parser)]
#[command(name = "landfall", version, max_term_width = 110, after_help = EXAMPLES)]
struct Tool {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  landfall status                       the mesh in one glance
  landfall start nightly --follow       run a routine now and wait for its verdict
  landfall rounds                       the last rounds with their verdicts
  landfall runs --node web-1 --open     what one node is doing
  landfall watch --json                 every fact of the log, a line each

Exit codes:
  0    good
  1    the answer is bad: a verdict other than converged, a finding of doctor, a refused act
  2    wrong usage
  3    the mesh could not be asked: unknown, not bad
  130  interrupted";

#[derive(Debug, Clone, Args)]
struct Global {
    /// File that says where the mesh is [default: ./.landfall/operator.toml, ~/.config/landfall/context.toml, /etc/landfall/operator.toml]
    #[arg(long, global = true, env = "LANDFALL_CONTEXT", value_name = "FILE")]
    context: Option<PathBuf>,
    /// Print JSON with stable field names
    #[arg(long, global = true)]
    json: bool,
    /// Print only what was asked for
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The mesh in one glance: leader, nodes, queue, last verdicts, open alerts
    #[command(after_help = "Examples:\n  landfall status\n  landfall status --json | jq '.leader, .nodes_silent'")]
    Status,
    /// Rounds, or one round with its runs
    Rounds(rounds::Rounds),
    /// Runs, or one run with its timeline
    Runs(runs::Runs),
    /// Nodes, or one node with its findings
    Nodes(nodes::Nodes),
    /// Routines, or one routine with its next slots
    Routines(routines::Routines),
    /// Open alerts, or one alert with its deliveries
    Alerts(alerts::Alerts),
    /// Test a sink, or see what became of each notice
    Alert(alert::AlertVerb),
    /// Limits on how much runs at once, and how to change them
    Limits(limits::Limits),
    /// Programs that Landfall does not run and that ping instead
    Monitor(Box<monitor::Monitors>),
    /// The room of destinations, and when each will be full
    Storages(storages::Storages),
    /// What landed, the newest first, and who saw it there
    Snapshots(snapshots::Snapshots),
    /// Run a routine now
    Start(acts::Start),
    /// End a run, or all runs of a round
    Cancel(acts::Cancel),
    /// Run again what did not go well; the old run stays as it is
    Retry(acts::Retry),
    /// Say that a node is gone for good: later rounds do not expect it
    Retire(acts::Retire),
    /// The log of a run
    Logs(logs::Logs),
    /// Every fact of the log as it comes
    Watch(watch::Watch),
    /// Explain a calendar expression and show when it is due
    Calendar(calendar::Explain),
    /// One line and an exit code for Nagios and its relatives: 0 ok, 1 warning, 2 critical, 3 unknown
    Check(check::Check),
    /// What a task has to show to count as good, and what a reason means and asks for
    Explain(explain::Explain),
    /// Check that the mesh can do its work; each finding says what to do
    #[command(
        after_help = "Examples:\n  landfall doctor\n  landfall doctor --json | jq '.findings[] | select(.ok != \"good\")'\n\nExit codes: 0 nothing is bad, 1 something is, 3 the bus cannot be reached."
    )]
    Doctor,
    /// Check every promise over the whole log, and over the receipts of this machine; changes nothing
    Audit(audit::Audit),
    /// What travels on the bus, as an AsyncAPI document
    #[command(
        after_help = "Examples:\n  landfall asyncapi > landfall.asyncapi.json\n  landfall asyncapi | jq '.channels | keys'\n\nIt is AsyncAPI 3.0 as JSON, made from this program's own words; no bus is asked."
    )]
    Asyncapi,
    /// Completion for a shell
    Completion(completion::Completion),
    /// Who may look in at the pages and the API of this machine's coordinator
    User(user::Users),
    /// Run the coordinator
    Serve(serve::Serve),
    /// One machine with everything: bus, coordinator and agents under one supervisor
    Up(up::Up),
}

/// Answers a shell that completes a line, or parses, runs, prints, and says how it went.
pub fn main() -> ExitCode {
    completion::answer_shell();
    let Tool { global, verb } = Tool::parse();
    let screen = Screen::new(global.json, global.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::internal("the program cannot start its runtime", &error).report(&screen),
    };
    let ended = runtime.block_on(run(verb, &global, &screen));
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(failure) => failure.report(&screen),
    }
}

async fn run(verb: Verb, global: &Global, screen: &Screen) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Calendar(explain) => return calendar::run(&explain, screen),
        Verb::Asyncapi => return asyncapi::run(screen),
        Verb::Explain(options) => return explain::run(&options, screen),
        Verb::Check(options) => return Ok(check::run(&options, global.context.as_deref(), screen).await),
        Verb::Completion(completion) => return completion::run(&completion),
        Verb::User(options) => return user::run(options, screen),
        Verb::Serve(options) => return serve::run(options).await,
        Verb::Up(options) => return up::run(options, screen).await,
        Verb::Doctor => return doctor::run(global.context.as_deref(), screen).await,
        Verb::Audit(options) => return audit::run(&options, global.context.as_deref(), screen).await,
        Verb::Alert(options) => return alert::run(&options, global.context.as_deref(), screen).await,
        Verb::Status
        | Verb::Rounds(_)
        | Verb::Runs(_)
        | Verb::Nodes(_)
        | Verb::Routines(_)
        | Verb::Alerts(_)
        | Verb::Limits(_)
        | Verb::Monitor(_)
        | Verb::Storages(_)
        | Verb::Snapshots(_)
        | Verb::Start(_)
        | Verb::Cancel(_)
        | Verb::Retry(_)
        | Verb::Retire(_)
        | Verb::Logs(_)
        | Verb::Watch(_) => {}
    }
    let mesh = Mesh::connect(&context::find(global.context.as_deref())?).await?;
    with_mesh(verb, &mesh, screen).await
}

async fn with_mesh(verb: Verb, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Status => status::run(mesh, screen).await,
        Verb::Rounds(options) => rounds::run(&options, mesh, screen).await,
        Verb::Runs(options) => runs::run(&options, mesh, screen).await,
        Verb::Nodes(options) => nodes::run(&options, mesh, screen).await,
        Verb::Routines(options) => routines::run(&options, mesh, screen).await,
        Verb::Alerts(options) => alerts::run(&options, mesh, screen).await,
        Verb::Limits(options) => limits::run(&options, mesh, screen).await,
        Verb::Monitor(options) => monitor::run(*options, mesh, screen).await,
        Verb::Snapshots(options) => snapshots::run(&options, mesh, screen).await,
        Verb::Storages(options) => storages::run(&options, mesh, screen).await,
        Verb::Start(options) => acts::start(options, mesh, screen).await,
        Verb::Cancel(options) => acts::cancel(&options, mesh, screen).await,
        Verb::Retry(options) => acts::retry(&options, mesh, screen).await,
        Verb::Retire(options) => acts::retire(options, mesh, screen).await,
        Verb::Logs(options) => logs::run(&options, mesh, screen).await,
        Verb::Watch(options) => watch::run(&options, mesh, screen).await,
        Verb::Calendar(_)
        | Verb::Check(_)
        | Verb::Explain(_)
        | Verb::Doctor
        | Verb::Audit(_)
        | Verb::Alert(_)
        | Verb::Asyncapi
        | Verb::Completion(_)
        | Verb::User(_)
        | Verb::Serve(_)
        | Verb::Up(_) => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        Tool::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_examples_that_begin_with_its_own_name() {
        for verb in Tool::command().get_subcommands() {
            let told = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let own = format!("  landfall {}", verb.get_name());
            assert!(told.starts_with("Examples:\n"), "{own}: {told}");
            assert!(told.lines().any(|line| line.starts_with(&own)), "{own}: {told}");
        }
    }
}
