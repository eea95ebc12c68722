//! `run`: one plan now, through the living daemon or, where there is none, by this program itself.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use landfall_proto::id::{RoutineName, RunId};
use landfall_proto::report::{Outcome, TaskKind};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use super::{completion, engine, runtime};
use crate::config::Config;
use crate::edge::boot::{BootError, Mode};
use crate::edge::door;
use crate::edge::news::{News, Wish};
use crate::edge::shell::Shell;

use show::Show;

mod rehearse;
mod show;

/// How long a daemon that is about to stop, or to start, is given.
const DOOR_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  landfall-agent run nightly\n  landfall-agent run nightly --task check\n  landfall-agent run nightly --dry-run        what it would do and meet; nothing is written\n  landfall-agent run nightly --json | jq -c 'select(.ended)'\n\nWith a living daemon the run is the daemon's, and goes on if this program is killed. Without one this program runs the\nplan itself, with neither bus nor coordinator; its receipt is kept, and the daemon publishes it later.\nCtrl-C cancels the run and waits until it has ended; a second Ctrl-C leaves at once.\n\nExit codes: 0 done (also with a warning, or already done), 1 failed, 2 wrong usage or files, 3 partial, 4 skipped,\n130 cancelled. With --dry-run: 0 it would start, 1 something is in the way, 2 wrong usage or files."
)]
pub(super) struct Run {
    /// The plan's name, as `landfall-agent plans` shows it
    #[arg(add = completion::plans())]
    plan: String,
    /// What to do
    #[arg(long, value_enum, default_value_t = Task::Backup)]
    task: Task,
    /// Look at everything that the run would need, and start nothing
    #[arg(long)]
    dry_run: bool,
    /// Print every event as a JSON line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Task {
    Backup,
    Check,
}

impl Run {
    pub(super) fn main(self, config: Config) -> anyhow::Result<ExitCode> {
        let plan: RoutineName = self.plan.parse()?;
        let task = match self.task {
            Task::Backup => TaskKind::Backup,
            Task::Check => TaskKind::Check,
        };
        if self.dry_run {
            return rehearse::rehearse(&config, &plan, task, self.json);
        }
        runtime()?.block_on(async move {
            let (stream, own) = connect(config, &plan).await?;
            let code = visit(stream, Wish::Start { plan, task }, Show::new(self.json), own.is_some()).await?;
            if let Some(own) = own {
                own.await??;
            }
            Ok(ExitCode::from(code))
        })
    }
}

type Own = JoinHandle<anyhow::Result<()>>;

/// The door of the living daemon, or of an agent of our own that lives as long as the run.
async fn connect(config: Config, plan: &RoutineName) -> anyhow::Result<(UnixStream, Option<Own>)> {
    let path = door::path(&config.state_dir);
    let until = tokio::time::Instant::now() + DOOR_PATIENCE;
    loop {
        if let Ok(stream) = UnixStream::connect(&path).await {
            return Ok((stream, None));
        }
        match Shell::boot(config.clone(), engine()?, &Mode::Alone { plan: plan.clone() }).await {
            Ok(shell) => {
                let own = tokio::spawn(async move { Ok(shell.run(std::future::pending()).await?) });
                let stream = UnixStream::connect(&path)
                    .await
                    .with_context(|| format!("{} cannot be reached", path.display()))?;
                return Ok((stream, Some(own)));
            }
            // A daemon holds the state directory and its door is not open yet.
            Err(BootError::Locked { .. }) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(200)).await
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends the wish and shows what comes, until everything that was begun has ended.
async fn visit(stream: UnixStream, wish: Wish, mut show: Show, is_own: bool) -> anyhow::Result<u8> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    say(&mut write, &wish).await?;
    let mut run: Option<RunId> = None;
    let mut code = None;
    let mut interrupts = 0;
    loop {
        tokio::select! {
            news = next(&mut lines) => {
                let Some(news) = news? else { break };
                show.news(&news)?;
                match news {
                    News::Started { run: started } if run.is_none() => {
                        run = Some(started);
                        if interrupts > 0 {
                            say(&mut write, &Wish::Cancel { run: started }).await?;
                        }
                    }
                    News::Refused { message } if run.is_none() => bail!("the run was not started: {message}"),
                    News::Ended { about, report } => {
                        code = code.max(Some(exit_code(report.outcome)));
                        // The daemon goes on with a check by itself; an agent of our own ends after it.
                        if !is_own && run == Some(about.run) {
                            break;
                        }
                    }
                    News::Started { .. } | News::Refused { .. } | News::Phase { .. } | News::Progress(_) | News::Retried(_) | News::Output { .. } => {}
                }
            }
            interrupt = tokio::signal::ctrl_c() => {
                interrupt?;
                interrupts += 1;
                if interrupts > 1 {
                    return Ok(130);
                }
                show.cancelling();
                if let Some(run) = run {
                    say(&mut write, &Wish::Cancel { run }).await?;
                }
            }
        }
    }
    show.end();
    code.context("the agent went away before the run had ended; `landfall-agent runs` shows what became of it")
}

/// Ordered by how bad it is, except that a cancel is a person's own will.
fn exit_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Ok | Outcome::Warning => 0,
        Outcome::Failed | Outcome::Lost => 1,
        Outcome::Partial => 3,
        Outcome::Skipped => 4,
        Outcome::Cancelled => 130,
    }
}

async fn next(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> anyhow::Result<Option<News>> {
    let Some(line) = lines.next_line().await? else { return Ok(None) };
    Ok(Some(
        serde_json::from_str(&line)
            .context("the agent said something that this program does not understand; are both of one version?")?,
    ))
}

async fn say(write: &mut OwnedWriteHalf, wish: &Wish) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(wish)?;
    line.push(b'\n');
    write.write_all(&line).await.context("the agent does not listen any more")
}
