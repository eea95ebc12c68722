//! A state that is built from records is the state that they were written from.

use landfall_proto::envelope::ContentHash;

use crate::audit::refold::{MESSAGES_MAX, Reader};
use crate::audit::{Case, Law, Violation};
use crate::core::Records;

pub(super) struct Rebuild;

const NAME: &str = "rebuild";

/// In so many pieces the log is folded, with the state built again from its records after each.
const PIECES: usize = 3;

impl Law for Rebuild {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "A state that was built from a ledger or a snapshot is the one that was written there, and goes on as if nothing had happened."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let restored = case.history.coordinators.iter().any(|trace| !trace.restored.is_empty());
        let can_refold = case.is_whole() && !case.reads().is_empty() && case.reads().len() <= MESSAGES_MAX;
        (!restored && !can_refold).then_some("a whole log, or coordinators that were built from records")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found = Vec::new();
        for trace in &case.history.coordinators {
            for restored in &trace.restored {
                if let Some(was) = restored.was.filter(|was| *was != restored.became) {
                    let (holder, seq) = (&trace.holder, restored.position.seq);
                    let what = format!("{holder} was built from records at position {seq} and is another state now");
                    let shown = format!("{was:?} before, {:?} at {}", restored.became, restored.at);
                    let mut violation = Violation::new(NAME, what).shown(shown);
                    violation.at = Some(restored.position);
                    found.push(violation);
                }
            }
        }
        if case.is_whole() && case.reads().len() <= MESSAGES_MAX {
            found.extend(in_pieces(case));
        }
        found
    }
}

/// The core's own promise over this very log: interrupted or not, it comes to the same.
fn in_pieces(case: &Case<'_>) -> Option<Violation> {
    let (straight, pieces) = (folded(case, usize::MAX), folded(case, case.reads().len() / PIECES + 1));
    let what = "the log folded in pieces, built again from records after each, gives another state".to_owned();
    (straight != pieces).then(|| Violation::new(NAME, what).shown(format!("{straight:?} against {pieces:?}")))
}

fn folded(case: &Case<'_>, piece: usize) -> ContentHash {
    let mut reader = Reader::new(case.history);
    let mut records = Records::default();
    for (index, read) in case.reads().iter().enumerate() {
        reader.read(read.entry, read.entry.position.seq);
        if (index + 1) % piece == 0 {
            records.apply(reader.mesh.take_changes().unwrap_or_default());
            reader = reader.restored(records.clone());
        }
    }
    reader.mesh.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Restored;
    use crate::audit::story::{Story, hash, slot};
    use landfall_proto::envelope::Position;

    #[test]
    fn what_was_written_is_what_is_built() {
        let mut story = Story::morning();
        let position = Position { era: 0, seq: 5, hash: hash(1) };
        let restored = |was, became| Restored { at: slot(), position, was, became: hash(became) };
        story.coordinator().restored = vec![restored(Some(hash(2)), 2), restored(None, 3)];
        story.keeps(&Rebuild);
        story.coordinator().restored = vec![restored(Some(hash(2)), 3)];
        story.breaks(&Rebuild, "is another state now");
    }

    #[test]
    fn a_night_in_pieces_is_the_same_night() {
        let story = Story::morning();
        assert_eq!(in_pieces(&Case::new(&story.history)), None);
        let case = Case::new(&story.history);
        assert_ne!(folded(&case, usize::MAX), Reader::new(&story.history).mesh.digest());
    }
}
