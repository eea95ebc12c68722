//! Bad luck as values: written down, read back, dropped one by one where a failure is to be made small.

use landfall_proto::time::Duration;
use serde::{Deserialize, Serialize};

use crate::coordinator::{Boundary, Power};

/// One piece of bad luck and when it begins, counted from the beginning of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    pub at: Duration,
    #[serde(flatten)]
    pub fault: Fault,
}

/// Where an agent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentBoundary {
    /// Wherever it is.
    Anywhere,
    /// At the so-manyth boundary between two of its effects from now on, counted from 1.
    Effect { boundaries: u32 },
    /// When it comes to this place for the next time.
    At(AgentPlace),
}

/// Between which two steps of its work an agent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentPlace {
    /// A start is decided and not written down.
    BeforeIntent,
    /// Something else is decided and not written down.
    BeforeCommit,
    AfterCommit,
    BetweenEffects,
    /// The intent is written and not durable.
    IntentWritten,
    AfterIntent,
    /// The tool has begun, and its process is not noted.
    AfterSpawn,
    WhileToolRuns,
    /// The snapshot is there, and nobody has read it back.
    AfterSave,
    BeforeReceipt,
    /// The receipt is written and not durable.
    ReceiptWritten,
    AfterReceipt,
    AfterPublish,
    AfterAck,
}

impl AgentPlace {
    pub const ALL: [Self; 14] = [
        Self::BeforeIntent,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::BetweenEffects,
        Self::IntentWritten,
        Self::AfterIntent,
        Self::AfterSpawn,
        Self::WhileToolRuns,
        Self::AfterSave,
        Self::BeforeReceipt,
        Self::ReceiptWritten,
        Self::AfterReceipt,
        Self::AfterPublish,
        Self::AfterAck,
    ];
}

/// What of an agent's state directory is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpoolTrouble {
    /// The journal cannot be read.
    Rotten,
    /// The journal is gone, receipts are there.
    Gone,
    /// Everything is gone.
    Everything,
}

/// What a tool does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolTrouble {
    Hangs,
    Fails,
    /// Says that all is well and leaves nothing.
    Lies,
    /// Leaves only a part of the sources.
    Partial,
    /// Works for long.
    Slow,
    /// Fails once, and works when it is tried again.
    FailsOnce,
    /// Cannot read some files.
    Unread,
    /// Dies half-way.
    Crashes,
    /// Works well, and lives on when its agent dies.
    Outlives,
}

/// What is wrong with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryTrouble {
    /// Somebody else holds the lock.
    Locked,
    Full,
    /// Data behind a snapshot can no longer be read.
    Rotten,
    Unreachable,
    /// A snapshot is removed behind everybody's back.
    Robbed,
}

/// A message in the log that must not harm anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Poison {
    Garbage,
    /// A sound message with bytes behind it.
    LeftOver,
    /// A fact of one node on the subject of another.
    Forged,
    /// A fact of a kind that nobody knows, from a node that nobody knows.
    UnknownKind,
    /// A sound wrapper around a body that cannot be read.
    BrokenBody,
}

/// What can go wrong. Numbers name nodes and coordinators, modulo how many there are; lengths are virtual time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    Node(NodeFault),
    Coordinator(CoordinatorFault),
    Bus(BusFault),
    Line(LineFault),
    Will(IllWill),
}

/// What befalls nodes, their tools and their repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum NodeFault {
    AgentKilled {
        node: u32,
        boundary: AgentBoundary,
        power: Power,
        away: Duration,
    },
    AgentDiskFull {
        node: u32,
        lasts: Duration,
    },
    AgentSpoolLost {
        node: u32,
        trouble: SpoolTrouble,
    },
    /// The node is cut off, and its outbox has room for so many facts only.
    OutboxFull {
        node: u32,
        keeps: u32,
        lasts: Duration,
    },
    /// The process is asked to stop.
    AgentStopped {
        node: u32,
        away: Duration,
    },
    /// The machine asks for rest: it runs on battery.
    NodeTired {
        node: u32,
        lasts: Duration,
    },
    /// The disk as it is now is put back after `after`.
    NodeRolledBack {
        node: u32,
        after: Duration,
    },
    /// A copy of the disk runs on another machine.
    NodeDuplicated {
        node: u32,
        lasts: Duration,
    },
    NodeClock {
        node: u32,
        step_ms: i64,
        lasts: Duration,
    },
    PlanChanged {
        node: u32,
    },
    Tool {
        node: u32,
        trouble: ToolTrouble,
        lasts: Duration,
    },
    Repository {
        repository: u32,
        trouble: RepositoryTrouble,
        lasts: Duration,
    },
}

/// What befalls coordinators and those whom they tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum CoordinatorFault {
    CoordinatorKilled {
        coordinator: u32,
        boundary: Option<Boundary>,
        power: Power,
        away: Duration,
    },
    /// Every coordinator at once.
    CoordinatorsGone {
        away: Duration,
    },
    LeaderKilled {
        power: Power,
        away: Duration,
    },
    CoordinatorLedgerLost {
        coordinator: u32,
        away: Duration,
    },
    /// The disk of the ledger has no room.
    CoordinatorDiskFull {
        coordinator: u32,
        lasts: Duration,
    },
    CoordinatorPaused {
        coordinator: u32,
        lasts: Duration,
    },
    LeaderPaused {
        lasts: Duration,
    },
    CoordinatorClock {
        coordinator: u32,
        step_ms: i64,
        lasts: Duration,
    },
    SinksFail {
        lasts: Duration,
    },
}

/// What befalls the bus and its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum BusFault {
    BusKilled {
        away: Duration,
    },
    /// The machine of the bus loses power, and the log its last messages.
    BusTorn {
        messages: u32,
        away: Duration,
    },
    BusWiped {
        away: Duration,
    },
    LogRecreated,
    /// A server without its copy answers for the log, until the others have chosen who leads it.
    LogUnsure {
        lasts: Duration,
    },
    BusSoftFull {
        lasts: Duration,
    },
    BusHardFull {
        lasts: Duration,
    },
    BusPaused {
        lasts: Duration,
    },
    BusClock {
        step_ms: i64,
        lasts: Duration,
    },
    IdsForgotten,
    /// The next so many facts are confirmed, and stand nowhere.
    AcksEmpty {
        count: u32,
    },
}

/// What befalls the line between one client and the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum LineFault {
    AcksLost { client: u32, count: u32 },
    AcksLate { client: u32, count: u32 },
    Reordered { client: u32, lasts: Duration },
    WordsLost { client: u32, percent: u32, lasts: Duration },
    Doubled { client: u32, percent: u32, lasts: Duration },
    Slow { client: u32, delay: Duration, lasts: Duration },
    Cut { client: u32, to_bus: bool, from_bus: bool, lasts: Duration },
}

/// What people and strangers do, and what comes twice or late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum IllWill {
    /// Facts that stand in the log are put into it again, as a client does whose repeat came after the window.
    Duplicated {
        count: u32,
    },
    /// The next commands to this node come so much later.
    RequestsLate {
        node: u32,
        count: u32,
        by: Duration,
    },
    RequestReplayed {
        node: u32,
    },
    RequestUnsigned {
        node: u32,
    },
    Poisoned {
        poison: Poison,
        node: u32,
    },
    OperatorStarts {
        node: u32,
    },
    OperatorCancels,
}

impl Fault {
    /// One line for people.
    pub fn line(&self) -> String {
        toml::Value::try_from(self).map_or_else(
            |_| format!("{self:?}"),
            |value| {
                let table = value.as_table().cloned().unwrap_or_default();
                let name = table.get("fault").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
                let rest = table.iter().filter(|(key, _)| *key != "fault");
                rest.fold(name, |line, (key, value)| format!("{line} {key}={}", value.to_string().trim_matches('"')))
            },
        )
    }
}
