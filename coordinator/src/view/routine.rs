//! One routine as people see it: who has it, when it is due next, and how its last round went.

use landfall_proto::view::{RoundView, RoutineView};

use super::Scene;
use crate::core::check;
use crate::core::routine::Routine;

/// Slots that are shown ahead.
const SLOTS_SHOWN: usize = 5;

/// `last_round` is the round that was concluded last, wherever it is kept.
pub fn routine(scene: Scene<'_>, routine: &Routine, last_round: Option<RoundView>) -> RoutineView {
    let schedule = routine.schedule(scene.policy);
    let own = scene.policy.routine(&routine.name);
    let plans = || {
        let nodes = routine.nodes.iter().filter_map(|node| scene.mesh.nodes().get(node));
        nodes.filter_map(|node| node.routines.get(&routine.name).map(|state| (&node.id, state)))
    };
    let announced_rpo = plans().filter_map(|(_, state)| state.plan.rpo).min();
    let differs = plans()
        .filter(|(_, state)| state.present && routine.definition_differs(&state.plan).is_some())
        .map(|(node, _)| node.clone())
        .collect();
    RoutineView {
        name: routine.name.clone(),
        nodes: routine.nodes.iter().cloned().collect(),
        calendar: schedule.calendar.as_ref().map(ToString::to_string),
        zone: schedule.calendar.as_ref().map(|_| schedule.zone.clone()),
        explained: schedule.calendar.as_ref().map(landfall_proto::calendar::Calendar::explain),
        next_slots: schedule.next_slots(scene.now, SLOTS_SHOWN),
        rule: scene.policy.rule(&routine.name),
        start_within_ms: schedule.start_within.as_ms(),
        finish_within_ms: schedule.finish_within.as_ms(),
        rpo_ms: own.and_then(|own| own.rpo).or(announced_rpo).map(|rpo| rpo.as_ms()),
        last_round,
        differs,
        card: routine.card(scene.policy),
        risk: plans().filter_map(|(_, state)| check::risk(&routine.name, state, scene.policy, scene.now)).max(),
        protection: None,
    }
}
