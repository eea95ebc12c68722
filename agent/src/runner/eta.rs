//! How fast a run is over the last seconds, and when it will be through.

use std::collections::VecDeque;

/// What the rate is measured over, in milliseconds.
const WINDOW_MS: u64 = 30_000;

/// Samples kept; one a second fills the window.
const SAMPLES_MAX: usize = 64;

/// A rate below this says nothing about the end, in bytes per second.
const RATE_MIN: u64 = 1024;

/// Bytes done over time. Time is whatever clock the caller has, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<(u64, u64)>,
}

impl Meter {
    /// Notes where the work stands. A figure that went back begins another count.
    pub(super) fn note(&mut self, at_ms: u64, bytes_done: u64) {
        if self.samples.back().is_some_and(|(_, last)| bytes_done < *last) {
            self.samples.clear();
        }
        self.samples.push_back((at_ms, bytes_done));
        while self.samples.len() > SAMPLES_MAX
            || self.samples.front().is_some_and(|(first, _)| at_ms.saturating_sub(*first) > WINDOW_MS)
        {
            self.samples.pop_front();
        }
    }

    /// Bytes per second over the window; 0 while there is nothing to measure.
    pub(super) fn rate_bytes(&self) -> u64 {
        let (Some((first_at, first)), Some((last_at, last))) = (self.samples.front(), self.samples.back()) else {
            return 0;
        };
        let bytes = u128::from(last - first) * 1000;
        bytes
            .checked_div(u128::from(last_at.saturating_sub(*first_at)))
            .and_then(|rate| u64::try_from(rate).ok())
            .unwrap_or(0)
    }

    /// Milliseconds until `bytes_total` is reached at this rate.
    pub(super) fn eta_ms(&self, bytes_total: Option<u64>) -> Option<u64> {
        let (_, done) = self.samples.back()?;
        let left = bytes_total?.saturating_sub(*done);
        let rate = self.rate_bytes();
        (rate >= RATE_MIN).then(|| u64::try_from(u128::from(left) * 1000 / u128::from(rate)).unwrap_or(u64::MAX))
    }
}

/// Whole percent of a total that is known and not zero; never above 100.
pub(super) fn percent(done: u64, total: Option<u64>) -> Option<u8> {
    let share = (u128::from(done) * 100).checked_div(u128::from(total?))?;
    u8::try_from(share.min(100)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        for second in 0..60 {
            let done = if second < 20 { second * 1_000_000 } else { 20_000_000 + (second - 20) * 2_000_000 };
            meter.note(second * 1000, done);
        }
        assert_eq!(meter.rate_bytes(), 2_000_000);
        assert_eq!(meter.eta_ms(Some(108_000_000)), Some(5_000));
        assert_eq!(meter.eta_ms(None), None);
    }

    #[test]
    fn what_stands_still_has_no_end_in_sight() {
        let mut meter = Meter::default();
        assert_eq!((meter.rate_bytes(), meter.eta_ms(Some(9))), (0, None));
        meter.note(0, 500);
        meter.note(10_000, 500);
        assert_eq!((meter.rate_bytes(), meter.eta_ms(Some(900))), (0, None));
        meter.note(11_000, 3);
        assert_eq!(meter.rate_bytes(), 0, "a count that begins again has no rate yet");
    }

    #[test]
    fn percent_needs_a_total() {
        assert_eq!(
            (percent(1, None), percent(1, Some(0)), percent(1, Some(3)), percent(9, Some(3))),
            (None, None, Some(33), Some(100))
        );
    }
}
