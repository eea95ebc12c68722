//! What a coordinator decided. A decision counts from the moment it stands in the log, not before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kinds;
use crate::id::{CommandId, Holder, NodeId, RepositoryId, RoundId, RoutineName, RunId};
use crate::monitor::{KeyHash, MonitorSpec, Ping};
use crate::plan::RepositoryLock;
use crate::report::{Reason, Space, TaskKind};
use crate::time::{Duration, Timestamp};
use crate::verdict::{Rule, Verdict};

pub use crate::envelope::Epoch;

/// One entry of the log, written by a coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum CoordinatorFact {
    LeaderClaimed(LeaderClaimed),
    RoundOpened(RoundOpened),
    Dispatched(Dispatched),
    Answered(Answered),
    CancelAsked(CancelAsked),
    RunLost(RunLost),
    WitnessAsked(WitnessAsked),
    RoundConcluded(RoundConcluded),
    AlertRaised(AlertRaised),
    AlertResolved(AlertResolved),
    AlertDelivered(AlertDelivered),
    LimitSet(LimitSet),
    NodeRetired(NodeRetired),
    MonitorSet(MonitorSet),
    MonitorRemoved(MonitorRemoved),
    PingKeySet(PingKeySet),
    Pinged(Pinged),
    SpaceSampled(SpaceSampled),
}

kinds!(CoordinatorFact {
    LeaderClaimed = "leader_claimed",
    RoundOpened = "round_opened",
    Dispatched = "dispatched",
    Answered = "answered",
    CancelAsked = "cancel_asked",
    RunLost = "run_lost",
    WitnessAsked = "witness_asked",
    RoundConcluded = "round_concluded",
    AlertRaised = "alert_raised",
    AlertResolved = "alert_resolved",
    AlertDelivered = "alert_delivered",
    LimitSet = "limit_set",
    NodeRetired = "node_retired",
    MonitorSet = "monitor_set",
    MonitorRemoved = "monitor_removed",
    PingKeySet = "ping_key_set",
    Pinged = "pinged",
    SpaceSampled = "space_sampled",
});

/// A coordinator wants to lead. The fold accepts the first claim of the next term, and the first claim of term 1 of the next
/// era where it says what became of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LeaderClaimed {
    pub epoch: Epoch,
    pub holder: Holder,
    /// Present where the claim begins an era.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogBirth>,
}

/// Why an era begins: the log is not the one that was read before, or has lost its tail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogBirth {
    /// When the bus made the log that the era is about.
    pub created: Timestamp,
    /// The first sequence of the era before that the bus has lost; absent where nobody can tell.
    #[serde(default)]
    pub lost_from: Option<u64>,
    /// The last sequence of the era before that the claimant had folded: nothing up to here is lost to the mesh.
    pub folded_to: u64,
    /// The highest sequence that the claimant knew the era before to have.
    pub known_to: u64,
    /// When the fact at `folded_to` was written.
    #[serde(default)]
    pub folded_at: Option<Timestamp>,
    pub noticed_at: Timestamp,
}

/// A round begins; who is expected is frozen here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoundOpened {
    pub epoch: Epoch,
    pub round: RoundId,
    pub routine: RoutineName,
    pub task: TaskKind,
    #[serde(default)]
    pub slot: Option<Timestamp>,
    pub opened_at: Timestamp,
    /// Until when runs should have started; counted from the slot.
    pub start_by: Timestamp,
    /// When the round ends, whoever is missing; counted from the slot.
    pub deadline: Timestamp,
    pub rule: Rule,
    /// At most [`EXPECTED_PER_FACT_MAX`]; a larger round is opened by several facts.
    pub expected: Vec<ExpectedRun>,
    pub opened_by: OpenedBy,
    /// Who asked for it, where a person or a script did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Which of `parts` this is, from 0. The round is open once its last part stands in the log.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
    /// How many facts open this round; 0 and 1 both mean this one alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parts: u32,
}

/// Why a round was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OpenedBy {
    Slot,
    Operator,
    /// A run that failed is tried again as a round of its own.
    Retry {
        of: RunId,
    },
    /// A node ran by itself before any coordinator opened the round.
    Node,
}

/// One node's part of a round, as frozen at its opening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExpectedRun {
    pub node: NodeId,
    pub run: RunId,
    pub plan_hash: String,
    #[serde(default)]
    pub repository: Option<RepositoryId>,
    pub lock: RepositoryLock,
    #[serde(default)]
    pub storage: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub priority: i32,
}

/// A run got its permits. The command follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Dispatched {
    pub epoch: Epoch,
    pub run: RunId,
    pub node: NodeId,
    pub command: CommandId,
    /// How often this run has been dispatched, from 1.
    pub dispatch: u32,
    /// The command must not be obeyed after this.
    pub not_after: Timestamp,
}

/// What a node answered to a dispatch. Silence is not an answer and is not logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Answered {
    pub epoch: Epoch,
    pub run: RunId,
    pub command: CommandId,
    /// Absent where the node took the run on.
    #[serde(default)]
    pub refused: Option<Reason>,
    #[serde(default)]
    pub message: String,
}

/// Somebody wants a run to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CancelAsked {
    pub epoch: Epoch,
    pub run: RunId,
    pub command: CommandId,
    /// Who asked, as the tool gave it.
    pub by: String,
}

/// Neither node nor progress was heard of until the round's end. A late result wins over this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunLost {
    pub epoch: Epoch,
    pub run: RunId,
    pub reason: Reason,
}

/// A node is asked to look at a repository for its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WitnessAsked {
    pub epoch: Epoch,
    pub round: RoundId,
    pub repository: RepositoryId,
    pub witness: NodeId,
    pub command: CommandId,
    pub runs: Vec<RunId>,
    pub asked_at: Timestamp,
    pub not_after: Timestamp,
}

/// The one and final judgement about a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoundConcluded {
    pub epoch: Epoch,
    pub round: RoundId,
    pub concluded_at: Timestamp,
    /// With the standings of at most [`STANDINGS_PER_FACT_MAX`] nodes; a larger verdict is spread over several facts.
    pub verdict: Verdict,
    /// Which of `parts` this is, from 0. The verdict falls with its last part.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
    /// How many facts make this verdict; 0 and 1 both mean this one alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parts: u32,
}

/// A person must know something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AlertRaised {
    pub epoch: Epoch,
    pub alert: crate::alert::Alert,
    pub raised_at: Timestamp,
}

/// What the alert said is no longer so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AlertResolved {
    pub epoch: Epoch,
    pub key: crate::alert::AlertKey,
    /// Which raising this resolves: the alert's own id.
    pub id: uuid::Uuid,
    pub resolved_at: Timestamp,
    pub why: String,
}

/// How the delivery of one notice to one sink ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AlertDelivered {
    pub epoch: Epoch,
    pub id: uuid::Uuid,
    pub sink: String,
    /// Whether the notice said "raised" or "resolved".
    pub resolved: bool,
    pub attempts: u32,
    /// Absent where the sink took it.
    #[serde(default)]
    pub error: Option<String>,
    pub at: Timestamp,
    /// How often this sink had been told the same before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reminder: u32,
    /// What the sink said when it took it, a status code first where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// A limit has another size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LimitSet {
    pub epoch: Epoch,
    pub name: crate::limit::LimitName,
    pub value: u32,
    pub by: String,
}

/// A node is gone for good: later rounds do not expect it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NodeRetired {
    pub epoch: Epoch,
    pub node: NodeId,
    pub by: String,
}

/// A monitor is there from here on, or has another definition; what it said before stays known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MonitorSet {
    pub epoch: Epoch,
    pub monitor: MonitorSpec,
    pub set_at: Timestamp,
    pub by: String,
}

/// A monitor is gone, with everything that it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MonitorRemoved {
    pub epoch: Epoch,
    pub name: RoutineName,
    pub by: String,
}

/// A key by which slugs are reached is good from here on, or no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PingKeySet {
    pub epoch: Epoch,
    pub label: String,
    /// Absent where the key is good no more.
    #[serde(default)]
    pub key: Option<KeyHash>,
    /// Whether it may make monitors.
    #[serde(default)]
    pub creates: bool,
    pub set_at: Timestamp,
    pub by: String,
}

/// A program said something of itself. Nobody has proven it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Pinged {
    pub epoch: Epoch,
    pub monitor: RoutineName,
    /// When it was taken, by the leader's clock.
    pub at: Timestamp,
    pub ping: Ping,
}

/// How much room destinations had, as nodes that reach them saw it; noted once a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SpaceSampled {
    pub epoch: Epoch,
    pub sampled_at: Timestamp,
    /// By the storage's name, or `node/target` where the target names none; at most [`STORAGES_PER_FACT_MAX`].
    pub storages: BTreeMap<String, Space>,
}

/// Storages in one fact at most.
pub const STORAGES_PER_FACT_MAX: usize = 200;

/// Expected runs in one fact at most; fewer where their labels are long, for a fact has to fit into its longest length.
pub const EXPECTED_PER_FACT_MAX: usize = 200;

/// Standings in one fact at most.
pub const STANDINGS_PER_FACT_MAX: usize = 200;

/// How long a command may wait on its way before it must not be obeyed.
pub const COMMAND_LIFE: Duration = Duration::from_secs(30);

/// The common case is one part, and it takes no bytes.
const fn is_zero(number: &u32) -> bool {
    *number == 0
}
