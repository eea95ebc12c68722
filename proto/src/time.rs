//! Instants and durations as the mesh writes them down.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A UTC instant. Written as RFC 3339 text.
pub use jiff::Timestamp;

/// A length of time as people write it in a file: `90s`, `1h 30m`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    ms: u64,
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration: write a number and a unit (ms, s, m, h, d, w), as in \"90s\", \"1h 30m\" or \"7d\""
)]
pub struct DurationError {
    text: String,
}

const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A century: longer than any plan, short enough that instants never overflow.
const DURATION_MS_MAX: u64 = 100 * 366 * 86_400_000;

impl Duration {
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms: if ms > DURATION_MS_MAX { DURATION_MS_MAX } else { ms } }
    }

    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_ms(seconds.saturating_mul(1000))
    }

    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }
}

/// `at + duration`, clamped to the last representable instant.
pub fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_millis(duration.ms.cast_signed())).unwrap_or(Timestamp::MAX)
}

/// How long `until` lies after `from`; zero when it does not.
pub fn between(from: Timestamp, until: Timestamp) -> Duration {
    Duration::from_ms(u64::try_from(until.duration_since(from).as_millis()).unwrap_or(0))
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { text: text.chars().take(80).collect() };
        let mut rest = text.trim();
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err(error());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| error())?;
            rest = rest[digits..].trim_start();
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (_, unit_ms) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(error)?;
            total = number.checked_mul(*unit_ms).and_then(|ms| total.checked_add(ms)).ok_or_else(error)?;
            rest = rest[letters..].trim_start();
        }
        if total > DURATION_MS_MAX { Err(error()) } else { Ok(Self { ms: total }) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return formatter.write_str("0s");
        }
        let mut rest = self.ms;
        let mut separator = "";
        for (unit, unit_ms) in UNITS {
            if rest >= unit_ms {
                write!(formatter, "{separator}{}{unit}", rest / unit_ms)?;
                rest %= unit_ms;
                separator = " ";
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> String {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(ms in 0..DURATION_MS_MAX) {
            let duration = Duration::from_ms(ms);
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }
    }

    #[test]
    fn people_may_leave_spaces_out() {
        assert_eq!("1h30m".parse(), Ok(Duration::from_secs(5400)));
        assert_eq!("2w".parse(), Ok(Duration::from_secs(1_209_600)));
        for bad in ["", "5", "h", "1x", "-1s", "1h-", "99999999999999w"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
    }
}
