//! The repository's storage as the engine sees it, watched: what was written, what failed first, what a list hides.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use landfall_proto::report::Reason;
use rustic_backend::BackendOptions;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};

use super::failure::Failure;
use super::lock::OwnLock;
use super::progress::Counters;
use super::protocol::Location;
use super::unread;

/// A watched storage. Clones share what they saw.
#[derive(Clone)]
pub(super) struct Destination {
    inner: Arc<dyn WriteBackend>,
    local: Option<PathBuf>,
    view: View,
    seen: Arc<Seen>,
    counters: Counters,
}

/// Which files a list shows.
#[derive(Clone)]
enum View {
    Whole,
    /// Only the indexes that are not among these.
    NewIndexes(Arc<BTreeSet<Id>>),
}

#[derive(Default)]
struct Seen {
    broken: AtomicBool,
    first_failure: Mutex<Option<Failure>>,
    directories: Mutex<BTreeSet<PathBuf>>,
    keys: Mutex<Vec<Id>>,
    /// The packs read since [`Destination::count_packs`].
    packs: Mutex<Option<BTreeSet<Id>>>,
    guard: OnceLock<Arc<OwnLock>>,
}

impl Destination {
    pub(super) fn connect(location: &Location, counters: &Counters) -> Result<Self, Failure> {
        let local = location.rest_url().is_none().then(|| PathBuf::from(&location.0));
        if local.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(Failure::new(
                Reason::NoRepository,
                format!("The repository `{location}` is neither an absolute path nor a `rest:` URL."),
            ));
        }
        // The prefix keeps a path that contains a colon from being taken for the name of a backend.
        let name = if local.is_some() { format!("local:{}", location.0) } else { location.0.clone() };
        let backends = BackendOptions::default().repository(name).to_backends()?;
        Ok(Self {
            inner: backends.repository(),
            local,
            view: View::Whole,
            seen: Arc::default(),
            counters: counters.clone(),
        })
    }

    pub(super) fn local(&self) -> Option<&Path> {
        self.local.as_deref()
    }

    /// The same storage without the indexes that were known before.
    pub(super) fn without_indexes(&self, known: BTreeSet<Id>) -> Self {
        Self { view: View::NewIndexes(Arc::new(known)), ..self.clone() }
    }

    /// From here on a snapshot is written only while this lock is held.
    pub(super) fn guard(&self, lock: Arc<OwnLock>) {
        let _ = self.seen.guard.set(lock);
    }

    /// The first failed write. It is the cause of the failures that the engine reports after it.
    pub(super) fn first_failure(&self) -> Option<Failure> {
        lock(&self.seen.first_failure).clone()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.seen.broken.load(Ordering::SeqCst)
    }

    /// Key files that this process wrote.
    pub(super) fn written_keys(&self) -> Vec<Id> {
        lock(&self.seen.keys).clone()
    }

    /// Starts to count the packs that are read.
    pub(super) fn count_packs(&self) {
        *lock(&self.seen.packs) = Some(BTreeSet::new());
    }

    pub(super) fn packs_read(&self) -> u64 {
        lock(&self.seen.packs).as_ref().map_or(0, |packs| packs.len() as u64)
    }

    /// Makes the names of the written files durable. The engine syncs each file but not the directory it is renamed in,
    /// so a power cut could otherwise take back a snapshot that was reported as landed.
    pub(super) fn sync_directories(&self) -> Result<(), Failure> {
        let directories = std::mem::take(&mut *lock(&self.seen.directories));
        for directory in directories {
            File::open(&directory).and_then(|file| file.sync_all()).map_err(|error| {
                Failure::io(format!("What was written to `{}` could not be made durable.", directory.display()), &error)
            })?;
        }
        Ok(())
    }

    fn note_written(&self, kind: FileType, id: &Id, size: u64) {
        self.counters.wrote(size);
        if kind == FileType::Key {
            lock(&self.seen.keys).push(*id);
        }
        if let Some(path) = &self.local {
            let directory = match kind {
                FileType::Config => path.clone(),
                FileType::Pack => path.join("data").join(&id.to_hex().as_str()[..2]),
                FileType::Index | FileType::Key | FileType::Snapshot => path.join(kind.dirname()),
            };
            lock(&self.seen.directories).insert(directory);
        }
    }

    fn note_failed(&self, failure: Failure) {
        lock(&self.seen.first_failure).get_or_insert(failure);
        self.seen.broken.store(true, Ordering::SeqCst);
    }

    fn note_read(&self, kind: FileType, id: &Id) {
        if kind == FileType::Pack
            && let Some(packs) = lock(&self.seen.packs).as_mut()
        {
            packs.insert(*id);
        }
    }

    /// Whether a local repository's config exists. The engine takes a config that it may not look at for a missing one,
    /// and a missing one for an invitation to create the repository.
    fn list_config(&self, path: &Path) -> RusticResult<Vec<(Id, u32)>> {
        let config = path.join("config");
        match fs::metadata(&config) {
            Ok(metadata) => Ok(vec![(Id::default(), u32::try_from(metadata.len()).unwrap_or(u32::MAX))]),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            Err(error) => Err(storage_error(&config, error)),
        }
    }
}

impl ReadBackend for Destination {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if kind == FileType::Config
            && let Some(path) = &self.local
        {
            return self.list_config(path);
        }
        let faults = unread::listing_faults();
        let list = self.inner.list_with_size(kind)?;
        if unread::listing_faults() != faults {
            // A short list would make a snapshot that exists look missing, and a second one would be written.
            return Err(RusticError::new(ErrorKind::Backend, "The repository could not be listed: {cause}")
                .attach_context("cause", unread::first_listing_fault())
                .attach_source(io::Error::new(io::ErrorKind::InvalidData, "incomplete list")));
        }
        Ok(match (&self.view, kind) {
            (View::NewIndexes(known), FileType::Index) => {
                list.into_iter().filter(|(id, _)| !known.contains(id)).collect()
            }
            (View::Whole | View::NewIndexes(_), _) => list,
        })
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.note_read(kind, id);
        self.inner.read_full(kind, id)
    }

    fn read_partial(&self, kind: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.note_read(kind, id);
        self.inner.read_partial(kind, id, cacheable, offset, length)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.inner.warmup_path(kind, id)
    }
}

impl WriteBackend for Destination {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, kind: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        if self.is_broken() && kind == FileType::Snapshot {
            // The engine drops files whose data it could not hand to its failed writer. No snapshot may name what is
            // left of them.
            return Err(RusticError::new(ErrorKind::Backend, "No snapshot is written after a failed write."));
        }
        // Until the snapshot is there, the lock stays: a prune that came in between would take its data for unused.
        let held = self.seen.guard.get().filter(|_| kind == FileType::Snapshot).map(|lock| lock.confirm());
        if let Some(Err(failure)) = held {
            self.note_failed(failure);
            return Err(RusticError::new(ErrorKind::Backend, "No snapshot is written without a lock."));
        }
        let size = content.size() as u64;
        match self.inner.write_bytes(kind, id, cacheable, content) {
            Ok(()) => {
                self.note_written(kind, id, size);
                Ok(())
            }
            Err(error) => {
                self.note_failed(Failure::engine(&error, Reason::Unknown));
                Err(error)
            }
        }
    }

    fn remove(&self, kind: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(kind, id, cacheable)
    }
}

fn storage_error(path: &Path, error: io::Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "The storage refused access to `{path}`.", error)
        .attach_context("path", path.display().to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
