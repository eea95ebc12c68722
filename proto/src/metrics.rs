//! What an outside monitoring asks at every scrape: figures of the whole mesh at one instant, never of its history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::id::{Holder, NodeId, RoutineName};
use crate::monitor::MonitorView;
use crate::report::{Reason, Space, TaskKind};
use crate::time::Timestamp;
use crate::verdict::VerdictKind;
use crate::view::{LimitView, LogCopies, RunState, WatchdogView};

/// Everything that is measured. What is not known is absent, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MetricsView {
    pub version: String,
    pub coordinator: CoordinatorFigures,
    pub nodes: Vec<NodeFigures>,
    pub nodes_retired: u32,
    pub routines: Vec<RoutineFigures>,
    pub queue: QueueFigures,
    /// Open alerts; every severity is named.
    pub alerts_open: BTreeMap<Severity, u32>,
    /// Notices of alerts that are open or ended lately, by sink.
    pub deliveries: BTreeMap<String, DeliveryFigures>,
    pub limits: Vec<LimitView>,
    /// Destinations whose space somebody sees, by the storage's name, else as `node/target`.
    pub storages: BTreeMap<String, Space>,
    /// Programs that only ping.
    #[serde(default)]
    pub monitors: Vec<MonitorView>,
    /// Days until they are full, of those that fill up.
    #[serde(default)]
    pub filling: BTreeMap<String, u64>,
}

/// The answering process and its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CoordinatorFigures {
    pub holder: Holder,
    pub leads: bool,
    pub leader_since: Option<Timestamp>,
    pub standbys: u32,
    pub started_at: Timestamp,
    /// When its loop last came round with the log in sight.
    pub last_pass_at: Option<Timestamp>,
    pub log_seq: u64,
    /// Facts that are not folded; absent while the log is out of sight.
    pub log_lag: Option<u64>,
    pub log_copies: Option<LogCopies>,
    /// Messages that were refused, by name.
    pub refused: BTreeMap<String, u64>,
    /// Facts of kinds that this build does not know.
    pub unknown_kinds: u64,
    /// Decisions of coordinators that did not lead.
    pub ignored_decisions: u64,
    pub watchdog: Option<WatchdogView>,
}

/// One node that is not retired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NodeFigures {
    pub id: NodeId,
    pub online: bool,
    pub quarantined: bool,
    pub last_beat_at: Option<Timestamp>,
    pub plans: Vec<PlanFigures>,
}

/// How one routine stands on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PlanFigures {
    pub routine: RoutineName,
    pub rpo_ms: Option<u64>,
    pub first_announced_at: Timestamp,
    pub backup: Option<TaskFigures>,
    pub check: Option<TaskFigures>,
}

/// What became of the runs of one task; absent as a whole where none has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskFigures {
    pub task: TaskKind,
    /// Absent where the last run was skipped, cancelled or lost and none before it was in trouble: it proves neither.
    pub status: Option<Status>,
    pub ended_at: Timestamp,
    /// Why the latest trouble is one.
    pub trouble: Option<Reason>,
    /// The instant that a restore would bring back.
    pub last_good_at: Option<Timestamp>,
    pub failures_since_good: u32,
    /// Of the last good run.
    pub duration_ms: Option<u64>,
    pub bytes: Option<u64>,
    pub files: Option<u64>,
}

/// How a job stands, as monitoring writes it down: 0, 1 and 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Status {
    Ok,
    Warning,
    /// It failed, or left no proof, and none has been good since.
    Error,
}

impl Status {
    pub const fn code(self) -> u64 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Error => 2,
        }
    }
}

/// All plans of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoutineFigures {
    pub name: RoutineName,
    pub nodes: u32,
    /// Nodes in trouble.
    pub failing: u32,
    /// Nodes that a verdict missed, with nothing good since.
    pub overdue: u32,
    pub rounds_open: u32,
    /// The longest time between two of the next slots.
    pub interval_ms: Option<u64>,
    pub next_slot_at: Option<Timestamp>,
    pub last_verdict: Option<VerdictKind>,
    pub last_verdict_at: Option<Timestamp>,
}

/// Runs that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct QueueFigures {
    /// Every state of a run that has not ended is named.
    pub states: BTreeMap<RunState, u32>,
    /// By what they wait for.
    pub waiting: BTreeMap<String, u32>,
    pub oldest_queued_at: Option<Timestamp>,
}

/// What became of the notices to one sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeliveryFigures {
    pub taken: u32,
    pub refused: u32,
}
