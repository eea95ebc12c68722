//! From an expression to its slots: the next one, all of them, and the latest of a span with how many were in it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::Calendar;
use super::component::{SECOND_US, Unit};

const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;

/// Halving three centuries down to a nanosecond takes 63 steps.
const HALVINGS_MAX: u32 = 70;

/// A local date and the microsecond in that day, as a clock on the wall counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Civil {
    date: Date,
    time_us: i64,
}

impl Calendar {
    /// The first slot strictly after `after`, or none before the year 2200. `zone` counts only where the expression
    /// names no zone itself.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone.as_ref().map_or(zone, |own| &own.rules);
        let at = self.next_civil(Civil::first_after(after, zone)?)?.datetime()?;
        match zone.to_ambiguous_timestamp(at).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(at).ok(),
            // A skipped local time is due when the clock resumes.
            AmbiguousOffset::Gap { after, .. } => change_around(at, after, zone),
        }
    }

    /// The slots strictly after `after`, in order, up to the end of the year 2199.
    pub fn iter(&self, after: Timestamp, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after, zone), move |slot| self.next_after(*slot, zone))
    }

    /// The latest slot in `after < slot <= until`, and how many slots lie there. The work does not grow with their
    /// number: the latest is found by halving, and whole days are counted, not slots. With several overlapping
    /// repetitions of fractional seconds the number may count a slot twice.
    pub fn latest_between(&self, after: Timestamp, until: Timestamp, zone: &TimeZone) -> Option<(Timestamp, u64)> {
        let due = |from: Timestamp| self.next_after(from, zone).filter(|slot| *slot <= until);
        let mut latest = due(after)?;
        let mut end = until;
        for _ in 0..HALVINGS_MAX {
            // Between the latest known slot and `end` there may be more; after `end` there are none.
            if due(latest).is_none() {
                break;
            }
            let middle = latest.checked_add(end.duration_since(latest) / 2).unwrap_or(latest);
            match due(middle) {
                Some(slot) => latest = slot,
                None => end = middle,
            }
        }
        let zone = self.zone.as_ref().map_or(zone, |own| &own.rules);
        Some((latest, self.count(after, until, zone)))
    }

    fn count(&self, after: Timestamp, until: Timestamp, zone: &TimeZone) -> u64 {
        let (Some(from), Some(end)) = (Civil::first_after(after, zone), Civil::first_after(until, zone)) else {
            return 0;
        };
        let skipped: u64 = zone
            .following(after)
            .take_while(|change| change.timestamp() <= until)
            .filter_map(|change| {
                let at = change.timestamp();
                let before = zone.to_offset(at.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?);
                let (gap, resumed) = (Civil::of(before.to_datetime(at)), Civil::of(change.offset().to_datetime(at)));
                Some(if gap < resumed { self.merged_by(gap, resumed) } else { 0 })
            })
            .sum();
        self.count_civil(from, end).saturating_sub(skipped)
    }

    /// How many slots fewer there are than matching local times, because a gap makes one of all that lie in it and of
    /// the time at which the clock resumes.
    fn merged_by(&self, gap: Civil, resumed: Civil) -> u64 {
        let resumes_due = self.count_civil(resumed, Civil { time_us: resumed.time_us + 1, ..resumed });
        (self.count_civil(gap, resumed) + resumes_due).saturating_sub(1)
    }

    /// Matching local times in `from <= time < end`.
    fn count_civil(&self, from: Civil, end: Civil) -> u64 {
        let whole_day = self.count_times_below(24 * HOUR_US);
        let mut count = 0;
        let mut date = self.next_date(from.date);
        while let Some(day) = date.filter(|day| *day <= end.date) {
            let below = if day == end.date { self.count_times_below(end.time_us) } else { whole_day };
            let earlier = if day == from.date { self.count_times_below(from.time_us) } else { 0 };
            count += below.saturating_sub(earlier);
            date = day.tomorrow().ok().and_then(|next| self.next_date(next));
        }
        count
    }

    /// Matching times of a day that lie before `time_us`.
    fn count_times_below(&self, time_us: i64) -> u64 {
        let (hour, minute, second) = (time_us / HOUR_US, time_us % HOUR_US / MINUTE_US, time_us % MINUTE_US);
        let a_minute = self.seconds.count_below(MINUTE_US, Unit::Second);
        let an_hour = self.minutes.count_below(60, Unit::Minute) * a_minute;
        let mut count = self.hours.count_below(hour, Unit::Hour) * an_hour;
        if self.hours.at_or_after(hour, 23) == Some(hour) {
            count += self.minutes.count_below(minute, Unit::Minute) * a_minute;
            if self.minutes.at_or_after(minute, 59) == Some(minute) {
                count += self.seconds.count_below(second, Unit::Second);
            }
        }
        count
    }

    /// The first matching local time at or after `from`.
    fn next_civil(&self, from: Civil) -> Option<Civil> {
        let date = self.next_date(from.date)?;
        if date == from.date {
            if let Some(time_us) = self.next_time(from.time_us) {
                return Some(Civil { date, time_us });
            }
            let date = self.next_date(date.tomorrow().ok()?)?;
            return Some(Civil { date, time_us: self.next_time(0)? });
        }
        Some(Civil { date, time_us: self.next_time(0)? })
    }

    fn next_date(&self, from: Date) -> Option<Date> {
        let (first_year, last_year) = Unit::Year.bounds();
        let start = (i64::from(from.year()), i64::from(from.month()), i64::from(from.day()));
        let mut year = self.years.at_or_after(start.0.max(first_year), last_year);
        while let Some(y) = year {
            let mut month = self.months.at_or_after(if y == start.0 { start.1 } else { 1 }, 12);
            while let Some(m) = month {
                let day = if (y, m) == (start.0, start.1) { start.2 } else { 1 };
                if let Some(date) = self.next_date_in_month(y, m, day) {
                    return Some(date);
                }
                month = self.months.at_or_after(m + 1, 12);
            }
            year = self.years.at_or_after(y + 1, last_year);
        }
        None
    }

    fn next_date_in_month(&self, year: i64, month: i64, from: i64) -> Option<Date> {
        let first = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
        let length = i64::from(first.days_in_month());
        let first_weekday = i64::from(Weekday::to_monday_zero_offset(first.weekday()));
        let mut day = self.days.day_at_or_after(from, length, self.days_from_end);
        while let Some(d) = day {
            let weekday = u8::try_from((first_weekday + d - 1) % 7).ok()?;
            if self.weekdays.contains(weekday) {
                return Date::new(first.year(), first.month(), i8::try_from(d).ok()?).ok();
            }
            day = self.days.day_at_or_after(d + 1, length, self.days_from_end);
        }
        None
    }

    fn next_time(&self, from_us: i64) -> Option<i64> {
        let start = (from_us / HOUR_US, from_us % HOUR_US / MINUTE_US, from_us % MINUTE_US);
        let mut hour = self.hours.at_or_after(start.0, 23);
        while let Some(h) = hour {
            let mut minute = self.minutes.at_or_after(if h == start.0 { start.1 } else { 0 }, 59);
            while let Some(m) = minute {
                let second = if (h, m) == (start.0, start.1) { start.2 } else { 0 };
                if let Some(s) = self.seconds.at_or_after(second, MINUTE_US - 1) {
                    return Some(h * HOUR_US + m * MINUTE_US + s);
                }
                minute = self.minutes.at_or_after(m + 1, 59);
            }
            hour = self.hours.at_or_after(h + 1, 23);
        }
        None
    }
}

impl Civil {
    /// The first local time whose first pass lies after `at`. In the second pass of a repeated hour that is the end of
    /// the repetition.
    fn first_after(at: Timestamp, zone: &TimeZone) -> Option<Self> {
        let offset = zone.to_offset(at);
        let local = offset.to_datetime(at);
        if let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(local).offset()
            && before != offset
            && after == offset
        {
            return clock_at_change(local, before, zone);
        }
        let civil = Self::of(local);
        match civil.time_us + 1 {
            end if end == 24 * HOUR_US => Some(Self { date: civil.date.tomorrow().ok()?, time_us: 0 }),
            time_us => Some(Self { time_us, ..civil }),
        }
    }

    fn of(local: DateTime) -> Self {
        let (hour, minute, second) = (i64::from(local.hour()), i64::from(local.minute()), i64::from(local.second()));
        let fraction = i64::from(local.subsec_nanosecond()) / 1000;
        Self { date: local.date(), time_us: hour * HOUR_US + minute * MINUTE_US + second * SECOND_US + fraction }
    }

    fn datetime(self) -> Option<DateTime> {
        let time = jiff::civil::Time::new(
            i8::try_from(self.time_us / HOUR_US).ok()?,
            i8::try_from(self.time_us % HOUR_US / MINUTE_US).ok()?,
            i8::try_from(self.time_us % MINUTE_US / SECOND_US).ok()?,
            i32::try_from(self.time_us % SECOND_US * 1000).ok()?,
        );
        Some(self.date.to_datetime(time.ok()?))
    }
}

/// What a clock of `offset` shows when the change comes that makes `local` skipped or repeated. `offset` is the larger
/// one of the two, which places `local` before the change and shows where the gap or the repetition ends.
fn clock_at_change(local: DateTime, offset: Offset, zone: &TimeZone) -> Option<Civil> {
    change_around(local, offset, zone).map(|change| Civil::of(offset.to_datetime(change)))
}

/// The change itself; `offset` as in [`clock_at_change`].
fn change_around(local: DateTime, offset: Offset, zone: &TimeZone) -> Option<Timestamp> {
    zone.following(offset.to_timestamp(local).ok()?).next().map(|change| change.timestamp())
}
