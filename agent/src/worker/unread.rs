//! What a backup could not take: counted where a file is read, and counter-checked with the engine's own log.
//!
//! The engine drops a file that it cannot read, writes a record to the `log` crate, finishes the snapshot and reports
//! success. So the sources are watched file by file, and every dropped item in the log that no watched file explains is
//! counted as one more unread file: a loss is never missing from the sum because its cause was unforeseen.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::emit;
use super::protocol::{Level, Losses, MAX_NAMES};

/// How the engine begins a record about an item that it leaves out of the snapshot.
const DROPPED: &str = "ignoring error: ";

static SINK: Sink = Sink {
    dropped: AtomicU64::new(0),
    dropped_first: Mutex::new(Vec::new()),
    listing_faults: AtomicU64::new(0),
    listing_first: Mutex::new(None),
    checking: AtomicBool::new(false),
};

struct Sink {
    dropped: AtomicU64,
    dropped_first: Mutex<Vec<String>>,
    listing_faults: AtomicU64,
    listing_first: Mutex<Option<String>>,
    checking: AtomicBool,
}

/// Takes over the records of the engine.
pub(super) fn install() {
    // A second logger cannot be there: this is the first thing the worker's `main` does.
    if log::set_logger(&SINK).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

/// While a check runs, its findings come back as values; the same lines in the log would only repeat them.
pub(super) fn expect_findings() {
    SINK.checking.store(true, Ordering::Relaxed);
}

/// How often listing a local repository met an error so far. The engine logs such an error and returns a shorter list.
pub(super) fn listing_faults() -> u64 {
    SINK.listing_faults.load(Ordering::SeqCst)
}

pub(super) fn first_listing_fault() -> String {
    lock(&SINK.listing_first).clone().unwrap_or_default()
}

impl log::Log for Sink {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        if let Some(item) = text.strip_prefix(DROPPED) {
            self.dropped.fetch_add(1, Ordering::SeqCst);
            push(&self.dropped_first, item.trim().to_owned());
        }
        let is_error = record.level() == log::Level::Error;
        if is_error && record.target().starts_with("rustic_backend::local") {
            self.listing_faults.fetch_add(1, Ordering::SeqCst);
            lock(&self.listing_first).get_or_insert_with(|| text.clone());
        }
        if self.checking.load(Ordering::Relaxed) && record.target().starts_with("rustic_core::commands::check") {
            return;
        }
        emit::log(if is_error { Level::Error } else { Level::Warning }, &text);
    }

    fn flush(&self) {}
}

/// The losses of one backup, shared by the walk, the readers and the report.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Books>);

#[derive(Debug, Default)]
struct Books {
    unread: Mutex<Losses>,
    vanished: Mutex<Losses>,
    changed: Mutex<Losses>,
}

impl Ledger {
    pub(super) fn unread(&self, path: &Path, cause: &str) {
        add(&self.0.unread, format!("{}: {cause}", path.display()));
    }

    pub(super) fn vanished(&self, path: &Path) {
        add(&self.0.vanished, path.display().to_string());
    }

    pub(super) fn changed(&self, path: &Path) {
        add(&self.0.changed, path.display().to_string());
    }

    /// Unread, vanished and changed files. What the engine dropped without an explanation is among the unread.
    pub(super) fn close(&self) -> (Losses, Losses, Losses) {
        let (mut unread, vanished, changed) =
            (lock(&self.0.unread).clone(), lock(&self.0.vanished).clone(), lock(&self.0.changed).clone());
        let unexplained = SINK.dropped.load(Ordering::SeqCst).saturating_sub(unread.count + vanished.count);
        if unexplained > 0 {
            unread.count += unexplained;
            let room = MAX_NAMES.saturating_sub(unread.names.len());
            let known: Vec<&str> =
                unread.names.iter().chain(&vanished.names).filter_map(|name| name.split(": ").next()).collect();
            let records = lock(&SINK.dropped_first);
            let unknown = records.iter().filter(|record| !known.iter().any(|path| record.contains(path)));
            let unknown: Vec<String> = unknown.take(room).map(|record| record.replace('\n', " ")).collect();
            unread.names.extend(unknown);
        }
        (unread, vanished, changed)
    }
}

fn add(losses: &Mutex<Losses>, name: String) {
    let mut losses = lock(losses);
    losses.count += 1;
    if losses.names.len() < MAX_NAMES {
        losses.names.push(name);
    }
}

fn push(list: &Mutex<Vec<String>>, item: String) {
    let mut list = lock(list);
    if list.len() < MAX_NAMES {
        list.push(item);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
