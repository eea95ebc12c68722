//! Restic's locks, which the engine itself neither writes nor reads.
//!
//! A `restic prune` beside another writer deletes data that the writer's snapshot needs. Restic keeps the two apart by files
//! in `locks/`: a program that deletes holds an exclusive one, all others a shared one, and each looks for the others' both
//! before and after it has written its own. So does a worker that backs up or checks.

mod file;
mod judge;
mod own;
mod record;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use landfall_proto::report::Reason;

use super::failure::Failure;
use super::open::Opened;
use super::protocol::{LockLife, LockSeen, Order};
use crate::edge::clock;
use crate::edge::process::presence;
use file::{LOCK_BYTES_MAX, Sealer};
use judge::{age, life, weigh};
use store::Store;

pub(crate) use judge::{UNLOCK, describe};
pub(super) use own::{OwnLock, farewell};
pub(crate) use record::{Here, LockRecord, Proof};

/// Lists that are made of the locks at one moment. What vanishes each time is not renewed but given up.
const LISTS_MAX: u32 = 3;

/// What a task does where no lock can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It does not begin: what it writes would not be safe.
    Must,
    /// It goes on without, as `restic --no-lock` does, and says so: all it could come to is a wrong alarm.
    May,
}

/// The turn of one task. Dropping it gives the lock back.
pub(super) struct Turn {
    lock: Option<Arc<OwnLock>>,
    /// What people should know of the locks of others.
    pub(super) notes: Vec<String>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            lock.release();
        }
    }
}

/// Waits for nobody: fails with [`Reason::Lock`] while another program has the repository for itself, else holds a lock.
pub(super) fn take(opened: &Opened, order: &Order, need: Need) -> Result<Turn, Failure> {
    let lock = OwnLock::new(
        Store::of(&order.repository)?,
        sealer(opened)?,
        Here::look(),
        order.repository.to_string(),
        order.lock_records.clone(),
    );
    let mut known = BTreeSet::new();
    let mut notes = Vec::new();
    look(&lock, &mut known, &mut notes)?;
    match lock.put() {
        Ok(id) => known.insert(id),
        Err(failure) if need == Need::May && is_refusal(failure.reason) => {
            notes.push(format!(
                "No lock could be left, so nothing keeps a `restic prune` from working at the same time. {failure}"
            ));
            return Ok(Turn { lock: None, notes });
        }
        Err(failure) => return Err(failure),
    };
    let lock = Arc::new(lock);
    let mut turn = Turn { lock: Some(Arc::clone(&lock)), notes };
    // Each of two writes before it looks, so the later one sees the earlier. Restic also waits a moment in between, for stores
    // that show a new file late; a folder and a REST server do not.
    look(&lock, &mut known, &mut turn.notes)?;
    lock.keep();
    opened.destination.guard(lock);
    Ok(turn)
}

/// All locks of a repository.
pub(super) fn list(opened: &Opened, order: &Order) -> Result<Vec<LockSeen>, Failure> {
    survey(&Store::of(&order.repository)?, &sealer(opened)?, &Here::look(), &BTreeSet::new())
}

/// Removes these locks, whoever holds them: that they are ours and nobody's any more is the agent's to prove. Returns those
/// that were there.
pub(super) fn remove(order: &Order, ids: &[String]) -> Result<Vec<String>, Failure> {
    let store = Store::of(&order.repository)?;
    let mut removed = Vec::new();
    for id in ids {
        if !store::is_id(id) {
            return Err(Failure::new(Reason::Internal, format!("`{id}` is not the name of a lock.")));
        }
        if store.remove(id)? {
            removed.push(id.clone());
        }
    }
    Ok(removed)
}

/// Looks at the locks that are not known yet.
fn look(lock: &OwnLock, known: &mut BTreeSet<String>, notes: &mut Vec<String>) -> Result<(), Failure> {
    for seen in survey(lock.store(), lock.sealer(), lock.here(), known)? {
        notes.extend(weigh(&seen)?);
        known.insert(seen.id);
    }
    Ok(())
}

/// The locks that are there and not known. A lock that vanishes between the list and the reading was given up, or renewed
/// under another name that only the next list has.
fn survey(store: &Store, sealer: &Sealer, here: &Here, known: &BTreeSet<String>) -> Result<Vec<LockSeen>, Failure> {
    let mut found: BTreeMap<String, LockSeen> = BTreeMap::new();
    for _ in 0..LISTS_MAX {
        let mut is_whole = true;
        for id in store.list()?.into_iter().filter(|id| !known.contains(id)) {
            if found.contains_key(&id) {
                continue;
            }
            match store.read(&id)? {
                Some(bytes) => drop(found.insert(id.clone(), seen(id, &bytes, sealer, here))),
                None => is_whole = false,
            }
        }
        if is_whole {
            break;
        }
    }
    Ok(found.into_values().collect())
}

fn seen(id: String, bytes: &[u8], sealer: &Sealer, here: &Here) -> LockSeen {
    let lock = if bytes.len() > LOCK_BYTES_MAX { None } else { sealer.open(bytes) };
    let Some(lock) = lock else {
        let (hostname, username) = (String::new(), String::new());
        return LockSeen { id, exclusive: false, hostname, username, pid: 0, age_s: 0, life: LockLife::Unreadable };
    };
    let now = clock::now();
    let life = life(&lock, &here.host, now, presence(lock.pid));
    let (age_s, exclusive) = (age(&lock, now).as_secs(), lock.exclusive);
    LockSeen { id, exclusive, hostname: lock.hostname, username: lock.username, pid: lock.pid, age_s, life }
}

fn sealer(opened: &Opened) -> Result<Sealer, Failure> {
    Sealer::of(opened.key())
        .ok_or_else(|| Failure::new(Reason::Integrity, "The repository's key has not the length that it should have."))
}

/// The store takes nothing more, or nothing from us.
fn is_refusal(reason: Reason) -> bool {
    [Reason::Permission, Reason::ReadOnly, Reason::NoSpace].contains(&reason)
}
