//! One step of the core after another: written down first, then done.

use landfall_agent::core::{Aging, Effect, Held, Input, Step, SyncMeans, Ticket, step, sync_means, without_room};
use landfall_proto::command::{Answer, Refused};
use landfall_proto::fact::agent::{AgentFact, StartCause};
use landfall_proto::id::{Incarnation, RunId};
use landfall_proto::live::{SYNC_HALVES_MAX, Sync};
use landfall_proto::time::{Duration, Timestamp, after, between};

use super::{Blocked, Wake};
use crate::host::disk::Receipt;
use crate::host::tool::Tool;
use crate::host::{Host, Out, Place};

/// Between two tries to write down what could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

impl Host {
    pub(super) fn take_next(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let Some(wake) = self.process.as_mut().and_then(|process| process.queue.pop_front()) else { return };
        match wake {
            Wake::Input(input) => self.input(now, *input, out),
            Wake::Command(asked) => {
                let Some(process) = &mut self.process else { return };
                let ticket = Ticket(process.next_ticket);
                process.next_ticket += 1;
                let command = asked.command.clone();
                process.tickets.insert(ticket, asked);
                process.before = Some((ticket, Box::new(process.agent.clone())));
                let command = self.raised(command);
                self.input(now, Input::Told(ticket, command), out);
                if let Some(process) = &mut self.process {
                    process.before = None;
                }
            }
            Wake::Sync(sync) => self.synchronise(now, sync, out),
        }
    }

    fn synchronise(&mut self, now: Timestamp, mut sync: Sync, out: &mut Vec<Out>) {
        let head = self.disk.head();
        let written = self.disk.contents_below(sync.durable_below, SYNC_HALVES_MAX);
        let held = Held {
            incarnation: head.incarnation,
            first_seq: self.disk.first_seq(),
            next_seq: head.next_seq,
            written: &written,
        };
        let new_life = match sync_means(&sync, &held) {
            SyncMeans::OtherLife => return,
            SyncMeans::Continue => None,
            SyncMeans::SetBack => Some(("SetBack", "the disk was set back", Vec::new())),
            SyncMeans::LetGo => Some(("LetGo", "what was let go is missed", self.disk.receipts())),
        };
        if let Some((cause, why, receipts)) = new_life {
            let fresh = Incarnation(self.chance.uuid());
            if self.disk.reincarnate(&self.spec.node, fresh, receipts).is_err() {
                return self.record.note(out, || "the new life cannot be written down".to_owned());
            }
            let next_seq = self.disk.head().next_seq;
            self.record.note(out, || format!("{why}; a new life {fresh} begins"));
            self.record.began_life(fresh, cause);
            self.record.wrote(self.disk.facts(), now);
            if let Some(process) = &mut self.process {
                process.aging = Aging::new(between(process.booted_at, now), next_seq);
                process.pump.go_back(0);
                process.nudge(now);
            }
            let began = self.began(StartCause::Rebuilt);
            self.input(now, began, out);
            sync = Sync { durable_below: 0, last_halves: Vec::new(), resend_from: None, ..sync };
        }
        self.oracle.queue(&sync.queued);
        self.input(now, Input::Synced(sync), out);
    }

    /// One step of the core. Nothing is done before it is written down, however long that takes.
    pub(super) fn input(&mut self, now: Timestamp, input: Input, out: &mut Vec<Out>) {
        let clock = self.clock(now);
        if self.oracle.is_due(clock) {
            self.look_at_slots(clock);
        }
        let Some(process) = &mut self.process else { return };
        if process.blocked.is_some() {
            return process.enqueue(input);
        }
        let Step { changes, facts, effects, wake_at } = step(&mut process.agent, clock, input);
        process.wake_at = wake_at;
        let starts = effects.iter().any(|effect| matches!(effect, Effect::Start(_)));
        if changes.is_empty() && facts.is_empty() {
            return self.perform_all(now, clock, effects, out);
        }
        if self.boundary(if starts { Place::BeforeIntent } else { Place::BeforeCommit }) {
            return;
        }
        self.write_down(now, Blocked { changes, facts, effects, clock, again_at: now }, out);
    }

    pub(super) fn write_again(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        if let Some(blocked) = self.process.as_mut().and_then(|process| process.blocked.take()) {
            self.write_down(now, *blocked, out);
        }
    }

    fn write_down(&mut self, now: Timestamp, step: Blocked, out: &mut Vec<Out>) {
        self.publish_early(&step.facts, step.clock, out);
        let Ok(seqs) = self.disk.commit(&self.spec.node, &step.changes, &step.facts, step.clock) else {
            self.record.hit("agent-disk-full", out);
            if self.refuse_for_room(now, step.clock, out) {
                return;
            }
            self.disk.release_reserve();
            self.oracle.excuse();
            if let Some(process) = &mut self.process {
                process.blocked = Some(Box::new(Blocked { again_at: after(now, WRITE_AGAIN), ..step }));
            }
            return;
        };
        if seqs.end - seqs.start < step.facts.len() as u64 {
            self.record.hit("outbox-at-cap", out);
        }
        self.record.wrote(self.disk.facts_from(seqs.start, usize::MAX), now);
        for fact in &step.facts {
            self.oracle.hear(fact, step.clock, &mut self.record.trace.due);
            if self.spec.is_traced {
                self.record.note(out, || line_of(fact));
            }
        }
        if let Some(process) = self.process.as_mut().filter(|_| !step.facts.is_empty()) {
            process.nudge(now);
            if step.facts.iter().any(|fact| matches!(fact, AgentFact::RunFinished(_))) {
                process.inspections.ended(between(process.booted_at, now));
            }
        }
        if self.boundary(Place::AfterCommit) {
            return;
        }
        self.perform_all(now, step.clock, step.effects, out);
    }

    /// A command that cannot be written down is refused, and the core forgets that it was given.
    fn refuse_for_room(&mut self, now: Timestamp, clock: Timestamp, out: &mut Vec<Out>) -> bool {
        let Some(process) = &mut self.process else { return false };
        let Some((ticket, before)) = process.before.take() else { return false };
        process.agent = *before;
        let Some(asked) = process.tickets.get(&ticket) else { return true };
        let answer = without_room(&process.agent, clock, &asked.command);
        self.answer(now, clock, ticket, answer, None, out);
        true
    }

    fn perform_all(&mut self, now: Timestamp, clock: Timestamp, effects: Vec<Effect>, out: &mut Vec<Out>) {
        let started = effects.iter().find_map(|effect| match effect {
            Effect::Start(start) => Some(start.about.run),
            Effect::Stop(_)
            | Effect::Record { .. }
            | Effect::Answer(..)
            | Effect::ReadLog { .. }
            | Effect::Witness(_)
            | Effect::Confirm { .. }
            | Effect::Resend { .. }
            | Effect::Alarm(_) => None,
        });
        for (index, effect) in effects.into_iter().enumerate() {
            if index > 0 && self.boundary(Place::BetweenEffects) {
                return;
            }
            self.perform(now, clock, effect, started, out);
            if self.is_doomed() {
                return;
            }
        }
    }

    fn perform(
        &mut self,
        now: Timestamp,
        clock: Timestamp,
        effect: Effect,
        started: Option<RunId>,
        out: &mut Vec<Out>,
    ) {
        let Some(process) = &mut self.process else { return };
        match effect {
            Effect::Start(start) => {
                let tool = Tool::new(start.clone(), self.behaviour, now, clock);
                process.tools.insert(start.about.run, tool);
            }
            Effect::Stop(run) => {
                if let Some(tool) = process.tools.get_mut(&run) {
                    tool.is_stopping = true;
                    tool.next_at = now;
                }
            }
            Effect::Record { about, attempt, report } => {
                self.write_receipt(Receipt { about, attempt, report: *report, written_at: now }, out);
            }
            Effect::Answer(ticket, answer) => self.answer(now, clock, ticket, answer, started, out),
            Effect::ReadLog { ticket, run, offset } => {
                let ended = !process.agent.live().contains_key(&run);
                let answer = if self.disk.folders.contains_key(&run) {
                    Answer::Log { offset, text: String::new(), next_offset: offset, ended }
                } else {
                    Answer::Refused {
                        reason: Refused::NoRun,
                        message: format!("this node has no log of the run {run}"),
                    }
                };
                self.answer(now, clock, ticket, answer, None, out);
            }
            Effect::Witness(task) => {
                let at = after(now, Duration::from_ms(self.chance.between(200, 3000)));
                process.witnesses.push((at, task));
            }
            Effect::Confirm { durable_below } => {
                let uptime = between(process.booted_at, now);
                let below = process.aging.forgettable(uptime, self.disk.head().next_seq, durable_below);
                let deleted = self.disk.forget_below(below);
                self.record.deleted(&deleted, durable_below, now);
            }
            Effect::Resend { from } => {
                process.pump.go_back(from);
                process.nudge(now);
            }
            Effect::Alarm(alarm) => out.push(Out::Alarm(alarm)),
        }
    }

    fn answer(
        &mut self,
        now: Timestamp,
        clock: Timestamp,
        ticket: Ticket,
        answer: Answer,
        started: Option<RunId>,
        out: &mut Vec<Out>,
    ) {
        let Some(asked) = self.process.as_mut().and_then(|process| process.tickets.remove(&ticket)) else { return };
        if answer == Answer::Accepted {
            let is_signed = self.was_signed(asked.command.id);
            self.record.obeyed(&asked.command, is_signed, self.disk.head().incarnation, started, clock);
        } else if let Answer::Refused { .. } = answer {
            self.record.refused(asked.command.id);
        }
        // No answer is better than a late one: the coordinator asks again under the same id.
        if now <= asked.until {
            out.push(Out::Answer { question: asked.question, answer });
        }
    }
}

/// A fact as one line of a trace.
fn line_of(fact: &AgentFact) -> String {
    match fact {
        AgentFact::RunStarted(started) => {
            format!("{} {} attempt {}", fact.kind(), started.about.run, started.attempt)
        }
        AgentFact::RunFinished(finished) => {
            let (outcome, reason) = (finished.report.outcome, finished.report.reason);
            format!("{} {} {outcome} {reason}", fact.kind(), finished.about.run)
        }
        AgentFact::RunPhase(phase) => format!("{} {} {}", fact.kind(), phase.run, phase.phase),
        AgentFact::RunMilestone(milestone) => format!("{} {} {}", fact.kind(), milestone.run, milestone.percent),
        AgentFact::RunRetried(retried) => format!("{} {} {}", fact.kind(), retried.run, retried.reason),
        AgentFact::SlotMissed(missed) => format!("{} {} {}", fact.kind(), missed.routine, missed.last),
        AgentFact::AgentStarted(_) | AgentFact::PlansAnnounced(_) | AgentFact::Witnessed(_) => fact.kind().to_owned(),
    }
}
