//! Calendar expressions in systemd's `OnCalendar` syntax: when a plan is due, as a value.
//!
//! The slots of an expression are one fixed set of instants, whoever asks and from wherever. A local time that a clock
//! change skips is due at the first instant after the gap: systemd leaves such a night out, and a night without a
//! backup is what this is here to prevent. A local time that a clock change repeats has one slot, its first pass; a
//! systemd timer started within the repeated hour also fires in its second, but two coordinators that start at
//! different moments must name the same slots.

mod component;
mod explain;
mod iterate;
mod mistake;
mod parse;

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use mistake::CalendarError;

use component::{Component, Unit};

/// A parsed expression. `Display` writes the normalised form, which parses back to the same value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Calendar {
    weekdays: Weekdays,
    years: Component,
    months: Component,
    days: Component,
    /// `days` count back from the end of the month.
    days_from_end: bool,
    hours: Component,
    minutes: Component,
    seconds: Component,
    zone: Option<Zone>,
}

/// A set of weekdays, bit 0 is Monday. A full set does not restrict anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weekdays(u8);

/// The expression's own zone, which wins over the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Zone {
    name: String,
    rules: TimeZone,
}

impl Calendar {
    /// The zone that the expression itself names, as an IANA name or `UTC`.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.as_ref().map(|zone| zone.name.as_str())
    }

    /// Every day at midnight: what an expression means where it says nothing.
    fn midnight() -> Self {
        Self {
            weekdays: Weekdays::ALL,
            years: Component::any(),
            months: Component::any(),
            days: Component::any(),
            days_from_end: false,
            hours: Component::single(0),
            minutes: Component::single(0),
            seconds: Component::single(0),
            zone: None,
        }
    }

    fn day_unit(&self) -> Unit {
        if self.days_from_end { Unit::DayFromEnd } else { Unit::Day }
    }
}

impl Weekdays {
    const ALL: Self = Self(0x7f);
    const NAMES: [&'static str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

    /// `index` counts from Monday = 0.
    fn contains(self, index: u8) -> bool {
        self.0 & (1 << index) != 0
    }

    /// The set as runs of neighbouring days, first and last index of each.
    fn runs(self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for index in (0..7).filter(|index| self.contains(*index)).map(usize::from) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => runs.push((index, index)),
            }
        }
        runs
    }
}

impl fmt::Display for Weekdays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.runs().into_iter().enumerate() {
            let separator = if position > 0 { "," } else { "" };
            write!(formatter, "{separator}{}", &Self::NAMES[first][..3])?;
            match last - first {
                0 => {}
                1 => write!(formatter, ",{}", &Self::NAMES[last][..3])?,
                _ => write!(formatter, "..{}", &Self::NAMES[last][..3])?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weekdays != Weekdays::ALL {
            write!(out, "{} ", self.weekdays)?;
        }
        self.years.write(Unit::Year, out)?;
        out.write_str("-")?;
        self.months.write(Unit::Month, out)?;
        out.write_str(if self.days_from_end { "~" } else { "-" })?;
        self.days.write(self.day_unit(), out)?;
        out.write_str(" ")?;
        self.hours.write(Unit::Hour, out)?;
        out.write_str(":")?;
        self.minutes.write(Unit::Minute, out)?;
        out.write_str(":")?;
        self.seconds.write(Unit::Second, out)?;
        match &self.zone {
            Some(zone) => write!(out, " {}", zone.name),
            None => Ok(()),
        }
    }
}

impl FromStr for Calendar {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        parse::parse(text).map_err(|problem| mistake::explain(text, problem))
    }
}

impl TryFrom<String> for Calendar {
    type Error = CalendarError;

    fn try_from(text: String) -> Result<Self, CalendarError> {
        text.parse()
    }
}

impl From<Calendar> for String {
    fn from(calendar: Calendar) -> String {
        calendar.to_string()
    }
}

#[cfg(test)]
mod tests;
