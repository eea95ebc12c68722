//! Opening rounds: for the slot that is due, and for what a node ran before anybody opened a round for it.

use landfall_proto::codec::encode;
use landfall_proto::fact::coordinator::{CoordinatorFact, EXPECTED_PER_FACT_MAX, ExpectedRun, OpenedBy, RoundOpened};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::TaskKind;
use landfall_proto::time::{Duration, Timestamp, after};

use super::Look;
use crate::core::mesh::Mesh;
use crate::core::policy::Policy;
use crate::core::routine::Routine;
use crate::core::run::Run;

/// Bytes of expected runs in one fact; the rest of its longest length is for the envelope and the round itself.
const EXPECTED_BYTES_MAX: usize = 48 * 1024;

/// A slot further ahead than this comes from a wrong clock: its round waits until the slot is here.
const SLOT_AHEAD_MAX: Duration = Duration::from_secs(600);

/// A round about to be opened.
pub(in crate::core) struct NewRound {
    pub(in crate::core) round: RoundId,
    pub(in crate::core) routine: RoutineName,
    pub(in crate::core) task: TaskKind,
    pub(in crate::core) slot: Option<Timestamp>,
    pub(in crate::core) expected: Vec<ExpectedRun>,
    pub(in crate::core) opened_by: OpenedBy,
    pub(in crate::core) by: Option<String>,
}

/// The round of the latest slot that is due and was not considered. Earlier ones that passed meanwhile are not opened,
/// except where a node ran them.
pub(super) fn due_slot(mesh: &Mesh, policy: &Policy, now: Timestamp, name: &RoutineName) -> Look {
    let Some(routine) = mesh.routines.get(name).filter(|routine| !routine.nodes.is_empty()) else {
        return Look::default();
    };
    let again_at = routine.schedule(policy).next_after(now);
    let Some((round, slot)) = due(mesh, policy, now, routine) else { return Look::wait(again_at) };
    if let Some(until) = hears_first_until(mesh, policy, now, slot) {
        return Look::wait(Some(until));
    }
    let task = TaskKind::Backup;
    let expected = routine.nodes.iter().filter_map(|node| expected_of(mesh, node, name, round, task)).collect();
    let new = NewRound {
        round,
        routine: name.clone(),
        task,
        slot: Some(slot),
        expected,
        opened_by: OpenedBy::Slot,
        by: None,
    };
    Look::decided(opened(mesh, policy, now, new), again_at)
}

/// Who is expected is frozen at the opening. Ledger and log may both have been lost, and nodes announce themselves one after
/// the other; so who began with an empty ledger first hears who there is, where the slot is older than its process.
fn hears_first_until(mesh: &Mesh, policy: &Policy, now: Timestamp, slot: Timestamp) -> Option<Timestamp> {
    let since = mesh.process.since.filter(|since| !mesh.process.has_memory && slot < *since)?;
    let until = after(since, policy.settle_within);
    (now < until).then_some(until)
}

fn due(mesh: &Mesh, policy: &Policy, now: Timestamp, routine: &Routine) -> Option<(RoundId, Timestamp)> {
    // A mark in the future comes from a node with a wrong clock; then the slots since this leader began count.
    let is_ahead = routine.considered > after(now, SLOT_AHEAD_MAX);
    let considered = if is_ahead { mesh.process.leading_since.unwrap_or(now) } else { routine.considered };
    let slot = routine.schedule(policy).latest_due(considered, now)?;
    let round = RoundId::of_slot(&mesh.me.cluster, &routine.name, slot);
    (!mesh.rounds.contains_key(&round)).then_some((round, slot))
}

/// The round of runs that came without one: of everybody who is expected where it has a slot, of this node alone where a
/// person started it there.
pub(super) fn stray(mesh: &Mesh, policy: &Policy, now: Timestamp, id: RoundId) -> Look {
    let runs = || mesh.index.strays.get(&id).into_iter().flatten().filter_map(|run| mesh.runs.get(run));
    let Some(first) = runs().min_by_key(|run| (run.task, run.node.clone())) else { return Look::default() };
    if let Some(slot) = first.slot.filter(|slot| *slot > after(now, SLOT_AHEAD_MAX)) {
        return Look::wait(Some(slot));
    }
    if let Some(until) = first.slot.and_then(|slot| hears_first_until(mesh, policy, now, slot)) {
        return Look::wait(Some(until));
    }
    let routine = first.routine.clone();
    let known = mesh.routines.get(&routine).filter(|known| !known.nodes.is_empty());
    if known.and_then(|known| due(mesh, policy, now, known)).is_some_and(|(round, _)| round == id) {
        return Look::default();
    }
    let task = if first.slot.is_some() { TaskKind::Backup } else { first.task };
    let mut expected: Vec<ExpectedRun> = match (first.slot, known) {
        (Some(_), Some(known)) => {
            known.nodes.iter().filter_map(|node| expected_of(mesh, node, &routine, id, task)).collect()
        }
        (Some(_) | None, _) => Vec::new(),
    };
    if expected.is_empty() {
        expected = runs().filter(|run| run.task == task).map(as_expected).collect();
    }
    // A follow-up run whose own round was never heard of: it stands alone.
    if expected.is_empty() {
        expected = runs().map(as_expected).collect();
    }
    let new = NewRound { round: id, routine, task, slot: first.slot, expected, opened_by: OpenedBy::Node, by: None };
    Look::decided(opened(mesh, policy, now, new), None)
}

/// A node's part of a round, by its latest announcement.
pub(in crate::core) fn expected_of(
    mesh: &Mesh,
    id: &NodeId,
    routine: &RoutineName,
    round: RoundId,
    task: TaskKind,
) -> Option<ExpectedRun> {
    let node = mesh.nodes.get(id).filter(|node| !node.is_retired())?;
    let plan = &node.routines.get(routine)?.plan;
    let mut labels = node.labels.clone();
    labels.extend(plan.labels.clone());
    Some(ExpectedRun {
        node: id.clone(),
        run: RunId::of(round, id, task),
        plan_hash: plan.hash.clone(),
        repository: plan.repository.clone(),
        lock: plan.lock,
        storage: plan.storage.clone(),
        labels,
        priority: plan.priority,
    })
}

/// The facts that open a round, as many as its expected runs need.
pub(in crate::core) fn opened(mesh: &Mesh, policy: &Policy, now: Timestamp, new: NewRound) -> Vec<CoordinatorFact> {
    let schedule = mesh.routines.get(&new.routine).map(|routine| routine.schedule(policy)).unwrap_or_default();
    let from = new.slot.unwrap_or(now);
    let groups = groups(new.expected);
    let parts = if groups.len() > 1 { u32::try_from(groups.len()).unwrap_or(u32::MAX) } else { 0 };
    let fact = |(part, expected): (u32, Vec<ExpectedRun>)| {
        CoordinatorFact::from(RoundOpened {
            epoch: mesh.epoch(),
            round: new.round,
            routine: new.routine.clone(),
            task: new.task,
            slot: new.slot,
            opened_at: now,
            start_by: after(from, schedule.start_within),
            deadline: after(from, schedule.finish_within),
            rule: policy.rule(&new.routine),
            expected,
            opened_by: new.opened_by.clone(),
            by: new.by.clone(),
            part,
            parts,
        })
    };
    (0..).zip(groups).map(fact).collect()
}

fn groups(expected: Vec<ExpectedRun>) -> Vec<Vec<ExpectedRun>> {
    let mut groups: Vec<Vec<ExpectedRun>> = vec![Vec::new()];
    let mut bytes = 0;
    for run in expected {
        let length = encode(&run).len();
        let last = groups.len() - 1;
        let is_full = groups[last].len() >= EXPECTED_PER_FACT_MAX || bytes + length > EXPECTED_BYTES_MAX;
        if is_full && !groups[last].is_empty() {
            groups.push(vec![run]);
            bytes = length;
        } else {
            groups[last].push(run);
            bytes += length;
        }
    }
    groups
}

fn as_expected(run: &Run) -> ExpectedRun {
    ExpectedRun {
        node: run.node.clone(),
        run: run.id,
        plan_hash: run.plan_hash.clone(),
        repository: run.needs.repository.clone(),
        lock: run.needs.lock,
        storage: run.needs.storage.clone(),
        labels: run.needs.labels.clone(),
        priority: run.needs.priority,
    }
}
