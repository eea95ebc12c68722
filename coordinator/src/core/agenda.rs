//! What is to be looked at, and when: the decider wakes for what changed instead of scanning everything.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::id::{CommandId, NodeId, RoundId, RoutineName, RunId};
use landfall_proto::time::Timestamp;
use uuid::Uuid;

/// One thing that can be due. The order is the order in which due matters are looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Matter {
    /// Slots of a routine.
    Slots(RoutineName),
    /// A round that only a node knows of.
    Stray(RoundId),
    /// Witnesses, deadline and verdict of a round.
    Round(RoundId),
    /// A run that was sent, or outlived its round.
    Run(RunId),
    /// Queued runs and free permits.
    Queue,
    /// A command that may have to be sent again.
    Command(CommandId),
    /// An alert of which somebody may have to be told again.
    Reminder(Uuid),
    /// The alert about failures in the whole cluster. Before those of routines, which it covers.
    Failures,
    /// Alerts about a routine.
    RoutineAlerts(RoutineName),
    /// Alerts about a node.
    NodeAlerts(NodeId),
    /// Alerts about the log and the coordinators.
    Mesh,
    /// Alerts about monitors.
    Monitors,
    /// The room of destinations: the day's samples, and alerts about what fills up.
    Spaces,
}

/// Matters that are due, and matters that will be at an instant; each matter has one instant at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    due: BTreeSet<Matter>,
    timers: BTreeSet<(Timestamp, Matter)>,
    instants: BTreeMap<Matter, Timestamp>,
}

impl Agenda {
    pub(super) fn mark(&mut self, matter: Matter) {
        self.due.insert(matter);
    }

    /// Marks the matter at an instant, in place of the instant it had.
    pub(super) fn wake(&mut self, matter: Matter, at: Option<Timestamp>) {
        if let Some(before) = self.instants.remove(&matter) {
            self.timers.remove(&(before, matter.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, matter.clone()));
            self.instants.insert(matter, at);
        }
    }

    /// As [`Self::wake`], but an earlier instant stays.
    pub(super) fn wake_by(&mut self, matter: Matter, at: Timestamp) {
        if self.instants.get(&matter).is_none_or(|before| *before > at) {
            self.wake(matter, Some(at));
        }
    }

    /// Makes everything due whose instant has come.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.timers.first() {
            if *at > now {
                return;
            }
            if let Some((_, matter)) = self.timers.pop_first() {
                self.instants.remove(&matter);
                self.due.insert(matter);
            }
        }
    }

    /// Takes the first due matter.
    pub(super) fn take_first(&mut self) -> Option<Matter> {
        self.due.pop_first()
    }

    /// Takes the commands that are due.
    pub(super) fn take_commands(&mut self) -> Vec<CommandId> {
        let all = Matter::Command(CommandId(Uuid::nil()))..=Matter::Command(CommandId(Uuid::max()));
        let ids =
            self.due.range(all).filter_map(|matter| if let Matter::Command(id) = matter { Some(*id) } else { None });
        let ids: Vec<CommandId> = ids.collect();
        for id in &ids {
            self.due.remove(&Matter::Command(*id));
        }
        ids
    }

    /// Takes the alerts whose reminders are due.
    pub(super) fn take_reminders(&mut self) -> Vec<Uuid> {
        let all = Matter::Reminder(Uuid::nil())..=Matter::Reminder(Uuid::max());
        let ids =
            self.due.range(all).filter_map(|matter| if let Matter::Reminder(id) = matter { Some(*id) } else { None });
        let ids: Vec<Uuid> = ids.collect();
        for id in &ids {
            self.due.remove(&Matter::Reminder(*id));
        }
        ids
    }

    /// Forgets everything: who does not lead has nothing to look at.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn first_instant(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matter_has_one_instant_and_becomes_due_at_it() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut agenda = Agenda::default();
        agenda.wake(Matter::Queue, Some(at(5)));
        agenda.wake_by(Matter::Queue, at(9));
        assert_eq!(agenda.first_instant(), Some(at(5)));
        agenda.wake(Matter::Queue, Some(at(9)));
        agenda.advance(at(8));
        assert!(!agenda.is_due());
        agenda.advance(at(9));
        assert_eq!(agenda.take_first(), Some(Matter::Queue));
        assert_eq!((agenda.take_first(), agenda.first_instant()), (None, None));
    }
}
