//! Opening sled so that it survives what is known to break it, and a flush that is on disk when it says so.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use landfall_proto::time::Timestamp;
use sled::Db;

/// sled's default is a gigabyte.
const CACHE_BYTES: u64 = 16 << 20;

/// How often, and after which pause, a database that is still locked is tried again.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Directories of broken databases that are kept for a look; older ones are removed.
const QUARANTINES_MAX: usize = 3;

/// Bytes of hash in front of every stored value: sled may not notice rot.
const HASH_BYTES: usize = 8;

/// An open database and the means to be sure of it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) db: Db,
    /// The database file through a descriptor of our own: sled's flush does not fsync on Linux.
    file: File,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the state directory {path} cannot be used")]
    Directory { path: PathBuf, source: io::Error },
    #[error("the database in {path} cannot be used")]
    Database { path: PathBuf, source: sled::Error },
    #[error("the database in {path} stopped at an inner error while it was opened")]
    Panicked { path: PathBuf },
    #[error("a stored value under {key} is damaged")]
    Damaged { key: String },
}

impl StoreError {
    /// Whether the database itself is at fault, so that moving it aside helps.
    pub(crate) const fn is_corruption(&self) -> bool {
        match self {
            Self::Directory { .. } => false,
            Self::Database { source, .. } => matches!(
                source,
                sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) | sled::Error::Unsupported(_)
            ),
            Self::Panicked { .. } | Self::Damaged { .. } => true,
        }
    }
}

impl Store {
    /// Opens or makes the database. A leftover of an interrupted opening is removed first: sled would read it as its
    /// newest snapshot and refuse for ever. Without its snapshots sled rebuilds them from its log.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let is_new = !path.join("db").exists();
        let directory = |source| StoreError::Directory { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(directory)?;
        remove_snapshots(path, |name| name.ends_with(".generating")).map_err(directory)?;
        let store = match Self::open_when_free(path) {
            Err(error) if error.is_corruption() => {
                remove_snapshots(path, |_| true).map_err(directory)?;
                Self::try_open(path)?
            }
            other => other?,
        };
        if is_new {
            store.barrier().map_err(|source| StoreError::Database { path: path.to_owned(), source })?;
            sync_directory(path).map_err(directory)?;
            if let Some(parent) = path.parent() {
                sync_directory(parent).map_err(directory)?;
            }
        }
        Ok(store)
    }

    /// Whoever opens the database holds the state directory's own lock, so the database's lock can only be held by
    /// threads of an earlier handle that are about to end.
    fn open_when_free(path: &Path) -> Result<Self, StoreError> {
        for _ in 0..LOCK_TRIES {
            match Self::try_open(path) {
                Err(StoreError::Database { source: sled::Error::Io(error), .. }) if is_locked(&error) => {
                    sleep(LOCK_PAUSE)
                }
                other => return other,
            }
        }
        Self::try_open(path)
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let database = |source| StoreError::Database { path: path.to_owned(), source };
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| StoreError::Panicked { path: path.to_owned() })?
            .map_err(database)?;
        let file = OpenOptions::new().read(true).write(true).open(path.join("db"));
        let file = file.map_err(|source| StoreError::Directory { path: path.to_owned(), source })?;
        Ok(Self { db, file })
    }

    /// Returns when everything written so far is on disk.
    pub(crate) fn barrier(&self) -> sled::Result<()> {
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }
}

/// Moves a broken database aside and forgets the oldest of those moved before.
pub(crate) fn quarantine(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let parent = path.parent().unwrap_or(path);
    let aside = parent.join(format!("quarantine-{}", now.as_millisecond()));
    fs::rename(path, &aside)?;
    sync_directory(parent)?;
    let mut older: Vec<PathBuf> = fs::read_dir(parent)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("quarantine-"))
        .map(|entry| entry.path())
        .collect();
    older.sort();
    let surplus = older.len().saturating_sub(QUARANTINES_MAX);
    for path in older.into_iter().take(surplus) {
        fs::remove_dir_all(path)?;
    }
    Ok(aside)
}

/// A value with its hash in front; the key is part of it, so that a value under a wrong key is noticed too.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = hash(key, value).to_vec();
    sealed.extend_from_slice(value);
    sealed
}

pub(crate) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match sealed.split_at_checked(HASH_BYTES) {
        Some((expected, value)) if expected == hash(key, value) => Ok(value),
        Some(_) | None => Err(StoreError::Damaged { key: String::from_utf8_lossy(key).into_owned() }),
    }
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn hash(key: &[u8], value: &[u8]) -> [u8; HASH_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    let mut first = [0; HASH_BYTES];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..HASH_BYTES]);
    first
}

/// sled wraps the system's error into a text of its own.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

fn remove_snapshots(path: &Path, which: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(path)?.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && which(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
