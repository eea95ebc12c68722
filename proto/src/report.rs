//! What a run says of itself: task kinds, phases, progress, outcomes, reasons, evidence, vitals.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{RepositoryId, RunId, TargetName};
use crate::time::Timestamp;

pub use crate::reason::Reason;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Backup,
    /// Structure of the repository, and a rotating subset of its data.
    Check,
}

impl TaskKind {
    pub const ALL: [Self; 2] = [Self::Backup, Self::Check];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Check => "check",
        }
    }

    /// When a run of this task counts as good, for people.
    pub const fn good_when(self) -> &'static str {
        match self {
            Self::Backup => {
                "the destination shows exactly one snapshot of the run, which covers every source, is not empty, and keeps within the bands of its history; an exit code alone is never enough"
            }
            Self::Check => {
                "the repository's structure is whole, and the part of the data that was read is what was once written"
            }
        }
    }

    /// What goes wrong most, each with its own cause and next step.
    pub const fn common_failures(self) -> &'static [Reason] {
        match self {
            Self::Backup => &[
                Reason::NoSpace,
                Reason::Network,
                Reason::Lock,
                Reason::Auth,
                Reason::NoRepository,
                Reason::SourceMissing,
                Reason::SourceUnreadable,
                Reason::Permission,
                Reason::VerifyMissing,
                Reason::VerifyIncomplete,
                Reason::Empty,
                Reason::Shrunk,
                Reason::Stalled,
                Reason::Killed,
            ],
            Self::Check => &[
                Reason::Integrity,
                Reason::Damaged,
                Reason::Lock,
                Reason::Network,
                Reason::Auth,
                Reason::NoRepository,
                Reason::TimedOut,
            ],
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// How a run came to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The coordinator gave it a permit.
    Dispatched,
    /// The agent's own schedule, because no leader was heard or no turn came.
    Autonomous,
    /// A person on the node.
    Hand,
}

/// The named stage a run is in; a person reads it while no percentage is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Preflight,
    Opening,
    Scanning,
    Transferring,
    Checking,
    Waiting,
    Verifying,
    Cancelling,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Opening => "opening",
            Self::Scanning => "scanning",
            Self::Transferring => "transferring",
            Self::Checking => "checking",
            Self::Waiting => "waiting",
            Self::Verifying => "verifying",
            Self::Cancelling => "cancelling",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Live figures of a run, published at most once a second and never stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Progress {
    pub run: RunId,
    pub phase: Phase,
    /// What is being done at this moment, for people: a path, a pack, a host. At most 200 bytes.
    #[serde(default)]
    pub action: String,
    /// Whole percent, where a total is known.
    #[serde(default)]
    pub percent: Option<u8>,
    pub files_done: u64,
    #[serde(default)]
    pub files_total: Option<u64>,
    pub bytes_done: u64,
    #[serde(default)]
    pub bytes_total: Option<u64>,
    /// Over the last seconds, in bytes per second.
    pub rate_bytes: u64,
    #[serde(default)]
    pub eta_ms: Option<u64>,
    pub at: Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    /// It landed, and something is worth a look.
    Warning,
    /// It landed, without everything that it should hold.
    Partial,
    Failed,
    Skipped,
    Cancelled,
    /// Nobody knows; a late result wins over this.
    Lost,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// Whether the evidence of such a run counts as a good backup.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Ok | Self::Warning)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What a backup has been proven to be; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProofLevel {
    Exit,
    Landed,
    Structure,
    Data,
    Restored,
}

/// What the destination itself showed when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Evidence {
    #[serde(default)]
    pub repository: Option<RepositoryId>,
    /// The snapshot's or artifact's own name at the destination.
    pub snapshot: String,
    pub taken_at: Timestamp,
    pub level: ProofLevel,
    /// How many snapshots carry this run's id; exactly one is right.
    pub matches: u32,
    /// Whether every source of the plan is in it.
    pub covers_sources: bool,
    pub files: u64,
    pub bytes: u64,
    pub read_at: Timestamp,
}

/// Final figures of a run. A figure that a driver does not know is absent, never zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Statistics {
    #[serde(default)]
    pub files: Option<u64>,
    #[serde(default)]
    pub bytes: Option<u64>,
    #[serde(default)]
    pub files_new: Option<u64>,
    #[serde(default)]
    pub files_changed: Option<u64>,
    /// Bytes that the destination grew by, after compression and deduplication.
    #[serde(default)]
    pub added_bytes: Option<u64>,
    #[serde(default)]
    pub packs_read: Option<u64>,
    #[serde(default)]
    pub bytes_read: Option<u64>,
}

/// Sources that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Unread {
    pub count: u64,
    /// The first of them, at most 100 names of at most 200 bytes.
    #[serde(default)]
    pub names: Vec<String>,
}

/// How a tool's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// Everything a run has to say at its end. Final figures ride in here, so progress cannot overtake them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunReport {
    pub outcome: Outcome,
    pub reason: Reason,
    /// What happened, in one sentence for people. At most 1000 bytes.
    pub message: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub attempts: u32,
    #[serde(default)]
    pub exit: Option<Exit>,
    #[serde(default)]
    pub statistics: Statistics,
    #[serde(default)]
    pub evidence: Option<Evidence>,
    #[serde(default)]
    pub unread: Unread,
    /// Guards and checks that fired: short sentences, at most 50.
    #[serde(default)]
    pub findings: Vec<String>,
    /// The end of the tool's output, redacted, at most 8 KiB.
    #[serde(default)]
    pub tail: String,
}

/// A node's condition, sent with each beat.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Vitals {
    /// One-minute load average divided by the number of processors.
    pub load_per_cpu: f64,
    pub memory_total_bytes: u64,
    pub memory_available_bytes: u64,
    /// Free and total bytes by mount point; the twenty fullest at most.
    #[serde(default)]
    pub disks: BTreeMap<String, Space>,
    /// Space of the destinations that this machine reaches by a path, by the target's name; the first fifty at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<TargetName, Space>,
    #[serde(default)]
    pub on_battery: Option<bool>,
    pub agent_memory_bytes: u64,
}

/// Free and total space of one file system or destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Space {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

impl Space {
    /// Whole percent free; 100 where nothing is known of the total.
    pub fn free_percent(self) -> u8 {
        let percent = self.free_bytes.saturating_mul(100).checked_div(self.total_bytes).unwrap_or(100);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}
