//! Model repositories, shared by all machines that use them: snapshots, locks, space, and rot.

use std::collections::{BTreeMap, BTreeSet};

use landfall::audit::{RepositoryTrace, SnapshotSeen};
use landfall_proto::id::{NodeId, RepositoryId, RunId};
use landfall_proto::report::Reason;
use landfall_proto::time::Timestamp;

/// All repositories of the world, by the location that targets name.
#[derive(Debug, Clone, Default)]
pub struct Repositories {
    by_location: BTreeMap<String, Repository>,
}

/// What may happen to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryFault {
    /// No room for another snapshot, until it is set to false.
    Full(bool),
    /// Nobody can reach it, until it is set to false.
    Unreachable(bool),
    /// Another program holds it for itself until then; a lock of somebody else is never broken.
    ForeignLock { until: Timestamp },
    /// The data behind one snapshot is damaged: of the so-manyth, counted round.
    Rot { which: u32 },
    /// Snapshots are removed behind everybody's back: the so-manyth, counted round.
    Remove { which: u32 },
}

/// One repository.
#[derive(Debug, Clone)]
struct Repository {
    id: RepositoryId,
    snapshots: Vec<Snapshot>,
    /// How many snapshots carry each run's tag; few runs have one at all, and most have one.
    tagged: BTreeMap<RunId, u32>,
    /// What somebody outside the mesh took away.
    taken: BTreeSet<String>,
    /// What a machine of ours took away though nobody had asked it to.
    pruned: BTreeSet<String>,
    made: u64,
    is_full: bool,
    is_unreachable: bool,
    locked_until: Option<Timestamp>,
}

/// One snapshot with its tags.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) id: String,
    pub(super) node: NodeId,
    pub(super) run: RunId,
    pub(super) taken_at: Timestamp,
    pub(super) is_whole: bool,
    pub(super) is_sound: bool,
}

/// What a tool sees when it opens a repository.
pub(super) struct Opened<'a>(&'a mut Repository);

impl Repositories {
    /// A repository at this location. Its id follows from the location, so that every node that reads it learns the same.
    pub fn add(&mut self, location: &str) -> RepositoryId {
        let id = id_of(location);
        self.by_location.entry(location.to_owned()).or_insert_with(|| Repository::new(id.clone()));
        id
    }

    pub fn ids(&self) -> impl Iterator<Item = &RepositoryId> {
        self.by_location.values().map(|repository| &repository.id)
    }

    pub fn fault(&mut self, id: &RepositoryId, fault: RepositoryFault) {
        let Some(repository) = self.by_location.values_mut().find(|repository| repository.id == *id) else { return };
        match fault {
            RepositoryFault::Full(is_full) => repository.is_full = is_full,
            RepositoryFault::Unreachable(is_unreachable) => repository.is_unreachable = is_unreachable,
            RepositoryFault::ForeignLock { until } => repository.locked_until = Some(until),
            RepositoryFault::Rot { which } => {
                if let Some(index) = counted_round(which, repository.snapshots.len()) {
                    repository.snapshots[index].is_sound = false;
                }
            }
            RepositoryFault::Remove { which } => {
                if let Some(index) = counted_round(which, repository.snapshots.len()) {
                    let snapshot = repository.snapshots.remove(index);
                    if let Some(count) = repository.tagged.get_mut(&snapshot.run) {
                        *count -= 1;
                    }
                    repository.taken.insert(snapshot.id);
                }
            }
        }
    }

    /// Everything is reachable again, has room, and nobody holds it. What is damaged or removed stays so.
    pub fn heal(&mut self) {
        for repository in self.by_location.values_mut() {
            repository.is_full = false;
            repository.is_unreachable = false;
            repository.locked_until = None;
        }
    }

    pub fn trace(&self) -> BTreeMap<RepositoryId, RepositoryTrace> {
        self.by_location.values().map(|repository| (repository.id.clone(), repository.trace())).collect()
    }

    /// Opens the repository at this location, or makes it where that is allowed; every look from another place fails while
    /// it cannot be reached.
    pub(super) fn open(&mut self, location: &str, may_create: bool) -> Result<Opened<'_>, Reason> {
        if may_create && !self.by_location.contains_key(location) {
            self.add(location);
        }
        let repository = self.by_location.get_mut(location).ok_or(Reason::NoRepository)?;
        if repository.is_unreachable { Err(Reason::Network) } else { Ok(Opened(repository)) }
    }
}

impl Opened<'_> {
    pub(super) const fn id(&self) -> &RepositoryId {
        &self.0.id
    }

    pub(super) const fn is_full(&self) -> bool {
        self.0.is_full
    }

    pub(super) fn is_locked(&self, now: Timestamp) -> bool {
        self.0.locked_until.is_some_and(|until| now < until)
    }

    /// Snapshots that carry this run's tag.
    pub(super) fn of_run(&self, run: RunId) -> Vec<&Snapshot> {
        let count = self.0.tagged.get(&run).copied().unwrap_or(0);
        let of_run = self.0.snapshots.iter().rev().filter(|snapshot| snapshot.run == run);
        of_run.take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.snapshots.len()
    }

    /// Damaged snapshots that lie in this part of the data.
    pub(super) fn damaged(&self, part: u32, of: u32) -> Vec<String> {
        let is_in = |snapshot: &&Snapshot| !snapshot.is_sound && part_of(&snapshot.id, of) == part;
        self.0.snapshots.iter().filter(is_in).map(|snapshot| snapshot.id.clone()).collect()
    }

    /// Takes the oldest snapshot of a machine away.
    pub(super) fn prune_unasked(&mut self, node: &NodeId) {
        let own = self.0.snapshots.iter().filter(|snapshot| snapshot.node == *node).count();
        if let Some(index) = self.0.snapshots.iter().position(|snapshot| snapshot.node == *node).filter(|_| own > 1) {
            let snapshot = self.0.snapshots.remove(index);
            self.0.pruned.insert(snapshot.id);
        }
    }

    pub(super) fn save(&mut self, node: &NodeId, run: RunId, taken_at: Timestamp, is_whole: bool) -> String {
        self.0.made += 1;
        let text = format!("{}/{}/{run}", self.0.id, self.0.made);
        let id = blake3::hash(text.as_bytes()).to_hex().to_string();
        let snapshot = Snapshot { id: id.clone(), node: node.clone(), run, taken_at, is_whole, is_sound: true };
        self.0.snapshots.push(snapshot);
        *self.0.tagged.entry(run).or_default() += 1;
        id
    }
}

impl Repository {
    fn new(id: RepositoryId) -> Self {
        Self {
            id,
            snapshots: Vec::new(),
            tagged: BTreeMap::new(),
            taken: BTreeSet::new(),
            pruned: BTreeSet::new(),
            made: 0,
            is_full: false,
            is_unreachable: false,
            locked_until: None,
        }
    }

    fn trace(&self) -> RepositoryTrace {
        let seen = |snapshot: &Snapshot| SnapshotSeen {
            id: snapshot.id.clone(),
            node: Some(snapshot.node.clone()),
            run: Some(snapshot.run),
            taken_at: snapshot.taken_at,
            is_whole: snapshot.is_whole,
            is_sound: snapshot.is_sound,
        };
        let removed = self.taken.iter().chain(&self.pruned).map(|id| (id.clone(), false)).collect();
        let snapshots = self.snapshots.iter().map(seen).collect();
        RepositoryTrace { snapshots, removed, taken: self.taken.clone(), ..RepositoryTrace::default() }
    }
}

pub(super) fn id_of(location: &str) -> RepositoryId {
    let text = blake3::hash(location.as_bytes()).to_hex().to_string();
    text.parse().expect("a hash in hexadecimal digits is a repository id")
}

/// Which part of the data a snapshot's own data lies in, from 1.
fn part_of(id: &str, of: u32) -> u32 {
    let number = u32::from_str_radix(&id[..8], 16).unwrap_or(0);
    number.checked_rem(of).unwrap_or(0) + 1
}

fn counted_round(which: u32, length: usize) -> Option<usize> {
    usize::try_from(which).ok()?.checked_rem(length)
}
