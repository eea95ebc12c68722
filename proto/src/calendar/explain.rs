//! A calendar expression in one plain English sentence.

use super::component::{Component, Item, SECOND_US, Unit};
use super::{Calendar, Weekdays};

/// Up to this many times of day are told one by one.
const TIMES_TOLD_MAX: usize = 8;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Calendar {
    /// One sentence, such as `At 22:00 on Monday to Friday.` or `Every 15 minutes, every day, in the zone UTC.`
    pub fn explain(&self) -> String {
        let zone = self.zone_name().map(|zone| format!(", in the zone {zone}")).unwrap_or_default();
        let sentence = format!("{}{}{zone}.", self.times(), self.dates());
        let mut letters = sentence.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }

    fn times(&self) -> String {
        let on_the_minute = self.seconds == Component::single(0);
        if let Some(clock) = self.clock_times() {
            return format!("at {}", join(&clock));
        }
        if !on_the_minute {
            let seconds = phrase(&self.seconds, Unit::Second);
            return format!(
                "{seconds} of {} of {}",
                phrase(&self.minutes, Unit::Minute),
                phrase(&self.hours, Unit::Hour)
            );
        }
        let minutes = phrase(&self.minutes, Unit::Minute);
        match (self.hours.is_any(), self.minutes == Component::single(0)) {
            (true, true) => "every hour on the hour".to_owned(),
            (true, false) if self.minutes.is_any() || is_even_step(&self.minutes, 60) => minutes,
            (true, false) => format!("at {minutes} of every hour"),
            (false, true) => format!("on the hour in {}", phrase(&self.hours, Unit::Hour)),
            (false, false) => format!("{minutes} in {}", phrase(&self.hours, Unit::Hour)),
        }
    }

    /// The times of day one by one, where they are few.
    fn clock_times(&self) -> Option<Vec<String>> {
        let hours = self.hours.values(Unit::Hour, TIMES_TOLD_MAX)?;
        let minutes = self.minutes.values(Unit::Minute, TIMES_TOLD_MAX)?;
        let seconds = self.seconds.values(Unit::Second, TIMES_TOLD_MAX)?;
        if hours.len() * minutes.len() * seconds.len() > TIMES_TOLD_MAX {
            return None;
        }
        let mut times = Vec::new();
        for hour in &hours {
            for minute in &minutes {
                times.extend(seconds.iter().map(|second| match second {
                    0 => format!("{hour:02}:{minute:02}"),
                    second => format!("{hour:02}:{minute:02}:{}", second_text(*second, 2)),
                }));
            }
        }
        Some(times)
    }

    fn dates(&self) -> String {
        let months = self.months_and_years();
        if self.days.is_any() {
            return match (self.weekdays == Weekdays::ALL, months.as_str()) {
                (true, "") => " every day".to_owned(),
                (true, months) => format!(" every day of {months}"),
                (false, "") => format!(" on {}", self.weekday_text()),
                (false, months) => format!(" on {} in {months}", self.weekday_text()),
            };
        }
        let months = if months.is_empty() { "every month".to_owned() } else { months };
        if self.weekdays == Weekdays::ALL {
            return format!(" on {} of {months}", self.day_text());
        }
        match self.week_of_month() {
            Some(week) => format!(" on the {week} {} of {months}", self.weekday_text()),
            None => format!(" on {} that is {} of {months}", self.weekday_text(), self.day_text()),
        }
    }

    /// `first` for one weekday within days 1 to 7, and so on: seven days in a row hold every weekday once.
    fn week_of_month(&self) -> Option<&'static str> {
        let [item] = self.days.items() else { return None };
        if self.weekdays.0.count_ones() != 1 {
            return None;
        }
        match (self.days_from_end, *item) {
            (true, Item { start: 7, stop: None, step: 1 } | Item { start: 1, stop: Some(7), step: 1 }) => Some("last"),
            (false, Item { start, stop: Some(stop), step: 1 }) if stop == start + 6 => match start {
                1 => Some("first"),
                8 => Some("second"),
                15 => Some("third"),
                22 => Some("fourth"),
                _ => None,
            },
            _ => None,
        }
    }

    fn weekday_text(&self) -> String {
        let runs = self.weekdays.runs().into_iter().flat_map(|(first, last)| match last - first {
            0 => vec![Weekdays::NAMES[first].to_owned()],
            1 => vec![Weekdays::NAMES[first].to_owned(), Weekdays::NAMES[last].to_owned()],
            _ => vec![format!("{} to {}", Weekdays::NAMES[first], Weekdays::NAMES[last])],
        });
        join(&runs.collect::<Vec<_>>())
    }

    fn day_text(&self) -> String {
        let name = |day: i64| match (self.days_from_end, day) {
            (true, 1) => "last day".to_owned(),
            (true, day) => format!("{}-to-last day", ordinal(day)),
            (false, day) => ordinal(day),
        };
        let items = self.days.items().iter().map(|item| match (item.stop, item.step) {
            (None, 0) => format!("the {}", name(item.start)),
            (None, 1) if self.days_from_end => format!("the last {} days", item.start),
            (None, step) => format!("every {}day from the {} on", every(step), name(item.start)),
            (Some(stop), 1) if self.days_from_end && item.start == 1 => format!("the last {stop} days"),
            (Some(stop), 1) => format!("the {} to the {}", name(item.start), name(stop)),
            (Some(stop), step) => {
                format!("every {}day from the {} to the {}", every(step), name(item.start), name(stop))
            }
        });
        join(&items.collect::<Vec<_>>())
    }

    /// Empty where neither months nor years are restricted.
    fn months_and_years(&self) -> String {
        let month =
            |value: i64| usize::try_from(value - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or("");
        let months = list(&self.months, "month", |value| month(value).to_owned());
        let years = list(&self.years, "year", |value| value.to_string());
        match (months.is_empty(), years.is_empty()) {
            (true, true) => String::new(),
            (false, true) => months,
            (true, false) => format!("every month of {years}"),
            (false, false) => format!("{months} of {years}"),
        }
    }
}

fn list(component: &Component, unit: &str, name: impl Fn(i64) -> String) -> String {
    let items = component.items().iter().map(|item| match (item.stop, item.step) {
        (None, 0) => name(item.start),
        (None, step) => format!("every {}{unit} from {} on", every(step), name(item.start)),
        (Some(stop), 1) => format!("{} to {}", name(item.start), name(stop)),
        (Some(stop), step) => format!("every {}{unit} from {} to {}", every(step), name(item.start), name(stop)),
    });
    join(&items.collect::<Vec<_>>())
}

/// Hours, minutes or seconds: `every 15 minutes`, `minutes 5 to 10 and 30`.
fn phrase(component: &Component, unit: Unit) -> String {
    if component.is_any() {
        return format!("every {}", unit.name());
    }
    let scale = unit.step();
    let text = |value: i64| if unit == Unit::Second { second_text(value, 0) } else { value.to_string() };
    if is_even_step(component, unit.bounds().1 + 1) {
        let step = component.items().first().map_or(scale, |item| item.step);
        return if step == scale {
            format!("every {}", unit.name())
        } else {
            format!("every {} {}s", text(step), unit.name())
        };
    }
    let stepped = |step: i64| if step == scale { String::new() } else { format!(" in steps of {}", text(step)) };
    let items = component.items().iter().map(|item| match (item.stop, item.step) {
        (None, 0) => text(item.start),
        (None, step) => format!("from {} on{}", text(item.start), stepped(step)),
        (Some(stop), step) => format!("{} to {}{}", text(item.start), text(stop), stepped(step)),
    });
    let items: Vec<String> = items.collect();
    let plural = if items.len() > 1 || component.items().iter().any(|item| item.step > 0) { "s" } else { "" };
    format!("{}{plural} {}", unit.name(), join(&items))
}

/// One repetition from 0 that divides the whole, so that it is even across its end.
fn is_even_step(component: &Component, whole: i64) -> bool {
    matches!(component.items(), [Item { start: 0, stop: None, step }] if *step > 0 && whole % step == 0)
}

fn second_text(value_us: i64, width: usize) -> String {
    let (whole, fraction) = (value_us / SECOND_US, value_us % SECOND_US);
    match fraction {
        0 => format!("{whole:0width$}"),
        fraction => format!("{whole:0width$}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}

fn every(step: i64) -> String {
    if step == 1 { String::new() } else { format!("{} ", ordinal(step)) }
}

fn ordinal(number: i64) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

fn join(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
