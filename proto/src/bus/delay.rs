//! How long to wait before the next try: growing, bounded, and different for everybody, so that a fleet does not come back at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Shortest wait between two tries to connect.
pub(super) const RECONNECT_MIN: Duration = Duration::from_millis(250);

/// Longest wait between two tries to connect.
pub(super) const RECONNECT_MAX: Duration = Duration::from_secs(30);

/// A wait between `min` and `min · 2^attempt`, at most `max`, spread evenly. Attempts count from 1.
pub(super) fn jittered(attempt: u32, min: Duration, max: Duration) -> Duration {
    let ceiling = min.saturating_mul(2_u32.saturating_pow(attempt.min(20))).min(max);
    let span = u64::try_from(ceiling.saturating_sub(min).as_micros()).unwrap_or(u64::MAX);
    min + Duration::from_micros(chance() % span.max(1))
}

/// A number that differs from call to call and from process to process; not for secrets.
pub(super) fn chance() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_grows_and_stays_within_its_bounds() {
        for attempt in 1..100 {
            for _ in 0..20 {
                let wait = jittered(attempt, RECONNECT_MIN, RECONNECT_MAX);
                assert!(wait >= RECONNECT_MIN && wait <= RECONNECT_MAX, "{attempt}: {wait:?}");
            }
        }
        assert!(jittered(1, RECONNECT_MIN, RECONNECT_MAX) < RECONNECT_MIN * 2);
    }
}
