//! Keeping the indexes true: every change of a run or round goes through here, and a mesh is built again from its records.

use landfall_proto::envelope::Position;
use landfall_proto::id::{ClusterName, Holder, Incarnation, RoundId, RunId};
use landfall_proto::time::{Duration, Timestamp, after};

use crate::core::agenda::Matter;
use crate::core::chain;
use crate::core::command::Purpose;
use crate::core::mesh::Mesh;
use crate::core::monitor::Monitor;
use crate::core::record::Records;
use crate::core::round::{Counts, Round};
use crate::core::routine::Routine;
use crate::core::run::{Run, Stage};
use crate::core::step::Logged;

/// Concluded rounds stay in memory so long, for late results to find them.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Concluded rounds in memory.
pub(in crate::core) const ROUNDS_KEPT_MAX: usize = 500;

/// Runs of concluded rounds in memory.
pub(in crate::core) const RUNS_KEPT_MAX: usize = 50_000;

impl Mesh {
    /// Builds the mesh again from what the ledger holds.
    pub fn restore(cluster: ClusterName, holder: Holder, incarnation: Incarnation, records: Records) -> Self {
        let mut mesh = Self::new(cluster, holder, incarnation);
        mesh.process.has_memory = records.meta.cursor != Position::START;
        mesh.meta = records.meta;
        mesh.writers = records.writers;
        mesh.limits = records.limits;
        mesh.monitors = records.monitors;
        mesh.monitors.values_mut().for_each(Monitor::expect);
        mesh.ping_keys = records.ping_keys;
        mesh.nodes = records.nodes;
        mesh.routines = records.routines;
        mesh.spaces = records.spaces;
        mesh.rounds = records.rounds;
        mesh.clear_indexes();
        for ((key, seq), record) in records.parked {
            let name = record.envelope.writer.clone();
            let logged = match (record.from_node, name.parse(), name.parse()) {
                (true, Ok(node), _) => Logged::from_node(node, record.envelope),
                (false, _, Ok(holder)) => Logged::from_coordinator(holder, record.envelope),
                (_, _, _) => continue,
            };
            mesh.writers.entry(key).or_default().parked.insert(seq, logged);
        }
        mesh.restore_routines();
        for run in records.runs.into_values() {
            mesh.insert_run(run);
        }
        for round in mesh.rounds.values() {
            match round.concluded_at {
                Some(at) => {
                    mesh.index.concluded.insert((at, round.id));
                    mesh.index.concluded_runs += round.runs.len();
                }
                None => {
                    if let Some(routine) = mesh.routines.get_mut(&round.routine).filter(|_| round.is_open()) {
                        routine.open.insert(round.id);
                    }
                }
            }
        }
        for record in records.alerts.values() {
            mesh.index_alert(record);
        }
        mesh.alerts = records.alerts;
        mesh.touched = crate::core::touched::Touched::default();
        mesh
    }

    /// Records that come from memory instead of bytes bring indexes along; they are built from nothing.
    fn clear_indexes(&mut self) {
        for round in self.rounds.values_mut() {
            round.runs.clear();
            round.counts = Counts::default();
        }
        for routine in self.routines.values_mut() {
            *routine = Routine {
                considered: routine.considered,
                overdue: std::mem::take(&mut routine.overdue),
                last_round: routine.last_round,
                ..Routine::new(routine.name.clone(), routine.considered)
            };
        }
        for writer in self.writers.values_mut() {
            writer.parked.clear();
        }
    }

    fn restore_routines(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        for node in nodes.values() {
            for (name, known) in &node.routines {
                if known.present {
                    self.announce(&node.id, &known.plan, known.first_announced_at);
                }
                if let Some(routine) = self.routines.get_mut(name) {
                    routine.nodes.insert(node.id.clone());
                    if known.backup.trouble.is_some() || known.check.trouble.is_some() {
                        routine.failing.insert(node.id.clone());
                    }
                    if chain::broken_on(node, name).is_some() {
                        routine.unbased.insert(node.id.clone());
                    }
                }
            }
        }
        self.nodes = nodes;
    }

    /// Changes a run and everything that is counted by it.
    pub(super) fn change(&mut self, id: RunId, change: impl FnOnce(&mut Run)) {
        let Some(mut run) = self.runs.remove(&id) else { return };
        self.uncount(&run);
        let before = run.stage;
        change(&mut run);
        self.count(&run);
        self.touched.runs.insert(id);
        if run.stage != before {
            self.stage_changed(&run);
        }
        self.runs.insert(id, run);
    }

    pub(super) fn insert_run(&mut self, run: Run) {
        match self.rounds.get_mut(&run.round) {
            Some(round) => drop(round.runs.insert(run.id)),
            None => {
                self.index.strays.entry(run.round).or_default().insert(run.id);
                self.agenda.mark(Matter::Stray(run.round));
            }
        }
        self.count(&run);
        self.touched.runs.insert(run.id);
        self.runs.insert(run.id, run);
    }

    /// Changes a round; its queued runs are in the queue only while it is open.
    pub(super) fn change_round(&mut self, id: RoundId, change: impl FnOnce(&mut Round)) {
        let Some(mut round) = self.rounds.remove(&id) else { return };
        let before = round.is_open();
        change(&mut round);
        if round.is_open() != before {
            for run in round.runs.iter().filter_map(|id| self.runs.get(id)) {
                if run.stage == Stage::Queued && run.expected {
                    if before { self.index.queue.remove(run) } else { self.index.queue.insert(run) }
                }
            }
        }
        self.rounds.insert(id, round);
        self.touched.rounds.insert(id);
        self.agenda.mark(Matter::Round(id));
        self.agenda.mark(Matter::Queue);
    }

    /// Counts a round's runs from nothing.
    pub(super) fn recount(&mut self, id: RoundId) {
        let Some(round) = self.rounds.get_mut(&id) else { return };
        let mut counts = Counts::default();
        for run in round.runs.iter().filter_map(|id| self.runs.get(id)).filter(|run| run.expected) {
            tally(&mut counts, run, true);
        }
        round.counts = counts;
    }

    fn stage_changed(&mut self, run: &Run) {
        self.agenda.mark(Matter::Queue);
        let round = self.rounds.get(&run.round);
        self.agenda.mark(if round.is_some() { Matter::Round(run.round) } else { Matter::Stray(run.round) });
        if let Some(round) = round.filter(|_| run.is_active())
            && (!run.expected || round.verdict.is_some())
        {
            self.agenda.wake_by(Matter::Run(run.id), round.deadline);
        }
        let about = Matter::RoutineAlerts(run.routine.clone());
        if self.index.alerts_about.contains_key(&about) {
            self.agenda.mark(about);
        }
    }

    fn count(&mut self, run: &Run) {
        if run.is_active() {
            self.index.usage.take(run);
        }
        if let Some(slot) = run.slot.filter(|_| run.is_active() || run.started_at.is_some()) {
            let latest = self.index.begun.entry((run.node.clone(), run.routine.clone(), run.task)).or_insert(slot);
            *latest = slot.max(*latest);
        }
        let Some(round) = self.rounds.get_mut(&run.round).filter(|_| run.expected) else { return };
        tally(&mut round.counts, run, true);
        if run.stage == Stage::Queued && round.is_open() {
            self.index.queue.insert(run);
        }
    }

    fn uncount(&mut self, run: &Run) {
        if run.is_active() {
            self.index.usage.give_back(run);
        }
        if let Some(round) = self.rounds.get_mut(&run.round).filter(|_| run.expected) {
            tally(&mut round.counts, run, false);
            self.index.queue.remove(run);
        }
    }

    /// A leader that begins looks at everything once: what its predecessor left undone is done again, by the same ids.
    pub(in crate::core) fn mark_everything(&mut self) {
        let matters = self.matters();
        for matter in matters {
            self.agenda.mark(matter);
        }
        self.agenda.mark(Matter::Mesh);
        self.agenda.mark(Matter::Spaces);
        for run in self.runs.values().filter(|run| !run.is_ended()) {
            if let Some(sent) = run.sent.as_ref().filter(|sent| run.stage == Stage::Sent && !sent.accepted) {
                self.process.commands.insert(sent.command, Purpose::Start(run.id));
            }
            if let Some(cancel) = &run.cancel {
                self.process.commands.insert(cancel.command, Purpose::Cancel(run.id));
            }
        }
        for round in self.rounds.values() {
            for ask in round.asks.iter().filter(|ask| ask.answer.is_none()) {
                self.process.commands.insert(ask.asked.command, Purpose::Witness(round.id));
            }
        }
        for id in self.process.commands.keys() {
            self.agenda.mark(Matter::Command(*id));
        }
        for record in self.alerts.values().filter(|record| !record.deliveries.is_empty()) {
            self.agenda.mark(Matter::Reminder(record.alert.id));
        }
    }

    /// Everything that a decision could be about, but for what is looked at from time to time only.
    pub(in crate::core) fn matters(&self) -> Vec<Matter> {
        let mut matters = vec![Matter::Queue, Matter::Failures, Matter::Monitors];
        matters
            .extend(self.rounds.values().filter(|round| round.verdict.is_none()).map(|round| Matter::Round(round.id)));
        matters.extend(self.index.strays.keys().copied().map(Matter::Stray));
        matters.extend(self.runs.values().filter(|run| run.is_active()).map(|run| Matter::Run(run.id)));
        for name in self.routines.keys() {
            matters.extend([Matter::Slots(name.clone()), Matter::RoutineAlerts(name.clone())]);
        }
        matters.extend(self.nodes.keys().cloned().map(Matter::NodeAlerts));
        matters.sort();
        matters
    }

    /// Lets the oldest concluded rounds go; the ledger keeps them.
    pub(super) fn forget_old_rounds(&mut self) {
        let Some(newest) = self.index.concluded.last().map(|(at, _)| *at) else { return };
        while let Some(&(at, id)) = self.index.concluded.first() {
            let crowded = self.index.concluded.len() > ROUNDS_KEPT_MAX || self.index.concluded_runs > RUNS_KEPT_MAX;
            let is_last = self.index.concluded.len() == 1;
            if is_last || !(crowded || after(at, KEPT_FOR) < newest) {
                return;
            }
            self.index.concluded.remove(&(at, id));
            self.forget_round(id);
        }
    }

    fn forget_round(&mut self, id: RoundId) {
        let Some(round) = self.rounds.remove(&id) else { return };
        self.index.concluded_runs = self.index.concluded_runs.saturating_sub(round.runs.len());
        for run in round.runs.iter().filter_map(|id| self.runs.remove(id)).collect::<Vec<_>>() {
            if run.is_active() {
                self.index.usage.give_back(&run);
            }
            if self.touched.runs.remove(&run.id) {
                self.touched.loose_runs.insert(run.id, run);
            }
        }
        let when: Timestamp = round.slot.unwrap_or(round.opened_at);
        self.meta.horizon = Some(self.meta.horizon.map_or(when, |before| before.max(when)));
        self.touched.meta = true;
        if self.touched.rounds.remove(&id) {
            self.touched.forgotten.rounds.insert(id, round);
        }
        self.touched.forgotten.forgotten_rounds.insert(id);
    }
}

fn tally(counts: &mut Counts, run: &Run, add: bool) {
    let step = |count: &mut u32| *count = if add { *count + 1 } else { count.saturating_sub(1) };
    match run.stage {
        Stage::Queued => step(&mut counts.queued),
        Stage::Sent => step(&mut counts.sent),
        Stage::Running => step(&mut counts.running),
        Stage::Ended => {
            step(&mut counts.ended);
            if run.is_good() {
                step(&mut counts.good);
            }
            if run.outcome() == Some(landfall_proto::report::Outcome::Lost) {
                step(&mut counts.lost);
            }
        }
    }
}
