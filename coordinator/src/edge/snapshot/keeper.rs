//! Keeps snapshots coming while the loop goes on: a task of its own looks at the ledger's position and writes when it is time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_proto::bus::Bus;
use landfall_proto::codec::decode;
use landfall_proto::envelope::Position;
use landfall_proto::id::Holder;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::name::{SnapshotName, list};
use super::write::Scribe;
use super::{FOLDER, SnapshotError, serve};
use crate::core::record::{Key, Meta, RECORD_BYTES_MAX};
use crate::edge::clock;
use crate::edge::ledger::{Ledger, View};

/// How often the ledger's position is looked at, which costs one read of a record.
const LOOK: Duration = Duration::from_secs(5);

/// A snapshot is written after so many positions: what a rebuild then reads from the log takes about ten seconds.
const EVERY_POSITIONS: u64 = 100_000;

/// A snapshot is written after so long where anything changed: what the bus and this disk could lose together is a day at most.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// The first one, and each one of a state that has become twice as long since, is written after so long: a young mesh has all
/// it knows in few facts, so that its files cost little, and their number grows with the logarithm of the log.
const YOUNG: Duration = Duration::from_secs(10);

/// Between two of a state that is large.
const APART: Duration = Duration::from_secs(60);

/// A snapshot of this age still counts as new for a peer that asks: a busy log is always ahead of every file.
const FRESH: Duration = Duration::from_secs(30);

/// Writes snapshots and hands them to peers until it is ended.
pub(in crate::edge) struct Keeper {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// What both tasks use.
pub(super) struct Shared {
    scribe: Scribe,
    ledger: Arc<dyn Ledger>,
    stop: Arc<AtomicBool>,
    /// Held by whoever writes.
    writing: Arc<AsyncMutex<()>>,
    asked: Notify,
    last: Mutex<Last>,
}

/// How the latest writing of this process went.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    written_at: Option<Instant>,
    has_failed: bool,
}

/// What a peer that names no file gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    /// There is no state yet.
    Nothing,
    File(SnapshotName),
    /// One is being written.
    Soon,
}

impl Keeper {
    /// Begins with the files that are there.
    pub(in crate::edge) fn start(state_dir: &Path, holder: &Holder, ledger: &Arc<dyn Ledger>, bus: &Bus) -> Self {
        let scribe = Scribe { folder: state_dir.join(FOLDER), cluster: bus.cluster().clone(), holder: holder.clone() };
        let shared = Arc::new(Shared {
            scribe,
            ledger: Arc::clone(ledger),
            stop: Arc::default(),
            writing: Arc::default(),
            asked: Notify::new(),
            last: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(Arc::clone(&shared)));
        tasks.spawn(serve::answer(bus.clone(), Arc::clone(&shared)));
        Self { shared, tasks }
    }

    /// Ends both tasks and lets go of the ledger. A clean end writes what has changed; any other one writes nothing more.
    pub(in crate::edge) async fn end(mut self, is_clean: bool) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        // What is being written sees the sign between two pages.
        let writing = Arc::clone(&self.shared.writing).lock_owned().await;
        if is_clean {
            self.shared.stop.store(false, Ordering::Relaxed);
            if self.shared.has_moved() {
                self.shared.write(writing).await;
            }
        }
    }
}

async fn keep(shared: Arc<Shared>) {
    let began = Instant::now();
    loop {
        let is_asked = timeout(LOOK, shared.asked.notified()).await.is_ok();
        let Ok(writing) = Arc::clone(&shared.writing).try_lock_owned() else { continue };
        if shared.has_moved() && (is_asked || shared.is_due(began)) {
            shared.write(writing).await;
        }
    }
}

impl Shared {
    pub(super) fn folder(&self) -> &Path {
        &self.scribe.folder
    }

    pub(super) fn holder(&self) -> &Holder {
        &self.scribe.holder
    }

    /// For whoever wants the newest state there is.
    pub(super) fn newest(&self) -> Newest {
        let Some(cursor) = self.cursor() else { return Newest::Nothing };
        let last = *self.last();
        let is_fresh = last.written_at.is_some_and(|at| at.elapsed() < FRESH) || last.has_failed;
        match self.newest_name() {
            Some(name) if is_fresh || is_at(name, cursor) => Newest::File(name),
            Some(_) | None => {
                self.asked.notify_one();
                Newest::Soon
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ledger's position; `None` where nothing was committed yet.
    fn cursor(&self) -> Option<Position> {
        let meta = match self.ledger.record(&Key::Meta) {
            Ok(meta) => meta?,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the ledger's position cannot be read");
                return None;
            }
        };
        decode::<Meta>(&meta, RECORD_BYTES_MAX).ok().map(|meta| meta.cursor)
    }

    fn newest_name(&self) -> Option<SnapshotName> {
        list(&self.scribe.folder).ok()?.last().copied()
    }

    /// Whether the ledger stands elsewhere than the newest file.
    fn has_moved(&self) -> bool {
        let newest = self.newest_name();
        self.cursor().is_some_and(|cursor| newest.is_none_or(|name| !is_at(name, cursor)))
    }

    fn is_due(&self, began: Instant) -> bool {
        let since = self.last().written_at.unwrap_or(began).elapsed();
        let (Some(cursor), Some(name)) = (self.cursor(), self.newest_name()) else { return since >= YOUNG };
        since >= pause(name, cursor)
    }

    /// Writes one now, beside the loop. What goes wrong is said, and tried again when it is time.
    async fn write(&self, writing: OwnedMutexGuard<()>) {
        let (scribe, ledger, stop) = (self.scribe.clone(), Arc::clone(&self.ledger), Arc::clone(&self.stop));
        let begun = Instant::now();
        let written = spawn_blocking(move || {
            let _writing = writing;
            let view = View::open(&ledger).ok_or(SnapshotError::Busy)?;
            scribe.write(&view, clock::now(), &stop)
        })
        .await;
        let mut last = self.last();
        // Also after a failure, so that a full disk is not written to all the time.
        last.written_at = Some(begun);
        last.has_failed = !matches!(written, Ok(Ok(Some(_))));
        match written {
            Ok(Ok(Some(name))) => {
                tracing::info!(%name, elapsed_ms = begun.elapsed().as_millis(), "a snapshot is written")
            }
            Ok(Ok(None) | Err(SnapshotError::Stopped)) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    fix = "see that the disk under state_dir has space and is sound",
                    "no snapshot is written; the ledger goes on, and the next one is tried later"
                );
            }
            Err(error) => tracing::error!(%error, "the writing of a snapshot broke off"),
        }
    }
}

/// How long after the start or the last file the next one is written.
const fn pause(name: SnapshotName, cursor: Position) -> Duration {
    let moved = cursor.seq.abs_diff(name.seq);
    if moved >= EVERY_POSITIONS || cursor.era != name.era {
        APART
    } else if cursor.seq >= name.seq.saturating_mul(2) {
        YOUNG
    } else {
        EVERY
    }
}

fn is_at(name: SnapshotName, cursor: Position) -> bool {
    (name.era, name.seq) == (cursor.era, cursor.seq)
}

#[cfg(test)]
mod tests {
    use landfall_proto::envelope::ContentHash;

    use super::*;

    #[test]
    fn a_young_state_is_kept_soon_and_a_large_one_seldom() {
        let at = |era, seq| Position { era, seq, hash: ContentHash([0; 16]) };
        let pause = |file: (u32, u64), now: (u32, u64)| {
            let name = SnapshotName { era: file.0, seq: file.1, hash: [0; 16] };
            pause(name, at(now.0, now.1))
        };
        assert_eq!(pause((0, 7), (0, 13)), EVERY);
        assert_eq!(pause((0, 7), (0, 14)), YOUNG, "twice as much is known");
        assert_eq!(pause((0, 900_000), (0, 999_999)), EVERY);
        assert_eq!(pause((0, 900_000), (0, 1_000_000)), APART);
        assert_eq!(pause((0, 900), (1, 10)), APART, "the log is another one");
        assert!(YOUNG <= Duration::from_secs(10));
    }
}
