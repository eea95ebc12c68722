//! The verbs that change something: start, cancel, retry, retire.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::control::{Reply, Request};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::report::TaskKind;

use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::Failure;
use super::screen::Screen;
use super::{follow, rehearsal, rounds, runs};
use crate::edge::clock;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall start nightly\n  landfall start nightly --follow            wait for the verdict; exit 0 only for converged\n  landfall start nightly --node web-1 --node web-2\n  landfall start nightly --task check\n  landfall start nightly --dry-run           whom it would expect and what each would wait for\n\nWith --dry-run: exit 0 where every node can be relied on, 1 where one cannot or the start would be refused."
)]
pub(super) struct Start {
    #[arg(add = ArgValueCompleter::new(Live::Routines))]
    routine: RoutineName,
    /// Only on these nodes [default: every node that announced the routine]
    #[arg(long = "node", value_name = "NODE", add = ArgValueCompleter::new(Live::Nodes))]
    nodes: Vec<NodeId>,
    /// What to do
    #[arg(long, value_enum, default_value_t = Task::Backup)]
    task: Task,
    /// Show the round until its verdict
    #[arg(long, short)]
    follow: bool,
    /// Say whom the round would expect and what each would wait for; nothing is started and nothing written
    #[arg(long, conflicts_with = "follow")]
    dry_run: bool,
}

/// What a round can do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Task {
    Backup,
    Check,
}

impl From<Task> for TaskKind {
    fn from(task: Task) -> Self {
        match task {
            Task::Backup => Self::Backup,
            Task::Check => Self::Check,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall cancel 9c41d2     a run\n  landfall cancel 3f2a1b     a round: all its runs"
)]
pub(super) struct Cancel {
    /// A run or a round; the first letters of its id are enough
    #[arg(add = ArgValueCompleter::new(Live::Open))]
    id: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  landfall retry 9c41d2 --follow")]
pub(super) struct Retry {
    /// A run that ended, or a round: every node that was not good
    #[arg(add = ArgValueCompleter::new(Live::Repeatable))]
    id: String,
    /// Show the new round until its verdict
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  landfall retire old-web-3")]
pub(super) struct Retire {
    #[arg(add = ArgValueCompleter::new(Live::Nodes))]
    node: NodeId,
}

/// Who acts, as the log will show it.
pub(super) fn who() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "operator".to_owned());
    user.chars().filter(|letter| !letter.is_control()).take(60).collect()
}

pub(super) async fn start(options: Start, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let Start { routine, nodes, task, follow, dry_run } = options;
    if dry_run {
        let request = Request::Rehearse { routine, nodes, task: task.into() };
        return Ok(rehearsal::show(&expect_reply!(mesh.ask(&request).await?, Rehearsal)?, screen));
    }
    let request = clock::command_id().0;
    let reply = mesh.ask(&Request::Start { routine, nodes, task: task.into(), by: who(), request }).await?;
    opened(reply, follow, mesh, screen).await
}

pub(super) async fn retry(options: &Retry, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let id = either(&options.id, mesh).await?;
    let reply = mesh.ask(&Request::Retry { id, by: who(), request: clock::command_id().0 }).await?;
    opened(reply, options.follow, mesh, screen).await
}

pub(super) async fn cancel(options: &Cancel, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let id = either(&options.id, mesh).await?;
    done(&mesh.ask(&Request::Cancel { id, by: who() }).await?, screen)
}

pub(super) async fn retire(options: Retire, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    done(&mesh.ask(&Request::Retire { node: options.node, by: who() }).await?, screen)
}

/// A shortened id of a run, or else of a round.
async fn either(text: &str, mesh: &Mesh) -> Result<uuid::Uuid, Failure> {
    match runs::resolve(text, mesh).await {
        Ok(run) => Ok(run.0),
        Err(failure) if failure.code == super::failure::BAD => rounds::resolve(text, mesh).await.map(|round| round.0),
        Err(failure) => Err(failure),
    }
}

async fn opened(reply: Reply, follow: bool, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    let Reply::Opened { round } = reply else { return Err(Mesh::strange(&reply)) };
    if follow {
        return follow::run(round, mesh, screen).await;
    }
    if screen.json {
        screen.json_answer(&serde_json::json!({ "round": round }));
    } else {
        screen.line(&format!("round {round} is open"));
        screen.note(&format!("watch it with: landfall rounds {round}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what an act answered.
pub(super) fn done(reply: &Reply, screen: &Screen) -> Result<ExitCode, Failure> {
    let Reply::Done { message } = reply else { return Err(Mesh::strange(reply)) };
    if screen.json {
        screen.json_answer(&serde_json::json!({ "done": message }));
    } else {
        screen.line(message);
    }
    Ok(ExitCode::SUCCESS)
}
