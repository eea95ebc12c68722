//! How often somebody may ping: by the sender's address, by monitor, and all together; and how much of bodies is kept.
//!
//! A monitor costs at most twelve facts a minute and 64 KiB of bodies an hour, beyond a first burst, at each coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use landfall_proto::monitor::{MONITORS_MAX, PingAnswer, PingTo};
use tokio::time::Instant;

use super::Refused;
use crate::web::access::{Keyed, per, place};

/// Pings from one address a second, and at once: a whole office behind one address at two in the morning.
const FROM_AN_ADDRESS: NonZeroU32 = per(20);
const FROM_AN_ADDRESS_AT_ONCE: NonZeroU32 = per(500);

/// Pings to one monitor a minute, and at once: a run with its stages, its tenths and some lines of its log.
const TO_A_MONITOR: NonZeroU32 = per(12);
const TO_A_MONITOR_AT_ONCE: NonZeroU32 = per(60);

/// Pings a second, and at once.
const IN_ALL: NonZeroU32 = per(100);
const IN_ALL_AT_ONCE: NonZeroU32 = per(2000);

/// Bytes of bodies of one monitor that are kept in an hour, and at once.
const BODIES: NonZeroU32 = per(64 * 1024);

/// Addresses that led nowhere from one sender within [`MISSES_FORGOTTEN`]; then only known ones are looked up for it.
const MISSES_MAX: u32 = 30;
const MISSES_FORGOTTEN: Duration = Duration::from_secs(600);

/// Senders whose misses are remembered; beyond that nobody else is let try.
const SENDERS_MAX: usize = 10_000;

/// Addresses of monitors that are remembered: each may have a few.
const PLACES_MAX: usize = 4 * MONITORS_MAX;

const TOO_OFTEN: Refused = Refused(StatusCode::TOO_MANY_REQUESTS, "too many pings");

/// A monitor's address by what is kept of its secret.
pub(super) type Place = (String, String);

/// All limits on pings.
#[derive(Debug)]
pub(in crate::web) struct Flood {
    senders: Keyed<IpAddr>,
    monitors: DefaultKeyedRateLimiter<Place>,
    bodies: DefaultKeyedRateLimiter<Place>,
    all: DefaultDirectRateLimiter,
    /// How often misses are looked through for those that are forgotten.
    swept: DefaultDirectRateLimiter,
    /// Addresses that have led somewhere.
    known: Mutex<BTreeSet<Place>>,
    misses: Mutex<BTreeMap<IpAddr, (Instant, u32)>>,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            senders: Keyed::new(Quota::per_second(FROM_AN_ADDRESS).allow_burst(FROM_AN_ADDRESS_AT_ONCE)),
            monitors: RateLimiter::keyed(Quota::per_minute(TO_A_MONITOR).allow_burst(TO_A_MONITOR_AT_ONCE)),
            bodies: RateLimiter::keyed(Quota::per_hour(BODIES)),
            all: RateLimiter::direct(Quota::per_second(IN_ALL).allow_burst(IN_ALL_AT_ONCE)),
            swept: RateLimiter::direct(Quota::per_second(NonZeroU32::MIN)),
            known: Mutex::new(BTreeSet::new()),
            misses: Mutex::new(BTreeMap::new()),
        }
    }
}

impl Flood {
    /// Whether this ping may be looked at, and where it goes.
    pub(super) fn admit(&self, sender: IpAddr, to: &PingTo) -> Result<Place, Refused> {
        let sender = place(sender);
        let to = place_of(to);
        self.senders.check(&sender).map_err(|_| TOO_OFTEN)?;
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&to) {
            // Only what is known is counted by itself, so that nobody can fill the memory with names of his own.
            self.monitors.check_key(&to).map_err(|_| TOO_OFTEN)?;
        } else if self.has_missed_too_often(sender) {
            return Err(TOO_OFTEN);
        }
        self.all.check().map_err(|_| TOO_OFTEN)?;
        Ok(to)
    }

    /// Whether so much of a body may be kept. A ping without its body counts all the same.
    pub(super) fn has_room(&self, to: &Place, bytes: usize) -> bool {
        let Some(bytes) = u32::try_from(bytes).ok().and_then(NonZeroU32::new) else { return true };
        let is_known = self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(to);
        // The first one of a monitor is counted once it is known to be one.
        !is_known || matches!(self.bodies.check_key_n(to, bytes), Ok(Ok(())))
    }

    /// What became of a ping that was admitted.
    pub(super) fn answered(&self, sender: IpAddr, to: Place, answer: PingAnswer) {
        match answer {
            PingAnswer::Taken | PingAnswer::Created => self.found(to),
            PingAnswer::NotFound => self.missed(sender, &to),
            // The key is a good one, and yet there is no monitor behind the address.
            PingAnswer::Ambiguous | PingAnswer::Full => {}
        }
    }

    /// The address led somewhere.
    fn found(&self, to: Place) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&to) {
            return;
        }
        if known.len() >= PLACES_MAX {
            // Those that live are found again with their next ping.
            known.clear();
        }
        // What it has sent counts from its first ping on.
        let _ = self.monitors.check_key(&to);
        known.insert(to);
    }

    /// The address led nowhere.
    fn missed(&self, sender: IpAddr, to: &Place) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(to);
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, sender) = (Instant::now(), place(sender));
        if let Some((_, count)) = misses.get_mut(&sender) {
            *count = count.saturating_add(1);
            return;
        }
        if misses.len() >= SENDERS_MAX && self.swept.check().is_ok() {
            misses.retain(|_, (since, _)| now.duration_since(*since) < MISSES_FORGOTTEN);
        }
        if misses.len() < SENDERS_MAX {
            misses.insert(sender, (now, 1));
        }
    }

    fn has_missed_too_often(&self, sender: IpAddr) -> bool {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, count)) = misses.get(&sender).copied() else { return misses.len() >= SENDERS_MAX };
        if since.elapsed() >= MISSES_FORGOTTEN {
            misses.remove(&sender);
            return false;
        }
        count >= MISSES_MAX
    }
}

fn place_of(to: &PingTo) -> Place {
    match to {
        PingTo::Key { key } => (key.as_str().to_owned(), String::new()),
        PingTo::Slug { key, slug, .. } => (key.as_str().to_owned(), slug.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::monitor::KeyHash;

    fn to(text: &str) -> PingTo {
        PingTo::Key { key: KeyHash::of(text) }
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    #[test]
    fn one_monitor_takes_a_burst_and_then_little() {
        let flood = Flood::default();
        flood.found(place_of(&to("a")));
        let taken = (0..200).filter(|_| flood.admit(address(1), &to("a")).is_ok()).count();
        assert!((50..=65).contains(&taken), "{taken}");
        flood.found(place_of(&to("b")));
        assert!(flood.admit(address(1), &to("b")).is_ok(), "its neighbours do not suffer");
    }

    #[test]
    fn who_tries_keys_is_stopped_and_those_beside_him_go_on() {
        let flood = Flood::default();
        flood.found(place_of(&to("good")));
        let try_one = |number: u32| {
            let to = to(&number.to_string());
            flood.admit(address(1), &to).map(|place| flood.missed(address(1), &place)).is_ok()
        };
        assert_eq!((0..200).filter(|number| try_one(*number)).count(), MISSES_MAX as usize);
        assert!(flood.admit(address(1), &to("good")).is_ok(), "a known address of the same office is heard");
        assert!(flood.admit(address(2), &to("other")).is_ok());
    }

    #[test]
    fn who_has_a_good_key_and_no_monitor_neither_guesses_nor_fills_the_memory() {
        let flood = Flood::default();
        for number in 0..2 * MISSES_MAX {
            for answer in [PingAnswer::Ambiguous, PingAnswer::Full] {
                let place = flood.admit(address(1), &to(&number.to_string())).unwrap();
                flood.answered(address(1), place, answer);
            }
        }
        assert!(flood.known.lock().unwrap().is_empty() && flood.misses.lock().unwrap().is_empty());
        flood.answered(address(1), place_of(&to("a")), PingAnswer::Created);
        assert_eq!(flood.known.lock().unwrap().len(), 1);
        flood.answered(address(1), place_of(&to("a")), PingAnswer::NotFound);
        assert!(flood.known.lock().unwrap().is_empty(), "a monitor that was removed is unknown again");
        assert_eq!(flood.misses.lock().unwrap()[&address(1)].1, 1);
    }

    #[test]
    fn bodies_have_a_budget_of_their_own() {
        let flood = Flood::default();
        let place = place_of(&to("a"));
        flood.found(place.clone());
        let kept = (0..100).filter(|_| flood.has_room(&place, 16 * 1024)).count();
        assert_eq!(kept, 4);
        assert!(flood.has_room(&place, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let flood = Flood::default();
        for number in 0..30_000 {
            flood.missed(address(number), &place_of(&to("x")));
            flood.found((number.to_string(), String::new()));
        }
        let is_stopped = |number: u32| flood.has_missed_too_often(address(number));
        assert!(flood.misses.lock().unwrap().len() <= SENDERS_MAX && is_stopped(29_999) && !is_stopped(0));
        (1..MISSES_MAX).for_each(|_| flood.missed(address(0), &place_of(&to("x"))));
        assert!(is_stopped(0), "who is remembered is counted also where nobody else is");
        assert!(flood.known.lock().unwrap().len() <= PLACES_MAX);
    }
}
