//! Once the weather is good, everything comes to rest.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{RoundId, RunId};

use crate::audit::{Case, Law, Read, Violation};
use crate::core::Fact;

pub(super) struct Liveness;

const NAME: &str = "liveness-after-heal";

impl Law for Liveness {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Some time after the last fault, every outbox is empty, one coordinator leads, all have read the log, no run hangs, and every round past its deadline is closed."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        (!case.is_at_rest()).then_some("a long enough time without faults")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = leaders(case);
        found.extend(lags(case));
        found.extend(unsent(case));
        found.extend(hanging(case));
        found.extend(unclosed(case));
        found
    }
}

fn leaders(case: &Case<'_>) -> Vec<Violation> {
    let living: Vec<_> = case.history.coordinators.iter().filter(|trace| trace.cursor.is_some()).collect();
    let leading: Vec<_> = living.iter().filter(|trace| trace.leads).collect();
    let mut found = Vec::new();
    if !living.is_empty() && leading.len() != 1 {
        let names: Vec<&str> = leading.iter().map(|trace| trace.holder.as_str()).collect();
        let what = format!("{} coordinators lead", leading.len());
        found.push(Violation::new(NAME, what).shown(format!("leading: {}", names.join(", "))));
    }
    for leader in leading.iter().filter(|leader| !leader.undecided.is_empty()) {
        let what = format!("the leader {} has something to decide and does not", leader.holder);
        found.push(leader.undecided.iter().fold(Violation::new(NAME, what), Violation::shown));
    }
    found
}

/// What came in the last minute may still be on its way to a reader.
fn lags(case: &Case<'_>) -> Vec<Violation> {
    let settled = case.reads().iter().rev().find(|read| read.entry.is_there && !case.is_recent(read.entry.at));
    let Some(read) = settled else { return Vec::new() };
    let seq = read.entry.position.seq;
    let behind = case.history.coordinators.iter().filter_map(|trace| {
        let cursor = trace.cursor.filter(|cursor| cursor.seq < seq)?;
        let what = format!("{} has folded the log up to {} and not up to {seq}", trace.holder, cursor.seq);
        Some(Violation::new(NAME, what).seen(read))
    });
    behind.collect()
}

fn unsent(case: &Case<'_>) -> Vec<Violation> {
    let there: BTreeSet<_> = case
        .reads()
        .iter()
        .filter(|read| read.entry.is_there)
        .map(|read| (read.entry.envelope.identity(), read.entry.envelope.content_hash()))
        .collect();
    let mut found = Vec::new();
    for (node, trace) in case.history.nodes.iter().filter(|(_, trace)| trace.is_up == Some(true)) {
        let waiting = trace.outbox.iter().flatten().filter(|fact| !there.contains(fact));
        if let Some((identity, _)) = waiting.clone().next() {
            let what = format!("{} facts wait in the outbox of {node} and are not in the log", waiting.count());
            let shown = format!("the first is number {} of life {}", identity.seq, identity.incarnation);
            found.push(Violation::new(NAME, what).shown(shown));
        }
    }
    found
}

/// Runs that began, never ended, and that their node does not know as under way.
fn hanging(case: &Case<'_>) -> Vec<Violation> {
    let mut begun: BTreeMap<RunId, &Read<'_>> = BTreeMap::new();
    let mut ended: BTreeSet<RunId> = BTreeSet::new();
    for read in case.reads() {
        match &read.fact {
            Some(Fact::Agent(_, AgentFact::RunStarted(body))) => drop(begun.insert(body.about.run, read)),
            Some(Fact::Agent(_, AgentFact::RunFinished(body))) => drop(ended.insert(body.about.run)),
            Some(Fact::Coordinator(_, CoordinatorFact::RunLost(body))) => drop(ended.insert(body.run)),
            Some(Fact::Agent(..) | Fact::Coordinator(..)) | None => {}
        }
    }
    let mut found = Vec::new();
    for (run, read) in begun.into_iter().filter(|(run, read)| !ended.contains(run) && !case.is_recent(read.entry.at)) {
        let Some(Fact::Agent(node, _)) = &read.fact else { continue };
        let Some(trace) = case.node(node).filter(|trace| trace.is_up == Some(true) && trace.set_back.is_empty()) else {
            continue;
        };
        if trace.live_runs.as_ref().is_some_and(|live| !live.contains(&run)) {
            let what = format!("run {run} began on {node}, is not under way there, and has no end");
            found.push(Violation::new(NAME, what).seen(read));
        }
    }
    found
}

fn unclosed(case: &Case<'_>) -> Vec<Violation> {
    // Without a leader that is known to live, nobody had to close anything.
    if !case.history.coordinators.iter().any(|trace| trace.cursor.is_some() && trace.leads) {
        return Vec::new();
    }
    let mut open: BTreeMap<RoundId, &Read<'_>> = BTreeMap::new();
    // A verdict that is lost with the log may live in a ledger, so any will do.
    for read in case.reads().iter().filter(|read| read.counts) {
        match &read.fact {
            Some(Fact::Coordinator(_, CoordinatorFact::RoundOpened(body))) if !case.is_recent(body.deadline) => {
                open.insert(body.round, read);
            }
            Some(Fact::Agent(..) | Fact::Coordinator(..)) | None => {}
        }
    }
    for read in case.reads() {
        if let Some(Fact::Coordinator(_, CoordinatorFact::RoundConcluded(body))) = &read.fact
            && body.part + 1 >= body.parts
        {
            open.remove(&body.round);
        }
    }
    let say = |(round, read): (RoundId, &Read<'_>)| {
        let what = format!("round {round} is past its deadline and has no verdict");
        Violation::new(NAME, what).seen(read)
    };
    open.into_iter().map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, hash, life, run};
    use landfall_proto::envelope::Identity;
    use landfall_proto::report::{Outcome, Reason};
    use landfall_proto::time::{Duration, after};

    fn led(story: Story) -> Story {
        let mut story = story.at_rest();
        let last = story.history.log.last().unwrap().position;
        let coordinator = story.coordinator();
        (coordinator.cursor, coordinator.leads) = (Some(last), true);
        story
    }

    #[test]
    fn a_mesh_at_rest_is_quiet() {
        let mut story = led(Story::morning());
        story.trace("a").outbox = Some(Vec::new());
        story.trace("a").live_runs = Some(BTreeSet::new());
        story.keeps(&Liveness);
        let mut two = story.clone();
        two.coordinator().leads = false;
        two.breaks(&Liveness, "0 coordinators lead");
        let mut idle = story.clone();
        idle.coordinator().undecided.push("alert_raised".to_owned());
        idle.breaks(&Liveness, "something to decide");
        let mut slow = story.clone();
        slow.coordinator().cursor.as_mut().unwrap().seq -= 1;
        slow.breaks(&Liveness, "has folded the log up to");
        let identity = Identity { writer: "a".to_owned(), incarnation: life("a"), seq: 99 };
        story.trace("a").outbox = Some(vec![(identity, hash(1))]);
        story.breaks(&Liveness, "wait in the outbox of a");
    }

    #[test]
    fn a_run_that_began_ends_or_is_under_way() {
        let mut story = Story::night();
        story.ends("b", Outcome::Ok, Reason::Completed);
        let mut story = led(story);
        story.keeps(&Liveness);
        story.trace("a").live_runs = Some([run("a")].into());
        story.keeps(&Liveness);
        story.trace("a").live_runs = Some(BTreeSet::new());
        story.breaks(&Liveness, "has no end");
    }

    #[test]
    fn a_round_past_its_deadline_is_closed() {
        let mut story = led(Story::night());
        story.keeps(&Liveness);
        story.history.ended_at = Some(after(story.now, Duration::from_secs(9000)));
        story.breaks(&Liveness, "has no verdict");
    }
}
