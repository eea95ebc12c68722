//! What to tell a person whose calendar expression cannot be read: where it fails, and the form that was probably meant.

use super::Calendar;
use super::parse::{Problem, parse, special};

/// Rewritings are tried one after the other on what the last ones produced, at most this many deep.
const REWRITINGS_DEEP_MAX: u32 = 3;
/// Longer texts are no slip of the pen.
const ADVISED_BYTES_MAX: usize = 120;

/// Why a text is not a calendar expression. `Display` says what is wrong, at which column, and what to write instead
/// where that can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a calendar expression: column {column}: {what}{}", .advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default())]
pub struct CalendarError {
    text: String,
    column: usize,
    what: String,
    advice: Option<String>,
}

impl CalendarError {
    /// Where reading stopped, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What to write instead, as a phrase such as `write "04:00"`.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

pub(super) fn explain(text: &str, problem: Problem) -> CalendarError {
    let column = text.get(..problem.offset).map_or(problem.offset, |before| before.chars().count()) + 1;
    let text: String = text.chars().take(ADVISED_BYTES_MAX).collect();
    let advice = advise(&text);
    CalendarError { text, column, what: problem.what, advice }
}

fn advise(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.is_ascii() || text.len() >= ADVISED_BYTES_MAX {
        return None;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() == 5 && words.iter().all(|word| is_cron_field(word)) {
        return Some(match cron(&words) {
            Some(form) => format!("this is cron syntax: write {}", quoted(&form)),
            None => {
                "this is cron syntax, and no single calendar expression says the same: see systemd.time(7)".to_owned()
            }
        });
    }
    rewritten(text, REWRITINGS_DEEP_MAX).map(|form| format!("write {}", quoted(&form)))
}

/// The form, and the time alone where that says the same.
fn quoted(form: &str) -> String {
    match form.strip_prefix("*-*-* ") {
        Some(time) if !time.contains(' ') => {
            let time = time.strip_suffix(":00").filter(|short| short.contains(':')).unwrap_or(time);
            format!("{form:?} or {time:?}")
        }
        _ => format!("{form:?}"),
    }
}

/// The first readable text within reach of the rewritings, fewest first.
fn rewritten(text: &str, depth: u32) -> Option<String> {
    const REWRITINGS: [fn(&str) -> Option<String>; 11] = [
        at_shorthand,
        shorthand_with_time,
        star_repetition,
        backward_range,
        iso_separator,
        comma_spacing,
        clock_of_twelve,
        bare_hour,
        midnight_as_24,
        time_first,
        other_words,
    ];
    let readable = |text: &str| parse(text).is_ok();
    if readable(text) {
        // Shorthands and ranges keep the writer's own spelling; a full form shows what an hour alone would mean.
        return Some(spelled(text));
    }
    let next: Vec<String> =
        REWRITINGS.iter().filter_map(|rewrite| rewrite(text)).filter(|candidate| candidate != text).collect();
    if let Some(found) = next.iter().find(|candidate| readable(candidate)) {
        return Some(spelled(found));
    }
    let depth = depth.checked_sub(1)?;
    next.iter().find_map(|candidate| rewritten(candidate, depth))
}

fn spelled(text: &str) -> String {
    let full = |calendar: Calendar| calendar.to_string();
    if text.contains("..") || text.contains('/') {
        text.to_owned()
    } else {
        parse(text).map_or_else(|_| text.to_owned(), full)
    }
}

/// `@daily` → `daily`.
fn at_shorthand(text: &str) -> Option<String> {
    let word = text.strip_prefix('@')?.to_ascii_lowercase();
    match word.as_str() {
        "midnight" => Some("daily".to_owned()),
        _ => special(&word).map(|_| word),
    }
}

/// `daily 04:00` → `*-*-* 04:00:00`, in either order.
fn shorthand_with_time(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (at, calendar) = words.iter().enumerate().find_map(|(at, word)| Some((at, special(word)?)))?;
    let rest: Vec<&str> = words.iter().enumerate().filter(|(index, _)| *index != at).map(|(_, word)| *word).collect();
    let full = calendar.to_string();
    let date = full.strip_suffix(" 00:00:00")?;
    let is_time = rest.first().is_some_and(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    match (is_time, date) {
        (true, _) => Some(format!("{date} {}", rest.join(" "))),
        // A weekday says more than "daily".
        (false, "*-*-*") => Some(rest.join(" ")),
        (false, _) => None,
    }
}

/// `*/4:00` → `0/4:00`; days and months count from 1.
fn star_repetition(text: &str) -> Option<String> {
    if !text.contains("*/") {
        return None;
    }
    let words = text.split(' ').map(|word| match (word.contains(':'), word.split_once('-')) {
        (true, _) => word.replace("*/", "0/"),
        (false, Some((year, rest))) if word.matches(['-', '~']).count() > 1 => {
            format!("{}-{}", year.replace("*/", "2000/"), rest.replace("*/", "1/"))
        }
        (false, _) => word.replace("*/", "1/"),
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

/// `21..05:00` → `21..23,0..5:00`, `Fri..Mon` → `Fri..Sun,Mon`, and the same for minutes, months and days.
fn backward_range(text: &str) -> Option<String> {
    let words: Vec<String> = text.split(' ').map(|word| turned_word(word).unwrap_or_else(|| word.to_owned())).collect();
    Some(words.join(" ")).filter(|turned| turned != text)
}

fn turned_word(word: &str) -> Option<String> {
    if word.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Some(word.split(',').map(turned_weekdays).collect::<Vec<_>>().join(","));
    }
    let time = word.contains(':');
    let fields: Vec<&str> = word.split(if time { ':' } else { '-' }).collect();
    let turned = fields.iter().enumerate().map(|(index, field)| {
        let (first, last) = match (time, index, fields.len() - index) {
            (true, 0, _) => (0, 23),
            (true, _, _) => (0, 59),
            (false, _, 1) => (1, 31),
            (false, _, _) => (1, 12),
        };
        field.split(',').map(|item| turned_range(item, first, last)).collect::<Vec<_>>().join(",")
    });
    Some(turned.collect::<Vec<_>>().join(if time { ":" } else { "-" }))
}

fn turned_range(item: &str, first: u32, last: u32) -> String {
    let ends = item.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match ends {
        Some((from, to)) if to < from && from <= last && to >= first => {
            let part = |from: u32, to: u32| if from == to { from.to_string() } else { format!("{from}..{to}") };
            format!("{},{}", part(from, last), part(first, to))
        }
        _ => item.to_owned(),
    }
}

fn turned_weekdays(item: &str) -> String {
    match item.split_once("..").or_else(|| item.split_once('-')) {
        Some((from, to)) if from.eq_ignore_ascii_case("sun") || from.eq_ignore_ascii_case("sunday") => {
            format!("Sun,Mon..{to}").replace("Mon..mon", "Mon").replace("Mon..Mon", "Mon")
        }
        Some((from, to)) if to.to_ascii_lowercase().starts_with("mon") => format!("{from}..Sun,{to}"),
        Some((from, to)) => format!("{from}..Sun,Mon..{to}"),
        None => item.to_owned(),
    }
}

/// `2026-11-20T04:00` → `2026-11-20 04:00`, `Wed,17:48` → `Wed 17:48`.
fn iso_separator(text: &str) -> Option<String> {
    let at = text
        .bytes()
        .zip(text.bytes().skip(1))
        .position(|(here, next)| matches!(here, b'T' | b't' | b',') && (next.is_ascii_digit() || next == b'*'))?;
    let (before, after) = (&text[..at], &text[at + 1..]);
    (after.contains(':')).then(|| format!("{before} {after}"))
}

/// `mon, tue 4:00` → `mon,tue 4:00`.
fn comma_spacing(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(words.join(" ").replace(" ,", ",").replace(", ", ","))
}

/// `4am` → `04:00`, `4:30 pm` → `16:30`.
fn clock_of_twelve(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (body, afternoon) = match (lower.strip_suffix("am"), lower.strip_suffix("pm")) {
        (Some(body), _) => (body, 0),
        (None, Some(body)) => (body, 12),
        (None, None) => return None,
    };
    let body = body.trim_end();
    let (before, clock) = body.rsplit_once(' ').map_or(("", body), |(before, clock)| (before, clock));
    let (hour, minute) = clock.split_once(':').unwrap_or((clock, "00"));
    let hour: u32 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    Some(format!("{before} {:02}:{minute}", hour % 12 + afternoon).trim_start().to_owned())
}

/// `4` → `4:00`, also after a date or weekday.
fn bare_hour(text: &str) -> Option<String> {
    let last = text.rsplit(' ').next()?;
    let hours = last.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'/' | b'*'));
    (hours && last.starts_with(|first: char| first.is_ascii_digit())).then(|| format!("{text}:00"))
}

/// `24:00` → `00:00`.
fn midnight_as_24(text: &str) -> Option<String> {
    text.split(' ').any(|word| word.starts_with("24:")).then(|| text.replace("24:", "00:"))
}

/// `12:00 2026-11-20` → `2026-11-20 12:00`, `04:00 mon..fri` → `mon..fri 04:00`.
fn time_first(text: &str) -> Option<String> {
    let (time, rest) = text.split_once(' ')?;
    time.contains(':').then(|| format!("{} {time}", rest.trim_start()))
}

/// Words that people use for the shorthands and the days.
fn other_words(text: &str) -> Option<String> {
    const WORDS: [(&str, &str); 14] = [
        ("every day", "daily"),
        ("every hour", "hourly"),
        ("every minute", "minutely"),
        ("every week", "weekly"),
        ("every month", "monthly"),
        ("nightly", "daily"),
        ("semiyearly", "semiannually"),
        ("semi-yearly", "semiannually"),
        ("weekdays", "Mon..Fri"),
        ("weekends", "Sat,Sun"),
        ("tues", "Tue"),
        ("thurs", "Thu"),
        ("wednes", "Wed"),
        (" at ", " "),
    ];
    let lower = text.to_ascii_lowercase();
    let (word, meant) = WORDS.iter().find(|(word, _)| lower.contains(word))?;
    Some(lower.replacen(word, meant, 1))
}

fn is_cron_field(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b',' | b'-' | b'/' | b'?' | b'#'))
        && word.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '*' | '?') || word.len() >= 3)
}

/// `0 4 * * 1-5` → `Mon..Fri *-*-* 04:00:00`. Cron fires when the day of the month *or* the weekday matches, which one
/// expression cannot say, so such lines have no form.
fn cron(fields: &[&str]) -> Option<String> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let [minute, hour, day, month, weekday] = fields else { return None };
    let (day, weekday) = (day.replace('?', "*"), weekday.replace('?', "*"));
    let month = MONTHS
        .iter()
        .zip(1..)
        .fold(month.to_ascii_lowercase(), |text, (name, number)| text.replace(name, &i32::to_string(&number)));
    let free = |field: &str| field == "*";
    if !free(&day) && !free(&weekday) {
        return None;
    }
    let weekday = if free(&weekday) { String::new() } else { format!("{} ", cron_weekdays(&weekday)?) };
    let (minute, hour) = (cron_field(minute, "0"), cron_field(hour, "0"));
    let (month, day) = (cron_field(&month, "1"), cron_field(&day, "1"));
    let calendar = parse(&format!("{weekday}*-{month}-{day} {hour}:{minute}")).ok()?;
    Some(calendar.to_string())
}

fn cron_field(field: &str, first: &str) -> String {
    let every_one = field.strip_suffix("/1").filter(|base| *base == "*");
    every_one.unwrap_or(field).replace("*/", &format!("{first}/")).replace('-', "..")
}

/// Cron's 0 and 7 are both Sunday; steps over weekdays have no form.
fn cron_weekdays(field: &str) -> Option<String> {
    const NAMES: [&str; 8] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let name = |day: &str| match day.parse::<usize>() {
        Ok(number) => NAMES.get(number).map(|name| (*name).to_owned()),
        Err(_) => Some(day.to_owned()),
    };
    let items = field.split(',').map(|item| match item.split_once('-') {
        Some(("0", to)) => Some(turned_weekdays(&format!("Sun..{}", name(to)?))),
        Some((from, to)) => Some(format!("{}..{}", name(from)?, name(to)?)),
        None => name(item),
    });
    items.collect::<Option<Vec<_>>>().map(|items| items.join(","))
}
