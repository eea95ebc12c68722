//! What a run tells while it works: phases, live figures at a bounded pace, and the lines of its tools without secrets.

use std::time::Duration;

use landfall_proto::fact::agent::RunRetried;
use landfall_proto::id::{RepositoryId, RunId};
use landfall_proto::report::{Phase, Progress};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::Instant;

use super::RunEvent;
use super::eta::{Meter, percent};
use crate::edge::clock;
use crate::edge::output::OutputFile;
use crate::edge::process::ProcessMark;
use crate::edge::redact::Redactor;

/// Between two progress events. A passed tenth is told at once.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// A listener that takes no event for so long is not waited for again.
const LISTENER_PATIENCE: Duration = Duration::from_secs(30);

/// Longest description of what is being done, in bytes.
const ACTION_BYTES_MAX: usize = 200;

/// Figures of the work, as far as the tool tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) action: String,
    /// Where the tool itself says so; else it follows from the bytes.
    pub(crate) percent: Option<u8>,
    pub(crate) files_done: u64,
    pub(crate) files_total: Option<u64>,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Reporter {
    run: RunId,
    events: Sender<RunEvent>,
    listens: bool,
    pub(crate) redactor: Redactor,
    pub(crate) output: OutputFile,
    phase: Option<Phase>,
    begun: Instant,
    meter: Meter,
    told_at: Option<Instant>,
    tenth: u8,
}

impl Reporter {
    pub(crate) fn new(run: RunId, events: Sender<RunEvent>, output: OutputFile) -> Self {
        Self {
            run,
            events,
            listens: true,
            redactor: Redactor::default(),
            output,
            phase: None,
            begun: Instant::now(),
            meter: Meter::default(),
            told_at: None,
            tenth: 0,
        }
    }

    pub(crate) async fn enter(&mut self, phase: Phase) {
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            self.told_at = None;
            self.meter = Meter::default();
            self.send(RunEvent::Phase(phase)).await;
        }
    }

    pub(crate) async fn repository(&mut self, id: RepositoryId) {
        self.send(RunEvent::Repository(id)).await;
    }

    pub(crate) async fn process(&mut self, mark: Option<ProcessMark>) {
        self.send(RunEvent::Process(mark)).await;
    }

    pub(crate) async fn retried(&mut self, retried: RunRetried) {
        self.send(RunEvent::Retried(retried)).await;
    }

    /// Keeps a line and shows it. Behind the beginning of the output that is kept, lines are shown only to a listener who
    /// has room.
    pub(crate) async fn line(&mut self, text: &str, cut: bool) {
        let text = if cut { self.redactor.redact_cut(text) } else { self.redactor.redact(text) };
        if self.output.keep(&text) {
            self.send(RunEvent::Output(text)).await;
        } else {
            let _ = self.events.try_send(RunEvent::Output(text));
        }
    }

    pub(crate) async fn progress(&mut self, figures: Figures) {
        let now = Instant::now();
        let at_ms = u64::try_from(now.duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        let done = figures.percent.or_else(|| percent(figures.bytes_done, figures.bytes_total));
        let tenth = done.unwrap_or(0) / 10;
        let due = self.told_at.is_none_or(|told| now.duration_since(told) >= PROGRESS_EVERY);
        if !due && tenth <= self.tenth {
            return;
        }
        self.meter.note(at_ms, figures.bytes_done);
        self.told_at = Some(now);
        let action = self.redactor.redact(&figures.action);
        let progress = Progress {
            run: self.run,
            phase: self.phase.unwrap_or(Phase::Transferring),
            action: action[..action.floor_char_boundary(ACTION_BYTES_MAX)].to_owned(),
            percent: done,
            files_done: figures.files_done,
            files_total: figures.files_total,
            bytes_done: figures.bytes_done,
            bytes_total: figures.bytes_total,
            rate_bytes: self.meter.rate_bytes(),
            eta_ms: self.meter.eta_ms(figures.bytes_total),
            at: clock::now(),
        };
        if tenth > self.tenth {
            self.tenth = tenth;
            self.send(RunEvent::Progress(progress)).await;
        } else {
            // Another follows in a second; a listener without room misses nothing that matters.
            let _ = self.events.try_send(RunEvent::Progress(progress));
        }
    }

    /// A run does not hang because nobody listens to it.
    async fn send(&mut self, event: RunEvent) {
        if self.listens {
            if let Err(SendTimeoutError::Timeout(_)) = self.events.send_timeout(event, LISTENER_PATIENCE).await {
                self.listens = false;
            }
        } else {
            let _ = self.events.try_send(event);
        }
    }
}
