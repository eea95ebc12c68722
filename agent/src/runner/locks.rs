//! The locks that this agent's own dead engines left in repositories: found by their records, removed after proof.
//!
//! Nothing but a recorded lock whose process is proven to be gone is ever removed. The locks of other programs and other
//! nodes are left to their owners and to people.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::plan::Target;
use landfall_proto::time::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Engine, RunRequest, look_bench, redacted};
use crate::driver::{self, Bench, Failure};
use crate::edge::clock;
use crate::worker::lock::{Here, LockRecord, Proof};

/// How long the removal of a few small files may take. A cancelled run waits for it.
const REMOVE_PATIENCE: Duration = Duration::from_secs(8);

/// Locks that are removed at once; the others have their turn next time.
const REMOVE_MAX: usize = 100;

/// The runs that left records, by the directory of all runs. It is read once; after that only this process leaves any.
#[derive(Default)]
pub(super) struct Left(Mutex<BTreeMap<PathBuf, BTreeSet<PathBuf>>>);

/// What was done about the locks in one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleared {
    /// The names of those that are gone.
    pub removed: Vec<String>,
    /// When the owner of one that is left can be taken for gone.
    pub again_at: Option<Timestamp>,
}

impl Left {
    fn directories(&self, runs: &Path) -> Vec<PathBuf> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(runs.to_owned()).or_insert_with(|| search(runs)).iter().cloned().collect()
    }

    /// Keeps in mind which of these still have records.
    fn note(&self, runs: &Path, directories: &[PathBuf]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(runs.to_owned()).or_default();
        for directory in directories {
            if LockRecord::any_in(directory) {
                known.insert(directory.clone());
            } else {
                known.remove(directory);
            }
        }
    }
}

/// Removes what dead processes of earlier runs left in the repository of this target. `runs` is where all runs have their
/// directories.
pub async fn clear_dead(engine: &Engine, runs: &Path, target: &Target) -> Result<Cleared, Failure> {
    let directories = engine.locks.directories(runs);
    if directories.is_empty() {
        return Ok(Cleared::default());
    }
    let cleared = clear(engine, target, &directories).await;
    engine.locks.note(runs, &directories);
    cleared
}

/// The names of the locks on record below `runs`, each with whether its process may still live. Changes nothing.
pub fn own_locks(runs: &Path) -> BTreeMap<String, bool> {
    let here = Here::look();
    let records = search(runs).into_iter().flat_map(|directory| LockRecord::all_in(&directory));
    records
        .map(|record| {
            let lives = record.look(&here, clock::now()) == Proof::Lives;
            (record.id, lives)
        })
        .collect()
}

/// Before a run works on a repository, the locks of its dead predecessors go.
pub(super) async fn before(request: &RunRequest, bench: &mut Bench<'_>) {
    let Some(runs) = request.directory.parent() else { return };
    let cleared = clear_dead(bench.engine, runs, bench.target).await;
    tell(bench, cleared).await;
}

/// After a tool that was killed or cancelled, its lock goes.
pub(super) async fn after(request: &RunRequest, bench: &mut Bench<'_>) {
    let directory = request.directory.clone();
    if !LockRecord::any_in(&directory) {
        return;
    }
    let cleared = clear(bench.engine, bench.target, std::slice::from_ref(&directory)).await;
    if let Some(runs) = directory.parent() {
        // Asked for first, so that what an earlier life left is not forgotten over this one.
        bench.engine.locks.directories(runs);
        bench.engine.locks.note(runs, std::slice::from_ref(&directory));
    }
    tell(bench, cleared).await;
}

async fn tell(bench: &mut Bench<'_>, cleared: Result<Cleared, Failure>) {
    match cleared {
        Ok(cleared) if cleared.removed.is_empty() => {}
        Ok(Cleared { removed, .. }) => {
            let text = format!("removed the locks that a process of ours left when it ended: {}", removed.join(", "));
            bench.reporter.line(&text, false).await;
        }
        // A shared lock stops no backup. It is tried again before the next run.
        Err(failure) => {
            let text = format!("warning: a lock that a process of ours left cannot be removed yet: {failure}");
            bench.reporter.line(&text, false).await;
        }
    }
}

async fn clear(engine: &Engine, target: &Target, directories: &[PathBuf]) -> Result<Cleared, Failure> {
    let Some(place) = driver::lock_place(target) else { return Ok(Cleared::default()) };
    let (here, now) = (Here::look(), clock::now());
    let mut cleared = Cleared::default();
    let mut dead = Vec::new();
    for directory in directories {
        for record in LockRecord::all_in(directory).into_iter().filter(|record| record.location == place) {
            match record.look(&here, now) {
                Proof::Gone if dead.len() < REMOVE_MAX => dead.push((directory, record.id)),
                Proof::Gone | Proof::Lives | Proof::Never => {}
                Proof::GoneAt(at) => cleared.again_at = cleared.again_at.max(Some(at)),
            }
        }
    }
    if dead.is_empty() {
        return Ok(cleared);
    }
    let (_held, cancel) = watch::channel(false);
    let mut bench = look_bench(engine, target, cancel);
    bench.deadline = Instant::now() + REMOVE_PATIENCE;
    driver::unlock(&mut bench, dead.iter().map(|(_, id)| id.clone()).collect())
        .await
        .map_err(|failure| redacted(&bench, failure))?;
    for (directory, id) in dead {
        // A record that stays is of a lock that is gone: the next removal finds nothing and changes nothing.
        let _ = LockRecord::forget(directory, &id);
        cleared.removed.push(id);
    }
    Ok(cleared)
}

fn search(runs: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| LockRecord::any_in(path)).collect()
}
