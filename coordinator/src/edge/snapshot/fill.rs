//! From a snapshot to a ledger: a store is filled beside its place and moved there when all of it is on the disk, so that a
//! crash leaves either none or the whole.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::read::Sound;
use super::{SnapshotError, SnapshotRefusal};
use crate::core::record::{Changes, Key};
use crate::edge::ledger::{self, Ledger, SledLedger};

/// Where the store is filled. What a crash left there is worth nothing.
const FILLING: &str = "ledger-filling";

/// Records in one transaction, and their bytes: few enough for memory, many enough for speed.
const RECORDS_AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 4 << 20;

/// Makes the ledger of `state_dir` from a snapshot. There must be none, or an empty one, and nobody may have it open.
pub(in crate::edge) fn fill(state_dir: &Path, snapshot: &Sound) -> Result<(), SnapshotError> {
    let filling = state_dir.join(FILLING);
    let folder = state_dir.join(ledger::FOLDER);
    let wrong = |source| SnapshotError::Folder { path: filling.clone(), source };
    remove(&filling).map_err(wrong)?;
    let ledger = SledLedger::open(&filling)?;
    restore(&ledger, snapshot)?;
    ledger.durable()?;
    drop(ledger);
    remove(&folder).map_err(wrong)?;
    fs::rename(&filling, &folder).map_err(wrong)?;
    File::open(state_dir).and_then(|folder| folder.sync_all()).map_err(wrong)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes every record of the snapshot into an empty ledger.
pub(super) fn restore(ledger: &dyn Ledger, snapshot: &Sound) -> Result<(), SnapshotError> {
    let malformed = |detail: String| SnapshotRefusal::Malformed { path: snapshot.name.to_string().into(), detail };
    let mut part = Part::default();
    for entry in snapshot.records()? {
        let entry = entry?;
        let key = Key::parse(&entry.key).ok_or_else(|| malformed("a key that this build does not know".to_owned()))?;
        part.changes.read(key.clone(), &entry.value).map_err(|refusal| malformed(refusal.to_string()))?;
        part.count += 1;
        part.bytes += entry.value.len();
        if !entry.is_held {
            part.history.insert(key);
        }
        if part.count >= RECORDS_AT_ONCE || part.bytes >= BYTES_AT_ONCE {
            std::mem::take(&mut part).write(ledger)?;
        }
    }
    part.write(ledger)
}

/// What goes into one transaction.
#[derive(Default)]
struct Part {
    changes: Changes,
    history: BTreeSet<Key>,
    count: usize,
    bytes: usize,
}

impl Part {
    fn write(self, ledger: &dyn Ledger) -> Result<(), SnapshotError> {
        Ok(ledger.restore(&self.changes, &self.history)?)
    }
}
