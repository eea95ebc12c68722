//! What people and programs are shown, made from the state at one instant; nothing here changes anything.

mod alert;
mod board;
mod day;
mod metrics;
mod monitor;
mod node;
mod page;
mod protection;
mod queue;
mod round;
mod routine;
mod run;
mod status;
mod storage;
#[cfg(test)]
mod tests;
mod trends;

use std::collections::BTreeMap;

use landfall_proto::id::RunId;
use landfall_proto::report::Progress;
use landfall_proto::time::Timestamp;
use landfall_proto::view::FindingView;

use crate::core::check::{self, Finding};
use crate::core::mesh::Mesh;
use crate::core::node::Node;
use crate::core::policy::Policy;

pub use alert::alert;
pub use board::{Board, RowRuns};
pub use day::{Days, Ended, RUNS_A_DAY_MAX};
pub use metrics::{LastVerdicts, metrics};
pub use monitor::{detail as monitor_detail, monitors};
pub use node::node;
pub use page::{PAGE_BYTES_MAX, Pager, rows_wanted};
pub use protection::protection;
pub use queue::QueueScan;
pub use round::{detail as round_detail, round};
pub use routine::routine;
pub use run::{detail as run_detail, matches as run_matches, run};
pub use status::{Surroundings, status};
pub use storage::storages;
pub use trends::TrendScan;

/// The state at one instant.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub mesh: &'a Mesh,
    pub policy: &'a Policy,
    /// The latest figures of runs that are alive.
    pub progress: &'a BTreeMap<RunId, Progress>,
    pub now: Timestamp,
}

/// Everything to be said of one node at this instant.
pub fn findings(scene: Scene<'_>, node: &Node) -> Vec<FindingView> {
    check::findings(scene.mesh, scene.policy, scene.now, &node.id).iter().map(Finding::view).collect()
}
