//! The state is a function of the log.

use std::collections::BTreeMap;

use landfall_proto::envelope::{ContentHash, Position};

use crate::audit::refold::{MESSAGES_MAX, Reader};
use crate::audit::{Case, CoordinatorTrace, Law, Violation};

pub(super) struct Determinism;

const NAME: &str = "determinism";

impl Law for Determinism {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Whoever has folded the log up to a position has the same state there, and it is the one that a fresh reader of the log gets."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let told = case.history.coordinators.iter().any(|trace| !trace.digests.is_empty());
        (!told).then_some("digests of coordinators' states")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = disagreements(case);
        if case.is_whole() && case.reads().len() <= MESSAGES_MAX {
            found.extend(departures(case));
        }
        found
    }
}

/// After a loss, coordinators rightly know different things until the leader's state has become everybody's: there only
/// those are compared that are left at the end.
fn disagreements(case: &Case<'_>) -> Vec<Violation> {
    let mut first: BTreeMap<(u32, u64, ContentHash), (ContentHash, &CoordinatorTrace)> = BTreeMap::new();
    let mut found = Vec::new();
    for trace in &case.history.coordinators {
        let is_left = trace.cursor.is_some() && !trace.stood_down && case.is_at_rest();
        for (index, (position, digest)) in trace.digests.iter().enumerate() {
            let is_last = index + 1 == trace.digests.len();
            let is_compared = case.is_whole() || (is_left && is_last);
            if !is_compared {
                continue;
            }
            let Position { era, seq, hash } = *position;
            let (known, other) = *first.entry((era, seq, hash)).or_insert((*digest, trace));
            if known != *digest {
                let what = format!("{} and {} differ at position {seq} of era {era}", other.holder, trace.holder);
                let mut violation = Violation::new(NAME, what).shown(format!("{known:?}")).shown(format!("{digest:?}"));
                violation.at = Some(*position);
                found.push(violation);
                break;
            }
        }
    }
    found
}

/// Where a coordinator's state is not what the log says; the first place of each.
fn departures(case: &Case<'_>) -> Vec<Violation> {
    let mut wanted: BTreeMap<u64, Vec<(usize, ContentHash)>> = BTreeMap::new();
    for (index, trace) in case.history.coordinators.iter().enumerate() {
        for (position, digest) in &trace.digests {
            wanted.entry(position.seq).or_default().push((index, *digest));
        }
    }
    let mut reader = Reader::new(case.history);
    let mut gone = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for read in case.reads() {
        let seq = read.entry.position.seq;
        reader.read(read.entry, seq);
        let Some(digests) = wanted.get(&seq) else { continue };
        let digest = reader.mesh.digest();
        for (index, known) in digests.iter().filter(|(_, known)| *known != digest) {
            if gone.insert(*index) {
                let holder = &case.history.coordinators[*index].holder;
                let what = format!("the state of {holder} at position {seq} is not what the log says");
                let shown = format!("{known:?}, a fresh reader has {digest:?}");
                found.push(Violation::new(NAME, what).seen(read).shown(shown));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, hash, holder, life};

    /// Two coordinators with the digests of a fresh reader at every position.
    fn followed() -> Story {
        let mut story = Story::morning();
        let mut reader = Reader::new(&story.history);
        let mut digests = Vec::new();
        for entry in &story.history.log {
            reader.read(entry, entry.position.seq);
            digests.push((entry.position, reader.mesh.digest()));
        }
        story.coordinator().digests = digests.clone();
        let mut beta = CoordinatorTrace::new(holder("beta"), life("beta"));
        beta.digests = digests;
        story.history.coordinators.push(beta);
        story
    }

    #[test]
    fn followers_of_one_log_agree() {
        let mut story = followed();
        story.keeps(&Determinism);
        story.history.coordinators[1].digests[5].1 = hash(9);
        story.breaks(&Determinism, "alpha and beta differ");
    }

    #[test]
    fn a_state_that_all_share_must_be_the_logs() {
        let mut story = followed();
        for trace in &mut story.history.coordinators {
            trace.digests[5].1 = hash(9);
        }
        story.breaks(&Determinism, "is not what the log says");
    }

    #[test]
    fn after_a_loss_only_what_is_left_at_the_end_is_compared() {
        let mut story = followed();
        story.history.log[9].is_there = false;
        story.history.coordinators[1].digests[5].1 = hash(9);
        story.keeps(&Determinism);
        let mut story = story.at_rest();
        for trace in &mut story.history.coordinators {
            trace.cursor = Some(trace.digests.last().unwrap().0);
        }
        story.keeps(&Determinism);
        story.history.coordinators[1].digests.last_mut().unwrap().1 = hash(9);
        story.breaks(&Determinism, "differ");
        story.history.coordinators[1].stood_down = true;
        story.keeps(&Determinism);
    }
}
