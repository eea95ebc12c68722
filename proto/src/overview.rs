//! What is computed over many records for one look: the board of everything protected, the queue's figures, and trends.

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, RoutineName, RunId};
use crate::report::{Outcome, Reason, Space, TaskKind};
use crate::time::Timestamp;
use crate::view::RunView;

/// Days of history on the board and in trends at most.
pub const DAYS_MAX: u32 = 90;

/// Which rows of the board.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BoardFilter {
    /// A part of a node's or a routine's name, in any case.
    #[serde(default)]
    pub search: Option<String>,
    /// Whether the days are wanted too; they cost a look at the history of each row.
    #[serde(default)]
    pub days: bool,
    /// Rows to pass over.
    #[serde(default)]
    pub offset: u32,
    /// Rows wanted; 100 at most.
    #[serde(default)]
    pub rows: Option<u32>,
}

/// "Is everything backed up?", one row for each node and routine, the worst first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BoardView {
    pub rows: Vec<BoardRow>,
    /// Rows that the search found.
    pub found: u32,
    /// How many rows there are of each grade, whatever the search.
    pub counts: BoardCounts,
}

/// Rows by grade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BoardCounts {
    pub protected: u32,
    pub unbounded: u32,
    pub waiting: u32,
    pub too_old: u32,
    pub never: u32,
    /// Rows whose last backup failed, whatever their grade.
    pub failing: u32,
    /// Rows of nodes that are not heard.
    pub unheard: u32,
}

/// How well a node's data is protected by one routine. By the age of the last good backup, never by the last result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// There is no good backup, and by its RPO there should be one.
    Never,
    /// The last good backup is older than the RPO allows.
    TooOld,
    /// There is no good backup yet, and it is not late.
    Waiting,
    /// There is a good backup; nobody has said how old it may be.
    Unbounded,
    /// The last good backup is younger than the RPO.
    Protected,
}

impl Grade {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never backed up",
            Self::TooOld => "too old",
            Self::Waiting => "first one pending",
            Self::Unbounded => "no RPO set",
            Self::Protected => "protected",
        }
    }
}

/// One node and routine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BoardRow {
    pub node: NodeId,
    pub routine: RoutineName,
    pub grade: Grade,
    /// Whether the node is heard.
    pub online: bool,
    /// The instant that a restore would bring back.
    pub last_good_at: Option<Timestamp>,
    pub last_good_run: Option<RunId>,
    pub last_outcome: Option<Outcome>,
    pub last_reason: Option<Reason>,
    pub last_run: Option<RunId>,
    pub last_finished_at: Option<Timestamp>,
    pub failures_since_good: u32,
    pub rpo_ms: Option<u64>,
    pub next_slot: Option<Timestamp>,
    /// When the destination was last checked with a good result.
    pub verified_at: Option<Timestamp>,
    /// When data was last restored from it and compared; absent where that has never been proven.
    pub restored_at: Option<Timestamp>,
    /// IANA zone of the days.
    pub zone: String,
    /// One for each day, oldest first, the last is today; empty where they were not wanted.
    pub days: Vec<DayView>,
}

/// What became of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DayView {
    /// `2026-11-20`, in the row's zone.
    pub date: String,
    pub mark: DayMark,
    /// Backups that ended on that day and were looked at, at most eight.
    pub runs: u32,
}

/// One square of the strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DayMark {
    /// No backup ended on that day.
    Nothing,
    Good,
    /// A good one, with a warning or after a failure.
    Mended,
    /// One landed in part or failed, and none was good.
    Failed,
    /// Only runs whose end nobody knows.
    Unknown,
    /// Only runs that were skipped or cancelled.
    Skipped,
}

impl DayMark {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "no backup ended",
            Self::Good => "good",
            Self::Mended => "good, with warnings or after a failure",
            Self::Failed => "failed",
            Self::Unknown => "end unknown",
            Self::Skipped => "skipped or cancelled",
        }
    }
}

/// Which runs of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct QueueFilter {
    #[serde(default)]
    pub task: Option<TaskKind>,
    /// A part of a node's name, in any case.
    #[serde(default)]
    pub node: Option<String>,
    #[serde(default)]
    pub card: Option<QueueCard>,
}

/// The cards above the queue, each a filter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QueueCard {
    InQueue,
    Completed,
    Failed,
}

impl QueueCard {
    pub const ALL: [Self; 3] = [Self::InQueue, Self::Completed, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InQueue => "in_queue",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// The queue in one glance. Figures of the cards are of all runs, lists are filtered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct QueueView {
    /// Queued and sent.
    pub in_queue: u32,
    /// Runs that ended ok or with a warning in the last 24 hours, and in the 24 hours before.
    pub completed: u32,
    pub completed_before: u32,
    /// Runs that failed, landed in part or were lost, in the same spans.
    pub failed: u32,
    pub failed_before: u32,
    /// Mean of the last completed runs from start to end; time in the queue does not count.
    pub average_ms: Option<u64>,
    /// How many runs that mean is of; 50 at most.
    pub average_of: u32,
    /// False where there was more history than is looked at: the cards' figures are then lower bounds.
    pub complete: bool,
    /// Runs that are alive, longest first.
    pub active: Vec<RunView>,
    /// Runs that wait, in the order in which they are looked at.
    pub waiting: Vec<RunView>,
    /// How many wait in all that fit the filter.
    pub waiting_total: u32,
    /// The last 25 that ended.
    pub finished: Vec<RunView>,
}

/// How much room a destination had at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SpaceSample {
    pub at: Timestamp,
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// When a destination will be full, by a line through one sample a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Forecast {
    /// There are too few samples to say anything.
    Unknown,
    /// It does not grow, or by so little that it will not be full within ten years.
    Steady,
    Filling {
        /// Whole days from the last sample on.
        days: u64,
        bytes_a_day: u64,
    },
}

/// One destination: the room that it has, and had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StorageView {
    /// The storage's name, or `node/target` where the target names none.
    pub name: String,
    /// As a node that is heard sees it at this moment; absent where none does.
    pub space: Option<Space>,
    /// Oldest first, one a day.
    pub samples: Vec<SpaceSample>,
    pub forecast: Forecast,
}

/// Fewer days than this until a destination is full stand out.
pub const SOON_DAYS: u64 = 14;

impl StorageView {
    /// The room as it is seen at this moment, else as the last sample has it; `None` where nobody has seen it yet.
    pub fn room(&self) -> Option<Space> {
        let last = self.samples.last();
        self.space.or_else(|| last.map(|last| Space { free_bytes: last.free_bytes, total_bytes: last.total_bytes }))
    }

    /// Whole percent used; `None` where the size is not known.
    pub fn used_percent(&self) -> Option<u64> {
        let Space { free_bytes, total_bytes } = self.room()?;
        total_bytes.saturating_sub(free_bytes).saturating_mul(100).checked_div(total_bytes)
    }
}

/// Figures over days, of the runs that fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TrendsView {
    /// IANA zone of the days.
    pub zone: String,
    /// Oldest first; the last is today.
    pub days: Vec<TrendDay>,
    /// False where there was more history than is looked at: the first days are then missing.
    pub complete: bool,
}

/// One day's figures. Means are of good backups; absent where there was none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TrendDay {
    pub date: String,
    pub good: u32,
    pub failed: u32,
    /// Ended otherwise: skipped, cancelled, or nobody knows.
    pub other: u32,
    pub duration_ms: Option<u64>,
    /// Size of what was backed up.
    pub bytes: Option<u64>,
    /// What the destination grew by, in all.
    pub added_bytes: Option<u64>,
    /// Bytes backed up for each second of the runs.
    pub rate_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_that_nobody_sees_has_the_room_of_its_last_sample() {
        let at = Timestamp::UNIX_EPOCH;
        let sample = |free_bytes| SpaceSample { at, free_bytes, total_bytes: 10 };
        let mut storage = StorageView {
            name: "nas".to_owned(),
            space: Some(Space { free_bytes: 3, total_bytes: 10 }),
            samples: vec![sample(9), sample(8)],
            forecast: Forecast::Unknown,
        };
        assert_eq!(storage.used_percent(), Some(70));
        storage.space = None;
        assert_eq!((storage.room().map(|room| room.free_bytes), storage.used_percent()), (Some(8), Some(20)));
        storage.samples.clear();
        assert_eq!((storage.room(), storage.used_percent()), (None, None));
        storage.space = Some(Space { free_bytes: 0, total_bytes: 0 });
        assert_eq!(storage.used_percent(), None, "a destination without a size");
    }
}
