//! One identity, one content, once, without holes.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::envelope::Identity;
use landfall_proto::fact::agent::{AgentFact, StartCause};
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{Incarnation, NodeId};
use landfall_proto::subject::Topic;

use crate::audit::{Case, Law, Read, Violation};
use crate::core::Fact;

pub(super) struct Identities;

const NAME: &str = "identity";

impl Law for Identities {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "One identity has one content for ever, a living writer's facts have no hole, and a new life of a journal names its cause."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        case.reads().is_empty().then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = conflicts(case);
        found.extend(holes(case));
        found.extend(unexplained_lives(case));
        found
    }
}

/// Where a node's state was set back, the promise is only that somebody is told, and that only of two contents that somebody can
/// hold against each other: one that the bus lost before any ledger held it is known to nobody.
fn conflicts(case: &Case<'_>) -> Vec<Violation> {
    let mut first: BTreeMap<Identity, &Read<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    for read in case.reads() {
        let envelope = &read.entry.envelope;
        let before = *first.entry(envelope.identity()).or_insert(read);
        if before.entry.envelope.content_hash() == envelope.content_hash() {
            continue;
        }
        let mut excuse = "";
        if let Topic::NodeFact(node) = &read.entry.topic
            && case.is_set_back(node)
        {
            if !before.entry.is_there && before.entry.was_held == Some(false) {
                first.insert(envelope.identity(), read);
                continue;
            }
            if !case.is_at_rest() || case.is_recent(read.entry.at) || is_told(case, node) {
                continue;
            }
            excuse = ", and nobody was told";
        }
        let (writer, seq) = (&envelope.writer, envelope.seq);
        let what = format!("fact number {seq} of {writer} came with another content{excuse}");
        found.push(Violation::new(NAME, what).seen(before).seen(read));
    }
    found
}

fn is_told(case: &Case<'_>, node: &NodeId) -> bool {
    let key = format!("conflict/{node}");
    case.reads().iter().any(|read| match &read.fact {
        Some(Fact::Coordinator(_, CoordinatorFact::AlertRaised(body))) => body.alert.key.0 == key,
        Some(Fact::Coordinator(..) | Fact::Agent(..)) | None => false,
    })
}

/// A life that is over may have taken what it had not sent along; one that goes on must have said everything.
fn holes(case: &Case<'_>) -> Vec<Violation> {
    let mut seen: BTreeMap<(&str, Incarnation), BTreeSet<u64>> = BTreeMap::new();
    let mut latest: BTreeMap<&str, &Read<'_>> = BTreeMap::new();
    for read in case.reads() {
        let envelope = &read.entry.envelope;
        seen.entry((&envelope.writer, envelope.incarnation)).or_default().insert(envelope.seq);
        latest.insert(&envelope.writer, read);
    }
    let mut found = Vec::new();
    for (writer, read) in latest {
        if !is_alive(case, read) || case.is_recent(read.entry.at) {
            continue;
        }
        let seqs = &seen[&(writer, read.entry.envelope.incarnation)];
        let from = if case.history.is_cut { seqs.first().copied().unwrap_or_default() } else { 0 };
        let until = seqs.last().copied().unwrap_or_default();
        if let Some(hole) = (from..until).find(|seq| !seqs.contains(seq)) {
            let what = format!("fact number {hole} of {writer} never came, though later ones did");
            found.push(Violation::new(NAME, what).seen(read));
        }
    }
    found
}

/// Whether this writer's life goes on at the end, in a mesh that is at rest.
fn is_alive(case: &Case<'_>, read: &Read<'_>) -> bool {
    let incarnation = read.entry.envelope.incarnation;
    let lives = match &read.entry.topic {
        Topic::NodeFact(node) => case.node(node).is_some_and(|trace| {
            let is_current = trace.incarnations.last().is_none_or(|(current, _)| *current == incarnation);
            trace.is_up == Some(true) && trace.set_back.is_empty() && is_current
        }),
        Topic::CoordinatorFact(_) => {
            let mut traces = case.history.coordinators.iter();
            traces.any(|trace| trace.incarnation == incarnation && trace.cursor.is_some())
        }
        Topic::Command(_)
        | Topic::Sync(_)
        | Topic::Beacon
        | Topic::Beat(_)
        | Topic::Live(..)
        | Topic::Out(..)
        | Topic::Control(_) => false,
    };
    lives && case.is_at_rest()
}

fn unexplained_lives(case: &Case<'_>) -> Vec<Violation> {
    let starts = || {
        case.reads().iter().filter_map(|read| match &read.fact {
            Some(Fact::Agent(node, AgentFact::AgentStarted(body))) => Some((read, node, body.cause)),
            Some(Fact::Agent(..) | Fact::Coordinator(..)) | None => None,
        })
    };
    // A life that goes on with what another one held says that first, and older starts may be among it.
    let named: BTreeSet<Incarnation> = starts()
        .filter(|(_, _, cause)| *cause != StartCause::Restarted)
        .map(|(read, ..)| read.entry.envelope.incarnation)
        .collect();
    // Where the state was set back, the life that follows may end before it has said anything.
    let strange = starts()
        .filter(|(read, node, _)| {
            let envelope = &read.entry.envelope;
            envelope.seq == 0 && !named.contains(&envelope.incarnation) && !case.is_set_back(node)
        })
        .map(|(read, ..)| read);
    let say = |read: &Read<'_>| {
        let writer = &read.entry.envelope.writer;
        let what = format!("a new life of {writer}'s journal says that it goes on, and names no cause");
        Violation::new(NAME, what).seen(read)
    };
    strange.map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, life, node, slot};
    use landfall_proto::envelope::Envelope;
    use landfall_proto::fact::agent::AgentStarted;
    use landfall_proto::report::{Outcome, Reason};

    fn another(story: &Story, seq: u64) -> Envelope {
        let identity = Identity { writer: "a".to_owned(), incarnation: life("a"), seq };
        Envelope::fact(identity, "run_phase", story.now, vec![1])
    }

    #[test]
    fn repeats_and_resent_tails_are_the_same_fact() {
        let mut story = Story::night();
        story.again();
        story.loses_tail(1);
        story.again();
        story.ends("a", Outcome::Ok, Reason::Completed);
        story.at_rest().keeps(&Identities);
    }

    #[test]
    fn another_content_under_a_known_identity_is_seen() {
        let mut story = Story::night();
        let envelope = another(&story, 1);
        story.put(Topic::NodeFact(node("a")), envelope);
        story.breaks(&Identities, "another content");
        story.trace("a").set_back.push(slot());
        story.keeps(&Identities);
        let told = story.clone();
        story.at_rest().breaks(&Identities, "nobody was told");
        let mut told = told;
        told.raises("conflict/a", 9);
        told.at_rest().keeps(&Identities);
    }

    #[test]
    fn what_nobody_kept_contradicts_nothing() {
        let mut story = Story::night();
        story.trace("a").set_back.push(slot());
        let unread = another(&story, 1);
        let first = story.history.log.iter().position(|entry| entry.envelope.identity() == unread.identity()).unwrap();
        story.history.log[first].is_there = false;
        story.put(Topic::NodeFact(node("a")), unread);
        story.clone().at_rest().breaks(&Identities, "nobody was told");
        story.history.log[first].was_held = Some(true);
        story.clone().at_rest().breaks(&Identities, "nobody was told");
        story.history.log[first].was_held = Some(false);
        story.clone().at_rest().keeps(&Identities);
        let mut third = another(&story, 1);
        third.body = vec![2];
        story.put(Topic::NodeFact(node("a")), third);
        story.at_rest().breaks(&Identities, "nobody was told");
    }

    #[test]
    fn a_hole_is_seen_once_the_mesh_is_at_rest_and_the_writer_lives() {
        let mut story = Story::night();
        let envelope = another(&story, 9);
        story.put(Topic::NodeFact(node("a")), envelope);
        story.keeps(&Identities);
        let story = story.at_rest();
        story.breaks(&Identities, "never came");
        let mut dead = story.clone();
        dead.trace("a").incarnations = vec![(life("other"), "rebuilt".to_owned())];
        dead.keeps(&Identities);
    }

    #[test]
    fn a_new_life_names_its_cause() {
        for (cause, is_good) in [(StartCause::Rebuilt, true), (StartCause::First, true), (StartCause::Restarted, false)]
        {
            let mut story = Story::night();
            let (version, host, labels) = ("1".to_owned(), "a".to_owned(), Default::default());
            let body = landfall_proto::codec::encode(&AgentStarted { version, cause, host, labels });
            let identity = Identity { writer: "a".to_owned(), incarnation: life("later"), seq: 0 };
            let envelope = Envelope::fact(identity, "agent_started", story.now, body);
            story.put(Topic::NodeFact(node("a")), envelope);
            if is_good { story.keeps(&Identities) } else { story.breaks(&Identities, "names no cause") }
        }
    }
}
