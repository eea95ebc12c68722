//! Progress that is honest: counters which the work moves, shown at most five times a second and only when they moved.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::report::Phase;
use rustic_core::{Progress as Bar, ProgressBars, ProgressType, RusticProgress};

use super::emit;
use super::protocol::{Event, Progress};

/// Between two looks at the counters.
const INTERVAL: Duration = Duration::from_millis(200);
/// A total that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The counters of one worker. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Counters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stage: Mutex<Stage>,
    bytes: Tally,
    files: Tally,
    steps: Tally,
    written: AtomicU64,
}

#[derive(Debug)]
struct Stage {
    phase: Phase,
    action: String,
    current: Option<String>,
}

#[derive(Debug)]
struct Tally {
    done: AtomicU64,
    total: AtomicU64,
}

impl Counters {
    /// Counters and the thread that shows them. The thread ends with the process.
    pub(super) fn start() -> Self {
        let stage = Stage { phase: Phase::Opening, action: String::new(), current: None };
        let counters = Self(Arc::new(Inner {
            stage: Mutex::new(stage),
            bytes: Tally::default(),
            files: Tally::default(),
            steps: Tally::default(),
            written: AtomicU64::new(0),
        }));
        let shown = counters.clone();
        std::thread::spawn(move || {
            let mut last = shown.now();
            loop {
                std::thread::sleep(INTERVAL);
                let now = shown.now();
                if now != last {
                    emit::emit(&Event::Progress(now.clone()));
                    last = now;
                }
            }
        });
        counters
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut stage = self.stage();
        stage.phase = phase;
        stage.action.clear();
        stage.current = None;
    }

    pub(super) fn opened_file(&self, path: &std::path::Path) {
        self.stage().current = Some(path.display().to_string());
    }

    pub(super) fn saw_file(&self) {
        self.0.files.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn expect_files(&self, total: u64) {
        self.0.files.total.store(total, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, bytes: u64) {
        self.0.written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes_done(&self) -> u64 {
        self.0.bytes.done.load(Ordering::Relaxed)
    }

    /// The counters as they stand.
    pub(super) fn now(&self) -> Progress {
        let stage = self.stage();
        let (bytes_done, bytes_total) = self.0.bytes.now();
        let (files_done, files_total) = self.0.files.now();
        let (steps_done, steps_total) = self.0.steps.now();
        Progress {
            phase: stage.phase,
            action: stage.action.clone(),
            bytes_done,
            bytes_total,
            files_done,
            files_total,
            steps_done,
            steps_total,
            bytes_written: self.0.written.load(Ordering::Relaxed),
            current: stage.current.clone(),
        }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { done: AtomicU64::new(0), total: AtomicU64::new(UNKNOWN) }
    }
}

impl Tally {
    fn reset(&self) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(UNKNOWN, Ordering::Relaxed);
    }

    fn now(&self) -> (u64, Option<u64>) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed), (total != UNKNOWN).then_some(total))
    }
}

impl ProgressBars for Counters {
    fn progress(&self, kind: ProgressType, prefix: &str) -> Bar {
        let action = prefix.trim_end_matches('.').trim();
        if !action.is_empty() {
            action.clone_into(&mut self.stage().action);
        }
        match kind {
            ProgressType::Bytes => self.0.bytes.reset(),
            ProgressType::Counter => self.0.steps.reset(),
            ProgressType::Spinner => {}
        }
        Bar::new(EngineBar { counters: self.clone(), kind })
    }
}

/// One of the engine's progress bars, mapped onto the counters.
#[derive(Debug)]
struct EngineBar {
    counters: Counters,
    kind: ProgressType,
}

impl EngineBar {
    fn tally(&self) -> Option<&Tally> {
        match self.kind {
            ProgressType::Bytes => Some(&self.counters.0.bytes),
            ProgressType::Counter => Some(&self.counters.0.steps),
            ProgressType::Spinner => None,
        }
    }
}

impl RusticProgress for EngineBar {
    /// The engine measures the sources only for a bar that is visible.
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, length: u64) {
        if let Some(tally) = self.tally() {
            tally.total.store(length, Ordering::Relaxed);
        }
    }

    fn set_title(&self, title: &str) {
        title.trim_end_matches('.').trim().clone_into(&mut self.counters.stage().action);
    }

    fn inc(&self, step: u64) {
        if let Some(tally) = self.tally() {
            tally.done.fetch_add(step, Ordering::Relaxed);
        }
    }

    fn finish(&self) {}
}
