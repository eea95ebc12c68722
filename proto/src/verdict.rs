//! The judgement about a round, and the rule by which it counts as converged.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, RunId};
use crate::report::{Outcome, Reason};

/// When a round counts as converged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rule {
    /// Every expected node is good.
    #[default]
    All,
    /// At least so many expected nodes are good.
    Quorum(u32),
    /// Each value of this label is covered by at least one good node: shards with replicas.
    Coverage(String),
}

/// Why a text is not a convergence rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a convergence rule: write \"all\", \"quorum(3)\" or \"coverage(shard)\"")]
pub struct RuleError(String);

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::Quorum(count) => write!(formatter, "quorum({count})"),
            Self::Coverage(label) => write!(formatter, "coverage({label})"),
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        let label =
            |text: &str| !text.is_empty() && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(count) = inside("quorum").and_then(|count| count.parse().ok()).filter(|count| *count > 0) {
            return Ok(Self::Quorum(count));
        }
        match inside("coverage") {
            Some(name) if label(name) => Ok(Self::Coverage(name.to_owned())),
            Some(_) | None => Err(RuleError(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> String {
        rule.to_string()
    }
}

/// Exactly one ends a round, and it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Verdict {
    pub kind: VerdictKind,
    /// In one sentence, for people.
    pub summary: String,
    pub nodes: Vec<NodeStanding>,
    /// True where no coordinator lived at the deadline, so the verdict comes after it.
    #[serde(default)]
    pub late: bool,
}

/// The three ways a round can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    Converged,
    /// All reported, not all good.
    Diverged,
    /// The deadline passed while nodes were missing.
    Overdue,
}

impl VerdictKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Diverged => "diverged",
            Self::Overdue => "overdue",
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Where one expected node stood when the verdict fell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NodeStanding {
    pub node: NodeId,
    pub run: RunId,
    pub standing: Standing,
    #[serde(default)]
    pub outcome: Option<Outcome>,
    #[serde(default)]
    pub reason: Option<Reason>,
    pub witness: Witness,
}

/// One expected node's place in the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Good evidence, and no witness against it.
    Good,
    /// It reported, and what it reported is not good, or a witness did not find it.
    Bad,
    /// It has not reported.
    Missing,
}

/// Whether another node saw the snapshot at the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// Seen by this node.
    Confirmed { by: NodeId },
    /// Not there when this node looked.
    Contradicted { by: NodeId },
    /// Still being looked at when the verdict fell.
    Pending,
    /// No other node can reach the destination, or it could not be read.
    Unwitnessed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_back() {
        for rule in [Rule::All, Rule::Quorum(3), Rule::Coverage("shard".to_owned())] {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        for bad in ["", "none", "quorum", "quorum(0)", "quorum(x)", "coverage()"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
