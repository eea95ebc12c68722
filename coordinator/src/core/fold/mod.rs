//! How the log changes the state: identity first, then one match over everything a fact can say.

mod chains;
mod decisions;
mod history;
mod monitors;
mod plans;
mod restore;
mod rounds;
mod runs;
mod vitals;

pub(super) use decisions::RESOLVED_MAX;
use landfall_proto::envelope::{Envelope, Position};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{Holder, NodeId};
use landfall_proto::time::Timestamp;
pub(super) use restore::{ROUNDS_KEPT_MAX, RUNS_KEPT_MAX};

use super::agenda::Matter;
use super::command;
use super::mesh::Mesh;
use super::policy::Policy;
use super::step::{Effect, Fact, Logged};
use super::writer::{Admission, key_of};

/// Folds one message of the log, and the parked ones that follow it. Effects of own decisions come out here.
pub(super) fn logged(
    mesh: &mut Mesh,
    policy: &Policy,
    now: Timestamp,
    position: Position,
    message: Logged,
    effects: &mut Vec<Effect>,
) {
    // Who has accepted an era's claim reads on in that era, whatever its reader still calls the log.
    let position = Position { era: position.era.max(mesh.meta.cursor.era), ..position };
    if position.era > mesh.meta.cursor.era {
        mesh.log_replaced(None, now);
    }
    let era = mesh.meta.epoch.era;
    let is_new = mesh.passes(position);
    if is_new {
        mesh.meta.folded_at = Some(message.envelope.sent_at);
    }
    admit(mesh, policy, now, message, effects);
    if is_new {
        mesh.take_digest(mesh.meta.epoch.era > era);
    }
}

fn admit(mesh: &mut Mesh, policy: &Policy, now: Timestamp, message: Logged, effects: &mut Vec<Effect>) {
    let key = key_of(&message.envelope);
    let writer = mesh.writers.entry(key.clone()).or_default();
    match writer.admit(&message) {
        Admission::Next => {}
        Admission::Parked => {
            mesh.touched.parked.insert((key, message.envelope.seq));
            return;
        }
        Admission::Duplicate | Admission::Dropped => return,
        Admission::Conflict => {
            mesh.touched.writers.insert(key);
            mesh.conflict(&message);
            return;
        }
    }
    mesh.touched.writers.insert(key.clone());
    apply(mesh, policy, now, message, effects);
    while let Some(next) = mesh.writers.get_mut(&key).and_then(super::writer::Writer::unpark) {
        let seq = next.envelope.seq;
        mesh.touched.parked.insert((key.clone(), seq));
        if let Some(writer) = mesh.writers.get_mut(&key) {
            writer.admit(&next);
        }
        apply(mesh, policy, now, next, effects);
    }
}

fn apply(mesh: &mut Mesh, policy: &Policy, now: Timestamp, message: Logged, effects: &mut Vec<Effect>) {
    let Logged { envelope, fact } = message;
    let is_own = envelope.writer == mesh.me.holder.as_str() && envelope.incarnation == mesh.me.incarnation;
    let counts = match &fact {
        Some(Fact::Agent(node, fact)) => {
            mesh.agent_fact(node, fact, &envelope);
            true
        }
        Some(Fact::Coordinator(holder, fact)) => mesh.coordinator_fact(holder, fact, &envelope, now),
        None => {
            *mesh.meta.unknown_kinds.entry(envelope.kind.clone()).or_default() += 1;
            mesh.touched.meta = true;
            false
        }
    };
    if is_own {
        command::landed(mesh, policy, now, fact.as_ref(), counts, effects);
    }
}

impl Mesh {
    /// Everything an agent can say.
    fn agent_fact(&mut self, node: &NodeId, fact: &AgentFact, envelope: &Envelope) {
        match fact {
            AgentFact::AgentStarted(body) => self.agent_started(node, body, envelope),
            AgentFact::PlansAnnounced(body) => self.plans_announced(node, body, envelope),
            AgentFact::RunStarted(body) => self.run_started(node, body),
            AgentFact::RunPhase(body) => self.run_phase(node, body),
            AgentFact::RunMilestone(body) => self.run_milestone(node, body),
            AgentFact::RunRetried(body) => self.run_retried(node, body),
            AgentFact::RunFinished(body) => self.run_finished(node, body),
            AgentFact::SlotMissed(body) => self.slot_missed(node, body, envelope.sent_at),
            AgentFact::Witnessed(body) => self.witnessed(node, body, envelope.sent_at),
        }
    }

    /// Everything a coordinator can decide; false where it did not count, because its writer did not lead.
    fn coordinator_fact(
        &mut self,
        holder: &Holder,
        fact: &CoordinatorFact,
        envelope: &Envelope,
        now: Timestamp,
    ) -> bool {
        if let CoordinatorFact::LeaderClaimed(claim) = fact {
            return self.leader_claimed(holder, claim, envelope, now);
        }
        if !self.decides(holder, fact, envelope) {
            self.meta.ignored_decisions += 1;
            self.touched.meta = true;
            return false;
        }
        let at = envelope.sent_at;
        match fact {
            CoordinatorFact::LeaderClaimed(_) => {}
            CoordinatorFact::RoundOpened(body) => self.round_opened(body),
            CoordinatorFact::Dispatched(body) => self.dispatched(body, at),
            CoordinatorFact::Answered(body) => self.answered(body, at),
            CoordinatorFact::CancelAsked(body) => self.cancel_asked(body, at),
            CoordinatorFact::RunLost(body) => self.run_lost(body, at),
            CoordinatorFact::WitnessAsked(body) => self.witness_asked(body),
            CoordinatorFact::RoundConcluded(body) => self.round_concluded(body),
            CoordinatorFact::AlertRaised(body) => self.alert_raised(body),
            CoordinatorFact::AlertResolved(body) => self.alert_resolved(body),
            CoordinatorFact::AlertDelivered(body) => self.alert_delivered(body),
            CoordinatorFact::LimitSet(body) => {
                self.limits.insert(body.name.clone(), body.value);
                self.touched.limits.insert(body.name.clone());
                self.agenda.mark(Matter::Queue);
            }
            CoordinatorFact::NodeRetired(body) => self.node_retired(&body.node, at),
            CoordinatorFact::MonitorSet(body) => self.monitor_set(body),
            CoordinatorFact::MonitorRemoved(body) => self.monitor_removed(body),
            CoordinatorFact::PingKeySet(body) => self.ping_key_set(body),
            CoordinatorFact::Pinged(body) => self.pinged(body),
            CoordinatorFact::SpaceSampled(body) => self.space_sampled(body),
        }
        true
    }
}
