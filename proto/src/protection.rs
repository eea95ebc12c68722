//! How well one routine is protected: where its backups go, how long a restore would take, and where its nodes differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::time::Timestamp;

/// How well one routine is protected, beyond what a list shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProtectionView {
    /// Where the backups go: target and storage, with the nodes that use them.
    pub targets: Vec<Variant>,
    pub drivers: Vec<Variant>,
    /// The longest restore of one node; absent where no check has read data at the destination yet.
    pub restore: Option<RestoreView>,
    /// The node whose last good backup is the oldest, and when that was; absent where a node has none.
    pub oldest_good: Option<(NodeId, Timestamp)>,
    /// Nodes without any good backup; the first ten.
    pub never_good: Vec<NodeId>,
    /// What is not the same on all nodes, by name; of each at most eight values.
    pub drift: BTreeMap<String, Vec<Variant>>,
}

/// One of several values, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Variant {
    pub value: String,
    pub count: u32,
    /// The first ten.
    pub nodes: Vec<NodeId>,
}

/// How long a restore of one node would take, by the rate at which checks have read the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RestoreView {
    pub node: NodeId,
    /// Size of what the last good backup holds.
    pub bytes: u64,
    /// Bytes a second.
    pub rate_bytes: u64,
    pub duration_ms: u64,
    /// Checks that the rate was measured in.
    pub measured_in: u32,
}
