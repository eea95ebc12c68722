//! What the drivers read from outside programs, open to whoever wants to try hostile bytes on it. Nothing else uses this.

use std::path::Path;

use landfall_proto::time::Timestamp;

use super::{command, evidence, rustic};
use crate::edge::redact::Redactor;
use crate::worker::protocol::Event;

/// One line of a worker: its summary, and the event as it would be written.
pub fn worker_event(line: &str) -> Option<(String, String)> {
    let event: Event = serde_json::from_str(line).ok()?;
    let written = serde_json::to_string(&event).ok()?;
    Some((rustic::summary(&event), written))
}

/// One line of a program that tells its progress, where it is one: whole percent, if it names them.
pub fn progress(line: &str) -> Option<Option<u8>> {
    command::figures(line).map(|figures| figures.percent)
}

/// What an evidence program printed; the error is the sentence that a person would read.
pub fn evidence(printed: &str, location: &Path, since: Timestamp, now: Timestamp) -> Result<String, String> {
    evidence::by_program(printed, location, since, now).map(|artifact| artifact.name).map_err(|failure| failure.message)
}

/// Whether an artifact's name fits a plan's pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    evidence::matches(pattern, name)
}

/// Host and port of a server's URL.
pub fn address(url: &str) -> Option<(String, u16)> {
    rustic::address(url)
}

/// The text with a secret struck out.
pub fn redacted(secret: &str, text: &str) -> String {
    redactor(secret).redact(text)
}

/// The same for a text whose end was left out.
pub fn redacted_cut(secret: &str, text: &str) -> String {
    redactor(secret).redact_cut(text)
}

fn redactor(secret: &str) -> Redactor {
    let mut redactor = Redactor::default();
    redactor.hide(secret);
    redactor
}
