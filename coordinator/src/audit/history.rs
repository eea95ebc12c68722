//! What happened, as far as it can be known: the log, what lies on nodes' disks, and what repositories hold.
//!
//! The simulator knows everything, a live cluster tells less. What cannot be known is absent, and a law that needs it holds
//! its tongue.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::envelope::{ContentHash, Envelope, Epoch, Identity, Position};
use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::{CommandId, Holder, Incarnation, NodeId, RepositoryId, RunId};
use landfall_proto::report::RunReport;
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp};

use crate::core::Policy;

/// Everything that the laws look at.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every message that the log ever took, in its order; those that a torn or wiped log lost included, where they are known.
    pub log: Vec<Entry>,
    pub nodes: BTreeMap<NodeId, NodeTrace>,
    pub repositories: BTreeMap<RepositoryId, RepositoryTrace>,
    pub coordinators: Vec<CoordinatorTrace>,
    /// Texts that must appear nowhere.
    pub secrets: Vec<String>,
    /// How long after the faults have stopped everything must have come to rest; absent while faults go on.
    pub heal: Option<Heal>,
    /// When the history was closed, by the true clock.
    pub ended_at: Option<Timestamp>,
    /// By which the coordinators decide: its limits, its sinks, its thresholds.
    pub policy: Policy,
    /// Since when that policy has been in force; absent where it always was.
    pub policy_since: Option<Timestamp>,
    /// True where the log has lost messages that `log` does not hold either: what they explained cannot be told. A
    /// simulator that keeps lost messages with `is_there: false` leaves this false.
    pub is_cut: bool,
}

/// One message as the log took it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub position: Position,
    /// By the bus's clock.
    pub at: Timestamp,
    /// On whose subject it came.
    pub topic: Topic,
    pub envelope: Envelope,
    /// False where a torn tail or a lost store has taken it away again.
    pub is_there: bool,
    /// For a message that was taken away: whether some coordinator's ledger held it by then; absent where nobody wrote it down.
    pub was_held: Option<bool>,
}

/// The end of bad weather.
#[derive(Debug, Clone, Copy)]
pub struct Heal {
    pub at: Timestamp,
    pub patience: Duration,
}

/// What is known of one machine. Lists are in the order in which things happened, by the true clock.
#[derive(Debug, Clone, Default)]
pub struct NodeTrace {
    pub receipts: Vec<ReceiptSeen>,
    /// Facts that the spool holds at the end; absent where nobody can look.
    pub outbox: Option<Vec<(Identity, ContentHash)>>,
    /// Facts that the spool deleted.
    pub deleted: Vec<Deleted>,
    /// Commands that the agent answered with `Accepted`.
    pub obeyed: Vec<Obeyed>,
    /// Process groups that ran a tool.
    pub processes: Vec<ProcessSeen>,
    /// Slots that were due while machine, disk and tool worked.
    pub due: Vec<DueSlot>,
    /// Writes and visible effects in order, for the law of writing ahead.
    pub io: Vec<Io>,
    /// Everything that the agent wrote or sent as text: log lines, receipts, arguments.
    pub texts: Vec<String>,
    /// Lives of the journal and why each began.
    pub incarnations: Vec<(Incarnation, String)>,
    /// Sizes that must stay below their caps: name, size, cap.
    pub sizes: Vec<(String, u64, u64)>,
    /// Staging folders and process groups that are left at the end, though no run needs them.
    pub litter: Vec<String>,
    /// Whether the agent's process lives at the end; absent where nobody can say.
    pub is_up: Option<bool>,
    /// Every fact that the journal ever numbered and that reached the disk, in whichever life of it; absent where nobody
    /// wrote it down. A fact in the log that is not among them was published before it was written.
    pub written: Option<BTreeMap<Identity, ContentHash>>,
    /// Runs whose end (`run_finished`) is told by a fact that the spool still holds at the end.
    pub unsent_ends: BTreeSet<RunId>,
    /// How many facts no coordinator has confirmed, by the agent's last beat; for a live cluster, whose spools nobody opens.
    pub unconfirmed: Option<u64>,
    /// Commands that the agent answered with `Refused`; absent where nobody wrote them down.
    pub refused: Option<BTreeSet<CommandId>>,
    /// Runs that the core holds as under way at the end; absent where nobody can say.
    pub live_runs: Option<BTreeSet<RunId>>,
    /// When the state on the disk was replaced by an older or another machine's one: from then on identities, epochs and
    /// slots may come again, and the promise is only that it is noticed.
    pub set_back: Vec<Timestamp>,
}

/// One receipt on the disk.
#[derive(Debug, Clone)]
pub struct ReceiptSeen {
    pub about: RunAbout,
    pub attempt: u32,
    pub report: RunReport,
    /// By the true clock; for a live node, by the clock of its file system.
    pub written_at: Timestamp,
}

/// A fact that an agent let go.
#[derive(Debug, Clone)]
pub struct Deleted {
    pub identity: Identity,
    pub hash: ContentHash,
    pub at: Timestamp,
    /// How long the fact had been there, by whatever the agent measures it with.
    pub age: Duration,
    /// The watermark that allowed it.
    pub durable_below: u64,
    /// Whether some coordinator's ledger had held the fact durably by that moment; absent where nobody knows.
    pub is_durable_elsewhere: Option<bool>,
}

/// A command that was obeyed.
#[derive(Debug, Clone)]
pub struct Obeyed {
    pub command: CommandId,
    pub epoch: Epoch,
    pub holder: Holder,
    pub audience: NodeId,
    pub is_signed: bool,
    pub not_after: Timestamp,
    /// By the agent's clock.
    pub at: Timestamp,
    /// The life of the journal that obeyed: a journal that is built again from receipts has forgotten its fence.
    pub incarnation: Incarnation,
    /// The run that it started, where it started one.
    pub started: Option<RunId>,
}

/// One life of a tool.
#[derive(Debug, Clone)]
pub struct ProcessSeen {
    pub run: RunId,
    pub attempt: u32,
    pub repository: RepositoryId,
    pub started_at: Timestamp,
    /// Absent while it lives.
    pub ended_at: Option<Timestamp>,
    /// By which the core explained it: the node's own schedule, a person, or a command.
    pub command: Option<CommandId>,
}

/// A slot and what became of it.
#[derive(Debug, Clone)]
pub struct DueSlot {
    pub routine: landfall_proto::id::RoutineName,
    pub slot: Timestamp,
    /// The latest instant at which the run must have begun.
    pub start_by: Timestamp,
    pub became: Option<SlotFate>,
}

/// The four ends of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotFate {
    Ran { at: Timestamp },
    Missed,
    Skipped,
    Expired,
}

/// One step of the agent's input and output, for the law of writing ahead.
#[derive(Debug, Clone)]
pub enum Io {
    /// A record reached the disk for good.
    Durable { record: String },
    /// Something became visible outside, and the record that it depends on.
    Visible { what: String, needs: String },
    /// The machine stopped: what was not durable is gone.
    Crash,
}

/// What one repository holds and has lost.
#[derive(Debug, Clone, Default)]
pub struct RepositoryTrace {
    pub snapshots: Vec<SnapshotSeen>,
    /// Snapshots that disappeared, and whether a signed retention in the log explains it.
    pub removed: Vec<(String, bool)>,
    /// Snapshots that something outside the mesh took away: a fault, not a deed of ours.
    pub taken: BTreeSet<String>,
    /// Runs whose snapshot somebody looked for and did not find exactly once; for a live cluster, where witnesses look.
    pub absent: BTreeSet<RunId>,
    /// True where `snapshots` holds only what somebody was asked about, so that others may be there unseen.
    pub is_partial: bool,
}

/// One snapshot as the repository lists it.
#[derive(Debug, Clone)]
pub struct SnapshotSeen {
    pub id: String,
    pub node: Option<NodeId>,
    pub run: Option<RunId>,
    pub taken_at: Timestamp,
    /// Covers every source, and is no checkpoint.
    pub is_whole: bool,
    /// The data behind it can be read.
    pub is_sound: bool,
}

/// What is known of one coordinator process; made by [`CoordinatorTrace::new`], then filled in.
#[derive(Debug, Clone)]
pub struct CoordinatorTrace {
    pub holder: Holder,
    pub incarnation: Incarnation,
    /// Digests of the folded state at positions, as they were published or found.
    pub digests: Vec<(Position, ContentHash)>,
    /// Commands it sent: when by the true clock, under which epoch, and the position up to which it had folded.
    pub commands: Vec<(Timestamp, CommandId, Epoch, Position)>,
    /// Notices it handed to sinks: alert id, whether resolved, sink, when.
    pub notices: Vec<(uuid::Uuid, bool, String, Timestamp)>,
    /// How far it had folded at the end; absent where it no longer lives.
    pub cursor: Option<Position>,
    /// Whether it led at the end.
    pub leads: bool,
    pub sizes: Vec<(String, u64, u64)>,
    /// Commits of its ledger that got behind a barrier: when by the true clock, and the cursor in it. Only what is said to
    /// be safe depends on them; commands depend on what was read back from the log.
    pub committed: Vec<(Timestamp, Position)>,
    /// Its own facts (decisions and notes) and the position up to which it had folded when it decided each.
    pub decided: Vec<(Identity, Position)>,
    /// Each time its state was built from records instead of from the log's first message.
    pub restored: Vec<Restored>,
    /// Runs whose report its state or its ledger holds at the end; absent where nobody can look.
    pub ended_runs: Option<BTreeSet<RunId>>,
    /// What it would decide at the end if it looked at everything (`core::decide::everything`), one line each; empty in a
    /// mesh at rest. Filled for the leader, only once it has nothing in flight.
    pub undecided: Vec<String>,
    /// True where it ended because its digest differed from the leader's.
    pub stood_down: bool,
}

/// A state that was built from records: a ledger after a restart, or a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Restored {
    pub at: Timestamp,
    /// The cursor in the records.
    pub position: Position,
    /// The digest of the state from which the records were written, where it is known.
    pub was: Option<ContentHash>,
    /// The digest of the state that was built from them.
    pub became: ContentHash,
}

impl CoordinatorTrace {
    /// A process of which nothing else is known.
    pub const fn new(holder: Holder, incarnation: Incarnation) -> Self {
        Self {
            holder,
            incarnation,
            digests: Vec::new(),
            commands: Vec::new(),
            notices: Vec::new(),
            cursor: None,
            leads: false,
            sizes: Vec::new(),
            committed: Vec::new(),
            decided: Vec::new(),
            restored: Vec::new(),
            ended_runs: None,
            undecided: Vec::new(),
            stood_down: false,
        }
    }
}
