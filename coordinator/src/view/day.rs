//! Days of a zone, back from today, and what became of each.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use landfall_proto::overview::{DAYS_MAX, DayMark, DayView};
use landfall_proto::report::Outcome;
use landfall_proto::time::Timestamp;

use crate::core::run::Run;

/// Runs of one day that are looked at for its mark.
pub const RUNS_A_DAY_MAX: u32 = 8;

/// The last days of one zone; a day is as long as its zone says, 23 or 25 hours included.
#[derive(Debug, Clone)]
pub struct Days {
    zone: TimeZone,
    zone_name: String,
    first: Date,
    count: u32,
}

/// What one run says of its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub queued_at: Timestamp,
    pub outcome: Outcome,
    /// Whether what it reported proves a good backup.
    pub good: bool,
}

impl Ended {
    /// `None` while the run has not ended.
    pub fn of(run: &Run) -> Option<Self> {
        Some(Self { queued_at: run.queued_at, outcome: run.outcome()?, good: run.is_good() })
    }
}

impl Days {
    /// The last `count` days in this zone, today included; UTC where the zone is unknown.
    pub fn until(now: Timestamp, zone_name: &str, count: u32) -> Self {
        let count = count.clamp(1, DAYS_MAX);
        let found = TimeZone::get(zone_name);
        let zone_name = if found.is_ok() { zone_name } else { "UTC" };
        let zone = found.unwrap_or(TimeZone::UTC);
        let today = now.to_zoned(zone.clone()).date();
        let back: Span = i64::from(count - 1).days();
        let first = today.checked_sub(back).unwrap_or(Date::MIN);
        Self { zone, zone_name: zone_name.to_owned(), first, count }
    }

    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// Which day the instant lies in, from 0; `None` outside these days.
    pub fn position(&self, at: Timestamp) -> Option<usize> {
        let date = at.to_zoned(self.zone.clone()).date();
        let days = self.first.until(date).ok()?.get_days();
        usize::try_from(days).ok().filter(|day| *day < self.number())
    }

    /// How many days there are.
    pub fn number(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// `2026-11-20` for each day, oldest first.
    pub fn dates(&self) -> impl Iterator<Item = String> + '_ {
        self.first.series(1.day()).take(self.number()).map(|date| date.to_string())
    }

    /// One mark for each day.
    pub fn strip(&self, ended: &[Ended]) -> Vec<DayView> {
        let mut runs: Vec<Vec<Ended>> = vec![Vec::new(); self.number()];
        for one in ended {
            if let Some(day) = self.position(one.queued_at).and_then(|day| runs.get_mut(day)) {
                day.push(*one);
            }
        }
        let count = |runs: &[Ended]| u32::try_from(runs.len()).unwrap_or(u32::MAX);
        self.dates().zip(runs).map(|(date, runs)| DayView { date, mark: mark(&runs), runs: count(&runs) }).collect()
    }
}

/// A good run outweighs a bad one of the same day, and is marked for it; what nobody knows is neither.
fn mark(runs: &[Ended]) -> DayMark {
    let is_bad = |one: &Ended| !one.good && !is_unknown(one.outcome) && !is_nothing(one.outcome);
    let is_clean = |one: &Ended| one.good && one.outcome == Outcome::Ok;
    if runs.is_empty() {
        DayMark::Nothing
    } else if runs.iter().any(|one| one.good) {
        let clean = runs.iter().any(is_clean) && !runs.iter().any(is_bad);
        if clean { DayMark::Good } else { DayMark::Mended }
    } else if runs.iter().any(is_bad) {
        DayMark::Failed
    } else if runs.iter().any(|one| is_unknown(one.outcome)) {
        DayMark::Unknown
    } else {
        DayMark::Skipped
    }
}

const fn is_unknown(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Lost)
}

const fn is_nothing(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Skipped | Outcome::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::time::{Duration, after};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ended(queued_at: Timestamp, outcome: Outcome) -> Ended {
        Ended { queued_at, outcome, good: outcome.is_good() }
    }

    #[test]
    fn a_run_shortly_before_midnight_belongs_to_the_day_of_its_zone() {
        let now = at("2026-11-20T12:00:00Z");
        let late = [ended(at("2026-11-19T23:30:00Z"), Outcome::Ok)];
        let mark_of = |zone: &str, back: usize| {
            let strip = Days::until(now, zone, 3).strip(&late);
            strip[strip.len() - 1 - back].mark
        };
        assert_eq!((mark_of("UTC", 0), mark_of("UTC", 1)), (DayMark::Nothing, DayMark::Good));
        assert_eq!((mark_of("Europe/Berlin", 0), mark_of("Europe/Berlin", 1)), (DayMark::Good, DayMark::Nothing));
        assert_eq!(mark_of("Pacific/Honolulu", 1), DayMark::Good);
    }

    #[test]
    fn a_day_of_25_hours_is_one_square() {
        let now = at("2026-10-26T08:00:00Z");
        let runs = [
            ended(at("2026-10-24T22:00:00Z"), Outcome::Ok),
            ended(at("2026-10-25T22:59:59Z"), Outcome::Ok),
            ended(at("2026-10-25T23:00:00Z"), Outcome::Failed),
        ];
        let strip = Days::until(now, "Europe/Berlin", 3).strip(&runs);
        assert_eq!(strip[1], DayView { date: "2026-10-25".to_owned(), mark: DayMark::Good, runs: 2 });
        assert_eq!(strip[2].mark, DayMark::Failed);
    }

    #[test]
    fn unknown_is_neither_good_nor_failed() {
        use Outcome::{Cancelled, Failed, Lost, Ok, Partial, Skipped, Warning};
        let cases: [(&[Outcome], DayMark); 10] = [
            (&[], DayMark::Nothing),
            (&[Ok], DayMark::Good),
            (&[Ok, Skipped], DayMark::Good),
            (&[Warning], DayMark::Mended),
            (&[Failed, Ok], DayMark::Mended),
            (&[Partial], DayMark::Failed),
            (&[Lost, Failed], DayMark::Failed),
            (&[Lost], DayMark::Unknown),
            (&[Lost, Skipped], DayMark::Unknown),
            (&[Cancelled], DayMark::Skipped),
        ];
        for (outcomes, expected) in cases {
            let now = at("2026-11-20T12:00:00Z");
            let runs: Vec<Ended> = outcomes.iter().map(|outcome| ended(now, *outcome)).collect();
            assert_eq!(Days::until(now, "UTC", 1).strip(&runs)[0].mark, expected, "{outcomes:?}");
        }
    }

    #[test]
    fn success_without_proof_is_not_a_good_day() {
        let now = at("2026-11-20T12:00:00Z");
        let claimed = [Ended { queued_at: now, outcome: Outcome::Ok, good: false }];
        assert_eq!(Days::until(now, "UTC", 1).strip(&claimed)[0].mark, DayMark::Failed);
    }

    proptest! {
        #[test]
        fn every_run_of_the_last_days_is_counted_once_in_every_zone(
            minutes in proptest::collection::vec(0_u64..140 * 1440, 0..40),
            zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("Pacific/Apia"), Just("America/New_York"), Just("Asia/Kathmandu")],
            start in 0_u64..2000,
        ) {
            let now = after(at("2026-01-01T00:00:00Z"), Duration::from_secs(start * 6 * 3600));
            let back = |minutes: u64| Timestamp::from_millisecond(now.as_millisecond() - i64::try_from(minutes * 60_000).unwrap()).unwrap();
            let runs: Vec<Ended> = minutes.iter().map(|minutes| ended(back(*minutes), Outcome::Ok)).collect();
            let days = Days::until(now, zone, DAYS_MAX);
            let strip = days.strip(&runs);
            prop_assert_eq!(strip.len(), 90);
            prop_assert!(days.position(now) == Some(89), "the last square is today");
            let inside = runs.iter().filter(|run| days.position(run.queued_at).is_some()).count();
            let counted: u32 = strip.iter().map(|day| day.runs).sum();
            prop_assert_eq!(usize::try_from(counted).unwrap(), inside);
            // 88 full days lie behind today and the day before, whatever the zone's clock does.
            let recent = minutes.iter().filter(|minutes| **minutes < 88 * 1440).count();
            prop_assert!(inside >= recent);
        }
    }
}
