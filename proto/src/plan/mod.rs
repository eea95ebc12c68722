//! The plan file's types: what is protected, by which driver, to which target, when, and how it is checked.

mod read;
mod target;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::card::Card;
use crate::id::{RoutineName, TargetName};
use crate::report::Outcome;
use crate::time::Duration;

pub use read::{read_plan, read_target};
pub use target::{Secret, Target};

/// One file of `plans.d`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub name: RoutineName,
    /// Absolute paths. May be empty for `command`, whose program knows what it saves.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Glob patterns of what is left out.
    #[serde(default)]
    pub excludes: Vec<String>,
    #[serde(default)]
    pub one_file_system: bool,
    #[serde(default = "default_driver")]
    pub driver: DriverName,
    pub target: TargetName,
    /// Without it the plan runs only when asked.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    #[serde(default)]
    pub deadlines: Deadlines,
    #[serde(default)]
    pub retries: Retries,
    #[serde(default)]
    pub guards: Guards,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub limits: RunLimits,
    #[serde(default)]
    pub check: Option<CheckAfter>,
    /// Options of the driver `command`.
    #[serde(default)]
    pub command: Option<CommandOptions>,
    /// Higher runs first.
    #[serde(default)]
    pub priority: i32,
    /// The age at which the last good backup is too old.
    #[serde(default)]
    pub rpo: Option<Duration>,
    /// What people have to know of it. Where it is absent the plan's hash is what it was without such a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
    /// The routine whose good backup on the same node this one is worth nothing without: the base of a log archive, the full
    /// backup of an increment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds_on: Option<RoutineName>,
}

/// The programs that can do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverName {
    /// The embedded engine; writes the restic format.
    Rustic,
    /// Any program, with proof of what it left.
    Command,
}

impl DriverName {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rustic => "rustic",
            Self::Command => "command",
        }
    }
}

const fn default_driver() -> DriverName {
    DriverName::Rustic
}

/// When a plan runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// A systemd calendar expression.
    pub calendar: Calendar,
    /// IANA zone name; UTC where absent.
    #[serde(default = "default_zone")]
    pub zone: String,
    /// Whether the latest slot that passed while the node was off is run when it is back.
    #[serde(default = "yes")]
    pub catch_up: bool,
}

fn default_zone() -> String {
    "UTC".to_owned()
}

const fn yes() -> bool {
    true
}

/// How late a run may start, how late the round may end, how long a run may stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    pub start_within: Duration,
    /// Counted from the slot.
    pub finish_within: Duration,
    pub stall_after: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            start_within: Duration::from_secs(3600),
            finish_within: Duration::from_secs(8 * 3600),
            stall_after: Duration::from_secs(1800),
        }
    }
}

/// How often a run is tried for transient reasons, and how long it waits before the second attempt; the wait doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// Attempts in all; 1 is no retry.
    pub attempts: u32,
    pub delay: Duration,
    pub delay_max: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 3, delay: Duration::from_secs(10), delay_max: Duration::from_secs(600) }
    }
}

/// Bands that a run's figures must stay within, against the routine's own history on this node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// More than so many percent fewer files or bytes than usual is suspicious.
    pub shrink_percent: u32,
    /// More than so many percent more bytes than usual is suspicious.
    pub grow_percent: u32,
    /// Longer than so many times the usual duration is suspicious.
    pub slow_factor: f64,
    /// Whether a backup without files is all right.
    pub allow_empty: bool,
    /// Runs that must be on record before the bands count.
    pub history_min: u32,
}

impl Default for Guards {
    fn default() -> Self {
        Self { shrink_percent: 50, grow_percent: 50, slow_factor: 2.0, allow_empty: false, history_min: 3 }
    }
}

/// What one run may take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunLimits {
    /// 0 to 19.
    pub nice: u8,
    pub ionice: IoClass,
    /// Address space of the tool, in bytes; absent is no limit.
    pub memory_bytes: Option<u64>,
    /// The whole run, all attempts; absent is `finish_within`.
    pub timeout: Option<Duration>,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self { nice: 10, ionice: IoClass::BestEffort, memory_bytes: None, timeout: None }
    }
}

/// The disk scheduler's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoClass {
    /// Only when nobody else wants the disk.
    Idle,
    /// Lowest of the ordinary priorities.
    BestEffort,
    /// As any other program.
    Normal,
}

/// A check of the repository after a backup, as a run of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckAfter {
    /// At most once in this time; the structure is checked each time.
    pub every: Duration,
    /// Reads one of so many parts of the data, another each time; absent reads none.
    #[serde(default)]
    pub data_parts: Option<u32>,
}

/// Whether runs may use one repository at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RepositoryLock {
    Shared,
    Exclusive,
}

/// A program of the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandOptions {
    /// Absolute path of the program and its arguments. No shell.
    pub program: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What exit codes mean; 0 is `ok`, every code that is not named is a failure.
    #[serde(default)]
    pub exit: BTreeMap<String, ExitMeaning>,
    /// Whether the program prints progress as JSON lines: `{"percent":…, "bytes_done":…, "files_done":…, "action":…}`.
    #[serde(default)]
    pub progress: bool,
    pub evidence: EvidenceOptions,
    /// Whether two runs may use the target at once.
    #[serde(default = "exclusive")]
    pub lock: RepositoryLock,
    /// A program that checks what has been left, for the task `check`; exit 0 is good.
    #[serde(default)]
    pub check_program: Vec<String>,
}

const fn exclusive() -> RepositoryLock {
    RepositoryLock::Exclusive
}

/// What an exit code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitMeaning {
    Ok,
    Warning,
    Partial,
    Failed,
    /// Failed for a transient reason: try again.
    Retry,
    Skipped,
    AlreadyDone,
}

impl ExitMeaning {
    /// The best outcome a run with such an exit can have; evidence decides the rest.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Ok | Self::AlreadyDone => Outcome::Ok,
            Self::Warning => Outcome::Warning,
            Self::Partial => Outcome::Partial,
            Self::Failed | Self::Retry => Outcome::Failed,
            Self::Skipped => Outcome::Skipped,
        }
    }
}

/// How it is proven that the program left something: exactly one of `path` and `program`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceOptions {
    /// A path, `*` and `?` allowed in its last part: the newest match must be newer than the run's start.
    #[serde(default)]
    pub path: Option<String>,
    /// A program that prints one JSON object: `{"artifact":…, "bytes":…, "files":…, "taken_at":…}`.
    #[serde(default)]
    pub program: Vec<String>,
    #[serde(default = "one")]
    pub min_bytes: u64,
    #[serde(default)]
    pub max_bytes: Option<u64>,
}

const fn one() -> u64 {
    1
}

impl Plan {
    /// Hash of the effective definition: equal where two plans mean the same, whatever their files look like.
    pub fn hash(&self) -> String {
        blake3::hash(&crate::codec::encode(self)).to_hex()[..16].to_owned()
    }

    /// Whether runs of this plan share their repository.
    pub fn lock(&self) -> RepositoryLock {
        match (self.driver, &self.command) {
            (DriverName::Command, Some(command)) => command.lock,
            (DriverName::Command, None) => RepositoryLock::Exclusive,
            (DriverName::Rustic, _) => RepositoryLock::Shared,
        }
    }

    /// The zone that the schedule's times are in.
    pub fn zone(&self) -> &str {
        self.schedule.as_ref().map_or("UTC", |schedule| schedule.zone.as_str())
    }
}
