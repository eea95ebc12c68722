//! When the loop last did its work, for those who watch it: a loop that hangs, or has lost sight of the log, is told from one
//! that has nothing to do.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::time::Timestamp;
use landfall_proto::view::WatchdogView;
use tokio::time::Instant;

/// A turn comes every two seconds at the latest. A loop whose last turn with the log in sight is older than this hangs, or is
/// cut off from the bus.
const FRESH: Duration = Duration::from_secs(30);

/// Shared by the loop, which writes, and whoever looks.
#[derive(Debug, Default)]
pub struct Pass {
    last: Mutex<Option<Turn>>,
    /// What became of the calls of the address outside; `None` where there is none.
    calls: Mutex<Option<WatchdogView>>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    at: Timestamp,
    instant: Instant,
    leads: bool,
}

impl Pass {
    /// The loop has come round with the log in sight: what stood there is folded, decided about and committed.
    pub(super) fn note(&self, at: Timestamp, leads: bool) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Turn { at, instant: Instant::now(), leads });
    }

    /// When the loop last came round; `None` before the first time.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last().map(|turn| turn.at)
    }

    /// There is an address outside to call.
    pub(super) fn has_watchdog(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// A call of it succeeded, or failed.
    pub(super) fn note_call(&self, at: Timestamp, is_good: bool) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.get_or_insert_default();
        if is_good {
            *calls = WatchdogView { called_at: Some(at), failures: 0, ..*calls };
        } else {
            calls.failures = calls.failures.saturating_add(1);
            calls.failures_total = calls.failures_total.saturating_add(1);
        }
    }

    pub(super) fn calls(&self) -> Option<WatchdogView> {
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this coordinator leads and its loop turns.
    pub(super) fn is_leading_and_fresh(&self) -> bool {
        self.last().is_some_and(|turn| turn.leads && turn.instant.elapsed() < FRESH)
    }

    fn last(&self) -> Option<Turn> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
