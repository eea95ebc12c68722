//! Reading a calendar expression, strictly, with the column of whatever does not fit.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::component::{Component, Item, SECOND_US, Unit};
use super::{Calendar, Weekdays, Zone};

/// Longest accepted expression, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Most values in one list.
const LIST_ITEMS_MAX: usize = 240;
/// Most digits of a number: enough for any year or timestamp, far from overflowing.
const DIGITS_MAX: usize = 12;

/// What is wrong, and the byte offset where.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) offset: usize,
    pub(super) what: String,
}

pub(super) fn parse(text: &str) -> Result<Calendar, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        return problem(TEXT_BYTES_MAX, format!("it is longer than {TEXT_BYTES_MAX} bytes"));
    }
    if let Some(offset) = text.bytes().position(|byte| !(b' '..=b'~').contains(&byte)) {
        return problem(offset, "only plain ASCII characters can be used".to_owned());
    }
    let (body, zone) = split_zone(text)?;
    let calendar = match special(body) {
        Some(calendar) => calendar,
        None => Reader { text: body, at: 0 }.expression()?,
    };
    // A Unix timestamp is in UTC, whatever zone is written after it.
    let zone = calendar.zone.clone().or(zone);
    Ok(Calendar { zone, ..calendar })
}

/// The shorthand words, by their meaning.
pub(super) fn special(word: &str) -> Option<Calendar> {
    let midnight = Calendar::midnight();
    let first = || Component::single(1);
    Some(match word.to_ascii_lowercase().as_str() {
        "minutely" => Calendar { hours: Component::any(), minutes: Component::any(), ..midnight },
        "hourly" => Calendar { hours: Component::any(), ..midnight },
        "daily" => midnight,
        "weekly" => Calendar { weekdays: Weekdays(1), ..midnight },
        "monthly" => Calendar { days: first(), ..midnight },
        "yearly" | "annually" | "anually" => Calendar { months: first(), days: first(), ..midnight },
        "quarterly" => Calendar { months: Component::list(&[1, 4, 7, 10]), days: first(), ..midnight },
        "semiannually" | "semi-annually" | "biannually" | "bi-annually" => {
            Calendar { months: Component::list(&[1, 7]), days: first(), ..midnight }
        }
        _ => return None,
    })
}

fn problem<T>(offset: usize, what: String) -> Result<T, Problem> {
    Err(Problem { offset, what })
}

/// Cuts the zone off the end. `UTC` is known in any case; every other name must be spelled as the zone database spells it.
fn split_zone(text: &str) -> Result<(&str, Option<Zone>), Problem> {
    let Some((body, word)) = text.rsplit_once(' ') else { return Ok((text, None)) };
    if word.eq_ignore_ascii_case("UTC") {
        return Ok((body, Some(Zone { name: "UTC".to_owned(), rules: TimeZone::UTC })));
    }
    if !word.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return Ok((text, None));
    }
    match TimeZone::get(word) {
        Ok(rules) if rules.iana_name() == Some(word) => Ok((body, Some(Zone { name: word.to_owned(), rules }))),
        Ok(rules) if rules.iana_name().is_some_and(|name| name.eq_ignore_ascii_case(word)) => {
            let name = rules.iana_name().unwrap_or(word);
            problem(body.len() + 1, format!("the time zone {word:?} is spelled {name:?}"))
        }
        _ if word.contains('/') => {
            problem(body.len() + 1, format!("the time zone {word:?} is not in this machine's zone database"))
        }
        _ => Ok((text, None)),
    }
}

/// A list as written; what its numbers mean is decided by the separator that follows it.
enum Written {
    Any,
    Items(Vec<WrittenItem>),
}

/// Numbers are in microseconds where fractions are allowed.
struct WrittenItem {
    offset: usize,
    start: i64,
    stop: Option<i64>,
    step: Option<i64>,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn expression(mut self) -> Result<Calendar, Problem> {
        let mut calendar = Calendar::midnight();
        if self.text.is_empty() {
            return problem(0, "it is empty".to_owned());
        }
        if self.peek() == Some(b' ') {
            return problem(0, "it starts with a space".to_owned());
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            calendar.weekdays = self.weekdays()?;
            if self.skip_spaces() {
                return Ok(calendar);
            }
        }
        if self.take(b'@') {
            return self.unix(calendar.weekdays);
        }
        let start = self.at;
        let first = self.list(false)?;
        match self.peek() {
            Some(b':') => self.at = start,
            Some(b'-' | b'~') => {
                self.date(first, &mut calendar)?;
                if self.skip_spaces() {
                    return Ok(calendar);
                }
            }
            _ => return self.unexpected("\":\" as in a time, or \"-\" as in a date"),
        }
        self.time(&mut calendar)?;
        Ok(calendar)
    }

    fn weekdays(&mut self) -> Result<Weekdays, Problem> {
        let mut days = 0_u8;
        loop {
            let offset = self.at;
            let first = self.weekday()?;
            let last = if self.take_word("..") || self.take(b'-') { self.weekday()? } else { first };
            if last < first {
                return problem(offset, "the weekday range runs backwards; a week starts on Monday".to_owned());
            }
            days |= (first..=last).fold(0, |set, day| set | 1 << day);
            let more = self.take(b',');
            match self.peek() {
                None | Some(b' ') => return Ok(Weekdays(days)),
                Some(_) if more => {}
                Some(_) => return self.unexpected("a space, \",\" or \"..\" after a weekday"),
            }
        }
    }

    fn weekday(&mut self) -> Result<u8, Problem> {
        let rest = &self.text[self.at..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let word = &rest[..letters];
        for (index, name) in (0_u8..).zip(Weekdays::NAMES) {
            if word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3]) {
                self.at += letters;
                return Ok(index);
            }
        }
        if word.is_empty() {
            return self.unexpected("a weekday such as Mon or Monday");
        }
        if special(word).is_some() {
            return problem(self.at, format!("{word:?} already names its time and takes only a time zone after it"));
        }
        problem(self.at, format!("{word:?} is neither a weekday, nor a shorthand such as \"daily\", nor a time zone"))
    }

    fn unix(mut self, weekdays: Weekdays) -> Result<Calendar, Problem> {
        self.skip_spaces();
        let offset = self.at;
        let seconds = self.digits()?;
        if self.peek().is_some() {
            return self.unexpected("nothing after the Unix timestamp");
        }
        let instant = Timestamp::from_second(seconds).map(|at| TimeZone::UTC.to_datetime(at));
        let Some(at) = instant.ok().filter(|at| i64::from(at.year()) <= Unit::Year.bounds().1) else {
            return problem(offset, "the Unix timestamp lies beyond the year 2199".to_owned());
        };
        Ok(Calendar {
            weekdays,
            years: Component::single(at.year().into()),
            months: Component::single(at.month().into()),
            days: Component::single(at.day().into()),
            days_from_end: false,
            hours: Component::single(at.hour().into()),
            minutes: Component::single(at.minute().into()),
            seconds: Component::single(i64::from(at.second()) * SECOND_US),
            zone: Some(Zone { name: "UTC".to_owned(), rules: TimeZone::UTC }),
        })
    }

    /// The rest of a date whose first list is read: `Y-M-D`, `M-D`, `Y-M~D` or `M~D`.
    fn date(&mut self, first: Written, calendar: &mut Calendar) -> Result<(), Problem> {
        let mut from_end = self.take(b'~');
        if !from_end {
            self.take(b'-');
        }
        let second = self.list(false)?;
        let more = !from_end && matches!(self.peek(), Some(b'-' | b'~'));
        let (month, day) = if more {
            calendar.years = component(first, Unit::Year)?;
            from_end = self.take(b'~');
            if !from_end {
                self.take(b'-');
            }
            (second, self.list(false)?)
        } else {
            (first, second)
        };
        calendar.months = component(month, Unit::Month)?;
        calendar.days_from_end = from_end && matches!(day, Written::Items(_));
        calendar.days = component(day, calendar.day_unit())?;
        match self.peek() {
            None | Some(b' ') => Ok(()),
            Some(_) => self.unexpected("a space after the date"),
        }
    }

    fn time(&mut self, calendar: &mut Calendar) -> Result<(), Problem> {
        calendar.hours = component(self.list(false)?, Unit::Hour)?;
        if !self.take(b':') {
            return self.unexpected("\":\" and the minutes");
        }
        calendar.minutes = component(self.list(false)?, Unit::Minute)?;
        if self.take(b':') {
            calendar.seconds = match self.list(true)? {
                Written::Any => Component::every_second(),
                items @ Written::Items(_) => component(items, Unit::Second)?,
            };
        }
        if self.peek().is_some() { self.unexpected("nothing after the time") } else { Ok(()) }
    }

    fn list(&mut self, fractions: bool) -> Result<Written, Problem> {
        if self.take(b'*') {
            return match self.peek() {
                Some(b'/') => {
                    problem(self.at - 1, "\"*\" cannot be repeated; a repetition starts at a number".to_owned())
                }
                Some(b',') => {
                    problem(self.at, "\"*\" already matches everything and cannot be part of a list".to_owned())
                }
                _ => Ok(Written::Any),
            };
        }
        let mut items = Vec::new();
        loop {
            if items.len() == LIST_ITEMS_MAX {
                return problem(self.at, format!("a list holds {LIST_ITEMS_MAX} values at most"));
            }
            let offset = self.at;
            let start = self.number(fractions)?;
            let stop = if self.take_word("..") { Some(self.number(fractions)?) } else { None };
            let step = if self.take(b'/') { Some(self.number(fractions)?) } else { None };
            items.push(WrittenItem { offset, start, stop, step });
            if !self.take(b',') {
                return Ok(Written::Items(items));
            }
        }
    }

    fn number(&mut self, fractions: bool) -> Result<i64, Problem> {
        let offset = self.at;
        let whole = self.digits()?;
        if whole > i64::from(i32::MAX) {
            return problem(offset, "the number is too large".to_owned());
        }
        if !fractions {
            return Ok(whole);
        }
        let rest = &self.text.as_bytes()[self.at..];
        if rest.first() != Some(&b'.') || rest.get(1) == Some(&b'.') {
            return Ok(whole * SECOND_US);
        }
        let digits: Vec<i64> =
            rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0')).collect();
        if digits.is_empty() {
            self.at += 1;
            return self.unexpected("digits after the decimal point");
        }
        self.at += 1 + digits.len();
        let microseconds = (0..6).fold(0, |sum, place| sum * 10 + digits.get(place).unwrap_or(&0));
        let rounded_up = i64::from(digits.get(6).is_some_and(|digit| *digit >= 5));
        Ok(whole * SECOND_US + microseconds + rounded_up)
    }

    fn digits(&mut self) -> Result<i64, Problem> {
        let rest = &self.text[self.at..];
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return self.unexpected("a number or \"*\"");
        }
        let digits = rest[..count].trim_start_matches('0');
        if digits.len() > DIGITS_MAX {
            return problem(self.at, "the number is too large".to_owned());
        }
        self.at += count;
        Ok(digits.bytes().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = self.text[self.at..].starts_with(wanted);
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    /// Whether the end of the text follows.
    fn skip_spaces(&mut self) -> bool {
        while self.take(b' ') {}
        self.peek().is_none()
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, Problem> {
        match self.peek() {
            Some(byte) => problem(self.at, format!("found {:?} where it takes {wanted}", char::from(byte))),
            None => problem(self.at, format!("it ends where it takes {wanted}")),
        }
    }
}

/// Checks a list against its unit and brings it into the normal form.
fn component(list: Written, unit: Unit) -> Result<Component, Problem> {
    let Written::Items(items) = list else { return Ok(Component::any()) };
    let mut items = items.into_iter().map(|item| normal(&item, unit)).collect::<Result<Vec<_>, _>>()?;
    if unit == Unit::Second && items.contains(&Item::EVERY_SECOND) {
        // Whole seconds add nothing to every second.
        items.retain(|item| *item == Item::EVERY_SECOND || item.start % SECOND_US != 0 || item.step % SECOND_US != 0);
    }
    Ok(Component::of(items))
}

fn normal(written: &WrittenItem, unit: Unit) -> Result<Item, Problem> {
    let fail = |what: String| problem(written.offset, what);
    let (first, last) = unit.bounds();
    let full_year = |value: i64| match (unit, value) {
        (Unit::Year, 0..=69) => value + 2000,
        (Unit::Year, 70..=99) => value + 1900,
        _ => value,
    };
    let start = full_year(written.start);
    if written.step == Some(0) {
        return fail("a repetition needs a step above 0".to_owned());
    }
    let out_of_bounds = |value: i64| {
        let scale = unit.step();
        let shown = value / scale;
        format!("{shown} is not a {}: it goes from {} to {}", unit.name(), first / scale, last / scale)
    };
    if !(first..=last).contains(&start) {
        return fail(out_of_bounds(start));
    }
    let Some(stop) = written.stop.map(full_year) else {
        let step = written.step.unwrap_or(0);
        let fits = if unit == Unit::DayFromEnd { start - step >= first } else { start + step <= last };
        if !fits {
            return fail(format!("the step is larger than what is left of the {} after its start", unit.name()));
        }
        return Ok(Item { start, stop: None, step });
    };
    if stop < start {
        return fail(format!("the {} range runs backwards", unit.name()));
    }
    if unit == Unit::Second && written.step.is_none() && stop - start < SECOND_US {
        return fail("a range of seconds that names no step spans one second at least".to_owned());
    }
    let step = written.step.unwrap_or(unit.step());
    let stop = stop - (stop - start) % step;
    if stop > last {
        return fail(out_of_bounds(stop));
    }
    if stop == start {
        return Ok(Item { start, stop: None, step: 0 });
    }
    Ok(Item { start, stop: Some(stop), step })
}
