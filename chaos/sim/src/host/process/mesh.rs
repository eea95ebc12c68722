//! What a machine hears from the mesh and says to it.

use landfall_agent::core::{Input, Onward, Report, Told3, without_room};
use landfall_proto::command::{Answer, Command, Refused};
use landfall_proto::envelope::Identity;
use landfall_proto::id::RunId;
use landfall_proto::live::{BEACON_INTERVAL, Beacon, Beat, LiveRun, Sync};
use landfall_proto::report::Vitals;
use landfall_proto::time::{Duration, Timestamp, after, between};

use super::{Asked, Batch, Wake};
use crate::host::{Host, Out, Place};

/// Facts that are under way at the same time.
const PUBLISH_WINDOW: usize = 64;

/// How long the log may take to confirm a batch, where nobody else says that it did not.
const CONFIRM_MAX: Duration = Duration::from_secs(6);

/// An answer that took longer is not given.
const ANSWER_MAX: Duration = Duration::from_ms(1900);

/// A beacon after so long a silence is taken for a new leader's.
const SILENCE: Duration = Duration::from_ms(3 * BEACON_INTERVAL.as_ms());

impl Host {
    pub(in crate::host) fn hear_command(
        &mut self,
        now: Timestamp,
        question: u64,
        command: Box<Command>,
        is_signed: bool,
        out: &mut Vec<Out>,
    ) {
        if self.process.is_none() {
            return;
        }
        if !is_signed && !self.takes_unsigned(command.id) {
            self.record.refused(command.id);
            let message = "the signature fits no key that this node knows".to_owned();
            let answer = Answer::Refused { reason: Refused::Signature, message };
            return out.push(Out::Answer { question, answer });
        }
        let clock = self.clock(now);
        let blocked = self.process.as_ref().filter(|process| process.blocked.is_some());
        if let Some(process) = blocked {
            let answer = without_room(&process.agent, clock, &command);
            self.record.refused(command.id);
            return out.push(Out::Answer { question, answer });
        }
        if let Some(process) = &mut self.process {
            process.queue.push_back(Wake::Command(Asked { question, until: after(now, ANSWER_MAX), command }));
        }
    }

    pub(in crate::host) fn hear_beacon(&mut self, now: Timestamp, beacon: Beacon) {
        let Some(process) = &mut self.process else { return };
        let is_known = process
            .heard
            .is_some_and(|(epoch, at)| epoch == beacon.epoch && between(at, now).as_ms() < SILENCE.as_ms());
        if !is_known {
            process.beat_at = now;
        }
        process.heard = Some((beacon.epoch, now));
        process.offer(Wake::Input(Box::new(Input::Heard(beacon))));
    }

    pub(in crate::host) fn hear_sync(&mut self, sync: Sync) {
        if let Some(process) = &mut self.process {
            process.offer(Wake::Sync(sync));
        }
    }

    pub(in crate::host) fn hear_ack(&mut self, now: Timestamp, identity: &Identity, told: Told3) {
        let Some(process) = &mut self.process else { return };
        let Some(batch) = process.batch.as_mut().filter(|batch| batch.incarnation == identity.incarnation) else {
            return;
        };
        let Some(fact) = batch.facts.iter_mut().find(|(seq, known)| *seq == identity.seq && known.is_none()) else {
            return;
        };
        fact.1 = Some(told);
        let is_whole = batch.facts.iter().all(|(_, told)| told.is_some());
        if self.boundary(Place::AfterAck) {
            return;
        }
        if is_whole {
            self.settle_batch(now);
        }
    }

    pub(in crate::host) fn hear_link(&mut self, now: Timestamp, is_up: bool) {
        let Some(process) = &mut self.process else { return };
        process.is_linked = is_up;
        if is_up {
            process.beat_at = process.beat_at.min(now);
            process.pump_at = process.pump_at.map(|at| at.min(now));
        }
    }

    /// News of a run, as they come to the loop.
    pub(in crate::host) fn hear_run(&mut self, run: RunId, report: Report) {
        if let Some(process) = &mut self.process {
            process.enqueue(Input::Reported { run, report });
        }
    }

    pub(super) fn beat(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let clock = self.clock(now);
        let Some(process) = &mut self.process else { return };
        process.beat_at = after(now, self.spec.beat_every);
        if !process.is_linked {
            return self.look_at_slots(clock);
        }
        let live = process.agent.live().iter().map(|(run, live)| LiveRun {
            run: *run,
            idle_ms: between(live.moved_at, clock).as_ms(),
            progress: live.progress.clone(),
        });
        let head = self.disk.head();
        out.push(Out::Beat(Box::new(Beat {
            epoch: Some(process.agent.epoch()),
            node: self.spec.node.clone(),
            incarnation: head.incarnation,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            next_seq: head.next_seq,
            outbox: self.disk.outbox_len(),
            vitals: if self.is_tired { tired() } else { Vitals::default() },
            live: live.collect(),
            paused: process.agent.paused().map(str::to_owned),
            sent_at: clock,
        })));
        self.look_at_slots(clock);
    }

    /// Which slots have come, and whether something stands in their way.
    pub(super) fn look_at_slots(&mut self, clock: Timestamp) {
        if !self.oracle.is_watching() && !self.oracle.is_due(clock) {
            return;
        }
        let names = (&self.spec.cluster, &self.spec.node);
        self.oracle.look(&self.catalog, names, (clock, self.spec.leader_patience), &mut self.record.trace.due);
        let Some(process) = &self.process else { return };
        let is_full = u32::try_from(process.agent.live().len()).unwrap_or(u32::MAX) >= self.spec.parallel;
        if is_full || self.disk.is_full || self.is_tired || process.blocked.is_some() || process.drain_until.is_some() {
            self.oracle.excuse();
        }
    }

    pub(super) fn pump(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        process.pump_at = None;
        let from = process.pump.begin();
        let incarnation = self.disk.head().incarnation;
        let facts: Vec<_> = self.disk.facts_from(from, PUBLISH_WINDOW).cloned().collect();
        if facts.is_empty() {
            return;
        }
        let seqs = facts.iter().map(|fact| (fact.seq, None)).collect();
        process.batch = Some(Batch { incarnation, facts: seqs, until: after(now, CONFIRM_MAX) });
        for fact in facts {
            let fact = self.numbered(fact);
            self.record.published(&fact);
            out.push(Out::Publish(fact));
            if self.boundary(Place::AfterPublish) {
                return;
            }
        }
    }

    pub(super) fn settle_batch(&mut self, now: Timestamp) {
        let Some(process) = &mut self.process else { return };
        let Some(batch) = process.batch.take() else { return };
        let results: Vec<(u64, Told3)> =
            batch.facts.into_iter().map(|(seq, told)| (seq, told.unwrap_or(Told3::Unknown))).collect();
        process.pump_at = Some(match process.pump.settle(&results) {
            Onward::Go => now,
            Onward::Pause { pause, .. } => after(now, pause),
        });
        self.delete_confirmed(&results, now);
    }
}

/// A machine that would rather rest.
pub(super) fn tired() -> Vitals {
    Vitals { on_battery: Some(true), ..Vitals::default() }
}
