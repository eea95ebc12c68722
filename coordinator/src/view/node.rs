//! One node as people see it: what it announced, how it is, and what is wrong with it.

use landfall_proto::id::NodeId;
use landfall_proto::report::TaskKind;
use landfall_proto::view::{FindingView, NodeRoutineView, NodeView};

use super::Scene;
use crate::core::check;
use crate::core::node::{Node, NodeRoutine};
use crate::core::space::storage_name;

/// `findings` are those of the node's check at this instant.
pub fn node(scene: Scene<'_>, node: &Node, findings: Vec<FindingView>) -> NodeView {
    let live = scene.mesh.live(&node.id);
    let version = live.map(|live| live.version.clone()).filter(|version| !version.is_empty());
    NodeView {
        quarantined: scene.mesh.quarantine(&node.id).map(str::to_owned),
        id: node.id.clone(),
        host: node.host.clone(),
        version: version.unwrap_or_else(|| node.version.clone()),
        online: scene.mesh.is_online(&node.id, scene.now),
        retired: node.is_retired(),
        last_beat_at: live.map(|live| live.last_beat_at),
        labels: node.labels.clone(),
        routines: node
            .routines
            .values()
            .filter(|state| state.present || state.backup.last.is_some())
            .map(|state| routine(scene, &node.id, state))
            .collect(),
        broken_plans: node.broken.clone(),
        findings,
        vitals: live.map(|live| live.vitals.clone()),
        paused: live.and_then(|live| live.paused.clone()),
        outbox: live.map(|live| live.outbox),
        clock_skew_ms: live.map(|live| live.skew_ms),
    }
}

fn routine(scene: Scene<'_>, node: &NodeId, state: &NodeRoutine) -> NodeRoutineView {
    let backup = state.history(TaskKind::Backup);
    let checked = state.history(TaskKind::Check);
    NodeRoutineView {
        routine: state.plan.routine.clone(),
        last_outcome: backup.last.as_ref().map(|last| last.outcome),
        last_finished_at: backup.last.as_ref().map(|last| last.finished_at),
        last_good_at: backup.last_good.as_ref().map(|good| good.at),
        failures_since_good: backup.failures_since_good,
        last_checked_at: checked.last_good.as_ref().map(|good| good.at),
        storage: Some(storage_name(node, &state.plan)),
        risk: check::risk(&state.plan.routine, state, scene.policy, scene.now),
    }
}
