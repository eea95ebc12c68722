//! Calendar expressions: read, explained, written, and followed for some slots around a clock change.

use jiff::tz::TimeZone;
use landfall_proto::calendar::Calendar;
use landfall_proto::time::Timestamp;

/// Longer ones are refused by the file that they stand in.
const TEXT_BYTES_MAX: usize = 400;

const SLOTS: usize = 8;

/// 2026-03-28 in milliseconds since 1970: the day before clocks go forward in Europe.
const BEFORE_CHANGE_MS: i64 = 1_774_656_000_000;

const DAYS_3_MS: i64 = 3 * 86_400_000;

pub(crate) fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    let calendar: Calendar = match text.parse() {
        Ok(calendar) => calendar,
        Err(error) => {
            assert!(!error.to_string().is_empty() && error.column() <= text.chars().count() + 1, "{error:?}");
            let _ = error.advice();
            return;
        }
    };
    let written = calendar.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&calendar), "{text:?} is written as {written:?}");
    assert!(!calendar.explain().is_empty());
    let Ok(zone) = TimeZone::get("Europe/Berlin") else { return };
    let (Ok(from), Ok(until)) =
        (Timestamp::from_millisecond(BEFORE_CHANGE_MS), Timestamp::from_millisecond(BEFORE_CHANGE_MS + DAYS_3_MS))
    else {
        return;
    };
    let slots: Vec<Timestamp> = calendar.iter(from, &zone).take(SLOTS).collect();
    assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "{written}: {slots:?}");
    assert!(slots.first().is_none_or(|first| *first > from), "{written}: {slots:?}");
    match calendar.latest_between(from, until, &zone) {
        Some((latest, count)) => {
            assert!(latest > from && latest <= until && count >= 1, "{written}: {latest}, {count}");
            let seen = slots.iter().filter(|slot| **slot <= until).count();
            assert!(count >= seen as u64, "{written}: {count} slots, and {seen} were seen");
        }
        None => assert!(slots.first().is_none_or(|first| *first > until), "{written}: {slots:?}"),
    }
}
