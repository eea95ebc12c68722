//! An opinion of its own on which slots were due: from the plans and the calendar, without asking the agent's core.

use std::collections::{BTreeMap, BTreeSet};

use landfall::audit::{DueSlot, SlotFate};
use landfall_agent::core::{Catalog, CatalogEntry};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::{ClusterName, NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::time::{Duration, Timestamp, after};

/// Beyond its plan's `start_within`, an agent that hopes for a leader may take this and its patience.
const GRACE: Duration = Duration::from_secs(30);

/// Watches the slots of one machine by its own clock.
#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    next: BTreeMap<RoutineName, Timestamp>,
    /// The latest that the clock ever said: what it says a second time has been decided the first time.
    latest: Option<Timestamp>,
    open: Vec<Open>,
    /// Runs that began before their slot had come by this clock, because another machine's clock was ahead.
    early: BTreeSet<RunId>,
    /// What the leader held in its queue when it last said so.
    queued: BTreeSet<RunId>,
}

/// A slot that has come, with nothing known of it yet.
#[derive(Debug, Clone)]
struct Open {
    due: DueSlot,
    run: RunId,
    /// When it must have come to something: with the next slot at the latest.
    decided_by: Timestamp,
    /// Something stood in the way, so that nothing can be asked of the agent.
    is_excused: bool,
}

impl Oracle {
    /// The process, its plans or its clock began anew at this moment: what is open cannot be asked any more.
    pub(super) fn begin(&mut self, catalog: &Catalog, clock: Timestamp) {
        self.excuse();
        self.latest = self.latest.max(Some(clock));
        self.next = catalog.plans.values().filter_map(|entry| next(entry, clock)).collect();
    }

    /// Something stands in the way of everything that is open.
    pub(super) fn excuse(&mut self) {
        for open in &mut self.open {
            open.is_excused = true;
        }
    }

    /// The leader holds these runs in its queue and answers for them.
    pub(super) fn queue(&mut self, runs: &[RunId]) {
        self.queued = runs.iter().copied().collect();
        for open in self.open.iter_mut().filter(|open| self.queued.contains(&open.run)) {
            open.is_excused = true;
        }
    }

    /// Whether any slot is open.
    pub(super) const fn is_watching(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether a slot has come that is not open yet.
    pub(super) fn is_due(&self, clock: Timestamp) -> bool {
        self.next.values().any(|slot| *slot <= clock)
    }

    /// Opens slots that have come by now, and closes those that have waited too long.
    pub(super) fn look(
        &mut self,
        catalog: &Catalog,
        (cluster, node): (&ClusterName, &NodeId),
        (clock, patience): (Timestamp, Duration),
        trace: &mut Vec<DueSlot>,
    ) {
        while let Some((name, slot)) =
            self.next.iter().find(|(_, slot)| **slot <= clock).map(|(name, slot)| (name.clone(), *slot))
        {
            self.next.remove(&name);
            let Some(entry) = catalog.plans.get(&name) else { continue };
            self.next.extend(next(entry, slot));
            // Whoever waits for its turn waits no longer: an older slot of the same plan has its end now.
            for older in self.open.iter_mut().filter(|open| open.due.routine == name) {
                older.decided_by = older.decided_by.min(after(slot, GRACE));
            }
            let start_within = Duration::from_ms(entry.plan.deadlines.start_within.as_ms() + patience.as_ms());
            let start_by = after(after(slot, start_within), GRACE);
            let round = RoundId::of_slot(cluster, &name, slot);
            let run = RunId::of(round, node, TaskKind::Backup);
            let due = DueSlot { routine: name, slot, start_by, became: None };
            let is_excused = self.latest.is_some_and(|latest| slot <= latest)
                || self.early.remove(&run)
                || self.queued.contains(&run);
            self.open.push(Open { decided_by: due.start_by, due, run, is_excused });
        }
        self.latest = self.latest.max(Some(clock));
        self.open.retain(|open| {
            let is_over = clock > open.decided_by;
            if is_over && !open.is_excused {
                trace.push(open.due.clone());
            }
            !is_over
        });
    }

    /// Takes in what the agent wrote down.
    pub(super) fn hear(&mut self, fact: &AgentFact, clock: Timestamp, trace: &mut Vec<DueSlot>) {
        match fact {
            AgentFact::RunStarted(started) if started.attempt == 1 => {
                if started.about.slot.is_some_and(|slot| slot > clock) {
                    self.early.insert(started.about.run);
                }
                self.close(trace, SlotFate::Ran { at: clock }, |open| open.run == started.about.run);
            }
            AgentFact::RunFinished(finished) if finished.report.outcome == Outcome::Skipped => {
                self.close(trace, SlotFate::Skipped, |open| open.run == finished.about.run);
            }
            AgentFact::SlotMissed(missed) => self.close(trace, SlotFate::Missed, |open| {
                open.due.routine == missed.routine && (missed.first..=missed.last).contains(&open.due.slot)
            }),
            AgentFact::RunStarted(_)
            | AgentFact::RunFinished(_)
            | AgentFact::AgentStarted(_)
            | AgentFact::PlansAnnounced(_)
            | AgentFact::RunPhase(_)
            | AgentFact::RunMilestone(_)
            | AgentFact::RunRetried(_)
            | AgentFact::Witnessed(_) => {}
        }
    }

    fn close(&mut self, trace: &mut Vec<DueSlot>, became: SlotFate, which: impl Fn(&Open) -> bool) {
        self.open.retain(|open| {
            let is_it = which(open);
            if is_it && !open.is_excused {
                trace.push(DueSlot { became: Some(became), ..open.due.clone() });
            }
            !is_it
        });
    }
}

fn next(entry: &CatalogEntry, clock: Timestamp) -> Option<(RoutineName, Timestamp)> {
    let slot = entry.plan.schedule.as_ref()?.calendar.next_after(clock, &entry.zone)?;
    Some((entry.plan.name.clone(), slot))
}
