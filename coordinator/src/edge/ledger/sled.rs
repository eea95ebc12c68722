//! The ledger on disk. Its store is young and its flush is no barrier, so this brings its own checksums, barrier and rules.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use sled::{Batch, Config, Db, Mode};

use super::shadow::Shadow;
use super::writes::{Before, Writes, restored, unseal, writes};
use super::{Ledger, LedgerError, load};
use crate::core::record::{Changes, Key, Records};
use crate::edge::key::{FORMAT, format_key};

/// Pages that the store may keep in memory; its own default would be a gigabyte.
const CACHE_BYTES: u64 = 16 << 20;

/// How often, and after which pause, a store that is still locked is tried again.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// One tree in one folder.
#[derive(Debug)]
pub struct SledLedger {
    store: Db,
    /// The store's own file, opened a second time: the store's flush leaves it to the system when it reaches the disk.
    file: File,
    shadow: Shadow,
}

impl SledLedger {
    /// Opens or creates the store, without any care for what may be wrong with it; [`super::open`] is the careful way.
    pub(in crate::edge) fn open(folder: &Path) -> Result<Self, LedgerError> {
        let store = open_when_free(folder)?;
        let wrong = |source| LedgerError::Folder { path: folder.to_owned(), source };
        let file = File::open(folder.join("db")).map_err(wrong)?;
        // A file that was just created is only there for sure once its folder is on disk too.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
        let ledger = Self { store, file, shadow: Shadow::default() };
        match ledger.value(&format_key())?.as_deref() {
            None => drop(ledger.store.insert(format_key(), &[FORMAT])?),
            Some([FORMAT]) => {}
            Some(other) => {
                return Err(LedgerError::Format { found: other.first().copied().unwrap_or(0), wanted: FORMAT });
            }
        }
        Ok(ledger)
    }

    /// One batch on one tree is one transaction: after a crash it is there whole or not at all.
    fn write(&self, writes: Writes) -> Result<(), LedgerError> {
        let _kept = self.shadow.keep(self, &writes)?;
        let mut batch = Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Ok(self.store.apply_batch(batch)?)
    }
}

/// Whoever opens the store holds the state folder's own lock, so that the store's lock can only be held by the threads of an
/// earlier handle that are about to end.
fn open_when_free(folder: &Path) -> Result<Db, LedgerError> {
    for _ in 0..LOCK_TRIES {
        match open(folder) {
            Err(LedgerError::Store(sled::Error::Io(error))) if is_locked(&error) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    open(folder)
}

/// The store stops the thread at some kinds of damage instead of saying so.
fn open(folder: &Path) -> Result<Db, LedgerError> {
    let config = Config::new()
        .path(folder)
        .cache_capacity(CACHE_BYTES)
        .mode(Mode::LowSpace)
        // The barrier flushes before anything is done; the store's own timer is only a net under a replay.
        .flush_every_ms(Some(1000));
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(opened) => Ok(opened?),
        Err(_) => {
            Err(LedgerError::Damaged { detail: "the store stopped at an inner error while it was opened".to_owned() })
        }
    }
}

/// The store wraps the system's error into a text of its own.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

impl Ledger for SledLedger {
    fn load(&self) -> Result<Records, LedgerError> {
        load(self)
    }

    fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        self.write(writes(self, changes)?)
    }

    fn restore(&self, changes: &Changes, history: &BTreeSet<Key>) -> Result<(), LedgerError> {
        self.write(restored(changes, history)?)
    }

    fn durable(&self) -> Result<(), LedgerError> {
        self.store.flush()?;
        self.file.sync_all().map_err(|error| LedgerError::Store(sled::Error::Io(error)))
    }

    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Vec<Vec<u8>>, LedgerError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let mut keys = Vec::new();
        for entry in self.store.range::<&[u8], _>((from, Bound::Unbounded)) {
            let (key, _) = entry?;
            if keys.len() >= max || !key.starts_with(prefix) {
                break;
            }
            keys.push(key.to_vec());
        }
        Ok(keys)
    }

    fn record(&self, key: &Key) -> Result<Option<Vec<u8>>, LedgerError> {
        unseal(self, &key.bytes())
    }

    fn shadow(&self) -> &Shadow {
        &self.shadow
    }
}

impl Before for SledLedger {
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.store.get(key)?.map(|value| value.to_vec()))
    }

    fn keys_of(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.keys(prefix, None, usize::MAX)
    }
}

#[cfg(test)]
impl SledLedger {
    /// Turns one bit of a stored value around, as a bad disk would.
    pub(super) fn flip_for_test(&self, key: &[u8], byte: usize) {
        let mut value = self.store.get(key).unwrap().unwrap().to_vec();
        value[byte] ^= 1;
        self.store.insert(key, value).unwrap();
    }
}
