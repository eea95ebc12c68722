//! When the loop last did its work, for those who watch it: a loop that hangs, or has lost sight of the log, is told from one
//! that has nothing to do.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::time::Timestamp;
use tokio::time::Instant;

/// A turn comes every two seconds at the latest. A loop whose last turn with the log in sight is older than this hangs, or is
/// cut off from the bus.
const FRESH: Duration = Duration::from_secs(30);

/// Shared by the loop, which writes, and whoever looks.
#[derive(Debug, Default)]
pub struct Pass {
    last: Mutex<Option<Turn>>,
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

    /// Whether this coordinator leads and its loop turns.
    pub(super) fn is_leading_and_fresh(&self) -> bool {
        self.last().is_some_and(|turn| turn.leads && turn.instant.elapsed() < FRESH)
    }

    fn last(&self) -> Option<Turn> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
