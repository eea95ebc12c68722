//! One machine with an agent: what it announced, how each routine stands on it, and what its beats say.

use std::collections::{BTreeMap, VecDeque};

use landfall_proto::fact::agent::{BrokenPlan, PlanAnnouncement, StartCause};
use landfall_proto::id::{Incarnation, NodeId, RoundId, RoutineName, RunId, TargetName};
use landfall_proto::live::{BEAT_INTERVAL, BEATS_MISSED_MAX, LiveRun};
use landfall_proto::report::{Evidence, Outcome, Reason, TaskKind, Vitals};
use landfall_proto::time::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A node is silent this long after its last beat: the beats it may miss, and a little for their way.
pub const NODE_SILENCE: Duration = Duration::from_ms(BEAT_INTERVAL.as_ms() * BEATS_MISSED_MAX as u64 + 2000);

/// Good runs whose figures are kept for the guards.
pub const SAMPLES_MAX: usize = 20;

/// Spans of missed slots that are remembered per routine.
pub const MISSED_MAX: usize = 20;

/// One node as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub start_cause: Option<StartCause>,
    /// Every routine this node announced since it joined or came back from retirement.
    #[serde(default)]
    pub routines: BTreeMap<RoutineName, NodeRoutine>,
    #[serde(default)]
    pub broken: Vec<BrokenPlan>,
    /// Which life of the agent's journal announced the plans, and in which fact.
    #[serde(default)]
    pub announced: Option<(Incarnation, Uuid)>,
    #[serde(default)]
    pub retired_at: Option<Timestamp>,
    /// The first fact that contradicts an earlier one under the same identity.
    #[serde(default)]
    pub conflict: Option<Uuid>,
}

/// How one routine stands on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRoutine {
    pub plan: PlanAnnouncement,
    /// False where the latest announcement lacks the plan: it is expected all the same until the node is retired.
    pub present: bool,
    pub first_announced_at: Timestamp,
    #[serde(default)]
    pub backup: History,
    #[serde(default)]
    pub check: History,
    /// A witness did not find a snapshot that this node reported.
    #[serde(default)]
    pub contradicted: Option<Contradicted>,
    /// Spans of slots that the node says it missed: first and last slot.
    #[serde(default)]
    pub missed: VecDeque<(Timestamp, Timestamp)>,
}

/// What became of the runs of one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    #[serde(default)]
    pub last: Option<LastRun>,
    #[serde(default)]
    pub last_good: Option<LastGood>,
    /// The latest run that failed, until a good one follows.
    #[serde(default)]
    pub trouble: Option<LastRun>,
    #[serde(default)]
    pub failures_since_good: u32,
    /// Figures of the last good runs, oldest first; the last entry is the last good run's own.
    #[serde(default)]
    pub samples: VecDeque<Sample>,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    pub run: RunId,
    pub round: RoundId,
    pub outcome: Outcome,
    pub reason: Reason,
    pub message: String,
    pub finished_at: Timestamp,
}

/// The latest run that proved a good result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    pub run: RunId,
    pub round: RoundId,
    /// The instant that a restore would bring back: when the snapshot was taken.
    pub at: Timestamp,
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

/// Figures of one good run; a figure that its driver does not know is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub run: RunId,
    #[serde(default)]
    pub files: Option<u64>,
    #[serde(default)]
    pub bytes: Option<u64>,
    pub duration_ms: u64,
    /// What was read back at the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_read: Option<u64>,
}

/// A snapshot that a node reported and a neighbour did not find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contradicted {
    pub run: RunId,
    pub round: RoundId,
    pub by: NodeId,
}

/// What the beats of a node say; never logged, gone with the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    pub incarnation: Incarnation,
    /// By the leader's clock.
    pub last_beat_at: Timestamp,
    /// The bus reported the disconnect after the last beat.
    pub gone: bool,
    /// The sequence that the agent will write next.
    pub next_seq: u64,
    /// The same as the beat before said: what lies below it has had time to arrive.
    pub next_seq_before: Option<u64>,
    /// What was folded of this journal when the last beat came.
    pub folded_then: u64,
    /// When the journal was last seen behind what the log holds of it: it was set back.
    pub set_back_at: Option<Timestamp>,
    pub outbox: u64,
    pub vitals: Vitals,
    /// Destinations with too little room, and since when its beats say so.
    pub low_since: BTreeMap<TargetName, Timestamp>,
    pub runs: BTreeMap<RunId, LiveRun>,
    pub paused: Option<String>,
    pub version: String,
    /// The node's clock minus the leader's, transit included.
    pub skew_ms: i64,
    /// Another life of the same node's journal that beat before this one, and when.
    pub rival: Option<(Incarnation, Timestamp)>,
    /// When two lives were last heard to alternate: two machines share one identity.
    pub clash_at: Option<Timestamp>,
}

impl NodeRoutine {
    pub const fn history(&self, task: TaskKind) -> &History {
        match task {
            TaskKind::Backup => &self.backup,
            TaskKind::Check => &self.check,
        }
    }

    pub(super) const fn history_mut(&mut self, task: TaskKind) -> &mut History {
        match task {
            TaskKind::Backup => &mut self.backup,
            TaskKind::Check => &mut self.check,
        }
    }
}

impl Node {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            host: String::new(),
            version: String::new(),
            labels: BTreeMap::new(),
            started_at: None,
            start_cause: None,
            routines: BTreeMap::new(),
            broken: Vec::new(),
            announced: None,
            retired_at: None,
            conflict: None,
        }
    }

    pub const fn is_retired(&self) -> bool {
        self.retired_at.is_some()
    }
}
