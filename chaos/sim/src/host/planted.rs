//! Planted bugs of one machine: what its shell does wrong on purpose, so that it is seen that the laws look.

use std::collections::BTreeSet;

use landfall_agent::core::Told3;
use landfall_proto::command::Command;
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::CommandId;
use landfall_proto::live::BEACON_FRESH;
use landfall_proto::report::{Evidence, Outcome, ProofLevel, Reason, RunReport};
use landfall_proto::time::{Duration, Timestamp, after, between};

use super::repository::id_of;
use super::{Host, Out};
use crate::mutant::{Mutant, Mutants, SECRET};

/// What a shell that cuts nothing lets through, in bytes.
const UNCUT_BYTES: usize = 20_000;

/// Which bug is planted, and what it has to remember.
#[derive(Debug, Clone, Default)]
pub(super) struct Planted {
    pub(super) mutants: Mutants,
    /// Every fact below this has been published once.
    published_to: u64,
    /// Commands that nobody had signed.
    unsigned: BTreeSet<CommandId>,
}

impl Planted {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutants.is(mutant)
    }
}

impl Host {
    /// Plants a bug.
    pub fn plant(&mut self, mutants: Mutants) {
        self.planted.mutants = mutants;
    }

    /// A fact that has been published before leaves under the next number.
    pub(super) fn numbered(&mut self, fact: Envelope) -> Envelope {
        let is_again = fact.seq < self.planted.published_to;
        let next = self.planted.published_to;
        self.planted.published_to = next.max(fact.seq + 1);
        if !is_again || !self.planted.is(Mutant::RenumberResent) {
            return fact;
        }
        let identity = Identity { seq: next, ..fact.identity() };
        Envelope::fact(identity, &fact.kind, fact.sent_at, fact.body)
    }

    /// Facts leave before they are on the disk.
    pub(super) fn publish_early(&mut self, facts: &[AgentFact], clock: Timestamp, out: &mut Vec<Out>) {
        if !self.planted.is(Mutant::PublishBeforeWrite) {
            return;
        }
        let head = self.disk.head();
        for (seq, fact) in (head.next_seq..).zip(facts) {
            let identity = Identity { writer: self.spec.node.to_string(), incarnation: head.incarnation, seq };
            let envelope = Envelope::fact(identity, fact.kind(), clock, fact.encode());
            self.record.published(&envelope);
            out.push(Out::Publish(envelope));
        }
    }

    /// What the bus has confirmed is deleted at once.
    pub(super) fn delete_confirmed(&mut self, results: &[(u64, Told3)], now: Timestamp) {
        if !self.planted.is(Mutant::DeleteOnConfirmation) {
            return;
        }
        let done = results.iter().take_while(|(_, told)| *told == Told3::Done).last();
        if let Some((seq, _)) = done {
            let deleted = self.disk.forget_below(seq + 1);
            self.record.deleted(&deleted, 0, now);
        }
    }

    /// Whether the shell sleeps on though its core wants to be woken, because nobody leads.
    pub(super) fn is_deaf(&self, heard_at: Option<Timestamp>, now: Timestamp) -> bool {
        let is_led = heard_at.is_some_and(|at| between(at, now) < BEACON_FRESH);
        self.planted.is(Mutant::DeafToSchedule) && !is_led
    }

    /// When a deaf shell looks again.
    pub(super) fn deaf_until(&self, clock: Timestamp) -> Timestamp {
        after(clock, Duration::from_secs(5))
    }

    /// Whether a command is taken though no known key signed it.
    pub(super) fn takes_unsigned(&mut self, command: CommandId) -> bool {
        let takes = self.planted.is(Mutant::ObeyUnsigned);
        if takes {
            self.planted.unsigned.insert(command);
        }
        takes
    }

    pub(super) fn was_signed(&self, command: CommandId) -> bool {
        !self.planted.unsigned.contains(&command)
    }

    /// Every command is taken for one of the highest epoch.
    pub(super) fn raised(&self, mut command: Box<Command>) -> Box<Command> {
        if let Some(agent) = self.agent().filter(|_| self.planted.is(Mutant::ObeyOlderEpoch)) {
            let fence = &agent.memory().fence;
            if let Some(holder) = fence.holder.as_ref().filter(|_| command.epoch <= fence.epoch) {
                (command.epoch, command.holder) = (fence.epoch, holder.clone());
            }
        }
        command
    }

    /// What the runner makes of a run's end.
    pub(super) fn reported(&self, mut report: RunReport, run: &str, location: &str) -> RunReport {
        match self.planted.mutants.planted() {
            Some(Mutant::PrintSecret) => report.tail = format!("could not log in as backup with {SECRET}"),
            Some(Mutant::UncutOutput) => report.tail = "x".repeat(UNCUT_BYTES),
            Some(Mutant::OkWithoutSnapshot) if report.reason == Reason::VerifyMissing => {
                (report.outcome, report.reason) = (Outcome::Ok, Reason::Completed);
                report.evidence = Some(Evidence {
                    repository: Some(id_of(location)),
                    snapshot: format!("made-up-{run}"),
                    taken_at: report.finished_at,
                    level: ProofLevel::Landed,
                    matches: 1,
                    covers_sources: true,
                    files: 1,
                    bytes: 1,
                    read_at: report.finished_at,
                });
            }
            Some(_) | None => {}
        }
        report
    }
}
