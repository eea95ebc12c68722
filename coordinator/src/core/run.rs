//! One node's part of a round: its stage, what it reported, and what it takes of the limits.

use std::collections::BTreeMap;

use landfall_proto::fact::agent::RunRetried;
use landfall_proto::id::{CommandId, NodeId, RepositoryId, RoundId, RoutineName, RunId};
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::{Outcome, Phase, Reason, RunReport, TaskKind, Trigger};
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Failed attempts that are kept of one run.
pub const RETRIES_KEPT_MAX: usize = 20;

/// One run as the ledger keeps it. The tool's output lies apart, in [`super::record::RunTail`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub round: RoundId,
    pub routine: RoutineName,
    pub node: NodeId,
    pub task: TaskKind,
    #[serde(default)]
    pub slot: Option<Timestamp>,
    /// True where the round expects this run: only such runs count for its verdict.
    pub expected: bool,
    /// Place in the round's order.
    pub position: u32,
    /// When it entered the queue: the round's opening, or its start where it never queued.
    pub queued_at: Timestamp,
    pub plan_hash: String,
    /// What it needs while it runs.
    pub needs: Needs,
    pub stage: Stage,
    /// How often it has been dispatched.
    #[serde(default)]
    pub dispatches: u32,
    /// The latest dispatch.
    #[serde(default)]
    pub sent: Option<Sent>,
    /// The node asked to be left alone until then.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    #[serde(default)]
    pub cancel: Option<Cancel>,
    #[serde(default)]
    pub trigger: Option<Trigger>,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub attempt: u32,
    #[serde(default)]
    pub phase: Option<Phase>,
    #[serde(default)]
    pub milestone: Option<Milestone>,
    /// The last [`RETRIES_KEPT_MAX`] failed attempts.
    #[serde(default)]
    pub retries: Vec<RunRetried>,
    #[serde(default)]
    pub end: Option<End>,
    /// Why its node put it off last, where that would explain that it never began: no room to write it down.
    #[serde(default)]
    pub refused: Option<Reason>,
}

/// Which part of which round a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub round: RoundId,
    pub routine: RoutineName,
    pub node: NodeId,
    pub task: TaskKind,
    pub slot: Option<Timestamp>,
    /// Place in the round's order; absent where the round does not expect the run.
    pub position: Option<u32>,
    pub queued_at: Timestamp,
    pub plan_hash: String,
}

/// How far a run is; it only moves forward, except that a run which its node did not take on queues again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Queued,
    Sent,
    Running,
    Ended,
}

/// The limits and the repository that a run counts against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    #[serde(default)]
    pub repository: Option<RepositoryId>,
    /// What stands for the repository where its id is not known.
    pub destination: String,
    pub lock: RepositoryLock,
    #[serde(default)]
    pub storage: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub priority: i32,
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub command: CommandId,
    /// When the dispatch was written.
    pub at: Timestamp,
    pub not_after: Timestamp,
    /// True once the node said that it took the run on.
    #[serde(default)]
    pub accepted: bool,
}

/// Somebody wants the run to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    pub command: CommandId,
    pub by: String,
    pub at: Timestamp,
}

/// How far a running run was, to the tenth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    pub percent: u8,
    pub files_done: u64,
    pub bytes_done: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub outcome: Outcome,
    pub reason: Reason,
    pub message: String,
    /// By the node's clock where it reported, else when the decision was written.
    pub at: Timestamp,
    /// The node's report without the output's end. Absent where the node said nothing: lost, refused, cancelled in the queue.
    #[serde(default)]
    pub report: Option<RunReport>,
    /// True where the verdict had fallen before.
    #[serde(default)]
    pub late: bool,
}

/// Runs outside a round's expected set come after those in it.
const POSITION_UNEXPECTED: u32 = u32::MAX;

impl Run {
    /// A run of which nothing has been heard yet.
    pub fn queued(id: RunId, part: Part, needs: Needs) -> Self {
        let Part { round, routine, node, task, slot, position, queued_at, plan_hash } = part;
        Self {
            id,
            round,
            routine,
            node,
            task,
            slot,
            expected: position.is_some(),
            position: position.unwrap_or(POSITION_UNEXPECTED),
            queued_at,
            plan_hash,
            needs,
            stage: Stage::Queued,
            dispatches: 0,
            sent: None,
            not_before: None,
            cancel: None,
            trigger: None,
            started_at: None,
            attempt: 0,
            phase: None,
            milestone: None,
            retries: Vec::new(),
            end: None,
            refused: None,
        }
    }

    pub const fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// Whether it holds permits.
    pub const fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Sent | Stage::Running)
    }

    pub fn outcome(&self) -> Option<Outcome> {
        self.end.as_ref().map(|end| end.outcome)
    }

    /// The repository it wrote to, as its evidence says, or as its plan was announced.
    pub fn repository(&self) -> Option<&RepositoryId> {
        let seen = self.end.as_ref().and_then(|end| end.report.as_ref()).and_then(|report| report.evidence.as_ref());
        seen.and_then(|evidence| evidence.repository.as_ref()).or(self.needs.repository.as_ref())
    }

    /// Whether what it reported proves a good result.
    pub fn is_good(&self) -> bool {
        self.end.as_ref().and_then(|end| end.report.as_ref()).is_some_and(|report| is_good(report, self.task))
    }
}

/// Whether a report proves a good result: for a backup, exactly one snapshot at the destination that covers every source.
/// A run whose work had been done before may come without evidence of its own.
pub fn is_good(report: &RunReport, task: TaskKind) -> bool {
    let proven = || {
        let evidence = report.evidence.as_ref();
        evidence.is_some_and(|evidence| evidence.matches == 1 && evidence.covers_sources)
            || (evidence.is_none() && report.reason == Reason::AlreadyDone)
    };
    report.outcome.is_good()
        && match task {
            TaskKind::Backup => proven(),
            TaskKind::Check => true,
        }
}
