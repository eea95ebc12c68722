//! How often somebody may try: to log in, by address and by name, and to ask, by visit or token.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Tries to log in from one address, and with one name, a minute.
const FROM_AN_ADDRESS: NonZeroU32 = per(10);
const WITH_A_NAME: NonZeroU32 = per(20);

/// Requests with one token or in one visit a second, and at once.
const REQUESTS: NonZeroU32 = per(50);
const REQUESTS_AT_ONCE: NonZeroU32 = per(200);

/// Addresses, names or callers that are remembered; beyond that nobody else is let try.
const KEYS_MAX: usize = 10_000;

/// How often refused logins are noted at most.
const NOTED_EVERY: Duration = Duration::from_secs(10);

const fn per(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// All limits on how often.
#[derive(Debug)]
pub(crate) struct Rates {
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    names: DefaultKeyedRateLimiter<blake3::Hash>,
    callers: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
    noted: DefaultDirectRateLimiter,
    swept: DefaultDirectRateLimiter,
    refused: AtomicU64,
}

impl Default for Rates {
    fn default() -> Self {
        let noted = Quota::with_period(NOTED_EVERY).unwrap_or(Quota::per_minute(FROM_AN_ADDRESS));
        Self {
            addresses: RateLimiter::keyed(Quota::per_minute(FROM_AN_ADDRESS)),
            names: RateLimiter::keyed(Quota::per_minute(WITH_A_NAME)),
            callers: RateLimiter::keyed(Quota::per_second(REQUESTS).allow_burst(REQUESTS_AT_ONCE)),
            clock: DefaultClock::default(),
            noted: RateLimiter::direct(noted),
            swept: RateLimiter::direct(Quota::per_second(NonZeroU32::MIN)),
            refused: AtomicU64::new(0),
        }
    }
}

impl Rates {
    /// Whether somebody may try to come in, perhaps with a name; how long to wait where not.
    pub(crate) fn login(&self, address: IpAddr, name: Option<&str>) -> Result<(), Duration> {
        let with_name = |name: &str| self.check(&self.names, &blake3::hash(name.as_bytes()));
        let tried = self.check(&self.addresses, &place(address)).and_then(|()| name.map_or(Ok(()), with_name));
        if tried.is_err() {
            let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            if self.noted.check().is_ok() {
                tracing::warn!(audit = "login_burst", %address, refused, "logins are refused because there are too many");
            }
        }
        tried
    }

    /// Whether a caller may ask again; how long to wait where not.
    pub(crate) fn request(&self, caller: &str) -> Result<(), Duration> {
        self.check(&self.callers, &caller.to_owned())
    }

    fn check<K: Hash + Eq + Clone>(&self, limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), Duration> {
        if limiter.len() >= KEYS_MAX {
            // Looking through all of them for every refused one would be a lever for whoever sends them.
            if self.swept.check().is_ok() {
                limiter.retain_recent();
            }
            if limiter.len() >= KEYS_MAX {
                return Err(Duration::from_secs(60));
            }
        }
        limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// One machine may have as many addresses of IPv6 as it likes, all within the same /64.
pub(in crate::web) fn place(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6((six.to_bits() & !u128::from(u64::MAX)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_name_may_try_a_few_times() {
        let rates = Rates::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let tries = (0..FROM_AN_ADDRESS.get() + 1).map(|number| rates.login(one, Some(&number.to_string())).is_ok());
        assert_eq!(tries.filter(|good| *good).count(), 10);
        let many =
            (0..40_u32).map(|number| rates.login(IpAddr::V4((0x0a00_0000 + number).into()), Some("ann")).is_ok());
        assert_eq!(many.filter(|good| *good).count(), 20);
    }

    #[test]
    fn neighbours_of_one_network_are_one() {
        assert_eq!(place("2001:db8::1".parse().unwrap()), place("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(place("2001:db8::1".parse().unwrap()), place("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(place("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rates = Rates::default();
        for number in 0..20_000_u32 {
            // Some are refused; how many depends on how long this takes.
            let _ = rates.login(IpAddr::V4((0x0a00_0000 + number).into()), Some(&number.to_string()));
        }
        assert!(rates.addresses.len() <= KEYS_MAX && rates.names.len() <= KEYS_MAX);
    }
}
