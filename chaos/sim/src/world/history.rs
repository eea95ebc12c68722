//! What the laws look at: the whole run as a history, and what of bad luck only the log can show.

use std::collections::{BTreeMap, BTreeSet};

use landfall::audit::{CoordinatorTrace, Entry, Heal, History};
use landfall::core::decide;
use landfall::core::run::Run;
use landfall_proto::codec::decode_fact;
use landfall_proto::envelope::{Epoch, Position};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{Holder, RoundId};
use landfall_proto::subject::Topic;
use landfall_proto::time::between;

use super::{World, bed};
use crate::bus::Taken;
use crate::mutant::SECRET;

impl World {
    /// Everything that happened until now.
    pub fn history(&mut self) -> History {
        let log: Vec<Entry> = self.bus.ever().iter().filter_map(entry).collect();
        let mut nodes = BTreeMap::new();
        for node in self.nodes.iter_mut().filter(|node| !node.is_copy) {
            nodes.insert(node.id.clone(), node.host.trace().clone());
        }
        for copy in self.nodes.iter_mut().filter(|node| node.is_copy) {
            let set_back = copy.host.trace().set_back.clone();
            if let Some(trace) = nodes.get_mut(&copy.id) {
                trace.set_back.extend(set_back);
            }
        }
        // Whether everything has come to rest is judged elsewhere; the laws look at what is there when that is over.
        let heal = self.healed_at.map(|at| Heal { at, patience: between(at, self.now) });
        History {
            log,
            nodes,
            repositories: self.repositories.trace(),
            coordinators: self.coordinator_traces(),
            heal,
            ended_at: Some(self.now),
            secrets: vec![SECRET.to_owned()],
            policy: bed::policy(&self.options),
            ..History::default()
        }
    }

    fn coordinator_traces(&self) -> Vec<CoordinatorTrace> {
        let mut traces = Vec::new();
        for seat in &self.seats {
            let coordinator = &seat.coordinator;
            for (index, life) in coordinator.lives.iter().enumerate() {
                let mut trace = life.clone();
                let is_last = index + 1 == coordinator.lives.len();
                if let Some(process) = coordinator.process.as_ref().filter(|_| is_last) {
                    trace.cursor = Some(process.mesh.cursor());
                    trace.leads = process.mesh.leads();
                    let has_report = |run: &&Run| run.end.as_ref().is_some_and(|end| end.report.is_some());
                    let kept = coordinator.ledger.on_disk().runs.values();
                    let ended = process.mesh.runs().values().chain(kept).filter(has_report).map(|run| run.id);
                    trace.ended_runs = Some(ended.collect());
                    if trace.leads && process.mesh.in_flight() == 0 {
                        let clock = coordinator.clock(self.now);
                        let left = decide::everything(&process.mesh, &coordinator.policy, clock);
                        trace.undecided =
                            left.iter().map(|fact| format!("{fact:?}").chars().take(300).collect()).collect();
                    }
                }
                traces.push(trace);
            }
        }
        traces
    }

    /// Notes of everything that was just lost whether some ledger holds it, before the same identities come again.
    pub(super) fn judge_lost(&mut self) {
        let seats = &self.seats;
        for taken in self.bus.lost().filter(|taken| taken.was_held.is_none()) {
            let Some(lost) = entry(taken) else { continue };
            let identity = lost.envelope.identity();
            taken.was_held = Some(seats.iter().any(|seat| seat.coordinator.ledger.has_held(&identity)));
        }
    }

    /// Counts what only the log shows.
    pub fn count_from_log(&mut self) {
        let entries: Vec<Entry> = self.bus.ever().iter().filter_map(entry).collect();
        let mut seen = BTreeSet::new();
        let mut claims: BTreeMap<Epoch, BTreeSet<Holder>> = BTreeMap::new();
        let mut concluded: BTreeSet<RoundId> = BTreeSet::new();
        for Entry { envelope, .. } in &entries {
            if !seen.insert(envelope.id) {
                self.hits.hit("duplicate-in-log");
                continue;
            }
            match CoordinatorFact::decode(&envelope.kind, &envelope.body) {
                Ok(Some(CoordinatorFact::LeaderClaimed(claim))) => {
                    claims.entry(claim.epoch).or_default().insert(claim.holder);
                }
                Ok(Some(CoordinatorFact::RoundConcluded(verdict))) => drop(concluded.insert(verdict.round)),
                Ok(_) | Err(_) => {}
            }
            if let Ok(Some(AgentFact::RunFinished(finished))) = AgentFact::decode(&envelope.kind, &envelope.body)
                && concluded.contains(&finished.about.round)
            {
                self.hits.hit("result-after-deadline");
            }
        }
        self.hits.add("claims-competed", claims.values().filter(|holders| holders.len() > 1).count() as u64);
        let zone = jiff::tz::TimeZone::get(&self.options.zone).unwrap_or(jiff::tz::TimeZone::UTC);
        if zone.to_offset(self.options.start) != zone.to_offset(self.now) {
            self.hits.hit("clock-changed");
        }
    }
}

/// Messages that nobody can read are no entries: every reader refuses them.
fn entry(taken: &Taken) -> Option<Entry> {
    let writer = match &taken.stored.topic {
        Topic::NodeFact(node) => node.as_str(),
        Topic::CoordinatorFact(holder) => holder.as_str(),
        Topic::Command(_)
        | Topic::Sync(_)
        | Topic::Beacon
        | Topic::Beat(_)
        | Topic::Live(..)
        | Topic::Out(..)
        | Topic::Control(_) => return None,
    };
    let envelope = decode_fact(&taken.stored.payload, writer).ok()?;
    let position = Position { era: taken.era, seq: taken.stored.seq, hash: taken.stored.hash };
    let (at, topic) = (taken.stored.at, taken.stored.topic.clone());
    let (is_there, was_held) = (taken.is_there, taken.was_held);
    Some(Entry { position, at, topic, envelope, is_there, was_held })
}
