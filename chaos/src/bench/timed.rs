//! Running one command and measuring how long it takes from its start to its end.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use tokio::time::Instant;

/// Seconds from start to end; an error with the end of its output where it did not end well. Output is appended to `log`.
pub(super) fn seconds(mut command: Command, log: &Path) -> anyhow::Result<f64> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(open(log)?).stderr(open(log)?);
    let begun = Instant::now();
    let status = command.status().with_context(|| format!("{shown} cannot be started"))?;
    let seconds = begun.elapsed().as_secs_f64();
    if !status.success() {
        let text = std::fs::read(log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
        bail!("{shown} ended with {status}; the end of its output:\n{tail}");
    }
    Ok(seconds)
}

/// Writes what is dirty to the disk, so that nobody pays for what another wrote.
pub(super) fn settle() {
    rustix::fs::sync();
}

fn open(log: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("{} cannot be written", log.display()))
}
