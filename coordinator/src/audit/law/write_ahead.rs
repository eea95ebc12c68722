//! Nothing becomes visible before the record that it depends on is on the disk.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{CommandId, NodeId};
use landfall_proto::subject::Topic;

use crate::audit::{Case, Io, Law, NodeTrace, Read, Violation};

pub(super) struct WriteAhead;

const NAME: &str = "write-ahead";

impl Law for WriteAhead {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "No process, message or answer appears before the record that it depends on is on the disk."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let nodes = case.history.nodes.values().any(|node| !node.io.is_empty() || node.written.is_some());
        let coordinators = case.history.coordinators.iter().any(|trace| !trace.commands.is_empty());
        (!nodes && !coordinators).then_some("the order of writes and effects")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found: Vec<Violation> = Vec::new();
        for (node, trace) in &case.history.nodes {
            found.extend(hasty(node, trace));
        }
        found.extend(unwritten(case));
        if case.is_whole() {
            found.extend(hasty_commands(case));
        }
        found
    }
}

fn hasty(node: &NodeId, trace: &NodeTrace) -> Vec<Violation> {
    let mut durable: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for io in &trace.io {
        match io {
            Io::Durable { record } => drop(durable.insert(record)),
            Io::Visible { what, needs } if !durable.contains(needs.as_str()) => {
                let said = format!("on {node}, {what} came before {needs} was on the disk");
                found.push(Violation::new(NAME, said));
            }
            // What was durable survives a crash.
            Io::Visible { .. } | Io::Crash => {}
        }
    }
    found
}

/// Facts in the log that their writer never wrote down.
fn unwritten(case: &Case<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for read in case.reads() {
        let Topic::NodeFact(node) = &read.entry.topic else { continue };
        let Some(written) = case.node(node).and_then(|trace| trace.written.as_ref()) else { continue };
        let envelope = &read.entry.envelope;
        if written.get(&envelope.identity()) != Some(&envelope.content_hash()) && !case.is_set_back(node) {
            let what = format!("{node} published fact number {} without having written it", envelope.seq);
            found.push(Violation::new(NAME, what).seen(read));
        }
    }
    found
}

/// A command follows from a decision that its sender has read back from the log. Whoever is built again after a loss sends
/// commands whose decisions stood elsewhere, so only a log that never lost anything is looked at.
fn hasty_commands(case: &Case<'_>) -> Vec<Violation> {
    let mut decided: BTreeMap<CommandId, &Read<'_>> = BTreeMap::new();
    for (_, read, fact) in case.decided() {
        let command = match fact {
            CoordinatorFact::Dispatched(body) => body.command,
            CoordinatorFact::CancelAsked(body) => body.command,
            CoordinatorFact::WitnessAsked(body) => body.command,
            CoordinatorFact::LeaderClaimed(_)
            | CoordinatorFact::RoundOpened(_)
            | CoordinatorFact::Answered(_)
            | CoordinatorFact::RunLost(_)
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
            | CoordinatorFact::SpaceSampled(_) => continue,
        };
        decided.entry(command).or_insert(read);
    }
    let mut found = Vec::new();
    for trace in &case.history.coordinators {
        for (at, command, _, folded) in &trace.commands {
            let Some(read) = decided.get(command).filter(|read| read.entry.position.seq > folded.seq) else { continue };
            let what = format!("{} sent command {command} before it had read back its decision", trace.holder);
            found.push(
                Violation::new(NAME, what).seen(read).shown(format!("sent at {at}, folded up to {}", folded.seq)),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, command, slot};
    use landfall_proto::envelope::{Epoch, Position};

    #[test]
    fn an_effect_follows_its_record_also_over_a_crash() {
        let durable = || Io::Durable { record: "intent 1".to_owned() };
        let visible = || Io::Visible { what: "the process of run 1".to_owned(), needs: "intent 1".to_owned() };
        let mut story = Story::night();
        story.trace("a").io = vec![durable(), Io::Crash, visible()];
        story.keeps(&WriteAhead);
        story.trace("a").io = vec![visible(), durable()];
        story.breaks(&WriteAhead, "before intent 1");
    }

    #[test]
    fn a_fact_is_written_before_it_is_published() {
        let mut story = Story::night();
        let of_a = story.history.log.iter().filter(|entry| entry.envelope.writer == "a");
        let written: std::collections::BTreeMap<_, _> =
            of_a.map(|entry| (entry.envelope.identity(), entry.envelope.content_hash())).collect();
        story.trace("a").written = Some(written);
        story.keeps(&WriteAhead);
        story.starts("a", 2);
        story.breaks(&WriteAhead, "without having written it");
    }

    #[test]
    fn a_command_follows_from_a_decision_that_was_read_back() {
        let mut story = Story::night();
        let dispatched = story.history.log.iter().find(|entry| entry.envelope.kind == "dispatched").unwrap().position;
        let before = Position { seq: dispatched.seq - 1, ..dispatched };
        story.coordinator().commands = vec![(slot(), command("a", 1), Epoch::default(), dispatched)];
        story.keeps(&WriteAhead);
        story.coordinator().commands = vec![(slot(), command("a", 1), Epoch::default(), before)];
        story.breaks(&WriteAhead, "before it had read back");
    }
}
