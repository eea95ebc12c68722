//! What the agent and its worker say to each other: one order in, one JSON event a line out.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use landfall_proto::report::{Phase, Reason};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Longest order line that a worker accepts, in bytes.
pub const MAX_ORDER_BYTES: u64 = 4 << 20;
/// Names kept of each kind of file that a backup could not take as it should.
pub const MAX_NAMES: usize = 100;
/// Findings kept of one check.
pub const MAX_FINDINGS: usize = 50;
/// Log records forwarded by one worker; what follows is dropped, and a last record says so.
pub const MAX_LOG_RECORDS: u64 = 1_000;
/// Snapshots in one listing; of more, the newest are sent and `omitted` counts the rest.
pub const MAX_SNAPSHOTS: usize = 10_000;
/// Exit code of a worker that ended because its agent was gone.
pub const EXIT_ORPHANED: u8 = 3;

/// The one line a worker reads from its standard input before it starts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub repository: Location,
    pub secret: Credentials,
    /// Where the engine may keep its cache. Used for remote repositories only: reading a local one is as fast as
    /// reading a copy of it, and the copy would have to be written first.
    #[serde(default)]
    pub cache_dir: Option<PathBuf>,
    /// The run's directory, where each lock is recorded before it is written; a lock without a record is never cleared by
    /// anybody but its owner.
    #[serde(default)]
    pub lock_records: Option<PathBuf>,
    pub task: Task,
}

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Task {
    Backup(Box<Backup>),
    Check {
        /// `None` checks the structure only. Else `all`, `n/m` (the n-th of m parts, n from 1) or a percentage such as
        /// `5%` (chosen at random).
        #[serde(default)]
        data_subset: Option<String>,
    },
    List {
        /// Only snapshots with one of these tags; empty means all.
        #[serde(default)]
        run_tags: Vec<String>,
        /// Whether to tell of the repository's locks as well.
        #[serde(default)]
        locks: bool,
    },
    /// Removes the locks of these names. Needs no secret: locks are removed without being read.
    Unlock {
        ids: Vec<String>,
    },
}

/// One snapshot to be made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    #[serde(default)]
    pub create_if_missing: bool,
    /// Absolute paths. A symbolic link is resolved, so that what it points to is saved.
    pub sources: Vec<PathBuf>,
    /// Globs as in a `.gitignore`, anchored at `/`; what matches is left out.
    #[serde(default)]
    pub excludes: Vec<String>,
    #[serde(default)]
    pub one_file_system: bool,
    #[serde(default)]
    pub tags: Vec<String>,
    pub host: String,
    #[serde(default)]
    pub label: String,
    /// The tag by which this run's snapshot is found again, `landfall-run:<uuid>`.
    pub run_tag: String,
    /// The snapshot's time.
    pub time: Timestamp,
    /// Whether to walk the sources once more beside the backup to learn the totals for the progress.
    #[serde(default = "yes")]
    pub scan: bool,
}

const fn yes() -> bool {
    true
}

/// How to open the repository. The master key is tried first where both are given; the password is the fallback.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    #[serde(default)]
    pub password: Option<Secret>,
    /// From an earlier [`Event::Opened`]. It saves deriving the key, which costs 0.4 s of CPU and 128 MiB.
    #[serde(default)]
    pub master_key: Option<Secret>,
}

/// A text that no `Debug` shows and that is wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Where a repository is: an absolute path, or `rest:` followed by the URL of a restic REST server.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Location(pub String);

impl Location {
    /// The URL of a remote repository.
    pub fn rest_url(&self) -> Option<&str> {
        self.0.strip_prefix("rest:")
    }

    /// The password inside the URL, where there is one.
    pub fn url_password(&self) -> Option<&str> {
        let (_, rest) = self.rest_url()?.split_once("://")?;
        let authority = rest.split('/').next()?;
        let (user, _) = authority.rsplit_once('@')?;
        user.split_once(':').map(|(_, password)| password)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url_password() {
            Some(password) if !password.is_empty() => {
                formatter.write_str(&self.0.replacen(&format!(":{password}@"), ":***@", 1))
            }
            Some(_) | None => formatter.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// One line of a worker's standard output. The last line is one of `AlreadyDone`, `Done`, `DoneCheck`, `Snapshots`,
/// `Unlocked` (exit code 0) and `Failed` (exit code 1); a worker that ends without such a line was killed or lost its agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Opened {
        /// The repository's own id, in full hexadecimal.
        repository_id: String,
        created: bool,
        /// For the agent's memory only: it opens the repository without the password.
        master_key: Secret,
    },
    /// At most five a second, and only when something moved.
    Progress(Progress),
    Log {
        level: Level,
        message: String,
    },
    /// The repository held this run's snapshot before; nothing was written.
    AlreadyDone {
        snapshot: Snapshot,
        read_back: ReadBack,
        /// What people should know of the repository and what changes nothing.
        #[serde(default)]
        notes: Vec<String>,
    },
    Done(Box<Done>),
    DoneCheck(Checked),
    Snapshots {
        /// Newest first.
        snapshots: Vec<Snapshot>,
        /// Older ones that were left out of the list.
        omitted: u64,
        /// Snapshot files that could not be read or decrypted.
        damaged: u64,
        /// The repository's locks, where they were asked for and can be looked at.
        #[serde(default)]
        locks: Option<Vec<LockSeen>>,
    },
    Unlocked {
        /// Those that were still there.
        removed: Vec<String>,
    },
    Failed {
        reason: Reason,
        message: String,
        /// The causes, outermost first.
        #[serde(default)]
        detail: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Warning,
    Error,
}

/// Where the work stands. Totals are absent until they are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub phase: Phase,
    /// What the engine is doing, for people.
    pub action: String,
    /// Bytes of the sources (backup) or of the packs (check).
    pub bytes_done: u64,
    pub bytes_total: Option<u64>,
    pub files_done: u64,
    pub files_total: Option<u64>,
    /// Files of the repository: indexes, snapshots, trees.
    pub steps_done: u64,
    pub steps_total: Option<u64>,
    /// Bytes written to the destination.
    pub bytes_written: u64,
    /// The file that was opened last.
    pub current: Option<String>,
}

/// A snapshot as the destination shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: String,
    pub tree: String,
    pub time: Timestamp,
    pub host: String,
    pub label: String,
    pub tags: Vec<String>,
    pub paths: Vec<String>,
    /// Files and bytes of the sources; zero where another program wrote the snapshot without a summary.
    pub files: u64,
    pub bytes: u64,
}

/// A backup that landed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    pub snapshot: Snapshot,
    pub summary: Summary,
    /// Files and directories that exist but could not be read; the snapshot lacks them.
    pub unread: Losses,
    /// Files that were gone before they could be read.
    pub vanished: Losses,
    /// Files that changed while they were read; the snapshot holds a mixture.
    pub changed: Losses,
    pub read_back: ReadBack,
    /// As in [`Event::AlreadyDone`].
    #[serde(default)]
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    pub count: u64,
    /// The first [`MAX_NAMES`], each with its cause.
    pub names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs: u64,
    pub total_files: u64,
    pub total_bytes: u64,
    /// Bytes that were not in the repository before, as they are and as they were written.
    pub data_added: u64,
    pub data_added_packed: u64,
    pub backup_start: Timestamp,
    pub duration_ms: u64,
}

/// What the destination shows after the backup, read without the engine's cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBack {
    /// Snapshots with this run's tag.
    pub found: u64,
    pub root_tree_readable: bool,
    /// Whether the snapshot's tree leads to every source.
    pub paths_covered: bool,
    pub paths_missing: Vec<String>,
    /// Entries seen in the sources' top directories.
    pub files_listed: u64,
}

/// The result of a check. Damage that was found is a result, not a failure of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub errors: u64,
    /// Harmless strangeness, such as packs left behind by an interrupted backup.
    pub warnings: u64,
    /// Errors first, then warnings.
    pub findings: Vec<String>,
    pub packs_read: u64,
    pub bytes_read: u64,
    pub snapshots: u64,
}

/// A lock in a repository, as restic and the engine write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSeen {
    /// The lock file's name.
    pub id: String,
    pub exclusive: bool,
    pub hostname: String,
    pub username: String,
    pub pid: u32,
    /// Seconds since it was taken or renewed, by this machine's clock.
    pub age_s: u64,
    pub life: LockLife,
}

/// Whether somebody holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockLife {
    Held,
    /// Its process is on another machine and has not renewed it for half an hour. It may be gone, or asleep.
    Unrenewed,
    /// Its process was on this machine and is gone.
    Dead,
    /// The file cannot be decrypted; nothing is known of it.
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_debug_shows_a_secret() {
        let order = Order {
            repository: Location("rest:https://user:pa55@host/repo".into()),
            secret: Credentials {
                password: Some(Secret::new("hush".into())),
                master_key: Some(Secret::new("key!".into())),
            },
            cache_dir: None,
            lock_records: None,
            task: Task::List { run_tags: Vec::new(), locks: false },
        };
        let shown = format!("{order:?}");
        for secret in ["pa55", "hush", "key!"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("rest:https://user:***@host/repo"), "{shown}");
    }

    #[test]
    fn an_order_survives_its_own_line() {
        let line = r#"{"repository":"/r","secret":{"password":"p"},"task":{"op":"check","data_subset":"1/7"}}"#;
        let order: Order = serde_json::from_str(line).expect("valid");
        let again: Order = serde_json::from_str(&serde_json::to_string(&order).expect("plain")).expect("valid");
        assert_eq!(again.secret.password.expect("given").expose(), "p");
        assert!(matches!(again.task, Task::Check { data_subset: Some(subset) } if subset == "1/7"));
    }
}
