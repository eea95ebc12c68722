//! One broken promise, with what shows it.

use landfall_proto::envelope::Position;

use super::case::Read;

/// One broken promise with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub law: &'static str,
    /// What happened, in one sentence.
    pub what: String,
    /// Facts, receipts or listings that show it, one line each.
    pub evidence: Vec<String>,
    /// Where in the log, if it is there.
    pub at: Option<Position>,
}

impl Violation {
    pub(super) const fn new(law: &'static str, what: String) -> Self {
        Self { law, what, evidence: Vec::new(), at: None }
    }

    /// Adds a message of the log; the last one added is where it happened.
    pub(super) fn seen(mut self, read: &Read<'_>) -> Self {
        self.evidence.push(read.to_string());
        self.at = Some(read.entry.position);
        self
    }

    /// Adds something that is not in the log.
    pub(super) fn shown(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}
