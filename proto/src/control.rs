//! What an operator asks of the coordinator, and the answers. Lists are paged; acts name who asks.

use serde::{Deserialize, Serialize};

use crate::id::{Holder, NodeId, RoundId, RoutineName, RunId};
use crate::limit::LimitName;
use crate::metrics::MetricsView;
use crate::monitor::{KeyHash, MonitorDetail, MonitorSpec, MonitorsView, Ping, PingAnswer, PingTo};
use crate::overview::{BoardFilter, BoardView, QueueFilter, QueueView, StorageView, TrendsView};
use crate::rehearsal::RehearsalView;
use crate::report::{Outcome, TaskKind};
use crate::view::{
    AlertView, LimitView, LogView, NodeView, Page, RoundDetail, RoundView, RoutineView, RunDetail, RunView, StatusView,
};

pub const REQUEST_KIND: &str = "request";
pub const REPLY_KIND: &str = "reply";

/// Where [`Request::Snapshot`] is asked: coordinators have places of their own below the control subjects, which operators
/// neither reach nor hear, and which no other subscription of a coordinator hears a second time.
pub const SNAPSHOT_PLACE: &str = "peer.snapshot";

/// Where a standby passes on what its own page was asked and only the leader can answer.
pub const ASK_PLACE: &str = "peer.ask";

/// Bytes of a snapshot in one answer at most; with its wrapping well below the longest message.
pub const SNAPSHOT_PIECE_BYTES_MAX: usize = 128 * 1024;

/// Rows a list answers at most.
pub const PAGE_ROWS_MAX: u32 = 100;

/// One request; the subject's verb is [`Request::verb`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Status,
    Rounds {
        routine: Option<RoutineName>,
        open: Option<bool>,
        paging: Paging,
    },
    Round {
        id: RoundId,
    },
    Runs {
        filter: RunFilter,
        paging: Paging,
    },
    Run {
        id: RunId,
    },
    Nodes {
        paging: Paging,
    },
    Node {
        id: NodeId,
    },
    Routines,
    Routine {
        name: RoutineName,
    },
    Alerts {
        all: bool,
        paging: Paging,
    },
    Alert {
        key: String,
    },
    Limits,
    /// Everything that is to be protected, the worst first.
    Board {
        filter: BoardFilter,
    },
    /// What waits, what runs, and what ended lately.
    Queue {
        filter: QueueFilter,
    },
    /// Figures over days, of backups.
    Trends {
        #[serde(default)]
        routine: Option<RoutineName>,
        #[serde(default)]
        node: Option<NodeId>,
        /// [`crate::overview::DAYS_MAX`] at most.
        days: u32,
    },
    /// The room of destinations over days, and when each will be full.
    Storages {
        /// One of them; all if absent.
        #[serde(default)]
        name: Option<String>,
        paging: Paging,
    },
    /// Figures of the whole mesh. Only a coordinator's own pages ask: the answer may be longer than a message.
    Metrics,
    /// What a start with these words would meet; nothing is started and nothing written.
    Rehearse {
        routine: RoutineName,
        nodes: Vec<NodeId>,
        task: TaskKind,
    },
    Logs {
        run: RunId,
        offset: u64,
    },
    Start {
        routine: RoutineName,
        nodes: Vec<NodeId>,
        task: TaskKind,
        by: String,
        request: uuid::Uuid,
    },
    Cancel {
        id: uuid::Uuid,
        by: String,
    },
    Retry {
        id: uuid::Uuid,
        by: String,
        request: uuid::Uuid,
    },
    Retire {
        node: NodeId,
        by: String,
    },
    SetLimit {
        name: LimitName,
        value: u32,
        by: String,
    },
    /// Send a test to a sink and say what it answered. The same `request` asked again is the same test.
    TestSink {
        sink: String,
        request: uuid::Uuid,
    },
    /// Monitors, the worst first.
    Monitors {
        paging: Paging,
    },
    Monitor {
        name: RoutineName,
    },
    /// Make a monitor, or change one. The same asked again is the same.
    SetMonitor {
        monitor: MonitorSpec,
        /// Whether there must be one of this name already, else there must be none.
        replaces: bool,
        by: String,
    },
    RemoveMonitor {
        name: RoutineName,
        by: String,
    },
    /// Make a ping key, or end one.
    SetPingKey {
        label: String,
        /// Absent to end it.
        #[serde(default)]
        key: Option<KeyHash>,
        #[serde(default)]
        creates: bool,
        by: String,
    },
    /// A ping that a coordinator's own door has taken in.
    Ping {
        to: PingTo,
        ping: Ping,
    },
    /// A piece of a coordinator's snapshot, asked by another coordinator; `holder` says whose, where it matters.
    Snapshot {
        /// Which file; the newest one, made for this request where the state has moved on, if absent.
        #[serde(default)]
        name: Option<String>,
        offset: u64,
        #[serde(default)]
        holder: Option<Holder>,
    },
}

impl Request {
    /// Whether it only asks for state that every coordinator holds.
    pub const fn is_read(&self) -> bool {
        match self {
            Self::Status
            | Self::Rounds { .. }
            | Self::Round { .. }
            | Self::Runs { .. }
            | Self::Run { .. }
            | Self::Nodes { .. }
            | Self::Node { .. }
            | Self::Routines
            | Self::Routine { .. }
            | Self::Alerts { .. }
            | Self::Alert { .. }
            | Self::Limits
            | Self::Board { .. }
            | Self::Queue { .. }
            | Self::Trends { .. }
            | Self::Monitors { .. }
            | Self::Monitor { .. }
            | Self::Storages { .. }
            | Self::Rehearse { .. }
            | Self::Metrics => true,
            Self::Logs { .. }
            | Self::Start { .. }
            | Self::Cancel { .. }
            | Self::Retry { .. }
            | Self::Retire { .. }
            | Self::SetLimit { .. }
            | Self::TestSink { .. }
            | Self::SetMonitor { .. }
            | Self::RemoveMonitor { .. }
            | Self::SetPingKey { .. }
            | Self::Ping { .. }
            | Self::Snapshot { .. } => false,
        }
    }

    /// The last token of the request's subject.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Rounds { .. } => "rounds",
            Self::Round { .. } => "round",
            Self::Runs { .. } => "runs",
            Self::Run { .. } => "run",
            Self::Nodes { .. } => "nodes",
            Self::Node { .. } => "node",
            Self::Routines => "routines",
            Self::Routine { .. } => "routine",
            Self::Alerts { .. } => "alerts",
            Self::Alert { .. } => "alert",
            Self::Limits => "limits",
            Self::Board { .. } => "board",
            Self::Queue { .. } => "queue",
            Self::Trends { .. } => "trends",
            Self::Storages { .. } => "storages",
            Self::Metrics => "metrics",
            Self::Rehearse { .. } => "rehearse",
            Self::Logs { .. } => "logs",
            Self::Start { .. } => "start",
            Self::Cancel { .. } => "cancel",
            Self::Retry { .. } => "retry",
            Self::Retire { .. } => "retire",
            Self::SetLimit { .. } => "set_limit",
            Self::TestSink { .. } => "test_sink",
            Self::Monitors { .. } => "monitors",
            Self::Monitor { .. } => "monitor",
            Self::SetMonitor { .. } => "set_monitor",
            Self::RemoveMonitor { .. } => "remove_monitor",
            Self::SetPingKey { .. } => "set_ping_key",
            Self::Ping { .. } => "ping",
            Self::Snapshot { .. } => "snapshot",
        }
    }
}

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Paging {
    /// Rows wanted; [`PAGE_ROWS_MAX`] at most.
    #[serde(default)]
    pub rows: Option<u32>,
    /// `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
}

/// Which runs; every given condition holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunFilter {
    #[serde(default)]
    pub node: Option<NodeId>,
    #[serde(default)]
    pub routine: Option<RoutineName>,
    #[serde(default)]
    pub round: Option<RoundId>,
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Only runs that have not ended, or only those that have.
    #[serde(default)]
    pub ended: Option<bool>,
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Status(StatusView),
    Rounds(Page<RoundView>),
    Round(RoundDetail),
    Runs(Page<RunView>),
    Run(RunDetail),
    Nodes(Page<NodeView>),
    Node(NodeView),
    Routines(Vec<RoutineView>),
    Routine(RoutineView),
    Alerts(Page<AlertView>),
    Alert(AlertView),
    Limits(Vec<LimitView>),
    Board(BoardView),
    Queue(QueueView),
    Trends(TrendsView),
    Storages(Page<StorageView>),
    Metrics(MetricsView),
    Rehearsal(RehearsalView),
    Logs(LogView),
    Monitors(MonitorsView),
    Monitor(MonitorDetail),
    Pinged(PingAnswer),
    Snapshot(SnapshotPiece),
    /// The round that an act opened.
    Opened {
        round: RoundId,
    },
    /// The act stands in the log.
    Done {
        message: String,
    },
    Refused(Problem),
}

/// A part of a snapshot file. Only the whole is checked, by the hash in its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SnapshotPiece {
    /// Who has it.
    pub holder: Holder,
    pub name: String,
    pub total_bytes: u64,
    /// Where `bytes` begin in the file.
    pub offset: u64,
    /// At most [`SNAPSHOT_PIECE_BYTES_MAX`]; none at the file's end.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// What happened, why, and what to do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Problem {
    pub what: String,
    pub why: String,
    pub fix: String,
    /// For programs; absent where the request was heard and refused for what it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ProblemCode>,
}

/// What kind of problem it is, for who has to go on without reading the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// There is no such thing; asking again changes nothing.
    NotFound,
    /// Nobody could answer: what was asked may be so or not, may have been done or not.
    Unknown,
}

impl Problem {
    /// The same problem, said to programs as well.
    #[must_use]
    pub fn coded(self, code: ProblemCode) -> Self {
        Self { code: Some(code), ..self }
    }
}
