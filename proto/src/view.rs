//! What people and programs are shown: the shapes of every list and detail, with stable field names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Risk};
use crate::card::Card;
use crate::envelope::Epoch;
use crate::fact::coordinator::{AlertDelivered, OpenedBy};
use crate::id::{Holder, NodeId, RepositoryId, RoundId, RoutineName, RunId};
use crate::limit::{LimitName, WaitReason};
use crate::monitor::MonitorState;
use crate::protection::ProtectionView;
use crate::report::{Outcome, Phase, Progress, Reason, RunReport, TaskKind, Trigger, Vitals};
use crate::time::Timestamp;
use crate::verdict::{Rule, Verdict, Witness};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Where the next page begins; absent on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// The mesh in one glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StatusView {
    pub cluster: String,
    pub version: String,
    pub leader: Option<Holder>,
    pub epoch: Epoch,
    /// Last position of the log that is folded and committed.
    pub log_seq: u64,
    /// Facts in the log that are not folded yet, where the bus says.
    pub lag: Option<u64>,
    pub bus_version: Option<String>,
    pub nodes: u32,
    pub nodes_online: u32,
    pub nodes_silent: Vec<NodeId>,
    pub rounds_open: u32,
    pub runs_queued: u32,
    pub runs_running: u32,
    pub alerts_open: u32,
    /// The last verdict of each routine.
    pub routines: Vec<RoutineView>,
    /// Messages that were refused, by name.
    pub refused: BTreeMap<String, u64>,
    /// Facts of kinds this build does not know.
    pub unknown_kinds: BTreeMap<String, u64>,
    pub started_at: Timestamp,
    /// Since when the leader leads.
    #[serde(default)]
    pub leader_since: Option<Timestamp>,
    /// The other coordinators that are heard.
    #[serde(default)]
    pub standbys: Vec<StandbyView>,
    /// When the answering coordinator's loop last came round with the log in sight.
    #[serde(default)]
    pub last_pass_at: Option<Timestamp>,
    /// Its calls of the address outside; absent where it has none to call.
    #[serde(default)]
    pub watchdog: Option<WatchdogView>,
    /// Copies of the log.
    #[serde(default)]
    pub log_copies: Option<LogCopies>,
    /// How many programs that only ping stand how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub monitors: BTreeMap<MonitorState, u32>,
}

/// Calls of an address outside the mesh, whose owner tells people when they stay away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WatchdogView {
    /// When a call last succeeded, since this process began.
    pub called_at: Option<Timestamp>,
    /// Calls that failed since then.
    pub failures: u32,
    /// Calls that failed since this process began.
    pub failures_total: u64,
}

/// Copies of the log, on as many servers of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogCopies {
    /// As the coordinator's file says.
    pub wanted: u32,
    /// As the bus says.
    pub kept: u32,
}

/// One coordinator that is ready to take over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StandbyView {
    pub holder: Holder,
    pub version: String,
    pub epoch: Epoch,
    /// Last position of the log that it has folded.
    pub log_seq: u64,
    /// Facts in the log that it has not folded; absent while the log is out of its sight.
    pub lag: Option<u64>,
    /// Whether its state was the answering coordinator's at the last position where both took a digest; absent where there
    /// was none yet.
    pub agrees: Option<bool>,
    pub heard_at: Timestamp,
}

/// State as people know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Sent,
    Running,
    /// Cancelling until the process is gone.
    Cancelling,
    /// The node is silent: neither failed nor good.
    Unknown,
    Ok,
    Warning,
    Partial,
    Failed,
    Skipped,
    Cancelled,
    Lost,
}

impl RunState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    pub const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Ok,
            Outcome::Warning => Self::Warning,
            Outcome::Partial => Self::Partial,
            Outcome::Failed => Self::Failed,
            Outcome::Skipped => Self::Skipped,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Lost => Self::Lost,
        }
    }
}

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunView {
    pub id: RunId,
    pub round: RoundId,
    pub routine: RoutineName,
    pub node: NodeId,
    pub task: TaskKind,
    pub slot: Option<Timestamp>,
    pub state: RunState,
    pub reason: Option<Reason>,
    pub trigger: Option<Trigger>,
    /// Why it waits, while it is queued.
    pub waits_for: Option<WaitReason>,
    pub queued_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub duration_ms: Option<u64>,
    pub phase: Option<Phase>,
    pub progress: Option<Progress>,
    pub files: Option<u64>,
    pub bytes: Option<u64>,
    pub added_bytes: Option<u64>,
    pub snapshot: Option<String>,
    pub repository: Option<RepositoryId>,
    pub witness: Option<Witness>,
    pub attempts: u32,
}

/// One run with everything known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunDetail {
    pub run: RunView,
    pub report: Option<RunReport>,
    pub cause: String,
    pub fix: String,
    pub findings: Vec<FindingView>,
    pub timeline: Vec<TimelineEntry>,
    /// What its plan says of it, by name, as far as it leaves the node: secrets never do.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// One step in the life of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub what: String,
}

/// A judgement about one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FindingView {
    pub kind: String,
    pub severity: crate::alert::Severity,
    pub message: String,
    pub routine: Option<RoutineName>,
}

/// One round in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoundView {
    pub id: RoundId,
    pub routine: RoutineName,
    pub task: TaskKind,
    pub slot: Option<Timestamp>,
    pub opened_at: Timestamp,
    pub opened_by: OpenedBy,
    /// Who asked for it, where a person or a script did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub deadline: Timestamp,
    pub rule: Rule,
    pub expected: u32,
    pub good: u32,
    pub bad: u32,
    pub missing: u32,
    /// Absent while the round is converging.
    pub verdict: Option<crate::verdict::VerdictKind>,
    pub concluded_at: Option<Timestamp>,
}

/// One round with its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoundDetail {
    pub round: RoundView,
    pub verdict: Option<Verdict>,
    /// At most 500 runs; more are listed by `runs`.
    pub runs: Vec<RunView>,
    /// What came after the verdict, in sentences.
    pub late: Vec<TimelineEntry>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NodeView {
    pub id: NodeId,
    pub host: String,
    pub version: String,
    pub online: bool,
    pub retired: bool,
    pub last_beat_at: Option<Timestamp>,
    pub labels: BTreeMap<String, String>,
    pub routines: Vec<NodeRoutineView>,
    pub broken_plans: Vec<crate::fact::agent::BrokenPlan>,
    pub findings: Vec<FindingView>,
    pub vitals: Option<Vitals>,
    pub paused: Option<String>,
    pub outbox: Option<u64>,
    pub clock_skew_ms: Option<i64>,
    /// Why nothing is sent to this node and nothing it reports counts as good; absent where all is well.
    #[serde(default)]
    pub quarantined: Option<String>,
}

/// How one routine stands on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NodeRoutineView {
    pub routine: RoutineName,
    pub last_outcome: Option<Outcome>,
    pub last_finished_at: Option<Timestamp>,
    pub last_good_at: Option<Timestamp>,
    pub failures_since_good: u32,
    pub last_checked_at: Option<Timestamp>,
    /// The destination's name among the storages; absent in answers of earlier versions.
    #[serde(default)]
    pub storage: Option<String>,
    #[serde(default)]
    pub risk: Option<Risk>,
}

/// All plans of one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoutineView {
    pub name: RoutineName,
    pub nodes: Vec<NodeId>,
    pub calendar: Option<String>,
    pub zone: Option<String>,
    pub explained: Option<String>,
    pub next_slots: Vec<Timestamp>,
    pub rule: Rule,
    pub start_within_ms: u64,
    pub finish_within_ms: u64,
    pub rpo_ms: Option<u64>,
    pub last_round: Option<RoundView>,
    /// Nodes whose definition differs from the one most nodes have.
    pub differs: Vec<NodeId>,
    /// What people have to know of it: the policy's word, else what most nodes say.
    #[serde(default)]
    pub card: Card,
    /// How much is at stake on the node that is worst off; absent where none is in trouble.
    #[serde(default)]
    pub risk: Option<Risk>,
    /// What the rest can be told of only by looking at every node; absent in lists.
    #[serde(default)]
    pub protection: Option<ProtectionView>,
}

/// One alert with its deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AlertView {
    pub alert: Alert,
    pub open: bool,
    pub raised_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub deliveries: Vec<AlertDelivered>,
    /// The alert about more that tells this one too: who is told of that one is not told of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<crate::alert::AlertKey>,
}

/// One limit and how much of it is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LimitView {
    pub name: LimitName,
    pub size: Option<u32>,
    pub used: u32,
    pub is_default: bool,
}

/// A piece of a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogView {
    pub run: RunId,
    pub offset: u64,
    pub text: String,
    pub next_offset: u64,
    /// True where the run has ended and this is the log's end.
    pub ended: bool,
}
