//! The coordinator as a service of the system: its log, its signs of life, and the signals that end it.

use std::io::IsTerminal as _;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged when the environment variable `LANDFALL_LOG` does not say otherwise.
const LOG_FILTER: &str = "info,sled=warn,async_nats=warn";

/// Sends the process's log to the journal where the system collects it there, else to the standard error.
/// A second call changes nothing.
pub fn start_log() {
    let filter = EnvFilter::try_from_env("LANDFALL_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let started = match journal {
        Some(journal) => registry.with(journal.with_field_prefix(Some("LANDFALL".to_owned()))).try_init(),
        None => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_target(false),
            )
            .try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "the log was started before");
    }
}

/// Tells the service manager that everything is up.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("following the log")]);
}

/// Tells the service manager that the end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A sign of life from the loop itself: a loop that hangs is restarted where a watchdog is set.
pub(super) fn alive() {
    if sd_notify::watchdog_enabled().is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

/// Returns when the service manager or a person at the terminal wants the end.
pub async fn stop_asked() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard; the process can only be killed");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("asked to end"),
        _ = interrupt.recv() => tracing::info!("interrupted"),
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
