//! Waiting for something to be so, never for a length of time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until there is an answer; panics with what was expected when `within` passes first.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "expected within {within:?}: {what}");
        sleep(PAUSE).await;
    }
}

/// As [`until`], for something that is or is not so.
pub async fn until_true(what: &str, within: Duration, mut look: impl FnMut() -> bool) {
    until(what, within, async || look().then_some(())).await;
}

pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
