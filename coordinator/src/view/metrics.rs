//! The whole mesh in figures: one look over what is in memory, and nothing of what is history.

use std::collections::BTreeMap;

use landfall_proto::alert::Severity;
use landfall_proto::id::RoutineName;
use landfall_proto::metrics::{
    CoordinatorFigures, DeliveryFigures, MetricsView, NodeFigures, PlanFigures, QueueFigures, RoutineFigures, Status,
    TaskFigures,
};
use landfall_proto::overview::Forecast;
use landfall_proto::report::{Outcome, TaskKind};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::{LimitView, RunState};

use super::{Scene, Surroundings};
use crate::core::check;
use crate::core::node::{Node, NodeRoutine};
use crate::core::permits::{limits, waits_for};
use crate::core::routine::Routine;
use crate::core::run::Stage;
use crate::core::space;

/// Slots ahead among which the longest gap is looked for: a week of a calendar with a daily slot.
const SLOTS_AHEAD: usize = 8;

/// The last verdict of each routine, and when it fell.
pub type LastVerdicts = BTreeMap<RoutineName, (VerdictKind, Option<Timestamp>)>;

/// Everything that is measured at this instant.
pub fn metrics(scene: Scene<'_>, around: &Surroundings, verdicts: &LastVerdicts) -> MetricsView {
    let mesh = scene.mesh;
    let nodes = || mesh.nodes().values();
    MetricsView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        coordinator: coordinator(scene, around),
        nodes: nodes().filter(|node| !node.is_retired()).map(|one| node(scene, one)).collect(),
        nodes_retired: count(nodes().filter(|node| node.is_retired()).count()),
        routines: mesh.routines().values().map(|one| routine(scene, one, verdicts)).collect(),
        queue: queue(scene),
        alerts_open: alerts(scene),
        deliveries: deliveries(scene),
        limits: sized(limits(mesh, scene.policy)),
        storages: space::seen(scene.mesh, scene.now),
        filling: filling(scene),
        monitors: mesh.monitors().values().map(|one| super::monitor::monitor(scene, one)).collect(),
    }
}

fn coordinator(scene: Scene<'_>, around: &Surroundings) -> CoordinatorFigures {
    let (mesh, meta) = (scene.mesh, scene.mesh.meta());
    let mut refused = meta.refused.clone();
    for (name, count) in &around.refused {
        *refused.entry(name.clone()).or_default() += count;
    }
    CoordinatorFigures {
        holder: mesh.me().holder.clone(),
        leads: mesh.leads(),
        leader_since: mesh.leader().map(|leader| leader.claimed_at),
        standbys: count(mesh.peers(scene.now).count()),
        started_at: around.started_at,
        last_pass_at: around.last_pass_at,
        log_seq: mesh.cursor().seq,
        log_lag: mesh.lag(scene.now),
        log_copies: around.log_copies,
        refused,
        unknown_kinds: meta.unknown_kinds.values().sum(),
        ignored_decisions: meta.ignored_decisions,
        watchdog: around.watchdog,
    }
}

fn node(scene: Scene<'_>, node: &Node) -> NodeFigures {
    let routines = node.routines.iter().filter(|(_, state)| state.present || state.backup.last.is_some());
    NodeFigures {
        id: node.id.clone(),
        online: scene.mesh.is_online(&node.id, scene.now),
        quarantined: scene.mesh.quarantine(&node.id).is_some(),
        last_beat_at: scene.mesh.live(&node.id).map(|live| live.last_beat_at),
        plans: routines.map(|(name, state)| plan(scene, name, state)).collect(),
    }
}

fn plan(scene: Scene<'_>, name: &RoutineName, state: &NodeRoutine) -> PlanFigures {
    PlanFigures {
        routine: name.clone(),
        rpo_ms: check::rpo(name, state, scene.policy).map(|rpo| rpo.as_ms()),
        first_announced_at: state.first_announced_at,
        backup: task(state, TaskKind::Backup),
        check: task(state, TaskKind::Check),
    }
}

fn task(state: &NodeRoutine, task: TaskKind) -> Option<TaskFigures> {
    let history = state.history(task);
    let last = history.last.as_ref()?;
    let status = match (&history.trouble, last.outcome) {
        (Some(_), _) => Some(Status::Error),
        (None, Outcome::Ok) => Some(Status::Ok),
        (None, Outcome::Warning) => Some(Status::Warning),
        (None, Outcome::Partial | Outcome::Failed) => Some(Status::Error),
        (None, Outcome::Skipped | Outcome::Cancelled | Outcome::Lost) => None,
    };
    let sample = history.samples.back();
    Some(TaskFigures {
        task,
        status,
        ended_at: last.finished_at,
        trouble: history.trouble.as_ref().map(|trouble| trouble.reason),
        last_good_at: history.last_good.as_ref().map(|good| good.at),
        failures_since_good: history.failures_since_good,
        duration_ms: sample.map(|sample| sample.duration_ms),
        bytes: sample.and_then(|sample| sample.bytes),
        files: sample.and_then(|sample| sample.files),
    })
}

fn routine(scene: Scene<'_>, routine: &Routine, verdicts: &LastVerdicts) -> RoutineFigures {
    let slots = routine.schedule(scene.policy).next_slots(scene.now, SLOTS_AHEAD);
    let last = verdicts.get(&routine.name);
    RoutineFigures {
        name: routine.name.clone(),
        nodes: count(routine.nodes.len()),
        failing: count(routine.failing.len()),
        overdue: count(routine.overdue.len()),
        rounds_open: count(routine.open.len()),
        interval_ms: slots.windows(2).map(|pair| between(pair[0], pair[1]).as_ms()).max(),
        next_slot_at: slots.first().copied(),
        last_verdict: last.map(|(kind, _)| *kind),
        last_verdict_at: last.and_then(|(_, at)| *at),
    }
}

fn queue(scene: Scene<'_>) -> QueueFigures {
    let states = [RunState::Queued, RunState::Sent, RunState::Running, RunState::Cancelling, RunState::Unknown];
    let mut figures =
        QueueFigures { states: states.into_iter().map(|state| (state, 0)).collect(), ..QueueFigures::default() };
    for run in scene.mesh.runs().values().filter(|run| !run.is_ended()) {
        *figures.states.entry(scene.mesh.run_state(run, scene.now)).or_default() += 1;
        if run.stage == Stage::Queued {
            let reason = waits_for(scene.mesh, scene.policy, scene.now, run).name();
            *figures.waiting.entry(reason.to_owned()).or_default() += 1;
            let oldest = figures.oldest_queued_at.get_or_insert(run.queued_at);
            *oldest = run.queued_at.min(*oldest);
        }
    }
    figures
}

fn alerts(scene: Scene<'_>) -> BTreeMap<Severity, u32> {
    let mut open: BTreeMap<Severity, u32> = Severity::ALL.into_iter().map(|severity| (severity, 0)).collect();
    for record in scene.mesh.open_alerts() {
        *open.entry(record.alert.severity).or_default() += 1;
    }
    open
}

fn deliveries(scene: Scene<'_>) -> BTreeMap<String, DeliveryFigures> {
    let named = scene.policy.sinks.iter().map(|sink| (sink.clone(), DeliveryFigures::default()));
    let mut sinks: BTreeMap<String, DeliveryFigures> = named.collect();
    for delivery in scene.mesh.alerts().values().flat_map(|record| &record.deliveries) {
        // A sink that is no longer there is nothing to watch.
        let Some(figures) = sinks.get_mut(&delivery.sink) else { continue };
        match delivery.error {
            None => figures.taken += 1,
            Some(_) => figures.refused += 1,
        }
    }
    sinks
}

fn sized(limits: Vec<LimitView>) -> Vec<LimitView> {
    limits.into_iter().filter(|limit| limit.size.is_some()).collect()
}

/// Days until full, of the destinations that fill up.
fn filling(scene: Scene<'_>) -> BTreeMap<String, u64> {
    let forecasts = scene.mesh.spaces().iter().map(|(name, history)| (name, history.forecast()));
    let days = forecasts.filter_map(|(name, forecast)| match forecast {
        Forecast::Filling { days, .. } => Some((name.clone(), days)),
        Forecast::Steady | Forecast::Unknown => None,
    });
    days.collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
