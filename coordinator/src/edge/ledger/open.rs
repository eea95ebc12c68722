//! Opening the ledger so that no crash can keep it shut: what cannot be read is moved aside, and the log fills a fresh one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use landfall_proto::envelope::Position;
use landfall_proto::time::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::{Ledger, LedgerError, SledLedger};
use crate::core::record::Records;

/// Where the store lies in the state folder, and what the names of those begin with that were moved aside.
pub const FOLDER: &str = "ledger";
const ASIDE: &str = "quarantine-";

/// Stores that were moved aside and are kept for a look; older ones are removed.
const ASIDE_MAX: usize = 3;

/// An open ledger and what it held.
#[derive(Debug)]
pub struct Opened {
    pub ledger: SledLedger,
    pub records: Records,
    /// Where an unreadable store was put, and why; a snapshot and the log fill the fresh one.
    pub quarantined: Option<(PathBuf, String)>,
}

/// Opens the store under `state_dir` for its only user. The file is its lock.
pub fn open(state_dir: &Path, now: Timestamp) -> Result<(File, Opened), LedgerError> {
    let lock = lock(state_dir)?;
    Ok((lock, open_locked(state_dir, now)?))
}

/// Opens the store under `state_dir`, whose lock the caller holds. `now` names the place of a store that is moved aside.
pub fn open_locked(state_dir: &Path, now: Timestamp) -> Result<Opened, LedgerError> {
    let wrong = |source| LedgerError::Folder { path: state_dir.to_owned(), source };
    let folder = state_dir.join(FOLDER);
    remove_unfinished(&folder).map_err(wrong)?;
    let first = match read(&folder) {
        Ok((ledger, records)) => return Ok(Opened { ledger, records, quarantined: None }),
        Err(error) if is_beyond_repair(&error) => chain(&error),
        Err(error) => return Err(error),
    };
    // The store's summary can be damaged alone; without it the store reads its whole log, which is the truth.
    tracing::warn!(why = first, "the ledger cannot be read; it is tried without its summary");
    remove_snapshots(&folder, |_| true).map_err(wrong)?;
    match read(&folder) {
        // A store that has nothing left is damaged where its summary said that there was something.
        Ok((_, records)) if records.meta.cursor == Position::START => {}
        Ok((ledger, records)) => return Ok(Opened { ledger, records, quarantined: None }),
        Err(error) if is_beyond_repair(&error) => {}
        Err(error) => return Err(error),
    }
    let aside = put_aside(state_dir, now)?;
    tracing::error!(why = first, aside = %aside.display(), "the ledger is moved aside and built again");
    let (ledger, records) = read(&folder)?;
    Ok(Opened { ledger, records, quarantined: Some((aside, first)) })
}

/// Moves the closed store aside, to be looked at by a person, and removes the oldest of those that were moved before.
pub fn put_aside(state_dir: &Path, now: Timestamp) -> Result<PathBuf, LedgerError> {
    let wrong = |source| LedgerError::Folder { path: state_dir.to_owned(), source };
    let aside = state_dir.join(format!("{ASIDE}{}", now.as_millisecond()));
    fs::rename(state_dir.join(FOLDER), &aside).map_err(wrong)?;
    File::open(state_dir).and_then(|folder| folder.sync_all()).map_err(wrong)?;
    let mut older = Vec::new();
    for entry in fs::read_dir(state_dir).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if entry.file_name().to_string_lossy().starts_with(ASIDE) {
            older.push(entry.path());
        }
    }
    older.sort();
    for path in older.iter().take(older.len().saturating_sub(ASIDE_MAX)) {
        fs::remove_dir_all(path).map_err(wrong)?;
    }
    Ok(aside)
}

/// Damage may stop the store's own code in the middle; that is damage too.
fn read(folder: &Path) -> Result<(SledLedger, Records), LedgerError> {
    let read = || {
        let ledger = SledLedger::open(folder)?;
        let records = ledger.load()?;
        Ok((ledger, records))
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(LedgerError::Damaged { detail: "the store stopped at an inner error while it was read".to_owned() })
    })
}

/// Takes the state folder for this process, and makes it where it is not there. Held while the coordinator lives: two on one
/// folder would overwrite each other.
pub fn lock(state_dir: &Path) -> Result<File, LedgerError> {
    fs::create_dir_all(state_dir).map_err(|source| LedgerError::Folder { path: state_dir.to_owned(), source })?;
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
        LedgerError::Folder { .. } | LedgerError::InUse { .. } | LedgerError::ViewLost => false,
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
