//! A start that is only tried: whom its round would expect, and what each run would wait for. Nothing is decided by it.

use landfall_proto::control::Reply;
use landfall_proto::id::{NodeId, RoundId, RoutineName};
use landfall_proto::limit::WaitReason;
use landfall_proto::rehearsal::{REHEARSED_MAX, RehearsalView, RehearsedNode};
use landfall_proto::report::TaskKind;
use landfall_proto::time::{Timestamp, after};
use uuid::Uuid;

use super::ask::chosen;
use super::decide::expected_of;
use super::mesh::Mesh;
use super::permits::{Usage, blocked, is_outdated};
use super::policy::Policy;
use super::run::{Part, Run};

/// What a start of `name` on `nodes` (all that have it, where none is named) would meet at this moment, or the refusal that it
/// would get.
pub fn rehearse(
    mesh: &Mesh,
    policy: &Policy,
    now: Timestamp,
    name: &RoutineName,
    nodes: &[NodeId],
    task: TaskKind,
) -> Reply {
    let chosen = match chosen(mesh, name, nodes) {
        Ok(chosen) => chosen,
        Err(refusal) => return *refusal,
    };
    let (mut taken, queued_before) = taken_before(mesh, policy, now);
    let mut rows: Vec<RehearsedNode> = Vec::new();
    for run in (0..).zip(&chosen).filter_map(|(position, node)| imagined(mesh, now, name, node, task, position)) {
        // A node that is not there is named even where a full limit would hold its run back first.
        let waits_for = absent(mesh, now, &run.node).or_else(|| blocked(mesh, policy, now, &run, &taken));
        if waits_for.is_none() {
            taken.take(&run);
        }
        let known = mesh.nodes.get(&run.node).and_then(|node| node.routines.get(name));
        rows.push(RehearsedNode {
            paused: mesh.live.get(&run.node).and_then(|live| live.paused.clone()),
            has_plan: known.is_some_and(|known| known.present),
            waits_for,
            node: run.node,
        });
    }
    let count = |wanted: fn(&RehearsedNode) -> bool| {
        u32::try_from(rows.iter().filter(|row| wanted(row)).count()).unwrap_or(u32::MAX)
    };
    let (expected, at_once, doubtful) = (count(|_| true), count(is_at_once), count(is_doubtful));
    rows.sort_by_key(|row| (!is_doubtful(row), is_at_once(row)));
    rows.truncate(REHEARSED_MAX);
    let schedule = mesh.routines.get(name).map(|routine| routine.schedule(policy)).unwrap_or_default();
    let open = mesh.routines.get(name).into_iter().flat_map(|routine| routine.open.iter().copied());
    Reply::Rehearsal(RehearsalView {
        routine: name.clone(),
        task,
        at: now,
        start_by: after(now, schedule.start_within),
        deadline: after(now, schedule.finish_within),
        rule: policy.rule(name),
        expected,
        at_once,
        doubtful,
        nodes: rows,
        retired: retired(mesh, name),
        queued_before,
        open_rounds: open.take(REHEARSED_MAX).collect(),
    })
}

/// Why nothing could be sent to this node at this moment; `None` where it can be reached.
fn absent(mesh: &Mesh, now: Timestamp, node: &NodeId) -> Option<WaitReason> {
    let Some(live) = mesh.live.get(node).filter(|live| live.is_heard(now)) else {
        return Some(WaitReason::NodeOffline { node: node.clone() });
    };
    if mesh.quarantine(node).is_some() {
        return Some(WaitReason::NodeQuarantined { node: node.clone() });
    }
    live.paused.as_ref().map(|_| WaitReason::NodeBusy { node: node.clone() })
}

/// Whom the routine's last round had expected, and the next one would not.
fn retired(mesh: &Mesh, name: &RoutineName) -> Vec<NodeId> {
    let last = mesh.routines.get(name).and_then(|routine| mesh.rounds.get(&routine.last_round?));
    let runs = last.into_iter().flat_map(|round| &round.runs).filter_map(|run| mesh.runs.get(run));
    let is_retired = |run: &&Run| run.expected && mesh.nodes.get(&run.node).is_some_and(|node| node.is_retired());
    runs.filter(is_retired).map(|run| run.node.clone()).take(REHEARSED_MAX).collect()
}

/// What those that wait already would take at this moment, and how many they are. A run of higher priority may overtake some of
/// them; here they all come first.
fn taken_before(mesh: &Mesh, policy: &Policy, now: Timestamp) -> (Usage, u32) {
    let mut taken = Usage::default();
    let mut count: u32 = 0;
    for run in mesh.index.queue.near(now).filter_map(|id| mesh.runs.get(&id)) {
        if is_outdated(mesh, now, run) {
            continue;
        }
        count = count.saturating_add(1);
        if blocked(mesh, policy, now, run, &taken).is_none() {
            taken.take(run);
        }
    }
    (taken, count)
}

/// The run that a round opened now would queue for this node; `None` where it would expect none.
fn imagined(
    mesh: &Mesh,
    now: Timestamp,
    name: &RoutineName,
    node: &NodeId,
    task: TaskKind,
    position: u32,
) -> Option<Run> {
    let round = RoundId(Uuid::nil());
    let expected = expected_of(mesh, node, name, round, task)?;
    let needs = mesh.needs_as_expected(name, &expected);
    let part = Part {
        round,
        routine: name.clone(),
        node: node.clone(),
        task,
        slot: None,
        position: Some(position),
        queued_at: now,
        plan_hash: expected.plan_hash,
    };
    Some(Run::queued(expected.run, part, needs))
}

const fn is_at_once(row: &RehearsedNode) -> bool {
    row.waits_for.is_none()
}

/// Whether waiting alone may not help: somebody has to look after the node.
fn is_doubtful(row: &RehearsedNode) -> bool {
    let is_bad = match &row.waits_for {
        Some(
            WaitReason::NodeOffline { .. }
            | WaitReason::NodeBusy { .. }
            | WaitReason::NodeQuarantined { .. }
            | WaitReason::NodeFull { .. },
        ) => true,
        Some(
            WaitReason::Limit { .. }
            | WaitReason::RepositoryExclusive { .. }
            | WaitReason::EarlierRun { .. }
            | WaitReason::Turn,
        )
        | None => false,
    };
    is_bad || row.paused.is_some() || !row.has_plan
}
