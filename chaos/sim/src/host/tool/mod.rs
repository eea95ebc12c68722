//! One run under way on a model machine: the steps that the real runner takes, in its order, over virtual time.

mod steps;

use landfall_agent::core::{Report, Start};
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::report::{
    Evidence, Exit, Outcome, Phase, Progress, ProofLevel, Reason, RunReport, Statistics, TaskKind, Unread,
};
use landfall_proto::time::{Duration, Timestamp, after};

use super::record::ProcessNumber;
use super::repository::{Opened, Repositories};
use super::{Behaviour, ToolKind};

/// Files and bytes of every model backup; they stay the same, so that no guard fires.
const FILES: u64 = 100;
const BYTES: u64 = 1_000_000;

/// Where a tool that gets no further stands still.
const HALF: u8 = 5;

/// One run under way.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    start: Box<Start>,
    pub(super) behaviour: Behaviour,
    stage: Stage,
    /// By the true clock, as all instants here that are not in reports.
    pub(super) next_at: Timestamp,
    attempt: u32,
    last_attempt: u32,
    deadline: Timestamp,
    /// By the machine's clock.
    started_at: Timestamp,
    pub(super) process: Option<ProcessNumber>,
    pub(super) is_stopping: bool,
    holds_target: bool,
}

/// What a run does next.
#[derive(Debug, Clone)]
enum Stage {
    Intend,
    Preflight,
    Spawn,
    Open,
    /// So many tenths have been moved.
    Transfer(u8),
    Save,
    ReadBack(Said),
    Conclude(Box<RunReport>),
}

/// What the tool said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Done,
    AlreadyDone,
}

/// How an attempt goes on.
enum Onward {
    Next { stage: Stage, after: Duration, reports: Vec<Report> },
    Failed(Reason, &'static str),
    Ended { report: Box<RunReport> },
}

/// A tool that lives though its agent has died.
#[derive(Debug, Clone)]
pub(super) struct Orphan {
    pub(super) process: ProcessNumber,
    pub(super) run: RunId,
    location: String,
    /// What it will leave, where it leaves anything.
    saves: Option<bool>,
    pub(super) until: Timestamp,
}

impl Tool {
    pub(super) fn new(start: Box<Start>, behaviour: Behaviour, now: Timestamp, clock: Timestamp) -> Self {
        let plan = &start.entry.plan;
        let patience = plan.limits.timeout.unwrap_or(plan.deadlines.finish_within);
        Self {
            behaviour,
            stage: Stage::Intend,
            next_at: now,
            attempt: start.attempt.max(1),
            last_attempt: start.attempt.max(1).saturating_add(plan.retries.attempts.max(1) - 1),
            deadline: after(now, patience),
            started_at: clock,
            process: None,
            is_stopping: false,
            holds_target: false,
            start,
        }
    }

    /// What lives on where the agent dies and the tool does not.
    pub(super) fn orphan(&self, now: Timestamp) -> Option<Orphan> {
        let process = self.process.filter(|_| self.behaviour.outlives_agent)?;
        let tenth = Duration::from_ms(self.behaviour.transfer.as_ms() / 10);
        let (left, saves) = match (&self.stage, self.behaviour.kind) {
            (Stage::Transfer(_) | Stage::Open, ToolKind::Hang) => (self.start.entry.plan.deadlines.finish_within, None),
            (Stage::Transfer(done), ToolKind::Ok | ToolKind::Unread(_) | ToolKind::Partial) => {
                let left = Duration::from_ms(tenth.as_ms() * u64::from(10 - (*done).min(10)));
                (left, Some(self.behaviour.kind != ToolKind::Partial))
            }
            (Stage::Save, _) => (Duration::from_ms(1), Some(self.behaviour.kind != ToolKind::Partial)),
            (
                Stage::Intend
                | Stage::Preflight
                | Stage::Spawn
                | Stage::Open
                | Stage::Transfer(_)
                | Stage::ReadBack(_)
                | Stage::Conclude(_),
                _,
            ) => (tenth, None),
        };
        let saves = saves.filter(|_| self.start.about.task == TaskKind::Backup);
        let (run, location) = (self.start.about.run, self.start.entry.target.location.clone());
        Some(Orphan { process, run, location, saves, until: after(now, left) })
    }

    fn own_report(&self, outcome: Outcome, reason: Reason, message: &str, clock: Timestamp) -> Box<RunReport> {
        Box::new(RunReport {
            outcome,
            reason,
            message: message.to_owned(),
            started_at: self.started_at,
            finished_at: clock.max(self.started_at),
            attempts: self.attempt,
            exit: None,
            statistics: Statistics::default(),
            evidence: None,
            unread: Unread::default(),
            findings: Vec::new(),
            tail: String::new(),
        })
    }

    fn progress(&self, tenths: u8, clock: Timestamp) -> Report {
        let part = |whole: u64| whole * u64::from(tenths) / 10;
        Report::Progress(Progress {
            run: self.start.about.run,
            phase: if self.start.about.task == TaskKind::Check { Phase::Checking } else { Phase::Transferring },
            action: String::new(),
            percent: Some(tenths * 10),
            files_done: part(FILES),
            files_total: Some(FILES),
            bytes_done: part(BYTES),
            bytes_total: Some(BYTES),
            rate_bytes: 0,
            eta_ms: None,
            at: clock,
        })
    }

    /// Repository, lock, and whether this run's snapshot is there already: what the worker looks at first.
    fn open(&self, opened: &Opened<'_>, now: Timestamp) -> Onward {
        let reports = vec![Report::Phase(Phase::Opening), Report::Repository(opened.id().clone())];
        if opened.is_locked(now) {
            return Onward::Failed(Reason::Lock, "The repository is held exclusively by another program.");
        }
        let is_backup = self.start.about.task == TaskKind::Backup;
        let stage = if is_backup && !opened.of_run(self.start.about.run).is_empty() {
            Stage::ReadBack(Said::AlreadyDone)
        } else {
            Stage::Transfer(0)
        };
        Onward::Next { stage, after: Duration::from_ms(self.behaviour.transfer.as_ms() / 20), reports }
    }

    fn transfer(&self, done: u8, is_failing: bool, clock: Timestamp) -> Onward {
        let tenth = Duration::from_ms((self.behaviour.transfer.as_ms() / 10).max(1));
        if done >= HALF {
            match self.behaviour.kind {
                ToolKind::Hang => return Onward::Failed(Reason::Stalled, Reason::Stalled.cause()),
                ToolKind::Fails(reason) => return Onward::Failed(reason, reason.cause()),
                ToolKind::FailsAtFirst { reason, .. } if is_failing => return Onward::Failed(reason, reason.cause()),
                ToolKind::Crashes => return Onward::Failed(Reason::Killed, Reason::Killed.cause()),
                ToolKind::FailsAtFirst { .. }
                | ToolKind::Ok
                | ToolKind::Unread(_)
                | ToolKind::Partial
                | ToolKind::Lies => {}
            }
        }
        let mut reports = vec![self.progress(done, clock)];
        if done == 0 {
            let is_check = self.start.about.task == TaskKind::Check;
            reports.insert(0, Report::Phase(if is_check { Phase::Checking } else { Phase::Transferring }));
        }
        if done >= 10 {
            return Onward::Next { stage: Stage::Save, after: Duration::from_ms(1), reports };
        }
        // A tool that stands still is ended when it has not moved for so long.
        let hangs = self.behaviour.kind == ToolKind::Hang && done + 1 >= HALF;
        let wait = if hangs { self.start.entry.plan.deadlines.stall_after } else { tenth };
        Onward::Next { stage: Stage::Transfer(done + 1), after: wait, reports }
    }

    /// What the destination shows decides; what the tool said is never enough.
    fn judge(&self, opened: &Opened<'_>, said: Said, clock: Timestamp) -> Box<RunReport> {
        let found = opened.of_run(self.start.about.run);
        let Some(first) = found.first() else {
            let message = "The repository shows no snapshot of this run.";
            return self.own_report(Outcome::Failed, Reason::VerifyMissing, message, clock);
        };
        let matches = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let unread = if let ToolKind::Unread(count) = self.behaviour.kind { u64::from(count) } else { 0 };
        let is_retry = self.attempt > self.start.attempt;
        let (outcome, reason) = if matches > 1 {
            (Outcome::Failed, Reason::VerifyDoubled)
        } else if !first.is_whole {
            (Outcome::Partial, Reason::VerifyIncomplete)
        } else if unread > 0 && said == Said::Done {
            (Outcome::Partial, Reason::SourceUnreadable)
        } else if said == Said::AlreadyDone && !is_retry {
            (Outcome::Ok, if self.start.attempt > 1 { Reason::Recovered } else { Reason::AlreadyDone })
        } else {
            (Outcome::Ok, Reason::Completed)
        };
        let evidence = Evidence {
            repository: Some(opened.id().clone()),
            snapshot: first.id.clone(),
            taken_at: first.taken_at,
            level: ProofLevel::Landed,
            matches,
            covers_sources: first.is_whole,
            files: FILES,
            bytes: BYTES,
            read_at: clock,
        };
        let statistics = Statistics { files: Some(FILES), bytes: Some(BYTES), ..Statistics::default() };
        Box::new(RunReport {
            exit: Some(Exit::Code(0)),
            statistics,
            evidence: Some(evidence),
            unread: Unread { count: unread, names: Vec::new() },
            ..*self.own_report(outcome, reason, reason.cause(), clock)
        })
    }

    fn judge_check(&self, opened: &Opened<'_>, clock: Timestamp) -> Box<RunReport> {
        let damaged = self.start.data_part.map_or_else(Vec::new, |(part, of)| opened.damaged(part, of));
        if !damaged.is_empty() {
            let report = self.own_report(Outcome::Failed, Reason::Integrity, Reason::Integrity.cause(), clock);
            return Box::new(RunReport { findings: damaged, ..*report });
        }
        let evidence = Evidence {
            repository: Some(opened.id().clone()),
            snapshot: String::new(),
            taken_at: clock,
            level: if self.start.data_part.is_some() { ProofLevel::Data } else { ProofLevel::Structure },
            matches: 0,
            covers_sources: false,
            files: opened.len() as u64,
            bytes: 0,
            read_at: clock,
        };
        let report = self.own_report(Outcome::Ok, Reason::Completed, Reason::Completed.cause(), clock);
        Box::new(RunReport { exit: Some(Exit::Code(0)), evidence: Some(evidence), ..*report })
    }
}

impl Orphan {
    /// It comes to its end by itself, and leaves what it leaves.
    pub(super) fn end(&self, node: &NodeId, clock: Timestamp, shared: &mut Repositories) {
        if let Some(is_whole) = self.saves
            && let Ok(mut opened) = shared.open(&self.location, false)
            && !opened.is_full()
        {
            opened.save(node, self.run, clock, is_whole);
        }
    }
}
