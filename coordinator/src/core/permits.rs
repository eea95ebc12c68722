//! Which queued runs may start: named limits taken in one order, first in first out within a priority, with ageing.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::fact::coordinator::{COMMAND_LIFE, Dispatched, OpenedBy};
use landfall_proto::id::{CommandId, NodeId, RepositoryId, RunId};
use landfall_proto::limit::{LimitName, WaitReason};
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::TaskKind;
use landfall_proto::time::{Duration, Timestamp, after, between};
use landfall_proto::view::LimitView;

use super::mesh::Mesh;
use super::policy::Policy;
use super::run::Run;

/// Waiting so long raises a run's priority by one, so that nothing starves.
pub const AGEING: Duration = Duration::from_secs(1800);

/// Queued runs in the order in which they are looked at, kept by priority.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// Runs of nodes that may be there.
    near: Classes,
    /// Runs of nodes that were looked at and not there: they are not looked at again before a beat is heard.
    away: Classes,
    nodes_away: BTreeSet<NodeId>,
    nodes: BTreeMap<NodeId, BTreeSet<RunId>>,
    len: usize,
}

type Classes = BTreeMap<i32, BTreeSet<Place>>;

/// A place in the queue: when the round opened, then the order in the round.
type Place = (Timestamp, u32, RunId);

/// Permits that are taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    taken: BTreeMap<Permit, u32>,
    active: u32,
    /// Runs under way, by their nodes.
    nodes: BTreeMap<NodeId, BTreeSet<RunId>>,
    /// Exclusive users by repository; one in all, except where nodes ran by themselves.
    exclusive: BTreeMap<String, u32>,
}

/// What one permit is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Permit {
    Repository(String),
    Storage(String),
    Label(String, String),
    Task(TaskKind),
}

/// What may start at this instant.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// In order.
    pub(super) dispatched: Vec<Dispatched>,
    /// When to look again, if time alone can free a run.
    pub(super) again_at: Option<Timestamp>,
    /// Nodes whose runs were skipped because no beat of them is heard.
    pub(super) away: BTreeSet<NodeId>,
}

/// Chooses the runs that may start, `max` at most.
pub(super) fn dispatch(mesh: &Mesh, policy: &Policy, now: Timestamp, max: usize) -> Turns {
    let mut turns = Turns::default();
    let mut taken = Usage::default();
    for run in mesh.index.queue.near(now).filter_map(|id| mesh.runs.get(&id)) {
        if turns.dispatched.len() >= max {
            break;
        }
        match blocked(mesh, policy, now, run, &taken) {
            None if is_outdated(mesh, now, run) => {}
            None => {
                taken.take(run);
                turns.dispatched.push(dispatched(mesh, now, run));
            }
            Some(WaitReason::Limit { name: LimitName::Cluster, .. }) => break,
            Some(WaitReason::NodeOffline { node }) => {
                turns.away.insert(node);
            }
            Some(_) => {
                if let Some(at) = run.not_before.filter(|at| *at > now) {
                    turns.again_at = Some(turns.again_at.map_or(at, |before| before.min(at)));
                }
            }
        }
    }
    turns
}

/// Why a queued run does not run yet.
pub fn waits_for(mesh: &Mesh, policy: &Policy, now: Timestamp, run: &Run) -> WaitReason {
    blocked(mesh, policy, now, run, &Usage::default()).unwrap_or(WaitReason::Turn)
}

/// A limit's size: as it was set, else the policy's, else the built-in one; `None` is no limit.
pub fn size_of(mesh: &Mesh, policy: &Policy, name: &LimitName) -> Option<u32> {
    mesh.limits.get(name).or_else(|| policy.limits.get(name)).copied().or_else(|| name.default_size())
}

/// Every limit that has a size, and how much of it is taken. For the limits that hold for each node and each repository,
/// that is the most that one of them has taken.
pub fn limits(mesh: &Mesh, policy: &Policy) -> Vec<LimitView> {
    let fixed = [LimitName::Cluster, LimitName::Node];
    let names: BTreeSet<LimitName> =
        fixed.into_iter().chain(mesh.limits.keys().cloned()).chain(policy.limits.keys().cloned()).collect();
    let view = |name: LimitName| LimitView {
        size: size_of(mesh, policy, &name),
        used: mesh.index.usage.used(&name),
        is_default: !mesh.limits.contains_key(&name),
        name,
    };
    names.into_iter().map(view).collect()
}

fn dispatched(mesh: &Mesh, now: Timestamp, run: &Run) -> Dispatched {
    let dispatch = run.dispatches + 1;
    Dispatched {
        epoch: mesh.epoch(),
        run: run.id,
        node: run.node.clone(),
        command: CommandId::of("start", run.id.0, &dispatch.to_string()),
        dispatch,
        not_after: after(now, COMMAND_LIFE),
    }
}

/// Whether starting it would no longer help: its round is over, or a later slot of the same routine waits or has begun
/// on its node.
pub(super) fn is_outdated(mesh: &Mesh, now: Timestamp, run: &Run) -> bool {
    if mesh.rounds.get(&run.round).is_none_or(|round| round.deadline <= now) {
        return true;
    }
    let begun = mesh.index.begun.get(&(run.node.clone(), run.routine.clone(), run.task)).copied();
    if run.slot.is_some() && begun > run.slot {
        return true;
    }
    let later = |other: &Run| other.routine == run.routine && other.task == run.task && other.slot > run.slot;
    run.slot.is_some() && mesh.index.queue.of_node(&run.node).filter_map(|id| mesh.runs.get(&id)).any(later)
}

/// The first thing in the way, the node itself before the limits in their order. `taken` is on top of what is in use.
pub(super) fn blocked(mesh: &Mesh, policy: &Policy, now: Timestamp, run: &Run, taken: &Usage) -> Option<WaitReason> {
    let in_use = &mesh.index.usage;
    let full = |name: LimitName, used: u32| {
        let size = size_of(mesh, policy, &name)?;
        (used >= size).then_some(WaitReason::Limit { name, size })
    };
    let used = |permit: &Permit| in_use.of(permit) + taken.of(permit);
    // The whole cluster comes before the node: where it is full, nobody has to be looked at one by one.
    if let Some(reason) = full(LimitName::Cluster, in_use.active + taken.active) {
        return Some(reason);
    }
    let Some(live) = mesh.live.get(&run.node).filter(|live| live.is_heard(now)) else {
        return Some(WaitReason::NodeOffline { node: run.node.clone() });
    };
    if mesh.quarantine(&run.node).is_some() {
        return Some(WaitReason::NodeQuarantined { node: run.node.clone() });
    }
    if run.refused.is_some() && run.not_before.is_some_and(|at| at > now) {
        return Some(WaitReason::NodeFull { node: run.node.clone() });
    }
    if live.paused.is_some() || run.not_before.is_some_and(|at| at > now) {
        return Some(WaitReason::NodeBusy { node: run.node.clone() });
    }
    if let Some(run) = earlier(mesh, run) {
        return Some(WaitReason::EarlierRun { run });
    }
    if let Some(reason) = full(LimitName::Node, in_use.count_of_node(&run.node) + taken.count_of_node(&run.node)) {
        return Some(reason);
    }
    let repository = run.repository_key();
    let users = used(&Permit::Repository(repository.clone()));
    let excluders = in_use.excluders(&repository) + taken.excluders(&repository);
    if excluders > 0 || (run.needs.lock == RepositoryLock::Exclusive && users > 0) {
        return Some(WaitReason::RepositoryExclusive { repository: shown(&repository) });
    }
    let storage = || run.needs.storage.as_ref();
    full(LimitName::Repository, users)
        .or_else(|| {
            let name = storage()?;
            full(LimitName::Storage(name.clone()), used(&Permit::Storage(name.clone())))
        })
        .or_else(|| {
            run.needs.labels.iter().find_map(|(key, value)| {
                let permit = Permit::Label(key.clone(), value.clone());
                full(LimitName::Label(key.clone(), value.clone()), used(&permit))
            })
        })
        .or_else(|| full(LimitName::Task(run.task), used(&Permit::Task(run.task))))
}

/// The run that this one tries again, where that may still be at work: its round was over before it had ended. Two of them at
/// once would do the work twice, and whose result is the backup nobody could say.
fn earlier(mesh: &Mesh, run: &Run) -> Option<RunId> {
    let OpenedBy::Retry { of } = &mesh.rounds.get(&run.round)?.opened_by else { return None };
    let before = RunId::of(mesh.runs.get(of)?.round, &run.node, run.task);
    mesh.runs.get(&before).filter(|before| before.is_active()).map(|before| before.id)
}

/// The key as a repository id, for people.
fn shown(key: &str) -> RepositoryId {
    let plain: String = key.chars().filter(char::is_ascii_graphic).take(128).collect();
    plain.parse().unwrap_or_else(|_| "unknown".parse().expect("a plain word is a repository id"))
}

impl Run {
    /// What stands for the repository in limits: its own id, or what is known of the destination.
    pub fn repository_key(&self) -> String {
        self.needs.repository.as_ref().map_or_else(|| self.needs.destination.clone(), |id| id.as_str().to_owned())
    }

    fn permits(&self) -> Vec<Permit> {
        let mut permits = vec![Permit::Repository(self.repository_key()), Permit::Task(self.task)];
        permits.extend(self.needs.storage.clone().map(Permit::Storage));
        permits.extend(self.needs.labels.iter().map(|(key, value)| Permit::Label(key.clone(), value.clone())));
        permits
    }
}

impl Queue {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, run: &Run) {
        let classes = if self.nodes_away.contains(&run.node) { &mut self.away } else { &mut self.near };
        if classes.entry(run.needs.priority).or_default().insert(place_of(run)) {
            self.nodes.entry(run.node.clone()).or_default().insert(run.id);
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, run: &Run) {
        if !take_out(&mut self.near, run) && !take_out(&mut self.away, run) {
            return;
        }
        self.len -= 1;
        if let Some(runs) = self.nodes.get_mut(&run.node) {
            runs.remove(&run.id);
            if runs.is_empty() {
                self.nodes.remove(&run.node);
            }
        }
    }

    pub(super) fn is_away(&self, node: &NodeId) -> bool {
        self.nodes_away.contains(node)
    }

    /// Sets a node's runs aside, or takes them up again; `runs` are all that it has in the queue.
    pub(super) fn set_away<'a>(&mut self, node: &NodeId, away: bool, runs: impl Iterator<Item = &'a Run>) {
        let changed = if away { self.nodes_away.insert(node.clone()) } else { self.nodes_away.remove(node) };
        if !changed {
            return;
        }
        let (from, to) = if away { (&mut self.near, &mut self.away) } else { (&mut self.away, &mut self.near) };
        for run in runs {
            if take_out(from, run) {
                to.entry(run.needs.priority).or_default().insert(place_of(run));
            }
        }
    }

    pub(super) fn of_node(&self, node: &NodeId) -> impl Iterator<Item = RunId> {
        self.nodes.get(node).into_iter().flatten().copied()
    }

    /// All runs: highest priority first, waiting time counted in; then oldest first.
    pub(super) fn in_order(&self, now: Timestamp) -> impl Iterator<Item = RunId> {
        in_order(self.near.iter().chain(&self.away), now)
    }

    /// The same without the nodes that are away.
    pub(super) fn near(&self, now: Timestamp) -> impl Iterator<Item = RunId> {
        in_order(self.near.iter(), now)
    }
}

/// Within a class the oldest has waited longest, so only the heads of the classes are compared.
fn in_order<'a>(
    classes: impl Iterator<Item = (&'a i32, &'a BTreeSet<Place>)>,
    now: Timestamp,
) -> impl Iterator<Item = RunId> {
    let mut heads: Vec<_> = classes.map(|(priority, class)| (*priority, class.iter().peekable())).collect();
    std::iter::from_fn(move || {
        let rank = |priority: i32, place: &Place| {
            let steps = between(place.0, now).as_ms() / AGEING.as_ms();
            let aged = i64::from(priority).saturating_add(i64::try_from(steps).unwrap_or(i64::MAX));
            (std::cmp::Reverse(aged), *place)
        };
        let ranked = heads
            .iter_mut()
            .enumerate()
            .filter_map(|(index, (priority, class))| class.peek().map(|place| (rank(*priority, place), index)));
        let (_, first) = ranked.min()?;
        heads[first].1.next().map(|place| place.2)
    })
}

const fn place_of(run: &Run) -> Place {
    (run.queued_at, run.position, run.id)
}

fn take_out(classes: &mut Classes, run: &Run) -> bool {
    let Some(class) = classes.get_mut(&run.needs.priority) else { return false };
    let found = class.remove(&place_of(run));
    if class.is_empty() {
        classes.remove(&run.needs.priority);
    }
    found
}

impl Usage {
    pub(super) const fn active(&self) -> u32 {
        self.active
    }

    pub(super) fn take(&mut self, run: &Run) {
        self.active += 1;
        self.nodes.entry(run.node.clone()).or_default().insert(run.id);
        for permit in run.permits() {
            *self.taken.entry(permit).or_default() += 1;
        }
        if run.needs.lock == RepositoryLock::Exclusive {
            *self.exclusive.entry(run.repository_key()).or_default() += 1;
        }
    }

    pub(super) fn give_back(&mut self, run: &Run) {
        self.active = self.active.saturating_sub(1);
        if let Some(runs) = self.nodes.get_mut(&run.node) {
            runs.remove(&run.id);
            if runs.is_empty() {
                self.nodes.remove(&run.node);
            }
        }
        for permit in run.permits() {
            lower(&mut self.taken, &permit);
        }
        if run.needs.lock == RepositoryLock::Exclusive {
            lower(&mut self.exclusive, &run.repository_key());
        }
    }

    /// Runs under way on a node.
    pub(super) fn of_node(&self, node: &NodeId) -> impl Iterator<Item = RunId> {
        self.nodes.get(node).into_iter().flatten().copied()
    }

    pub(super) fn count_of_node(&self, node: &NodeId) -> u32 {
        self.nodes.get(node).map_or(0, count)
    }

    fn of(&self, permit: &Permit) -> u32 {
        self.taken.get(permit).copied().unwrap_or(0)
    }

    fn excluders(&self, repository: &str) -> u32 {
        self.exclusive.get(repository).copied().unwrap_or(0)
    }

    fn used(&self, name: &LimitName) -> u32 {
        let most = |is_of: fn(&Permit) -> bool| {
            self.taken.iter().filter(|(permit, _)| is_of(permit)).map(|(_, count)| *count).max().unwrap_or(0)
        };
        match name {
            LimitName::Cluster => self.active,
            LimitName::Node => self.nodes.values().map(count).max().unwrap_or(0),
            LimitName::Repository => most(|permit| matches!(permit, Permit::Repository(_))),
            LimitName::Storage(name) => self.of(&Permit::Storage(name.clone())),
            LimitName::Label(key, value) => self.of(&Permit::Label(key.clone(), value.clone())),
            LimitName::Task(task) => self.of(&Permit::Task(*task)),
        }
    }
}

fn count(runs: &BTreeSet<RunId>) -> u32 {
    u32::try_from(runs.len()).unwrap_or(u32::MAX)
}

fn lower<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
