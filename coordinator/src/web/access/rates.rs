//! How often somebody may try: to log in, by address and by name, and to ask, by visit or token.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::keyed::{Keyed, per};

/// Tries to log in from one address, and with one name, a minute.
const FROM_AN_ADDRESS: NonZeroU32 = per(10);
const WITH_A_NAME: NonZeroU32 = per(20);

/// Requests with one token or in one visit a second, and at once.
const REQUESTS: NonZeroU32 = per(50);
const REQUESTS_AT_ONCE: NonZeroU32 = per(200);

/// How often refused logins are noted at most.
const NOTED_EVERY: Duration = Duration::from_secs(10);

/// All limits on how often.
#[derive(Debug)]
pub(crate) struct Rates {
    addresses: Keyed<IpAddr>,
    names: Keyed<blake3::Hash>,
    callers: Keyed<String>,
    noted: DefaultDirectRateLimiter,
    refused: AtomicU64,
}

impl Default for Rates {
    fn default() -> Self {
        let noted = Quota::with_period(NOTED_EVERY).unwrap_or(Quota::per_minute(FROM_AN_ADDRESS));
        Self {
            addresses: Keyed::new(Quota::per_minute(FROM_AN_ADDRESS)),
            names: Keyed::new(Quota::per_minute(WITH_A_NAME)),
            callers: Keyed::new(Quota::per_second(REQUESTS).allow_burst(REQUESTS_AT_ONCE)),
            noted: RateLimiter::direct(noted),
            refused: AtomicU64::new(0),
        }
    }
}

impl Rates {
    /// Whether somebody may try to come in, perhaps with a name; how long to wait where not.
    pub(crate) fn login(&self, address: IpAddr, name: Option<&str>) -> Result<(), Duration> {
        let with_name = |name: &str| self.names.check(&blake3::hash(name.as_bytes()));
        let tried = self.addresses.check(&place(address)).and_then(|()| name.map_or(Ok(()), with_name));
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
        self.callers.check(&caller.to_owned())
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
}
