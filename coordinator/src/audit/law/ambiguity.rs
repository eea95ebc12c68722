//! Silence says nothing: neither a timeout nor a lost answer ever becomes a failure.

use std::collections::BTreeMap;

use landfall_proto::fact::coordinator::{Answered, CoordinatorFact, Dispatched};
use landfall_proto::id::{CommandId, RoundId, RunId};
use landfall_proto::report::Reason;
use landfall_proto::time::Timestamp;

use crate::audit::{Case, Law, Read, Violation};

pub(super) struct Ambiguity;

const NAME: &str = "ambiguity-is-not-failure";

#[derive(Default)]
struct Known<'a> {
    deadlines: BTreeMap<RoundId, Timestamp>,
    rounds: BTreeMap<RunId, RoundId>,
    dispatches: BTreeMap<CommandId, &'a Dispatched>,
}

impl Law for Ambiguity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "What was not answered is unknown: no run is refused without a refusal, queued again before its command expired, or lost before its round's deadline."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.reads().is_empty().then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut known = Known::default();
        let mut found = Vec::new();
        for (_, read, fact) in case.decided() {
            known.note(fact);
            match fact {
                CoordinatorFact::Answered(body) => found.extend(known.refused(case, read, body)),
                CoordinatorFact::RunLost(body) => {
                    let deadline = known.rounds.get(&body.run).and_then(|round| known.deadlines.get(round));
                    if let Some(deadline) = deadline.filter(|deadline| **deadline > read.entry.envelope.sent_at) {
                        let what = format!("run {} was given up before its round's deadline at {deadline}", body.run);
                        found.push(Violation::new(NAME, what).seen(read));
                    }
                }
                CoordinatorFact::LeaderClaimed(_)
                | CoordinatorFact::RoundOpened(_)
                | CoordinatorFact::Dispatched(_)
                | CoordinatorFact::CancelAsked(_)
                | CoordinatorFact::WitnessAsked(_)
                | CoordinatorFact::RoundConcluded(_)
                | CoordinatorFact::AlertRaised(_)
                | CoordinatorFact::AlertResolved(_)
                | CoordinatorFact::AlertDelivered(_)
                | CoordinatorFact::LimitSet(_)
                | CoordinatorFact::NodeRetired(_)
                | CoordinatorFact::MonitorSet(_)
                | CoordinatorFact::MonitorRemoved(_)
                | CoordinatorFact::PingKeySet(_)
                | CoordinatorFact::Pinged(_)
                | CoordinatorFact::SpaceSampled(_) => {}
            }
        }
        found
    }
}

impl<'a> Known<'a> {
    fn note(&mut self, fact: &'a CoordinatorFact) {
        if let CoordinatorFact::RoundOpened(body) = fact {
            self.deadlines.entry(body.round).or_insert(body.deadline);
            self.rounds.extend(body.expected.iter().map(|expected| (expected.run, body.round)));
        }
        if let CoordinatorFact::Dispatched(body) = fact {
            self.dispatches.insert(body.command, body);
        }
    }

    fn refused(&self, case: &Case<'_>, read: &Read<'_>, body: &Answered) -> Option<Violation> {
        let dispatch = self.dispatches.get(&body.command)?;
        let reason = body.refused?;
        if reason == Reason::NodeSilent {
            let sent_at = read.entry.envelope.sent_at;
            let what = format!(
                "the silence of {} was taken for an answer before the command expired at {}",
                dispatch.node, dispatch.not_after
            );
            return (sent_at < dispatch.not_after).then(|| Violation::new(NAME, what).seen(read));
        }
        let refused = case.node(&dispatch.node)?.refused.as_ref()?;
        let what = format!("run {} ended as refused ({reason}), but {} never refused it", body.run, dispatch.node);
        (!refused.contains(&body.command)).then(|| Violation::new(NAME, what).seen(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, command, run, slot};
    use landfall_proto::fact::coordinator::RunLost;
    use landfall_proto::time::{Duration, after};

    fn answered(story: &Story, refused: Reason) -> Answered {
        let (run, command) = (run("a"), command("a", 1));
        Answered { epoch: story.epoch, run, command, refused: Some(refused), message: String::new() }
    }

    #[test]
    fn a_refusal_needs_a_node_that_refused() {
        let mut story = Story::night();
        let fact = answered(&story, Reason::NoPlan);
        story.leader("alpha", fact);
        story.keeps(&Ambiguity);
        story.trace("a").refused = Some([command("a", 1)].into());
        story.keeps(&Ambiguity);
        story.trace("a").refused = Some(Default::default());
        story.breaks(&Ambiguity, "never refused it");
    }

    #[test]
    fn silence_is_waited_out() {
        let mut early = Story::night();
        let fact = answered(&early, Reason::NodeSilent);
        early.leader("alpha", fact);
        early.breaks(&Ambiguity, "silence of a");
        let mut late = Story::night();
        late.now = after(late.now, Duration::from_secs(60));
        let fact = answered(&late, Reason::NodeSilent);
        late.leader("alpha", fact);
        late.keeps(&Ambiguity);
    }

    #[test]
    fn nothing_is_lost_before_the_deadline() {
        let mut story = Story::night();
        let lost = RunLost { epoch: story.epoch, run: run("a"), reason: Reason::NodeSilent };
        let mut late = story.clone();
        story.leader("alpha", lost.clone());
        story.breaks(&Ambiguity, "given up before");
        late.now = after(slot(), Duration::from_secs(7200));
        late.leader("alpha", lost);
        late.keeps(&Ambiguity);
    }
}
