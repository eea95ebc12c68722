//! The steps of a run on a machine: what they write, spawn and report, and where they end.

use landfall_agent::core::{Report, Start};
use landfall_proto::fact::agent::RunRetried;
use landfall_proto::id::RunId;
use landfall_proto::plan::Retries;
use landfall_proto::report::{Outcome, Phase, Reason, RunReport, TaskKind};
use landfall_proto::time::{Duration, Timestamp, after};

use super::{HALF, Onward, Said, Stage, Tool};
use crate::host::disk::{Intent, Receipt};
use crate::host::{Host, Out, Place, Repositories, ToolKind};
use crate::mutant::Mutant;

impl Host {
    /// Goes one step on with a run. What kills the agent on the way leaves everything as it is at that moment.
    pub(in crate::host) fn step_tool(
        &mut self,
        now: Timestamp,
        shared: &mut Repositories,
        run: RunId,
        out: &mut Vec<Out>,
    ) {
        let Some(tool) = self.process.as_ref().and_then(|process| process.tools.get(&run)) else { return };
        if let Stage::Conclude(report) = tool.stage.clone() {
            return self.conclude(now, run, *report, out);
        }
        let is_cut = tool.is_stopping || now >= tool.deadline;
        let onward = match (tool.stage.clone(), is_cut) {
            (_, true) => self.cut_short(now, run),
            (Stage::Intend, false) => self.intend(now, run, out),
            (Stage::Preflight, false) => self.preflight(shared, run),
            (Stage::Spawn, false) => self.spawn(now, run),
            (stage @ (Stage::Open | Stage::Transfer(_) | Stage::Save | Stage::ReadBack(_)), false) => {
                Some(self.work(now, shared, run, &stage, out))
            }
            (Stage::Conclude(_), false) => None,
        };
        if self.is_doomed() {
            return;
        }
        let Some(onward) = onward else { return };
        self.go_on(now, run, onward, out);
    }

    fn go_on(&mut self, now: Timestamp, run: RunId, onward: Onward, out: &mut Vec<Out>) {
        let reports = match onward {
            Onward::Next { stage, after: wait, reports } => {
                if let Some(tool) = self.tool(run) {
                    tool.stage = stage;
                    tool.next_at = after(now, wait);
                }
                reports
            }
            Onward::Failed(reason, message) => {
                let hits = [
                    (Reason::Stalled, "tool-hung"),
                    (Reason::Lock, "repository-locked"),
                    (Reason::NoSpace, "repository-full"),
                ];
                let hit = hits.iter().find(|(known, _)| *known == reason);
                self.record.hit(hit.map_or("tool-failed", |(_, hit)| hit), out);
                self.fail(now, run, reason, message)
            }
            Onward::Ended { report } => {
                self.end_process(now, run);
                let location = self.tool(run).map_or_else(String::new, |tool| tool.start.entry.target.location.clone());
                let report = Box::new(self.reported(*report, &run.to_string(), &location));
                if let Some(tool) = self.tool(run) {
                    tool.stage = Stage::Conclude(report);
                    tool.next_at = now;
                }
                Vec::new()
            }
        };
        for report in reports {
            self.hear_run(run, report);
        }
    }

    /// Again for reasons that may pass, never beyond the plan's number, never past the run's time.
    fn fail(&mut self, now: Timestamp, run: RunId, reason: Reason, message: &'static str) -> Vec<Report> {
        self.end_process(now, run);
        let clock = self.clock(now);
        let Some(tool) = self.tool(run) else { return Vec::new() };
        tool.holds_target = false;
        let failed = tool.attempt - tool.start.attempt.max(1) + 1;
        let delay = delay(&tool.start.entry.plan.retries, failed);
        if !reason.is_transient() || tool.attempt >= tool.last_attempt || after(now, delay) >= tool.deadline {
            tool.stage = Stage::Conclude(tool.own_report(Outcome::Failed, reason, message, clock));
            tool.next_at = now;
            return Vec::new();
        }
        let retried = RunRetried { run, attempt: tool.attempt, reason, message: message.to_owned(), delay };
        tool.attempt += 1;
        tool.stage = Stage::Preflight;
        tool.next_at = after(now, delay);
        vec![Report::Retried(retried), Report::Phase(Phase::Waiting)]
    }

    fn cut_short(&mut self, now: Timestamp, run: RunId) -> Option<Onward> {
        let clock = self.clock(now);
        let tool = self.tool(run)?;
        let (outcome, reason) = if tool.is_stopping {
            (Outcome::Cancelled, Reason::CancelledByOperator)
        } else {
            (Outcome::Failed, Reason::TimedOut)
        };
        Some(Onward::Ended { report: tool.own_report(outcome, reason, reason.cause(), clock) })
    }

    /// A run whose result could perhaps not be kept is not begun.
    fn intend(&mut self, now: Timestamp, run: RunId, out: &mut Vec<Out>) -> Option<Onward> {
        let clock = self.clock(now);
        let tool = self.tool(run)?;
        let Start { about, attempt, begun_at, .. } = &*tool.start;
        let intent = Intent { about: about.clone(), attempt: *attempt, begun_at: *begun_at };
        let nowhere = "The run was not started, because its directory cannot be written.";
        let report = tool.own_report(Outcome::Failed, Reason::NoSpace, nowhere, clock);
        if self.disk.hold_reserve().and_then(|()| self.disk.intend(intent)).is_err() {
            self.record.hit("agent-disk-full", out);
            return Some(Onward::Ended { report });
        }
        if self.boundary(Place::IntentWritten) {
            return None;
        }
        self.disk.settle(run);
        self.record.durable(|| format!("intent/{run}"));
        if self.boundary(Place::AfterIntent) {
            return None;
        }
        let wait = Duration::from_ms(self.chance.between(1, 200));
        Some(Onward::Next { stage: Stage::Preflight, after: wait, reports: Vec::new() })
    }

    fn preflight(&mut self, shared: &mut Repositories, run: RunId) -> Option<Onward> {
        let wait = Duration::from_ms(self.chance.between(10, 500));
        let process = self.process.as_mut()?;
        let tool = process.tools.get(&run)?;
        let location = tool.start.entry.target.location.clone();
        let other = process
            .tools
            .iter()
            .find(|(other, tool)| **other != run && tool.holds_target && tool.start.entry.target.location == location);
        if let Some((_, other)) = other {
            if other.start.about.routine == tool.start.about.routine {
                let clock = tool.started_at;
                let report = tool.own_report(Outcome::Skipped, Reason::Overlap, Reason::Overlap.cause(), clock);
                return Some(Onward::Ended { report });
            }
            return Some(Onward::Failed(Reason::Busy, "Another run is under way on the same target."));
        }
        let known = tool.start.about.repository.is_some();
        let may_create = tool.start.entry.target.create && !known;
        match shared.open(&location, may_create) {
            Err(reason) => return Some(Onward::Failed(reason, reason.cause())),
            Ok(opened) if opened.is_full() && tool.start.about.task == TaskKind::Backup => {
                return Some(Onward::Failed(Reason::NoSpace, Reason::NoSpace.cause()));
            }
            Ok(_) => {}
        }
        process.tools.get_mut(&run)?.holds_target = true;
        let reports = vec![Report::Phase(Phase::Preflight)];
        Some(Onward::Next { stage: Stage::Spawn, after: wait, reports })
    }

    fn spawn(&mut self, now: Timestamp, run: RunId) -> Option<Onward> {
        let wait = Duration::from_ms(self.chance.between(50, 1500));
        let tool = self.process.as_mut()?.tools.get_mut(&run)?;
        let number = self.record.spawned(now, &tool.start.about, tool.attempt, &tool.start.entry.target.location);
        tool.process = Some(number);
        self.record.visible(|| (format!("spawn/{run}"), format!("intent/{run}")));
        if self.boundary(Place::AfterSpawn) {
            return None;
        }
        self.disk.mark(run, number);
        if self.boundary(Place::WhileToolRuns) {
            return None;
        }
        Some(Onward::Next { stage: Stage::Open, after: wait, reports: Vec::new() })
    }

    /// The part that the worker does: every look at the repository can fail.
    fn work(
        &mut self,
        now: Timestamp,
        shared: &mut Repositories,
        run: RunId,
        stage: &Stage,
        out: &mut Vec<Out>,
    ) -> Onward {
        let clock = self.clock(now);
        let node = self.spec.node.clone();
        let is_failing = self.is_failing(stage, run);
        let gone = || Onward::Failed(Reason::Internal, Reason::Internal.cause());
        if let Stage::Transfer(_) = stage
            && self.boundary(Place::WhileToolRuns)
        {
            return gone();
        }
        let Some(tool) = self.tool(run).cloned() else { return gone() };
        let may_create = tool.start.entry.target.create && tool.start.about.repository.is_none();
        let mut opened = match shared.open(&tool.start.entry.target.location, may_create) {
            Ok(opened) => opened,
            Err(reason) => return Onward::Failed(reason, reason.cause()),
        };
        match stage {
            Stage::Open => tool.open(&opened, now),
            Stage::Transfer(done) => tool.transfer(*done, is_failing, clock),
            Stage::Save => {
                if tool.start.about.task == TaskKind::Backup && tool.behaviour.kind != ToolKind::Lies {
                    if opened.is_full() {
                        return Onward::Failed(Reason::NoSpace, Reason::NoSpace.cause());
                    }
                    opened.save(&node, run, clock, tool.behaviour.kind != ToolKind::Partial);
                    if self.planted.is(Mutant::PruneUnasked) {
                        opened.prune_unasked(&node);
                    }
                }
                match tool.behaviour.kind {
                    ToolKind::Lies => self.record.hit("tool-lied", out),
                    ToolKind::Partial => self.record.hit("tool-partial", out),
                    ToolKind::Ok
                    | ToolKind::Hang
                    | ToolKind::Fails(_)
                    | ToolKind::FailsAtFirst { .. }
                    | ToolKind::Unread(_)
                    | ToolKind::Crashes => {}
                }
                // What was saved is not saved again by a tool that outlives its agent from here on.
                if let Some(tool) = self.tool(run) {
                    tool.stage = Stage::ReadBack(Said::Done);
                }
                self.boundary(Place::AfterSave);
                let reports = vec![Report::Phase(Phase::Verifying)];
                Onward::Next { stage: Stage::ReadBack(Said::Done), after: Duration::from_ms(100), reports }
            }
            Stage::ReadBack(said) => Onward::Ended {
                report: match tool.start.about.task {
                    TaskKind::Backup => tool.judge(&opened, *said, clock),
                    TaskKind::Check => tool.judge_check(&opened, clock),
                },
            },
            Stage::Intend | Stage::Preflight | Stage::Spawn | Stage::Conclude(_) => gone(),
        }
    }

    /// Whether a tool that fails so many times fails this time.
    fn is_failing(&mut self, stage: &Stage, run: RunId) -> bool {
        let kind = self.tool(run).map(|tool| tool.behaviour.kind);
        match (stage, kind) {
            (Stage::Transfer(done), Some(ToolKind::FailsAtFirst { times, .. })) if *done >= HALF => {
                let fails = self.failures < times;
                self.failures += u32::from(fails);
                fails
            }
            (
                Stage::Intend
                | Stage::Preflight
                | Stage::Spawn
                | Stage::Open
                | Stage::Transfer(_)
                | Stage::Save
                | Stage::ReadBack(_)
                | Stage::Conclude(_),
                Some(_) | None,
            ) => false,
        }
    }

    /// The receipt, then the fact; where there is no room, the reserve makes some.
    fn conclude(&mut self, now: Timestamp, run: RunId, report: RunReport, out: &mut Vec<Out>) {
        if self.boundary(Place::BeforeReceipt) {
            return;
        }
        let Some(tool) = self.tool(run) else { return };
        let (about, attempt) = (tool.start.about.clone(), tool.start.attempt);
        self.write_receipt(Receipt { about, attempt, report: report.clone(), written_at: now }, out);
        if self.is_doomed() {
            return;
        }
        if let Some(process) = &mut self.process {
            process.tools.remove(&run);
        }
        self.hear_run(run, Report::Ended(Box::new(report)));
    }

    /// Writes a receipt as the edge does: one more try with the reserve's room, then without a receipt.
    pub(in crate::host) fn write_receipt(&mut self, receipt: Receipt, out: &mut Vec<Out>) {
        let run = receipt.about.run;
        let mut written = self.disk.conclude(receipt.clone());
        if written.is_err() {
            self.disk.release_reserve();
            written = self.disk.conclude(receipt);
        }
        if written.is_err() {
            if let Some(process) = &mut self.process {
                process.owes_receipt(self.latest);
            }
            return self.record.note(out, || format!("the receipt of {run} cannot be written"));
        }
        if self.boundary(Place::ReceiptWritten) {
            return;
        }
        self.disk.settle(run);
        self.disk.unmark(run);
        self.record.durable(|| format!("receipt/{run}"));
        self.boundary(Place::AfterReceipt);
    }

    fn tool(&mut self, run: RunId) -> Option<&mut Tool> {
        self.process.as_mut()?.tools.get_mut(&run)
    }

    fn end_process(&mut self, now: Timestamp, run: RunId) {
        if let Some(number) = self.tool(run).and_then(|tool| tool.process.take())
            && !self.planted.is(Mutant::LeaveProcess)
        {
            self.record.ended(now, number);
        }
    }
}

/// The wait behind the n-th failed attempt, from 1: it doubles each time up to the plan's maximum.
fn delay(retries: &Retries, failed: u32) -> Duration {
    let factor = 1_u64.checked_shl(failed.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_ms(retries.delay.as_ms().saturating_mul(factor)).min(retries.delay_max)
}
