//! One run under way: intent first, then the runner with its events, then the receipt.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::live::{OUTPUT_KIND, Output, PROGRESS_KIND};
use landfall_proto::report::{Outcome, Reason, RunReport, Statistics, Unread};
use landfall_proto::subject::Topic;
use landfall_proto::time::Timestamp;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::bus::Port;
use super::clock;
use super::news::News;
use super::receipt::{Intent, Log, Receipt, Runs};
use super::reserve::Reserve;
use super::shell::{Inputs, Wake};
use crate::core::{Input, Report, Start};
use crate::runner::{self, Engine, RunEvent, RunRequest};

/// Events that wait to be taken; the runner waits beyond this.
const EVENTS_MAX: usize = 256;

/// Lines of one run that go out live in one second; the others are in its log.
const LIVE_LINES_MAX: u32 = 100;

/// Everything one run needs beside its definition.
pub(super) struct Running {
    pub(super) start: Start,
    pub(super) node: NodeId,
    pub(super) runs: Arc<Runs>,
    pub(super) reserve: Reserve,
    pub(super) cache: PathBuf,
    pub(super) engine: Arc<Engine>,
    pub(super) inputs: Inputs,
    pub(super) news: broadcast::Sender<News>,
    pub(super) port: Option<Port>,
    pub(super) cancel: watch::Receiver<bool>,
    /// Set where the agent ends before the run: without a receipt the run is taken up again later.
    pub(super) abandoned: Arc<AtomicBool>,
}

impl Running {
    /// Runs to the end. The core hears of the end only after the receipt is on disk.
    pub(super) async fn go(self) {
        let run = self.start.about.run;
        let begun_at = clock::now();
        let report = match self.intend() {
            Ok(directory) => self.work(directory, begun_at).await,
            Err(error) => {
                let message = format!("The run was not started, because its directory cannot be written: {error}.");
                own_report(reason_of(&error), message, begun_at)
            }
        };
        if self.abandoned.load(Ordering::SeqCst) && !report.outcome.is_good() {
            tracing::warn!(%run, "the run is left for the agent's next start");
            return;
        }
        let receipt = Receipt { about: self.start.about.clone(), attempt: self.start.attempt, report: report.clone() };
        if self.conclude(&receipt).is_err() {
            self.reserve.release();
            if let Err(error) = self.conclude(&receipt) {
                tracing::error!(%run, "the receipt cannot be written: {error}");
                self.inputs.send(Wake::Owed).await;
            }
        }
        self.inputs.send(Wake::Input(Input::Reported { run, report: Report::Ended(Box::new(report.clone())) })).await;
        let _ = self.news.send(News::Ended { about: self.start.about, report: Box::new(report) });
    }

    fn intend(&self) -> io::Result<PathBuf> {
        let Start { about, attempt, begun_at, entry, .. } = &self.start;
        let intent =
            Intent { about: about.clone(), attempt: *attempt, begun_at: *begun_at, plan: Some(entry.plan.clone()) };
        // A run whose result could perhaps not be kept is not begun.
        tokio::task::block_in_place(|| self.reserve.hold().and_then(|()| self.runs.intend(&intent)))
    }

    fn conclude(&self, receipt: &Receipt) -> io::Result<()> {
        tokio::task::block_in_place(|| {
            self.runs.conclude(receipt).and_then(|()| self.runs.mark(receipt.about.run, None))
        })
    }

    async fn work(&self, directory: PathBuf, begun_at: Timestamp) -> RunReport {
        let request = RunRequest {
            about: self.start.about.clone(),
            plan: self.start.entry.plan.clone(),
            target: self.start.entry.target.clone(),
            node: self.node.clone(),
            attempt: self.start.attempt,
            directory,
            cache: self.cache.clone(),
            history: self.start.history.clone(),
            data_part: self.start.data_part,
        };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (engine, cancel) = (Arc::clone(&self.engine), self.cancel.clone());
        // A set of one: the run ends with whoever waits for it.
        let mut work = JoinSet::new();
        work.spawn(async move { runner::run(request, &engine, sender, cancel).await });
        self.listen(events).await;
        match work.join_next().await {
            Some(Ok(report)) => report,
            Some(Err(error)) => {
                own_report(Reason::Internal, format!("The runner stopped at an inner error: {error}."), begun_at)
            }
            None => own_report(Reason::Internal, "The runner ended without a report.".to_owned(), begun_at),
        }
    }

    /// Hears the run until it has nothing more to say.
    async fn listen(&self, mut events: mpsc::Receiver<RunEvent>) {
        let run = self.start.about.run;
        let mut pen = Pen::new(self.runs.log(run).ok(), &self.start.about, self.start.attempt);
        while let Some(event) = events.recv().await {
            match event {
                RunEvent::Phase(phase) => {
                    pen.note(&format!("phase: {phase}"));
                    let _ = self.news.send(News::Phase { run, phase });
                    self.report(Report::Phase(phase)).await;
                }
                RunEvent::Progress(progress) => {
                    if let Some(port) = &self.port {
                        port.tell(Topic::Live(self.node.clone(), run), PROGRESS_KIND, &progress);
                    }
                    let _ = self.news.send(News::Progress(progress.clone()));
                    self.report(Report::Progress(progress)).await;
                }
                RunEvent::Retried(retried) => {
                    pen.note(&format!(
                        "attempt {} failed ({}): {}; next in {}",
                        retried.attempt, retried.reason, retried.message, retried.delay
                    ));
                    let _ = self.news.send(News::Retried(retried.clone()));
                    self.report(Report::Retried(retried)).await;
                }
                RunEvent::Repository(repository) => self.report(Report::Repository(repository)).await,
                RunEvent::Process(mark) => {
                    if let Err(error) = self.runs.mark(run, mark) {
                        tracing::warn!(%run, "the process of the run cannot be noted: {error}");
                    }
                }
                RunEvent::Output(text) => self.show(&mut pen, text),
            }
        }
    }

    fn show(&self, pen: &mut Pen, text: String) {
        let run = self.start.about.run;
        let offset = pen.line(&text);
        if let (Some(offset), Some(port), true) = (offset, &self.port, pen.may_go_live(clock::now())) {
            let output = Output { run, offset, text: format!("{text}\n") };
            port.tell(Topic::Out(self.node.clone(), run), OUTPUT_KIND, &output);
        }
        let _ = self.news.send(News::Output { run, text });
    }

    async fn report(&self, report: Report) {
        let wake = Wake::Input(Input::Reported { run: self.start.about.run, report });
        self.inputs.send(wake).await;
    }
}

/// Writes a run's log. A log that cannot be written stops no backup.
struct Pen {
    log: Option<Log>,
    second: i64,
    lines: u32,
}

impl Pen {
    fn new(log: Option<Log>, about: &RunAbout, attempt: u32) -> Self {
        let mut pen = Self { log, second: 0, lines: 0 };
        pen.note(&format!("{} of {}, attempt {attempt}, run {}", about.task, about.routine, about.run));
        pen
    }

    fn note(&mut self, text: &str) {
        self.line(&format!("[{}] {text}", clock::now()));
    }

    /// Where the line begins in the log, if it went there.
    fn line(&mut self, text: &str) -> Option<u64> {
        self.log.as_mut()?.append(text).ok().flatten()
    }

    fn may_go_live(&mut self, now: Timestamp) -> bool {
        if self.second != now.as_second() {
            self.second = now.as_second();
            self.lines = 0;
        }
        self.lines += 1;
        self.lines <= LIVE_LINES_MAX
    }
}

/// A report about a run that the runner itself could not give.
fn own_report(reason: Reason, message: String, begun_at: Timestamp) -> RunReport {
    RunReport {
        outcome: Outcome::Failed,
        reason,
        message,
        started_at: begun_at,
        finished_at: clock::now(),
        attempts: 1,
        exit: None,
        statistics: Statistics::default(),
        evidence: None,
        unread: Unread::default(),
        findings: Vec::new(),
        tail: String::new(),
    }
}

fn reason_of(error: &io::Error) -> Reason {
    let is = |kinds: &[ErrorKind]| kinds.contains(&error.kind());
    if is(&[ErrorKind::StorageFull, ErrorKind::QuotaExceeded]) {
        Reason::NoSpace
    } else if is(&[ErrorKind::PermissionDenied]) {
        Reason::Permission
    } else if is(&[ErrorKind::ReadOnlyFilesystem]) {
        Reason::ReadOnly
    } else {
        Reason::Internal
    }
}

/// Writes the receipt of a run that ended without having been started.
pub(super) fn record(runs: &Runs, about: RunAbout, attempt: u32, report: RunReport) -> io::Result<()> {
    let run: RunId = about.run;
    runs.conclude(&Receipt { about, attempt, report })?;
    runs.mark(run, None)
}
