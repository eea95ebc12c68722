//! Each slot of a routine has one fate on each node.

use std::collections::BTreeMap;

use landfall_proto::envelope::Envelope;
use landfall_proto::fact::agent::{AgentFact, RunStarted};
use landfall_proto::id::{Incarnation, NodeId, RoutineName, RunId};
use landfall_proto::report::{TaskKind, Trigger};
use landfall_proto::time::Timestamp;

use crate::audit::{Case, Law, Read, Violation};

pub(super) struct SlotUniqueness;

const NAME: &str = "slot-uniqueness";

/// What one node has said of its runs so far.
#[derive(Default)]
struct Said<'a> {
    /// When each fact was first said, with its content, and in which life of the journal.
    words: BTreeMap<(Timestamp, &'a [u8]), Incarnation>,
    attempts: BTreeMap<RunId, (u32, &'a Read<'a>)>,
    ended: BTreeMap<RunId, &'a Read<'a>>,
    started: BTreeMap<(RoutineName, Timestamp), &'a Read<'a>>,
    /// First and last slot of each span.
    missed: Vec<(RoutineName, Timestamp, Timestamp, &'a Read<'a>)>,
    /// The latest slot that the node began by itself.
    latest: BTreeMap<RoutineName, (Timestamp, &'a Read<'a>)>,
}

impl Law for SlotUniqueness {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "A slot is run once or told as missed, never both and never twice, and a node's own slots only go forward."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.reads().is_empty().then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut nodes: BTreeMap<&NodeId, Said<'_>> = BTreeMap::new();
        let mut found = Vec::new();
        for (read, node, fact) in case.told_ever().filter(|(_, node, _)| !case.is_set_back(node)) {
            let said = nodes.entry(node).or_default();
            if said.is_repeated(read) {
                continue;
            }
            match fact {
                AgentFact::RunStarted(body) => found.extend(said.starts(node, read, body)),
                AgentFact::RunFinished(body) => drop(said.ended.entry(body.about.run).or_insert(read)),
                AgentFact::SlotMissed(body) => {
                    let span = (body.routine.clone(), body.first, body.last);
                    let ran = said.started.iter().find(|((routine, slot), start)| {
                        *routine == span.0 && (span.1..=span.2).contains(slot) && !was_set_back(start, read)
                    });
                    if let Some(((routine, slot), start)) = ran {
                        let what = format!("{node} told the slot {slot} of {routine} as missed though it had run");
                        found.push(Violation::new(NAME, what).seen(start).seen(read));
                    }
                    said.missed.push((span.0, span.1, span.2, read));
                }
                AgentFact::AgentStarted(_)
                | AgentFact::PlansAnnounced(_)
                | AgentFact::RunPhase(_)
                | AgentFact::RunMilestone(_)
                | AgentFact::RunRetried(_)
                | AgentFact::Witnessed(_) => {}
            }
        }
        found
    }
}

impl<'a> Said<'a> {
    /// Whether this is what an earlier life of the journal said, word for word: a new life says again what it holds.
    fn is_repeated(&mut self, read: &'a Read<'a>) -> bool {
        let Envelope { sent_at, body, incarnation, .. } = &read.entry.envelope;
        *self.words.entry((*sent_at, body)).or_insert(*incarnation) != *incarnation
    }

    fn starts(&mut self, node: &NodeId, read: &'a Read<'a>, body: &RunStarted) -> Vec<Violation> {
        let (run, about) = (body.about.run, &body.about);
        let mut found = Vec::new();
        if let Some(end) = self.ended.get(&run) {
            let what = format!("{node} started run {run} again after it had ended");
            found.push(Violation::new(NAME, what).seen(end).seen(read));
        } else if let Some((attempt, before)) = self.attempts.get(&run).filter(|(before, _)| *before >= body.attempt) {
            let what = format!("{node} started run {run} twice as attempt {}, after attempt {attempt}", body.attempt);
            found.push(Violation::new(NAME, what).seen(before).seen(read));
        }
        self.attempts.insert(run, (body.attempt, read));
        let Some(slot) = about.slot.filter(|_| about.task == TaskKind::Backup && body.attempt <= 1) else {
            return found;
        };
        let missed = self.missed.iter().find(|(routine, first, last, told)| {
            *routine == about.routine
                && (*first..=*last).contains(&slot)
                && !was_set_back(told, read)
                && told.entry.at >= slot
        });
        // A word that came before the slot itself was a wrong clock's, and a run of the slot says more.
        if let Some((.., told)) = missed {
            let what = format!("{node} ran the slot {slot} of {} after it had told it as missed", about.routine);
            found.push(Violation::new(NAME, what).seen(told).seen(read));
        }
        self.started.entry((about.routine.clone(), slot)).or_insert(read);
        if about.trigger == Trigger::Autonomous {
            match self.latest.get(&about.routine) {
                Some((latest, before)) if *latest >= slot && !was_set_back(before, read) => {
                    let what = format!("{node} went back from the slot {latest} of {} to {slot}", about.routine);
                    found.push(Violation::new(NAME, what).seen(before).seen(read));
                }
                Some(_) | None => drop(self.latest.insert(about.routine.clone(), (slot, read))),
            }
        }
        found
    }
}

/// Whether the node's own clock went back between two of its facts: a slot that was told of too early is met once more, and
/// it is better run than left out.
fn was_set_back(before: &Read<'_>, later: &Read<'_>) -> bool {
    later.entry.envelope.sent_at < before.entry.envelope.sent_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, about, life, routine, slot};
    use landfall_proto::envelope::Identity;
    use landfall_proto::fact::agent::{RunAbout, SlotMissed};
    use landfall_proto::report::{Outcome, Reason};
    use landfall_proto::time::{Duration, after};

    #[test]
    fn an_interrupted_run_is_taken_up_with_the_next_attempt() {
        let mut story = Story::night();
        story.starts("a", 2);
        story.ends("a", Outcome::Ok, Reason::Completed);
        story.again();
        story.keeps(&SlotUniqueness);
        story.starts("a", 3);
        story.breaks(&SlotUniqueness, "after it had ended");
    }

    #[test]
    fn a_slot_is_not_begun_twice() {
        let mut story = Story::night();
        story.starts("a", 1);
        story.breaks(&SlotUniqueness, "twice as attempt 1");
        story.trace("a").set_back.push(slot());
        story.keeps(&SlotUniqueness);
    }

    #[test]
    fn a_new_life_of_the_journal_may_say_again_what_it_holds() {
        let mut story = Story::night();
        let told = story.history.log.iter().rfind(|entry| entry.envelope.kind == "run_started").unwrap().clone();
        let Envelope { sent_at, body, kind, writer, .. } = told.envelope;
        let identity = Identity { writer, incarnation: life("another life"), seq: 0 };
        story.put(told.topic.clone(), Envelope::fact(identity.clone(), &kind, sent_at, body.clone()));
        story.keeps(&SlotUniqueness);
        let later = after(sent_at, Duration::from_secs(1));
        story.put(told.topic, Envelope::fact(Identity { seq: 1, ..identity }, &kind, later, body));
        story.breaks(&SlotUniqueness, "started run");
    }

    #[test]
    fn a_slot_is_either_missed_or_run() {
        let missed = |from, until| {
            let at = |hours: i64| slot() - jiff::SignedDuration::from_hours(hours);
            SlotMissed { routine: routine(), first: at(from), last: at(until), count: 1 }
        };
        let mut story = Story::night();
        story.node("a", missed(72, 24));
        story.keeps(&SlotUniqueness);
        story.node("a", missed(24, 0));
        story.breaks(&SlotUniqueness, "though it had run");
        let mut story = Story::evening();
        story.node("a", missed(24, 0));
        story.starts("a", 1);
        story.breaks(&SlotUniqueness, "after it had told it as missed");
    }

    #[test]
    fn a_nodes_own_slots_go_forward() {
        let own = |hours: u64| {
            let slot = after(slot(), Duration::from_secs(3600 * hours));
            let run = RunId(uuid::Uuid::from_u128(u128::from(hours) + 1));
            let about = RunAbout { slot: Some(slot), run, trigger: Trigger::Autonomous, ..about("a") };
            RunStarted { about, started_at: slot, attempt: 1 }
        };
        let mut story = Story::evening();
        story.node("a", own(1));
        story.node("a", own(2));
        story.keeps(&SlotUniqueness);
        let mut corrected = story.clone();
        corrected.now = slot();
        corrected.node("a", own(0));
        corrected.keeps(&SlotUniqueness);
        story.node("a", own(0));
        story.breaks(&SlotUniqueness, "went back");
    }
}
