//! What the agent must still know after a restart, and each change to it as a value that is written down before anything is done.

use std::collections::BTreeMap;

use landfall_proto::id::{RepositoryId, RoundId, RoutineName, RunId, TargetName};
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::epoch::Fence;
use super::runs::{Journal, Record};

/// Everything that outlives the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    pub fence: Fence,
    pub routines: BTreeMap<RoutineName, RoutineMemory>,
    pub journal: Journal,
    pub repositories: BTreeMap<TargetName, RepositoryMemory>,
}

/// What is remembered of one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutineMemory {
    /// Every slot up to here is decided: run, skipped, missed, or left to the leader.
    #[serde(default)]
    pub considered: Option<Timestamp>,
    /// The slots that were told as missed last.
    #[serde(default)]
    pub missed: Option<Span>,
    /// The last good backups, oldest first; [`HISTORY_MAX`] at most.
    #[serde(default)]
    pub history: Vec<Sample>,
    /// When the last good check ended.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
    /// How many data parts have been checked in all; the next part follows from it.
    #[serde(default)]
    pub parts_checked: u32,
    /// A check that is due after a good backup.
    #[serde(default)]
    pub follow_up: Option<FollowUp>,
}

/// Slots of one plan, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub first: Timestamp,
    pub last: Timestamp,
    /// What this node's clock showed when they were told: one that shows an earlier time since was wrong then.
    #[serde(default)]
    pub told_at: Option<Timestamp>,
    /// It was: what was told is not told again, but it binds nobody.
    #[serde(default)]
    pub is_taken_back: bool,
}

/// Figures of one good backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub files: u64,
    pub bytes: u64,
    pub duration_ms: u64,
}

/// A check that belongs to the round of the backup before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    pub round: RoundId,
    #[serde(default)]
    pub slot: Option<Timestamp>,
}

/// A repository's id as it was read from a target at this location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryMemory {
    pub location: String,
    pub id: RepositoryId,
}

/// One thing to write down. Writing the same change twice is harmless.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Fence(Fence),
    Routine(RoutineName, RoutineMemory),
    Run(RunId, Record),
    Forget(RunId),
    Repository(TargetName, RepositoryMemory),
}

/// Good backups kept per plan as history.
pub(super) const HISTORY_MAX: usize = 10;

impl Memory {
    /// Applies a change that was written down earlier.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Fence(fence) => self.fence = fence,
            Change::Routine(name, routine) => {
                self.routines.insert(name, routine);
            }
            Change::Run(run, record) => self.journal.put(run, record),
            Change::Forget(run) => self.journal.forget(run),
            Change::Repository(target, repository) => {
                self.repositories.insert(target, repository);
            }
        }
    }
}

impl RoutineMemory {
    pub(super) fn remember(&mut self, sample: Sample) {
        self.history.push(sample);
        let surplus = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..surplus);
    }
}
