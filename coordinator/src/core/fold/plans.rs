//! Folding what a node says of itself: it started, it has these plans, it missed these slots; and that it is retired.

use std::collections::BTreeSet;

use landfall_proto::envelope::Envelope;
use landfall_proto::fact::agent::{AgentStarted, PlanAnnouncement, PlansAnnounced, SlotMissed};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::report::{Outcome, Reason};
use landfall_proto::time::Timestamp;

use crate::core::agenda::Matter;
use crate::core::mesh::Mesh;
use crate::core::node::{History, MISSED_MAX, Node, NodeRoutine};
use crate::core::routine::Routine;
use crate::core::run::{End, Stage};
use crate::core::step::Logged;

impl Mesh {
    pub(super) fn agent_started(&mut self, id: &NodeId, body: &AgentStarted, envelope: &Envelope) {
        if self.is_retired(id) {
            return;
        }
        let node = self.node_entry(id);
        node.host.clone_from(&body.host);
        node.version.clone_from(&body.version);
        node.labels.clone_from(&body.labels);
        node.started_at = Some(envelope.sent_at);
        node.start_cause = Some(body.cause);
        // A fresh journal ends the quarrel about what the old one said.
        if node.announced.is_some_and(|(incarnation, _)| incarnation != envelope.incarnation) {
            node.conflict = None;
        }
        self.agenda.mark(Matter::NodeAlerts(id.clone()));
    }

    /// Replaces what was announced before. A retired node that announces plans is back, with these plans only; nothing
    /// else that it says brings it back, so a late message from a machine that is gone does not.
    pub(super) fn plans_announced(&mut self, id: &NodeId, body: &PlansAnnounced, envelope: &Envelope) {
        let before = self.node_entry(id).routines.clone();
        for routine in before.values().filter(|routine| routine.present) {
            self.unannounce(id, &routine.plan);
        }
        let node = self.node_entry(id);
        node.retired_at = None;
        node.broken.clone_from(&body.broken);
        node.announced = Some((envelope.incarnation, envelope.id));
        for routine in node.routines.values_mut() {
            routine.present = false;
        }
        for plan in &body.plans {
            let entry = node.routines.entry(plan.routine.clone()).or_insert_with(|| fresh(plan, envelope.sent_at));
            entry.plan = plan.clone();
            entry.present = true;
        }
        let names: BTreeSet<RoutineName> = node.routines.keys().cloned().collect();
        let present: Vec<PlanAnnouncement> =
            node.routines.values().filter(|routine| routine.present).map(|routine| routine.plan.clone()).collect();
        for plan in &present {
            self.announce(id, plan, envelope.sent_at);
        }
        self.judge_all_chains(id);
        for name in names {
            self.agenda.mark(Matter::Slots(name.clone()));
            self.agenda.mark(Matter::RoutineAlerts(name));
        }
        self.agenda.mark(Matter::NodeAlerts(id.clone()));
        self.agenda.mark(Matter::Queue);
    }

    /// Later rounds do not expect it, and nothing about it stays alarming. Rounds that are open keep who they expect.
    pub(super) fn node_retired(&mut self, id: &NodeId, at: Timestamp) {
        let Some(node) = self.nodes.get_mut(id).filter(|node| !node.is_retired()) else { return };
        node.retired_at = Some(at);
        node.broken.clear();
        node.conflict = None;
        let routines = std::mem::take(&mut node.routines);
        self.touched.nodes.insert(id.clone());
        if let Some(live) = self.live.get_mut(id) {
            (live.rival, live.clash_at, live.set_back_at) = (None, None, None);
        }
        for (name, routine) in routines {
            self.process.failing_since.remove(&(name.clone(), id.clone()));
            if routine.present {
                self.unannounce(id, &routine.plan);
            }
            if let Some(entry) = self.routines.get_mut(&name) {
                entry.nodes.remove(id);
                entry.failing.remove(id);
                entry.unbased.remove(id);
                entry.overdue.remove(id);
                self.touched.routines.insert(name.clone());
            }
            self.agenda.mark(Matter::Slots(name.clone()));
            self.agenda.mark(Matter::RoutineAlerts(name));
        }
        self.agenda.mark(Matter::NodeAlerts(id.clone()));
        self.agenda.mark(Matter::Failures);
        self.agenda.mark(Matter::Spaces);
    }

    /// Runs of slots that the node slept through end as skipped; one that is opened later finds the span remembered.
    pub(super) fn slot_missed(&mut self, id: &NodeId, body: &SlotMissed, at: Timestamp) {
        if self.is_retired(id) {
            return;
        }
        if let Some(routine) = self.node_entry(id).routines.get_mut(&body.routine) {
            routine.missed.push_back((body.first, body.last));
            if routine.missed.len() > MISSED_MAX {
                routine.missed.pop_front();
            }
        }
        let waiting: Vec<_> = self.index.queue.of_node(id).collect();
        for run in waiting {
            let is_missed = self.runs.get(&run).is_some_and(|run| {
                run.routine == body.routine && run.slot.is_some_and(|slot| (body.first..=body.last).contains(&slot))
            });
            if is_missed {
                self.skip_missed(run, at);
            }
        }
    }

    pub(super) fn skip_missed(&mut self, run: landfall_proto::id::RunId, at: Timestamp) {
        self.change(run, |run| {
            run.stage = Stage::Ended;
            let message = "the node was off at this slot; a later run caught up".to_owned();
            run.end =
                Some(End { outcome: Outcome::Skipped, reason: Reason::Missed, message, at, report: None, late: false });
        });
    }

    /// The same identity came with another content: a journal was set back or two machines share it.
    pub(super) fn conflict(&mut self, message: &Logged) {
        if let Ok(id) = message.envelope.writer.parse::<NodeId>()
            && let Some(node) = self.nodes.get_mut(&id)
        {
            node.conflict.get_or_insert(message.envelope.id);
            self.touched.nodes.insert(id.clone());
            self.agenda.mark(Matter::NodeAlerts(id));
        }
    }

    pub(super) fn is_retired(&self, id: &NodeId) -> bool {
        self.nodes.get(id).is_some_and(Node::is_retired)
    }

    pub(super) fn node_entry(&mut self, id: &NodeId) -> &mut Node {
        self.touched.nodes.insert(id.clone());
        self.nodes.entry(id.clone()).or_insert_with(|| Node::new(id.clone()))
    }

    /// Counts a plan that a node has at present.
    pub(super) fn announce(&mut self, id: &NodeId, plan: &PlanAnnouncement, at: Timestamp) {
        let name = &plan.routine;
        if !self.routines.contains_key(name) {
            self.touched.routines.insert(name.clone());
        }
        let routine = self.routines.entry(name.clone()).or_insert_with(|| Routine::new(name.clone(), at));
        routine.vote(plan);
        routine.nodes.insert(id.clone());
        if let Some(repository) = plan.repository.as_ref().filter(|_| plan.can_witness) {
            self.index.witnesses.entry(repository.clone()).or_default().insert(id.clone());
        }
    }

    fn unannounce(&mut self, id: &NodeId, plan: &PlanAnnouncement) {
        if let Some(routine) = self.routines.get_mut(&plan.routine) {
            routine.unvote(plan);
        }
        if let Some(repository) = &plan.repository
            && let Some(nodes) = self.index.witnesses.get_mut(repository)
        {
            nodes.remove(id);
        }
    }
}

fn fresh(plan: &PlanAnnouncement, at: Timestamp) -> NodeRoutine {
    NodeRoutine {
        plan: plan.clone(),
        present: true,
        first_announced_at: at,
        backup: History::default(),
        check: History::default(),
        contradicted: None,
        missed: std::collections::VecDeque::new(),
    }
}
