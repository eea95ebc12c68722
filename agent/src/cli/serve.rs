//! `serve`: the daemon under systemd or in a terminal.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{engine, runtime};
use crate::config::Config;
use crate::edge::boot::Mode;
use crate::edge::shell::Shell;

/// Environment variable with the log's filter, such as `debug` or `landfall_agent=debug`.
const LOG_FILTER: &str = "LANDFALL_LOG";

pub(super) fn main(config: Config) -> anyhow::Result<ExitCode> {
    log_to_journal_or_terminal();
    let engine = engine()?;
    runtime()?.block_on(async move {
        let node = config.node.clone();
        let mut terminate = signal(SignalKind::terminate()).context("signals cannot be heard")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be heard")?;
        let shell = Shell::boot(config, engine, &Mode::Daemon).await?;
        let watchdog = tokio::spawn(feed_watchdog());
        notify(NotifyState::Ready);
        tracing::info!(%node, "the agent is at work");
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            notify(NotifyState::Stopping);
        };
        let ended = shell.run(shutdown).await;
        watchdog.abort();
        ended?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Without systemd there is nobody to notify, which is all right.
fn notify(state: NotifyState<'_>) {
    let _ = sd_notify::notify(&[state]);
}

async fn feed_watchdog() {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval((patience / 3).max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        notify(NotifyState::Watchdog);
    }
}

fn log_to_journal_or_terminal() {
    let filter = EnvFilter::try_from_env(LOG_FILTER).unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let terminal = journal.is_none().then(|| {
        let has_color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(has_color)
    });
    // A second call in one process keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(journal).with(terminal).try_init();
}
