//! What a round would meet if it were opened at this moment: the answer to a start that is only tried.

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, RoundId, RoutineName};
use crate::limit::WaitReason;
use crate::report::TaskKind;
use crate::time::Timestamp;
use crate::verdict::Rule;

/// Nodes that an answer names at most; the counts are of all.
pub const REHEARSED_MAX: usize = 500;

/// A round that is not opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RehearsalView {
    pub routine: RoutineName,
    pub task: TaskKind,
    /// When it would be opened.
    pub at: Timestamp,
    /// Until when its runs would have to begin.
    pub start_by: Timestamp,
    /// When its verdict would fall at the latest.
    pub deadline: Timestamp,
    pub rule: Rule,
    /// How many nodes it would expect.
    pub expected: u32,
    /// How many of them would start at once.
    pub at_once: u32,
    /// How many of them cannot be relied on: silent, paused, quarantined or without room.
    pub doubtful: u32,
    /// At most [`REHEARSED_MAX`]; those that cannot be relied on come first, then those that wait.
    pub nodes: Vec<RehearsedNode>,
    /// Nodes that the last round expected and this one would not, because they were retired; at most [`REHEARSED_MAX`].
    pub retired: Vec<NodeId>,
    /// Runs of any routine that wait already and would come before.
    pub queued_before: u32,
    /// Rounds of the routine that are under way; at most [`REHEARSED_MAX`].
    pub open_rounds: Vec<RoundId>,
}

/// One node's part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RehearsedNode {
    pub node: NodeId,
    /// What its run would wait for first, behind all that wait already; absent where it would start at once.
    pub waits_for: Option<WaitReason>,
    /// Why the node asked to be left alone, where it did.
    pub paused: Option<String>,
    /// False where its latest announcement lacks the plan: it would be expected all the same, and its run would fail.
    pub has_plan: bool,
}
