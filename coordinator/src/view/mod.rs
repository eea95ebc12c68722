//! What people and programs are shown, made from the state at one instant; nothing here changes anything.

mod alert;
mod metrics;
mod node;
mod page;
mod round;
mod routine;
mod run;
mod status;
#[cfg(test)]
mod tests;

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
pub use metrics::{LastVerdicts, metrics};
pub use node::node;
pub use page::{PAGE_BYTES_MAX, Pager, rows_wanted};
pub use round::{detail as round_detail, round};
pub use routine::routine;
pub use run::{detail as run_detail, matches as run_matches, run};
pub use status::{Surroundings, status};

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
