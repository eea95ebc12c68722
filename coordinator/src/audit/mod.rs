//! The promises, as checks over what happened: the simulator, the live trials and `landfall audit` ask the same questions.
//!
//! A [`History`] holds what can be known, a [`Case`] is the same made ready for reading, and each [`Law`] looks at one promise.

mod case;
mod health;
mod history;
mod law;
mod refold;
#[cfg(test)]
mod story;
mod violation;

pub use case::{Case, Read};
pub use history::{
    CoordinatorTrace, Deleted, DueSlot, Entry, Heal, History, Io, NodeTrace, Obeyed, ProcessSeen, ReceiptSeen,
    RepositoryTrace, Restored, SlotFate, SnapshotSeen,
};
pub use law::laws;
pub use violation::Violation;

/// Violations of one law that are kept; what follows is counted.
const VIOLATIONS_MAX: usize = 50;

/// One promise and how to see that it was kept.
pub trait Law {
    /// Short, in lower case with hyphens: what the promise is about.
    fn name(&self) -> &'static str;

    /// The promise in one sentence.
    fn promise(&self) -> &'static str;

    /// What the history would have to hold for this promise to be looked at; `None` where it holds enough.
    fn lacks(&self, case: &Case<'_>) -> Option<&'static str>;

    /// Every place where it was not kept; empty where it was, or where the history cannot tell.
    fn check(&self, case: &Case<'_>) -> Vec<Violation>;
}

/// What looking at every promise led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// In the order of the laws.
    pub violations: Vec<Violation>,
    /// Names of the laws that were looked at.
    pub checked: Vec<&'static str>,
    /// Names of the laws that were not, and what the history lacks for each.
    pub unchecked: Vec<(&'static str, &'static str)>,
}

/// Looks at every promise.
pub fn audit(history: &History) -> Audit {
    let case = Case::new(history);
    let mut audit = Audit::default();
    for law in laws() {
        if let Some(lack) = law.lacks(&case) {
            audit.unchecked.push((law.name(), lack));
            continue;
        }
        audit.checked.push(law.name());
        let mut found = law.check(&case);
        let more = found.len().saturating_sub(VIOLATIONS_MAX);
        found.truncate(VIOLATIONS_MAX);
        if let Some(last) = found.last_mut().filter(|_| more > 0) {
            last.evidence.push(format!("and {more} more of this kind"));
        }
        audit.violations.extend(found);
    }
    audit
}
