//! Opening the ledger so that no crash can keep it shut: what cannot be read is moved aside, and the log fills a fresh one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use landfall_proto::time::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::{Ledger, LedgerError, SledLedger};
use crate::core::record::Records;

/// An open ledger and what it held.
#[derive(Debug)]
pub struct Opened {
    pub ledger: SledLedger,
    pub records: Records,
    /// Where an unreadable store was put, and why; everything is then read again from the log's beginning.
    pub quarantined: Option<(PathBuf, String)>,
    /// Held while the coordinator lives: two on one folder would overwrite each other.
    pub lock: File,
}

/// Opens the store under `state_dir`. `now` names the place of a store that is moved aside.
pub fn open(state_dir: &Path, now: Timestamp) -> Result<Opened, LedgerError> {
    let wrong = |source| LedgerError::Folder { path: state_dir.to_owned(), source };
    fs::create_dir_all(state_dir).map_err(wrong)?;
    let lock = lock(state_dir)?;
    let folder = state_dir.join("ledger");
    remove_unfinished(&folder).map_err(wrong)?;
    let first = match read(&folder) {
        Ok((ledger, records)) => return Ok(Opened { ledger, records, quarantined: None, lock }),
        Err(error) if is_beyond_repair(&error) => chain(&error),
        Err(error) => return Err(error),
    };
    // The store's summary can be damaged alone; without it the store reads its whole log, which is the truth.
    tracing::warn!(why = first, "the ledger cannot be read; it is tried without its summary");
    remove_snapshots(&folder, |_| true).map_err(wrong)?;
    match read(&folder) {
        Ok((ledger, records)) => return Ok(Opened { ledger, records, quarantined: None, lock }),
        Err(error) if is_beyond_repair(&error) => {}
        Err(error) => return Err(error),
    }
    let aside = state_dir.join(format!("quarantine-{}", now.as_millisecond()));
    fs::rename(&folder, &aside).map_err(wrong)?;
    tracing::error!(why = first, aside = %aside.display(), "the ledger is moved aside and rebuilt from the log");
    let (ledger, records) = read(&folder)?;
    Ok(Opened { ledger, records, quarantined: Some((aside, first)), lock })
}

fn read(folder: &Path) -> Result<(SledLedger, Records), LedgerError> {
    let ledger = SledLedger::open(folder)?;
    let records = ledger.load()?;
    Ok((ledger, records))
}

fn lock(state_dir: &Path) -> Result<File, LedgerError> {
    let path = state_dir.join("lock");
    let wrong = |source| LedgerError::Folder { path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(wrong)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LedgerError::InUse { path: state_dir.to_owned() }),
        Err(error) => Err(wrong(error.into())),
    }
}

/// A crash while the store opens leaves a half-written summary, which the store would take for its newest and refuse to start.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    remove_snapshots(folder, |name| name.ends_with(".generating"))
}

fn remove_snapshots(folder: &Path, which: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("snap.") && which(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What another attempt would meet again. A full or unwritable disk is not: the store may be whole behind it.
fn is_beyond_repair(error: &LedgerError) -> bool {
    match error {
        LedgerError::Damaged { .. } | LedgerError::Unreadable(_) | LedgerError::Format { .. } => true,
        LedgerError::Store(store) => match store {
            sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) | sled::Error::Unsupported(_) => true,
            sled::Error::CollectionNotFound(_) => true,
            sled::Error::Io(_) => false,
        },
        LedgerError::Folder { .. } | LedgerError::InUse { .. } => false,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text.chars().take(300).collect()
}
