//! The ledger in memory: what the shell's stories run on, and the measure for the other one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::shadow::Shadow;
use super::writes::{Before, Writes, restored, unseal, writes};
use super::{Ledger, LedgerError, load};
use crate::core::record::{Changes, Key, Records};

/// Forgets everything with the process.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    entries: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    shadow: Shadow,
}

impl MemoryLedger {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, writes: Writes) -> Result<(), LedgerError> {
        let kept = self.shadow.keep(self, &writes)?;
        let mut entries = self.entries();
        for (key, value) in writes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        drop((entries, kept));
        Ok(())
    }
}

impl Ledger for MemoryLedger {
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
        Ok(())
    }

    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Vec<Vec<u8>>, LedgerError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let entries = self.entries();
        let range = entries.range::<[u8], _>((from, Bound::Unbounded));
        Ok(range.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).take(max).cloned().collect())
    }

    fn record(&self, key: &Key) -> Result<Option<Vec<u8>>, LedgerError> {
        unseal(self, &key.bytes())
    }

    fn shadow(&self) -> &Shadow {
        &self.shadow
    }
}

impl Before for MemoryLedger {
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.entries().get(key).cloned())
    }

    fn keys_of(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.keys(prefix, None, usize::MAX)
    }
}
