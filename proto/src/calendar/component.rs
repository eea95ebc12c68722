//! One component of a calendar expression: which values of years, months, days, hours, minutes or seconds match.

use std::fmt;

/// Microseconds in a second: seconds are counted in microseconds, because they may carry a fraction.
pub(super) const SECOND_US: i64 = 1_000_000;

/// Beyond this many values of overlapping fractional seconds, counting adds the items up instead of merging them.
const MERGED_VALUES_MAX: u64 = 65_536;

/// Which component a list of values belongs to; it decides bounds, width and the width of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Year,
    Month,
    Day,
    /// Days counted back from the end of the month: 1 is the last day.
    DayFromEnd,
    Hour,
    Minute,
    /// In microseconds.
    Second,
}

impl Unit {
    /// The smallest and largest value. Every month has 28 days, so counting from the end stops there.
    pub(super) fn bounds(self) -> (i64, i64) {
        match self {
            Self::Year => (1970, 2199),
            Self::Month => (1, 12),
            Self::Day => (1, 31),
            Self::DayFromEnd => (1, 28),
            Self::Hour => (0, 23),
            Self::Minute => (0, 59),
            Self::Second => (0, 60 * SECOND_US - 1),
        }
    }

    /// The step of a range that names none.
    pub(super) fn step(self) -> i64 {
        if self == Self::Second { SECOND_US } else { 1 }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::DayFromEnd => "day from the end of the month",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
        }
    }
}

/// A value (`step` 0), an open repetition (`step` > 0, no `stop`) or a range; `stop` lies on the grid of `step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) start: i64,
    pub(super) stop: Option<i64>,
    pub(super) step: i64,
}

impl Item {
    pub(super) const EVERY_SECOND: Self = Self { start: 0, stop: None, step: SECOND_US };

    fn at_or_after(self, from: i64, last: i64) -> Option<i64> {
        let value = if from <= self.start {
            self.start
        } else if self.step == 0 {
            return None;
        } else {
            self.start + (from - self.start + self.step - 1) / self.step * self.step
        };
        (value <= last.min(self.stop.unwrap_or(last))).then_some(value)
    }

    fn count_below(self, limit: i64, last: i64) -> u64 {
        let end = limit.min(last + 1).min(self.stop.map_or(limit, |stop| stop + 1));
        match (end > self.start, self.step) {
            (false, _) => 0,
            (true, 0) => 1,
            (true, step) => ((end - 1 - self.start) / step + 1).cast_unsigned(),
        }
    }

    /// The same days of a month of `length` days, counted from its start. The repetition runs from the earliest day on.
    fn counted_from_start(self, length: i64) -> Self {
        match self.stop {
            Some(stop) => Self { start: length + 1 - stop, stop: Some(length + 1 - self.start), step: self.step },
            None => Self { start: length + 1 - self.start, stop: None, step: self.step },
        }
    }
}

/// Sorted items without repeats; none at all means that every whole value matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Component {
    items: Vec<Item>,
}

impl Component {
    pub(super) fn any() -> Self {
        Self::default()
    }

    pub(super) fn of(mut items: Vec<Item>) -> Self {
        items.sort_unstable();
        items.dedup();
        Self { items }
    }

    pub(super) fn single(value: i64) -> Self {
        Self::of(vec![Item { start: value, stop: None, step: 0 }])
    }

    pub(super) fn list(values: &[i64]) -> Self {
        Self::of(values.iter().map(|value| Item { start: *value, stop: None, step: 0 }).collect())
    }

    /// Every whole second, which is spelled out because the unit is a microsecond.
    pub(super) fn every_second() -> Self {
        Self::of(vec![Item::EVERY_SECOND])
    }

    pub(super) fn is_any(&self) -> bool {
        self.items.is_empty() || *self == Self::every_second()
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The smallest matching value in `from..=last`.
    pub(super) fn at_or_after(&self, from: i64, last: i64) -> Option<i64> {
        if self.items.is_empty() {
            return (from <= last).then_some(from);
        }
        self.items.iter().filter_map(|item| item.at_or_after(from, last)).min()
    }

    /// As `at_or_after`, for days of a month of `length` days; `from` is at least 1.
    pub(super) fn day_at_or_after(&self, from: i64, length: i64, from_end: bool) -> Option<i64> {
        if !from_end || self.items.is_empty() {
            return self.at_or_after(from, length);
        }
        self.items.iter().filter_map(|item| item.counted_from_start(length).at_or_after(from, length)).min()
    }

    /// How many values below `limit` match. Exact, save that of more than 65,536 fractional seconds in an overlapping
    /// list each item is counted on its own.
    pub(super) fn count_below(&self, limit: i64, unit: Unit) -> u64 {
        let (first, last) = unit.bounds();
        if self.items.is_empty() {
            return (limit.min(last + 1) - first).max(0).cast_unsigned();
        }
        let sum = self.items.iter().map(|item| item.count_below(limit, last)).sum();
        if self.items.len() == 1 || sum > MERGED_VALUES_MAX {
            return sum;
        }
        let next = |from: i64| self.at_or_after(from, last.min(limit - 1));
        std::iter::successors(next(first), |value| next(value + 1)).fold(0, |count, _| count + 1)
    }

    /// All matching values, unless they are more than `most`.
    pub(super) fn values(&self, unit: Unit, most: usize) -> Option<Vec<i64>> {
        let (first, last) = unit.bounds();
        let next = |from: i64| self.at_or_after(from, last);
        let values: Vec<i64> = std::iter::successors(next(first), |value| next(value + 1)).take(most + 1).collect();
        (values.len() <= most).then_some(values)
    }

    /// Writes the component as systemd normalises it.
    pub(super) fn write(&self, unit: Unit, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return out.write_str("*");
        }
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.write_str(",")?;
            }
            write_value(item.start, 2, unit, out)?;
            if let Some(stop) = item.stop {
                out.write_str("..")?;
                write_value(stop, 2, unit, out)?;
            }
            if item.step > 0 && (item.stop.is_none() || item.step != unit.step()) {
                out.write_str("/")?;
                write_value(item.step, 0, unit, out)?;
            }
        }
        Ok(())
    }
}

fn write_value(value: i64, width: usize, unit: Unit, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if unit != Unit::Second {
        return write!(out, "{value:0width$}");
    }
    write!(out, "{:0width$}", value / SECOND_US)?;
    match value % SECOND_US {
        0 => Ok(()),
        fraction => write!(out, ".{fraction:06}"),
    }
}
