//! What an agent says: it started, it holds these plans, its runs went so, the destination shows this.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kinds;
use crate::card::Card;
use crate::id::{CommandId, RepositoryId, RoundId, RoutineName, RunId, TargetName};
use crate::plan::{Guards, RepositoryLock};
use crate::report::{Phase, Reason, RunReport, TaskKind, Trigger};
use crate::time::{Duration, Timestamp};

/// One entry of the log, written by an agent.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "facts are folded one by one; a box would cost every fold an allocation")]
pub enum AgentFact {
    AgentStarted(AgentStarted),
    PlansAnnounced(PlansAnnounced),
    RunStarted(RunStarted),
    RunPhase(RunPhase),
    RunMilestone(RunMilestone),
    RunRetried(RunRetried),
    RunFinished(RunFinished),
    SlotMissed(SlotMissed),
    Witnessed(Witnessed),
}

kinds!(AgentFact {
    AgentStarted = "agent_started",
    PlansAnnounced = "plans_announced",
    RunStarted = "run_started",
    RunPhase = "run_phase",
    RunMilestone = "run_milestone",
    RunRetried = "run_retried",
    RunFinished = "run_finished",
    SlotMissed = "slot_missed",
    Witnessed = "witnessed",
});

/// The agent's process came up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AgentStarted {
    pub version: String,
    pub cause: StartCause,
    /// The machine's own name; an alias, never identity.
    pub host: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Why the journal continues or begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StartCause {
    /// A state directory that never held anything.
    First,
    /// The journal goes on.
    Restarted,
    /// The journal could not be opened; it was rebuilt from receipts under a new incarnation.
    Rebuilt,
}

/// All plans of a node as they are at this moment; replaces what was announced before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PlansAnnounced {
    pub plans: Vec<PlanAnnouncement>,
    #[serde(default)]
    pub broken: Vec<BrokenPlan>,
}

/// What the mesh has to know of one plan. Sources, commands and secrets stay on the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PlanAnnouncement {
    pub routine: RoutineName,
    /// Hash of the effective definition; differs where the definition differs.
    pub hash: String,
    pub driver: String,
    pub target: TargetName,
    /// Known once the destination has been read.
    #[serde(default)]
    pub repository: Option<RepositoryId>,
    /// Whether this node can list the destination for others.
    pub can_witness: bool,
    pub lock: RepositoryLock,
    /// Normalised calendar expression; absent where the plan only runs by hand.
    #[serde(default)]
    pub calendar: Option<String>,
    /// IANA zone name.
    pub zone: String,
    pub start_within: Duration,
    pub finish_within: Duration,
    pub stall_after: Duration,
    /// Recovery point objective: the age at which the last good backup is too old.
    #[serde(default)]
    pub rpo: Option<Duration>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub guards: Guards,
    /// Storage this plan's target counts against in limits.
    #[serde(default)]
    pub storage: Option<String>,
    #[serde(default)]
    pub priority: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
    /// The routine whose good backup on the same node this one is worth nothing without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds_on: Option<RoutineName>,
}

/// A plan file that could not be read; the others run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BrokenPlan {
    /// File name without its directory.
    pub file: String,
    /// At most 500 bytes.
    pub error: String,
}

/// The runner began. Carries what is needed to open the run's round where no coordinator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunStarted {
    pub about: RunAbout,
    pub started_at: Timestamp,
    pub attempt: u32,
}

/// Which run a fact speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunAbout {
    pub run: RunId,
    pub round: RoundId,
    pub routine: RoutineName,
    /// Absent where a person opened the round.
    #[serde(default)]
    pub slot: Option<Timestamp>,
    pub task: TaskKind,
    pub trigger: Trigger,
    pub plan_hash: String,
    #[serde(default)]
    pub repository: Option<RepositoryId>,
}

/// A run entered another stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunPhase {
    pub run: RunId,
    pub phase: Phase,
}

/// A run passed another tenth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunMilestone {
    pub run: RunId,
    pub percent: u8,
    pub files_done: u64,
    pub bytes_done: u64,
}

/// An attempt failed for a transient reason; the next one follows after `delay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunRetried {
    pub run: RunId,
    /// The attempt that failed, from 1.
    pub attempt: u32,
    pub reason: Reason,
    pub message: String,
    pub delay: Duration,
}

/// A run ended; everything known of it is in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunFinished {
    pub about: RunAbout,
    pub report: RunReport,
}

/// Slots that passed while the node was off. One catch-up run follows for the latest; these were not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SlotMissed {
    pub routine: RoutineName,
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
}

/// What a node saw at a destination that others wrote to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Witnessed {
    pub command: CommandId,
    pub round: RoundId,
    pub repository: RepositoryId,
    pub asked: u32,
    /// Runs whose snapshot is there, once.
    pub seen: Vec<RunId>,
    /// Runs whose snapshot is not there, or more than once.
    pub absent: Vec<RunId>,
    /// Why nothing can be said: the destination could not be read. Unknown, not absent.
    #[serde(default)]
    pub unknown: Option<Reason>,
    #[serde(default)]
    pub message: String,
}
