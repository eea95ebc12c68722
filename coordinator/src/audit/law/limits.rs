//! No more is dispatched at once than the limits allow.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::fact::agent::{AgentFact, SlotMissed};
use landfall_proto::fact::coordinator::{CoordinatorFact, ExpectedRun, RoundOpened};
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::limit::LimitName;
use landfall_proto::plan::RepositoryLock;

use crate::audit::{Case, Law, Read, Violation};
use crate::core::{Fact, Policy};

pub(super) struct Limits;

const NAME: &str = "limits";

/// What was dispatched and holds its permits, as the log tells it. Runs that nodes began by themselves hold none that
/// anybody could have refused them.
struct Taken<'a> {
    policy: &'a Policy,
    set: BTreeMap<LimitName, u32>,
    known: BTreeMap<RunId, (&'a ExpectedRun, &'a RoundOpened)>,
    active: BTreeMap<RunId, (&'a NodeId, &'a Read<'a>)>,
    /// Runs whose end stands in the log: a dispatch that met it on the way takes nothing.
    ended: BTreeSet<RunId>,
    /// Slots that nodes told as missed: nor does a dispatch that met that on the way take anything.
    missed: Vec<(&'a NodeId, &'a SlotMissed)>,
}

impl Law for Limits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "At no place of the log do more dispatched runs hold permits than the limits of that moment allow."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        (case.reads().is_empty() || case.history.is_cut).then_some("a log from its first message")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut taken = Taken {
            policy: &case.history.policy,
            set: BTreeMap::new(),
            known: BTreeMap::new(),
            active: BTreeMap::new(),
            ended: BTreeSet::new(),
            missed: Vec::new(),
        };
        let mut found = Vec::new();
        for (_, read) in case.first_life() {
            match &read.fact {
                Some(Fact::Agent(node, AgentFact::RunFinished(body))) => {
                    if body.about.run == RunId::of(body.about.round, node, body.about.task) {
                        taken.active.remove(&body.about.run);
                        taken.ended.insert(body.about.run);
                    }
                }
                Some(Fact::Agent(node, AgentFact::SlotMissed(body))) => taken.missed.push((node, body)),
                Some(Fact::Coordinator(_, fact)) if read.counts => {
                    let exceeded = taken.decides(read, fact);
                    let is_judged = case.history.policy_since.is_none_or(|since| read.entry.at >= since);
                    found.extend(exceeded.filter(|_| is_judged));
                }
                Some(Fact::Agent(..) | Fact::Coordinator(..)) | None => {}
            }
        }
        found
    }
}

impl<'a> Taken<'a> {
    fn decides(&mut self, read: &'a Read<'a>, fact: &'a CoordinatorFact) -> Option<Violation> {
        match fact {
            CoordinatorFact::RoundOpened(body) => self.opened(body),
            CoordinatorFact::LimitSet(body) => drop(self.set.insert(body.name.clone(), body.value)),
            CoordinatorFact::RunLost(body) => drop(self.active.remove(&body.run)),
            // Whoever did not take a run on holds no permit for it.
            CoordinatorFact::Answered(body) if body.refused.is_some() => drop(self.active.remove(&body.run)),
            CoordinatorFact::Dispatched(body) if !self.is_ended(body.run, &body.node) => {
                self.active.insert(body.run, (&body.node, read));
                return self.exceeded(body.run, &body.node, read);
            }
            CoordinatorFact::Answered(_)
            | CoordinatorFact::Dispatched(_)
            | CoordinatorFact::LeaderClaimed(_)
            | CoordinatorFact::CancelAsked(_)
            | CoordinatorFact::WitnessAsked(_)
            | CoordinatorFact::RoundConcluded(_)
            | CoordinatorFact::AlertRaised(_)
            | CoordinatorFact::AlertResolved(_)
            | CoordinatorFact::AlertDelivered(_)
            | CoordinatorFact::NodeRetired(_)
            | CoordinatorFact::MonitorSet(_)
            | CoordinatorFact::MonitorRemoved(_)
            | CoordinatorFact::PingKeySet(_)
            | CoordinatorFact::Pinged(_)
            | CoordinatorFact::SpaceSampled(_) => {}
        }
        None
    }

    fn opened(&mut self, body: &'a RoundOpened) {
        self.known.extend(body.expected.iter().map(|expected| (expected.run, (expected, body))));
    }

    /// Whether a run had its end when it was dispatched.
    fn is_ended(&self, run: RunId, node: &NodeId) -> bool {
        let round = self.known.get(&run).map(|(_, round)| *round);
        let is_missed = |(teller, missed): &(&NodeId, &SlotMissed)| {
            let slot = round.filter(|round| round.routine == missed.routine).and_then(|round| round.slot);
            *teller == node && slot.is_some_and(|slot| (missed.first..=missed.last).contains(&slot))
        };
        self.ended.contains(&run) || self.missed.iter().any(is_missed)
    }

    /// The first limit that this dispatch does not fit into.
    fn exceeded(&self, run: RunId, node: &NodeId, read: &Read<'_>) -> Option<Violation> {
        let (own, round) = *self.known.get(&run)?;
        let task = round.task;
        let others = || self.active.keys().filter_map(|run| self.known.get(run));
        let count = |is_like: &dyn Fn(&ExpectedRun) -> bool| others().filter(|(other, _)| is_like(other)).count();
        let mut used = vec![
            (LimitName::Cluster, self.active.len()),
            (LimitName::Node, self.active.values().filter(|(other, _)| *other == node).count()),
            (LimitName::Task(task), others().filter(|(_, other)| other.task == task).count()),
        ];
        if let Some(repository) = &own.repository {
            let users = count(&|other| other.repository.as_ref() == Some(repository));
            let is_exclusive = |other: &ExpectedRun| other.lock == RepositoryLock::Exclusive;
            let excluders = count(&|other| other.repository.as_ref() == Some(repository) && is_exclusive(other));
            if excluders > 0 && users > 1 {
                let what = format!(
                    "{users} runs were dispatched to the repository {repository}, which one of them must have alone"
                );
                return Some(self.say(what, read));
            }
            used.push((LimitName::Repository, users));
        }
        if let Some(storage) = &own.storage {
            let users = count(&|other| other.storage.as_ref() == Some(storage));
            used.push((LimitName::Storage(storage.clone()), users));
        }
        for (key, value) in &own.labels {
            let users = count(&|other| other.labels.get(key) == Some(value));
            used.push((LimitName::Label(key.clone(), value.clone()), users));
        }
        let (name, used, size) = used.into_iter().find_map(|(name, used)| {
            let size = self
                .set
                .get(&name)
                .or_else(|| self.policy.limits.get(&name))
                .copied()
                .or_else(|| name.default_size())?;
            (used > usize::try_from(size).unwrap_or(usize::MAX)).then_some((name, used, size))
        })?;
        Some(self.say(format!("{used} dispatched runs held permits of the limit {name}, which is {size}"), read))
    }

    fn say(&self, what: String, read: &Read<'_>) -> Violation {
        let before = self.active.values().filter(|(_, other)| other.entry.position != read.entry.position);
        before.fold(Violation::new(NAME, what), |violation, (_, other)| violation.seen(other)).seen(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, command, routine, run, slot};
    use landfall_proto::fact::coordinator::{Answered, LimitSet};
    use landfall_proto::report::{Outcome, Reason};

    fn limited(value: u32) -> Story {
        let mut story = Story::evening();
        story.opens(&["a", "b"]);
        let limit = LimitSet { epoch: story.epoch, name: LimitName::Cluster, value, by: "ann".to_owned() };
        story.leader("alpha", limit);
        story.dispatches("a", 1);
        story
    }

    #[test]
    fn permits_are_counted_over_the_log() {
        let mut story = limited(2);
        story.dispatches("b", 1);
        story.keeps(&Limits);
        let mut story = limited(1);
        story.keeps(&Limits);
        let mut after_end = story.clone();
        after_end.ends("a", Outcome::Ok, Reason::Completed);
        after_end.dispatches("b", 1);
        after_end.keeps(&Limits);
        let mut refused = story.clone();
        let answer = Answered {
            epoch: story.epoch,
            run: run("a"),
            command: command("a", 1),
            refused: Some(Reason::Busy),
            message: String::new(),
        };
        refused.leader("alpha", answer);
        refused.dispatches("b", 1);
        refused.keeps(&Limits);
        let mut met = story.clone();
        met.ends("b", Outcome::Ok, Reason::Completed);
        met.dispatches("b", 1);
        met.keeps(&Limits);
        let mut crossed = story.clone();
        crossed.node("b", SlotMissed { routine: routine(), first: slot(), last: slot(), count: 1 });
        crossed.dispatches("b", 1);
        crossed.keeps(&Limits);
        story.dispatches("b", 1);
        story.breaks(&Limits, "limit cluster, which is 1");
    }

    #[test]
    fn a_repository_that_must_be_had_alone_is_not_shared() {
        let mut story = Story::evening();
        let mut opening = story.opening(&["a", "b"]);
        opening.expected[1].lock = RepositoryLock::Exclusive;
        story.leader("alpha", opening);
        story.dispatches("a", 1);
        let mut shared = story.clone();
        shared.dispatches("b", 1);
        shared.breaks(&Limits, "must have alone");
        story.ends("a", Outcome::Ok, Reason::Completed);
        story.dispatches("b", 1);
        story.keeps(&Limits);
    }
}
