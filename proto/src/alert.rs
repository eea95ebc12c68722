//! Something a person must know: keyed, with a reason, open or resolved.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::card::Stakes;
use crate::id::{NodeId, RoundId, RoutineName};
use crate::report::Reason;
use crate::time::Timestamp;

/// How loud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Critical,
    Emergency,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Critical, Self::Emergency];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// How much is at stake on a node whose backups fail, by what would be lost if it died at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// One backup failed; the one before is young enough.
    Low,
    /// Several failed in a row; the last good one is young enough still.
    High,
    /// The last good backup is older than the RPO allows, or there is none although there should be.
    Critical,
}

impl Risk {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What the grade rests on, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Low => "one backup failed; the one before is young enough",
            Self::High => "several backups failed in a row",
            Self::Critical => "the last good backup is older than the RPO allows, or there is none",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What an alert is about; the same trouble always has the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct AlertKey(pub String);

impl fmt::Display for AlertKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// One raising of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Alert {
    pub key: AlertKey,
    /// Derived from key and cause; receivers dedupe on it.
    pub id: Uuid,
    pub severity: Severity,
    /// What happened, in one sentence with the names of nodes and routine.
    pub title: String,
    #[serde(default)]
    pub routine: Option<RoutineName>,
    #[serde(default)]
    pub round: Option<RoundId>,
    #[serde(default)]
    pub nodes: Vec<NodeId>,
    #[serde(default)]
    pub reason: Option<Reason>,
    #[serde(default)]
    pub last_good_at: Option<Timestamp>,
    /// What to do now.
    #[serde(default)]
    pub fix: String,
    #[serde(default)]
    pub runbook: Option<String>,
    /// Whose data it is, who is called, and what was promised; absent where nobody wrote it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stakes: Option<Box<Stakes>>,
}
