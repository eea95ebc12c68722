//! What people and programs are shown of monitors.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MonitorSpec, Ping, Stage};
use crate::report::Reason;
use crate::time::Timestamp;

/// How a monitor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MonitorState {
    /// It has not been heard of yet, and need not have been.
    New,
    /// It said that it ended well, and the next word is not due.
    Up,
    /// The next word is due, and its grace has not passed.
    Late,
    /// Nothing was heard, or no end of a run that began. What became of it is unknown.
    Overdue,
    /// It said that it failed.
    Failed,
}

impl MonitorState {
    pub const ALL: [Self; 5] = [Self::New, Self::Up, Self::Late, Self::Overdue, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Up => "up",
            Self::Late => "late",
            Self::Overdue => "overdue",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for MonitorState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// One monitor in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MonitorView {
    /// Without what is kept of its key.
    pub spec: MonitorSpec,
    /// Whether a UUID reaches it.
    pub has_key: bool,
    pub state: MonitorState,
    /// The calendar in words; absent where a period is expected.
    pub explained: Option<String>,
    /// The run that it says is under way.
    pub running: Option<RunningView>,
    /// The last ping that said how a run ended.
    pub last_ping_at: Option<Timestamp>,
    pub last_good_at: Option<Timestamp>,
    /// When the next one is expected.
    pub expected_at: Option<Timestamp>,
    /// When somebody is told if nothing comes.
    pub overdue_at: Option<Timestamp>,
    /// What it said when it failed.
    pub failure: Option<FailureView>,
    pub failures_since_good: u32,
    pub last_duration_ms: Option<u64>,
    /// All pings that were ever taken.
    pub pings: u64,
    pub set_at: Timestamp,
    pub set_by: String,
}

/// A run that a program says is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunningView {
    pub since: Timestamp,
    #[serde(default)]
    pub rid: Option<Uuid>,
    #[serde(default)]
    pub stage: Option<Stage>,
    #[serde(default)]
    pub percent: Option<u8>,
}

/// A failure that a program told of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FailureView {
    pub ping: Uuid,
    pub at: Timestamp,
    pub reason: Reason,
    pub message: String,
}

/// One monitor with its latest pings, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MonitorDetail {
    pub monitor: MonitorView,
    pub pings: Vec<PingView>,
}

/// One ping that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PingView {
    pub at: Timestamp,
    /// With its body, where that is still kept.
    pub ping: Ping,
    /// How long its run took, where it ends one.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// A key by which slugs are reached; the key itself is known only to who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PingKeyView {
    pub label: String,
    /// Whether a ping with `create=1` may make a monitor.
    pub creates: bool,
    pub set_at: Timestamp,
    pub set_by: String,
}

/// Monitors, how all of them stand, and the labels of the ping keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MonitorsView {
    /// The worst first, then by name.
    pub monitors: Vec<MonitorView>,
    /// Where the next part begins; absent on the last.
    #[serde(default)]
    pub next: Option<String>,
    /// How many of all stand in which state; a state without any is absent.
    pub counts: BTreeMap<MonitorState, u32>,
    pub ping_keys: Vec<PingKeyView>,
}
