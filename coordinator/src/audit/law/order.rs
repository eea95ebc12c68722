//! What different nodes say in one round may arrive in any order.

use std::collections::BTreeMap;

use landfall_proto::envelope::Identity;
use landfall_proto::fact::coordinator::{CoordinatorFact, RoundConcluded};
use landfall_proto::id::NodeId;
use landfall_proto::verdict::Standing;

use crate::audit::refold::{MESSAGES_MAX, Reader};
use crate::audit::{Case, Entry, Law, Read, Violation};
use crate::core::verify;

pub(super) struct OrderIndependence;

const NAME: &str = "order-independence";

impl Law for OrderIndependence {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "A verdict follows from what the nodes said, not from the order in which it arrived."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let fits = case.is_whole() && !case.reads().is_empty() && case.reads().len() <= MESSAGES_MAX;
        (!fits).then_some("a whole log that never lost anything")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found: Vec<Violation> = shuffled(case).into_iter().collect();
        found.extend(verdicts(case));
        found
    }
}

/// The log folded with the facts between two decisions in another order: the same rounds and runs.
fn shuffled(case: &Case<'_>) -> Option<Violation> {
    let mut straight = Reader::new(case.history);
    let mut other = Reader::new(case.history);
    let mut span: Vec<&Entry> = Vec::new();
    let mut place = 0;
    let mut put = |entry: &Entry, place: &mut u64| {
        *place += 1;
        other.read(entry, *place);
    };
    for read in case.reads() {
        straight.read(read.entry, read.entry.position.seq);
        match read.fact {
            Some(crate::core::Fact::Agent(..)) => span.push(read.entry),
            Some(crate::core::Fact::Coordinator(..)) | None => {
                turned(&mut span).into_iter().for_each(|entry| put(entry, &mut place));
                put(read.entry, &mut place);
            }
        }
    }
    turned(&mut span).into_iter().for_each(|entry| put(entry, &mut place));
    let (first, second) = (&straight.mesh, &other.mesh);
    let round = first.rounds().values().find(|round| second.rounds().get(&round.id) != Some(round));
    let run = first.runs().values().find(|run| second.runs().get(&run.id) != Some(run));
    let shown = match (round, run) {
        (None, None) => return None,
        (Some(round), _) => format!("round {} of {}", round.id, round.routine),
        (None, Some(run)) => format!("run {} on {}", run.id, run.node),
    };
    let what = "the log with the nodes' facts in another order gives other rounds".to_owned();
    Some(Violation::new(NAME, what).shown(format!("first that differs: {shown}")))
}

/// The last writer first, each writer's own facts as they were.
fn turned<'a>(span: &mut Vec<&'a Entry>) -> Vec<&'a Entry> {
    let mut entries = std::mem::take(span);
    entries.sort_by(|one, other| other.envelope.writer.cmp(&one.envelope.writer));
    entries
}

/// Each verdict against what follows from the state up to which its leader had folded when it decided.
fn verdicts(case: &Case<'_>) -> Vec<Violation> {
    let decided: BTreeMap<&Identity, u64> = case
        .history
        .coordinators
        .iter()
        .flat_map(|trace| trace.decided.iter().map(|(identity, position)| (identity, position.seq)))
        .collect();
    let mut due: BTreeMap<u64, Vec<(&Read<'_>, &RoundConcluded)>> = BTreeMap::new();
    for (_, read, fact) in case.decided() {
        let CoordinatorFact::RoundConcluded(body) = fact else { continue };
        // A verdict in parts is looked at as a whole elsewhere.
        if let Some(seq) = decided.get(&read.entry.envelope.identity()).filter(|_| body.parts <= 1) {
            due.entry(*seq).or_default().push((read, body));
        }
    }
    let mut found = Vec::new();
    if due.is_empty() {
        return found;
    }
    let mut reader = Reader::new(case.history);
    for read in case.reads() {
        reader.read(read.entry, read.entry.position.seq);
        for (conclusion, body) in due.get(&read.entry.position.seq).into_iter().flatten() {
            found.extend(compared(&reader, conclusion, body));
        }
    }
    found
}

fn compared(reader: &Reader, read: &Read<'_>, body: &RoundConcluded) -> Option<Violation> {
    let round = reader.mesh.rounds().get(&body.round).filter(|round| round.verdict.is_none())?;
    let standings = verify::standings(&reader.mesh, round);
    let follows: BTreeMap<&NodeId, Standing> = standings.iter().map(|node| (&node.node, node.standing)).collect();
    let says: BTreeMap<&NodeId, Standing> = body.verdict.nodes.iter().map(|node| (&node.node, node.standing)).collect();
    let differs = follows.iter().find(|(node, standing)| says.get(**node) != Some(standing));
    let (node, standing) = differs?;
    let said = says.get(*node).map_or_else(|| "nothing".to_owned(), |said| format!("{said:?}"));
    let what = format!(
        "the verdict on round {} says {said} of {node}, but what had been folded then says {standing:?}",
        body.round
    );
    Some(Violation::new(NAME, what).seen(read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::Story;
    use landfall_proto::verdict::VerdictKind;

    /// The leader had folded everything before its verdict.
    fn decided(mut story: Story) -> Story {
        let last = story.history.log.len() - 1;
        let identity = story.history.log[last].envelope.identity();
        let position = story.history.log[last - 1].position;
        story.coordinator().decided = vec![(identity, position)];
        story
    }

    #[test]
    fn a_verdict_follows_from_what_was_said() {
        decided(Story::morning()).keeps(&OrderIndependence);
        let mut story = Story::night();
        for name in ["a", "b"] {
            story.ends(name, landfall_proto::report::Outcome::Ok, landfall_proto::report::Reason::Completed);
        }
        story.concludes(VerdictKind::Overdue, &[("a", Standing::Good), ("b", Standing::Missing)]);
        decided(story).breaks(&OrderIndependence, "says Missing of b");
    }

    #[test]
    fn the_order_of_writers_is_turned_and_each_keeps_its_own() {
        let story = Story::night();
        let mut span: Vec<&Entry> = story.history.log.iter().filter(|entry| entry.envelope.writer.len() == 1).collect();
        let turned = turned(&mut span);
        let names: Vec<(&str, u64)> =
            turned.iter().map(|entry| (entry.envelope.writer.as_str(), entry.envelope.seq)).collect();
        assert_eq!(names, [("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1), ("a", 2)]);
    }
}
