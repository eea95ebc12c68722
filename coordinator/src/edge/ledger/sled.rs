//! The ledger on disk. Its store is young and its flush is no barrier, so this brings its own checksums, barrier and rules.

use std::fs::File;
use std::ops::Bound;
use std::path::Path;

use sled::{Batch, Config, Db, Mode};

use super::writes::{Before, unseal, writes};
use super::{Ledger, LedgerError, load};
use crate::core::record::{Changes, Key, Records};
use crate::edge::key::{FORMAT, format_key};

/// Pages that the store may keep in memory; its own default would be a gigabyte.
const CACHE_BYTES: u64 = 16 << 20;

/// One tree in one folder.
#[derive(Debug)]
pub struct SledLedger {
    store: Db,
    /// The store's own file, opened a second time: the store's flush leaves it to the system when it reaches the disk.
    file: File,
}

impl SledLedger {
    /// Opens or creates the store. [`super::open`] is the careful way.
    pub(super) fn open(folder: &Path) -> Result<Self, LedgerError> {
        let store = Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .mode(Mode::LowSpace)
            // The barrier flushes before anything is done; the store's own timer is only a net under a replay.
            .flush_every_ms(Some(1000))
            .open()?;
        let wrong = |source| LedgerError::Folder { path: folder.to_owned(), source };
        let file = File::open(folder.join("db")).map_err(wrong)?;
        // A file that was just created is only there for sure once its folder is on disk too.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
        let ledger = Self { store, file };
        match ledger.value(&format_key())?.as_deref() {
            None => drop(ledger.store.insert(format_key(), &[FORMAT])?),
            Some([FORMAT]) => {}
            Some(other) => {
                return Err(LedgerError::Format { found: other.first().copied().unwrap_or(0), wanted: FORMAT });
            }
        }
        Ok(ledger)
    }
}

impl Ledger for SledLedger {
    fn load(&self) -> Result<Records, LedgerError> {
        load(self)
    }

    /// One batch on one tree is one transaction: after a crash it is there whole or not at all.
    fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        let mut batch = Batch::default();
        for (key, value) in writes(self, changes)? {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Ok(self.store.apply_batch(batch)?)
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
