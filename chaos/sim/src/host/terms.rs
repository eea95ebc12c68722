//! What comes in to a machine, what goes out, and what may happen to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use landfall_agent::core::{Alarm, Catalog, Told3};
use landfall_proto::command::{Answer, Command};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::id::{ClusterName, Holder, NodeId};
use landfall_proto::live::{Beacon, Beat, Sync};
use landfall_proto::report::Reason;
use landfall_proto::time::Duration;

/// What a machine is, besides what its disk holds.
#[derive(Debug, Clone)]
pub struct HostSpec {
    pub node: NodeId,
    pub cluster: ClusterName,
    /// What the node's files define; shared by all machines that are set up alike.
    pub catalog: Arc<Catalog>,
    pub labels: BTreeMap<String, String>,
    /// Runs at once.
    pub parallel: u32,
    pub leader_patience: Duration,
    pub coordinator_silence: Duration,
    /// Between two beats; an agent sends one every five seconds.
    pub beat_every: Duration,
    /// Whether everything is recorded that the laws look at; off where very many machines are simulated for their cost.
    pub is_traced: bool,
}

/// Which power went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// The process died: what it wrote is in the system's memory.
    Process,
    /// The machine stopped: what had not reached the disk is gone.
    Machine,
}

/// Between which two steps of its work a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A start is decided and not written down.
    BeforeIntent,
    /// Something else is decided and not written down.
    BeforeCommit,
    /// It is written down, and nothing of it is done.
    AfterCommit,
    BetweenEffects,
    /// The run's intent is written and would not survive a loss of power.
    IntentWritten,
    /// The intent is on the disk, the tool has not begun.
    AfterIntent,
    /// The tool has begun, and its process is not noted.
    AfterSpawn,
    WhileToolRuns,
    /// The snapshot is there, and nobody has read it back.
    AfterSave,
    /// The tool has ended, the receipt is not written.
    BeforeReceipt,
    /// The receipt is written and would not survive a loss of power.
    ReceiptWritten,
    /// The receipt is on the disk, the fact is not.
    AfterReceipt,
    /// A fact has left and is not confirmed.
    AfterPublish,
    /// A fact is confirmed, and the agent has not noted it.
    AfterAck,
    /// Not a boundary: the process was asked to stop and did.
    Stopped,
}

/// What comes in.
#[derive(Debug, Clone)]
pub enum In {
    /// `from` is the coordinator that sent it; `is_signed` is false where the signature fits no key that the node knows.
    Command {
        question: u64,
        from: Holder,
        command: Box<Command>,
        is_signed: bool,
    },
    Beacon(Beacon),
    Sync(Sync),
    /// What the log said to a published fact.
    Ack {
        identity: Identity,
        told: Told3,
    },
    /// Whether the client is connected to the bus.
    Link(bool),
    /// It is time for what [`Host::wake_at`] named.
    Woke,
}

/// What goes out.
#[derive(Debug, Clone)]
pub enum Out {
    Publish(Envelope),
    Beat(Box<Beat>),
    Answer {
        question: u64,
        answer: Answer,
    },
    Alarm(Alarm),
    /// The process ended in the middle of something, as a fault asked it to, or because it was asked to stop.
    Died {
        place: Place,
        power: Power,
    },
    /// A kind of bad luck took effect.
    Hit(&'static str),
    /// One line for the trace.
    Note(String),
}

/// What may happen to a machine.
#[derive(Debug, Clone, PartialEq)]
pub enum HostFault {
    /// No room on the disk of the state directory, until it is set to false.
    DiskFull(bool),
    /// The outbox has room for so many facts only, until it is set to `None`.
    OutboxKeeps(Option<u64>),
    /// The journal cannot be read at the next start.
    Rot,
    /// The journal is gone at the next start, receipts are there.
    SpoolLost,
    /// The whole state directory is gone at the next start.
    StateLost,
    /// A copy of the disk is taken.
    Copy,
    /// The disk becomes what it was when the copy was taken; the process dies.
    RollBack,
    /// The machine's clock is set by so much. Steps add up.
    ClockStep(SignedDuration),
    /// The clock is right again.
    ClockRight,
    /// The process or the machine dies at the so-manyth effect boundary from now, counted from 1.
    KillAfter { boundaries: u32, power: Power },
    /// The process or the machine dies when it comes to this place for the next time.
    KillAt { place: Place, power: Power },
    /// How tools behave that are started from now on.
    Tool(Behaviour),
    /// Its files define something else now. Noticed at the next look.
    Plans(Arc<Catalog>),
    /// The process is asked to stop; runs may end within half a minute.
    Drain,
    /// Whether the machine's state asks for rest: battery, load.
    Tired(bool),
}

/// How a tool behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    pub kind: ToolKind,
    /// How long the transfer takes, where it ends at all.
    pub transfer: Duration,
    /// Whether the tool lives on when its agent dies.
    pub outlives_agent: bool,
}

/// What becomes of a tool's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    Ok,
    /// Stands still half-way, until the watchdog ends it.
    Hang,
    /// Fails half-way.
    Fails(Reason),
    /// Fails half-way, the first so many times.
    FailsAtFirst {
        reason: Reason,
        times: u32,
    },
    /// Some files cannot be read.
    Unread(u32),
    /// What landed lacks a source.
    Partial,
    /// Ends well and leaves nothing.
    Lies,
    /// The worker dies half-way.
    Crashes,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { kind: ToolKind::Ok, transfer: Duration::from_secs(60), outlives_agent: false }
    }
}
