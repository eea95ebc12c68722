//! How often for each of many: addresses, names, callers. No more of them are remembered than there is room for.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Keys that one limit remembers; beyond that nobody else is let try.
pub(in crate::web) const KEYS_MAX: usize = 10_000;

/// When to come again where there is no room to be remembered.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(60);

pub(in crate::web) const fn per(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// One limit that holds for each key by itself.
#[derive(Debug)]
pub(in crate::web) struct Keyed<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    swept: DefaultDirectRateLimiter,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    pub(in crate::web) fn new(quota: Quota) -> Self {
        let swept = RateLimiter::direct(Quota::per_second(NonZeroU32::MIN));
        Self { limiter: RateLimiter::keyed(quota), clock: DefaultClock::default(), swept }
    }

    /// Counts once for this key; how long to wait where that is too often.
    pub(in crate::web) fn check(&self, key: &K) -> Result<(), Duration> {
        if self.limiter.len() >= KEYS_MAX {
            // Looking through all of them for every refused one would be a lever for whoever sends them.
            if self.swept.check().is_ok() {
                self.limiter.retain_recent();
            }
            if self.limiter.len() >= KEYS_MAX {
                return Err(WAIT_FOR_ROOM);
            }
        }
        self.limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let keyed = Keyed::new(Quota::per_minute(per(10)));
        // Some are refused; how many depends on how long this takes.
        let taken = (0..20_000_u32).filter(|number| keyed.check(number).is_ok()).count();
        assert!(taken >= KEYS_MAX && keyed.limiter.len() <= KEYS_MAX, "{taken}");
    }

    #[test]
    fn each_key_has_a_limit_of_its_own() {
        let keyed = Keyed::new(Quota::per_minute(per(10)));
        assert_eq!((0..11).filter(|_| keyed.check(&"one").is_ok()).count(), 10);
        assert!(keyed.check(&"one").is_err_and(|wait| wait <= Duration::from_secs(6)) && keyed.check(&"other").is_ok());
    }
}
