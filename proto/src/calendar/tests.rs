//! What calendar expressions promise: normal forms, advice, slots against a naive walk.

use super::component::{Item, SECOND_US};
use super::*;
use jiff::Timestamp;
use proptest::prelude::*;

fn calendar(text: &str) -> Calendar {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn advice(text: &str) -> String {
    let error = text.parse::<Calendar>().expect_err(text);
    error.advice().unwrap_or("none").to_owned()
}

#[test]
fn expressions_print_in_their_normal_form() {
    for (text, normal) in [
        ("Sat,Thu,Mon..Wed,Sat..Sun", "Mon..Thu,Sat,Sun *-*-* 00:00:00"),
        ("Mon,Sun 12-*-* 2,1:23", "Mon,Sun 2012-*-* 01,02:23:00"),
        ("Wed, 17:48", "Wed *-*-* 17:48:00"),
        ("12,14,13,12:20,10,30", "*-*-* 12,13,14:10,20,30:00"),
        ("mon,fri *-1/2-1,3 *:30:45", "Mon,Fri *-01/2-01,03 *:30:45"),
        ("05:40:23.4200004/3.1700005", "*-*-* 05:40:23.420000/3.170001"),
        ("*:*:0/1", "*-*-* *:*:*"),
        ("*-*-1..10/20", "*-*-01 00:00:00"),
        ("Mon *-05~07/1", "Mon *-05~07/1 00:00:00"),
        ("*-05~*", "*-05-* 00:00:00"),
        ("weekly Pacific/Auckland", "Mon *-*-* 00:00:00 Pacific/Auckland"),
        ("bi-annually utc", "*-01,07-01 00:00:00 UTC"),
        ("@1395716396 Europe/Berlin", "2014-03-25 02:59:56 UTC"),
    ] {
        assert_eq!(calendar(text).to_string(), normal, "{text}");
    }
}

#[test]
fn an_error_names_the_column_and_the_form_that_was_meant() {
    let error = "daily 04:00".parse::<Calendar>().unwrap_err();
    assert_eq!(error.column(), 1);
    let told = error.to_string();
    assert!(
        told.starts_with("\"daily 04:00\" is not a calendar expression: column 1: \"daily\" already names its time"),
        "{told}"
    );
    assert!(told.ends_with("; write \"*-*-* 04:00:00\" or \"04:00\""), "{told}");
    for (text, column) in
        [("", 1), ("mon,,tue", 5), ("*-*-32", 5), ("4:60", 3), ("4:00 ", 5), ("04:00 Nowhere/City", 7)]
    {
        assert_eq!(text.parse::<Calendar>().unwrap_err().column(), column, "{text}");
    }
    assert_eq!("täglich".parse::<Calendar>().unwrap_err().column(), 2);
}

#[test]
fn common_mistakes_are_answered_with_the_corrected_form() {
    for (text, form) in [
        ("daily 04:00", r#"write "*-*-* 04:00:00" or "04:00""#),
        ("04:00 daily", r#"write "*-*-* 04:00:00" or "04:00""#),
        ("weekly 03:30", r#"write "Mon *-*-* 03:30:00""#),
        ("monthly 02:00 UTC", r#"write "*-*-01 02:00:00 UTC""#),
        ("mon daily", r#"write "Mon *-*-* 00:00:00""#),
        ("@daily", r#"write "*-*-* 00:00:00" or "00:00""#),
        ("*/4:00", r#"write "0/4:00""#),
        ("*-*-*/2", r#"write "*-*-1/2""#),
        ("21..05:00", r#"write "21..23,0..5:00""#),
        ("fri..mon 12:00", r#"write "fri..Sun,mon 12:00""#),
        ("*-11..2-1", r#"write "*-11..12,1..2-1""#),
        ("2026-11-20T04:00", r#"write "2026-11-20 04:00:00""#),
        ("Wed,17:48", r#"write "Wed *-*-* 17:48:00""#),
        ("mon, tue 4:00", r#"write "Mon,Tue *-*-* 04:00:00""#),
        ("4am", r#"write "*-*-* 04:00:00" or "04:00""#),
        ("sat 4:30 pm", r#"write "Sat *-*-* 16:30:00""#),
        ("mon 22", r#"write "Mon *-*-* 22:00:00""#),
        ("24:00", r#"write "*-*-* 00:00:00" or "00:00""#),
        ("04:00 mon..fri", r#"write "mon..fri 04:00""#),
        (" 04:00 ", r#"write "*-*-* 04:00:00" or "04:00""#),
        ("every day at 4am", r#"write "*-*-* 04:00:00" or "04:00""#),
        ("hello", "none"),
        ("*-*-32", "none"),
    ] {
        assert_eq!(advice(text), form, "{text}");
    }
}

#[test]
fn cron_lines_are_recognised_and_translated_where_one_expression_says_the_same() {
    for (text, form) in [
        ("0 4 * * *", r#"this is cron syntax: write "*-*-* 04:00:00" or "04:00""#),
        ("*/5 * * * *", r#"this is cron syntax: write "*-*-* *:00/5:00" or "*:00/5""#),
        ("30 2 1,15 * *", r#"this is cron syntax: write "*-*-01,15 02:30:00""#),
        ("0 22 * * 1-5", r#"this is cron syntax: write "Mon..Fri *-*-* 22:00:00""#),
        ("0 0 * jan 0", r#"this is cron syntax: write "Sun *-01-* 00:00:00""#),
        ("0 0 * * 5-7", r#"this is cron syntax: write "Fri..Sun *-*-* 00:00:00""#),
        ("0 0 * * 0-2", r#"this is cron syntax: write "Mon,Tue,Sun *-*-* 00:00:00""#),
        ("0 0 13 * 5", "this is cron syntax, and no single calendar expression says the same: see systemd.time(7)"),
    ] {
        assert_eq!(advice(text), form, "{text}");
    }
}

#[test]
fn explanations_are_one_plain_sentence() {
    for (text, sentence) in [
        ("daily", "At 00:00 every day."),
        ("mon..fri 22:00", "At 22:00 on Monday to Friday."),
        ("*:0/15", "Every 15 minutes every day."),
        ("hourly", "Every hour on the hour every day."),
        ("minutely UTC", "Every minute every day, in the zone UTC."),
        ("*:*:*", "Every second of every minute of every hour every day."),
        ("0/6:30", "At 00:30, 06:30, 12:30 and 18:30 every day."),
        ("mon..fri 8..17,22:0/15", "Every 15 minutes in hours 8 to 17 and 22 on Monday to Friday."),
        ("Sat *-1..7-* 15:00", "At 15:00 on Saturday in January to July."),
        ("Sat *-1..7 15:00", "At 15:00 on the first Saturday of every month."),
        ("Mon *-05~07/1", "At 00:00 on the last Monday of May."),
        ("*-*~01", "At 00:00 on the last day of every month."),
        ("*-02~03", "At 00:00 on the 3rd-to-last day of February."),
        ("quarterly", "At 00:00 on the 1st of January, April, July and October."),
        ("2026-11-20 4:5:6.5", "At 04:05:06.5 on the 20th of November of 2026."),
        ("Fri *-*-13", "At 00:00 on Friday that is the 13th of every month."),
    ] {
        assert_eq!(calendar(text).explain(), sentence, "{text}");
    }
}

#[test]
fn a_skipped_local_time_is_due_when_the_clock_resumes_and_a_repeated_one_is_due_once() {
    let berlin = zone("Europe/Berlin");
    let slots = |text: &str, after: &str, count: usize| -> Vec<String> {
        calendar(text).iter(at(after), &berlin).take(count).map(|slot| slot.to_string()).collect()
    };
    assert_eq!(slots("02:30", "2026-03-28T00:00:00Z", 2), ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"]);
    assert_eq!(slots("02:30", "2026-03-29T01:00:00Z", 1), ["2026-03-30T00:30:00Z"]);
    assert_eq!(
        slots("*:0/30", "2026-03-29T00:00:00Z", 3),
        ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
    );
    assert_eq!(slots("02:30", "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    assert_eq!(slots("hourly", "2026-10-24T23:30:00Z", 2), ["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"]);
    assert_eq!(slots("hourly", "2026-10-25T01:10:00Z", 1), ["2026-10-25T02:00:00Z"]);
    assert_eq!(slots("2026-03-29 02:30", "2026-03-01T00:00:00Z", 2), ["2026-03-29T01:00:00Z"]);
    assert_eq!(slots("02:30 UTC", "2026-03-29T00:00:00Z", 1), ["2026-03-29T02:30:00Z"]);
}

#[test]
fn impossible_and_past_dates_have_no_slot() {
    for text in ["*-02-30", "2020-01-01", "Mon 2026-11-20", "1970..2025-*-*"] {
        assert_eq!(calendar(text).next_after(at("2026-11-20T00:00:00Z"), &TimeZone::UTC), None, "{text}");
    }
    assert_eq!(calendar("daily").next_after(Timestamp::MAX, &zone("Asia/Tokyo")), None);
    assert_eq!(calendar("daily").next_after(Timestamp::MIN, &TimeZone::UTC), Some(Timestamp::UNIX_EPOCH));
    assert_eq!(calendar("*:*:*").next_after(at("2199-12-31T23:59:59Z"), &TimeZone::UTC), None);
}

#[test]
fn counting_missed_slots_of_a_century_does_not_walk_them() {
    let (from, until) = (at("2000-01-01T00:00:00Z"), at("2100-01-01T00:00:00Z"));
    let seconds = u64::try_from(until.as_second() - from.as_second()).unwrap();
    assert_eq!(calendar("*:*:*").latest_between(from, until, &TimeZone::UTC), Some((until, seconds)));
    assert_eq!(
        calendar("*:*:0/0.000001").latest_between(from, until, &TimeZone::UTC),
        Some((until, seconds * 1_000_000))
    );
    assert_eq!(
        calendar("2026-11-20").latest_between(from, until, &TimeZone::UTC),
        Some((at("2026-11-20T00:00:00Z"), 1))
    );
    assert_eq!(calendar("daily").latest_between(until, until, &TimeZone::UTC), None);
}

#[test]
fn an_expression_travels_as_text() {
    let calendar = calendar("mon..fri 22:00 Europe/Berlin");
    let text = serde_json::to_string(&calendar).unwrap();
    assert_eq!(text, r#""Mon..Fri *-*-* 22:00:00 Europe/Berlin""#);
    assert_eq!(serde_json::from_str::<Calendar>(&text).unwrap(), calendar);
    assert!(
        serde_json::from_str::<Calendar>(r#""daily 04:00""#)
            .unwrap_err()
            .to_string()
            .contains("write \"*-*-* 04:00:00\"")
    );
}

fn item(unit: Unit) -> impl Strategy<Value = String> {
    let (first, last) = unit.bounds();
    let text = move |value: i64| match (unit, value % SECOND_US) {
        (Unit::Second, 0) => (value / SECOND_US).to_string(),
        (Unit::Second, fraction) => format!("{}.{fraction:06}", value / SECOND_US),
        _ => value.to_string(),
    };
    let scale = unit.step();
    let range = move || (first / scale..=last / scale).prop_map(move |value| value * scale);
    prop_oneof![
        5 => range().prop_map(text),
        3 => (range(), range()).prop_map(move |(a, b)| match (unit, a == b) {
            (Unit::Second, true) => text(a),
            _ => format!("{}..{}", text(a.min(b)), text(a.max(b))),
        }),
        2 => (range(), range(), 1..9_i64)
            .prop_map(move |(a, b, step)| format!("{}..{}/{step}", text(a.min(b)), text(a.max(b)))),
        2 => (range(), 1..20_i64).prop_map(move |(start, step)| {
            if unit == Unit::DayFromEnd {
                format!("{}/{}", start.max(2), step.min(start.max(2) - 1))
            } else if start + step * scale > last {
                text(start)
            } else {
                format!("{}/{step}", text(start))
            }
        }),
        1 => (range(), 1..SECOND_US).prop_map(move |(start, part)| {
            if unit == Unit::Second { text((start + part).min(last)) } else { text(start) }
        }),
    ]
}

fn component(unit: Unit) -> impl Strategy<Value = String> {
    prop_oneof![2 => Just("*".to_owned()), 5 => proptest::collection::vec(item(unit), 1..4).prop_map(|items| items.join(","))]
}

fn weekdays() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 1 => (1..128_u8).prop_map(|set| format!("{} ", Weekdays(set)))]
}

fn date() -> impl Strategy<Value = String> {
    let year = prop_oneof![6 => Just("*".to_owned()), 1 => component(Unit::Year)];
    prop_oneof![
        3 => Just("*-*-*".to_owned()),
        3 => (year, component(Unit::Month), component(Unit::Day)).prop_map(|(y, m, d)| format!("{y}-{m}-{d}")),
        1 => (component(Unit::Month), component(Unit::DayFromEnd)).prop_map(|(m, d)| format!("*-{m}~{d}")),
    ]
}

fn zone_suffix() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "",
        "",
        " UTC",
        " Europe/Berlin",
        " America/New_York",
        " Australia/Lord_Howe",
        " Asia/Kolkata",
    ])
}

fn any_expression() -> impl Strategy<Value = String> {
    (weekdays(), date(), component(Unit::Hour), component(Unit::Minute), component(Unit::Second), zone_suffix())
        .prop_map(|(w, d, h, m, s, z)| format!("{w}{d} {h}:{m}:{s}{z}"))
}

fn coarse_expression() -> impl Strategy<Value = String> {
    (weekdays(), date(), component(Unit::Hour), component(Unit::Minute))
        .prop_map(|(w, d, h, m)| format!("{w}{d} {h}:{m}"))
}

/// Whether a component matches one value, told item by item.
fn matches(component: &Component, value: i64) -> bool {
    let by = |item: &Item| match (item.stop, item.step) {
        (None, 0) => value == item.start,
        (stop, step) => {
            value >= item.start && stop.is_none_or(|stop| value <= stop) && (value - item.start) % step == 0
        }
    };
    component.items().is_empty() || component.items().iter().any(by)
}

/// Steps through the minutes of UTC and asks of each whether its local time matches and was not shown before.
fn naive_slots(calendar: &Calendar, after: Timestamp, minutes: i64, zone: &TimeZone) -> Vec<Timestamp> {
    let first = after.as_second().div_euclid(60) * 60 + 60;
    let instants = (0..minutes).map(|minute| Timestamp::from_second(first + minute * 60).unwrap());
    instants
        .filter(|instant| {
            let local = zone.to_datetime(*instant);
            let first_pass = zone.to_ambiguous_timestamp(local).earlier().unwrap() == *instant;
            // What the clock on the wall skipped in the minute before is due with this one.
            let before = zone.to_datetime(Timestamp::from_second(instant.as_second() - 60).unwrap());
            let minute = jiff::Span::new().minutes(1);
            let mut skipped = std::iter::successors(before.checked_add(minute).ok(), |at| at.checked_add(minute).ok())
                .take_while(|at| *at < local);
            first_pass && (naively_due(calendar, local) || skipped.any(|at| naively_due(calendar, at)))
        })
        .collect()
}

fn naively_due(calendar: &Calendar, local: jiff::civil::DateTime) -> bool {
    let length = i64::from(local.date().days_in_month());
    let day = i64::from(local.day());
    let day_matches = if calendar.days_from_end {
        // The repetition runs forward in time from the earliest day on.
        calendar.days.items().iter().any(|item| {
            let back = length + 1 - day;
            match (item.stop, item.step) {
                (None, 0) => back == item.start,
                (None, step) => back <= item.start && (item.start - back) % step == 0,
                (Some(stop), step) => (item.start..=stop).contains(&back) && (stop - back) % step == 0,
            }
        })
    } else {
        matches(&calendar.days, day)
    };
    day_matches
        && calendar.weekdays.contains(u8::try_from(local.weekday().to_monday_zero_offset()).unwrap())
        && matches(&calendar.years, local.year().into())
        && matches(&calendar.months, local.month().into())
        && matches(&calendar.hours, local.hour().into())
        && matches(&calendar.minutes, local.minute().into())
}

/// Starts that lie shortly before clock changes, month ends and a leap day, and some that do not.
fn start() -> impl Strategy<Value = Timestamp> {
    let near = [
        "2026-03-28T12:00:00Z",
        "2026-10-24T12:00:00Z",
        "2028-02-27T12:00:00Z",
        "2026-12-30T12:00:00Z",
        "2026-04-03T12:00:00Z",
    ];
    (proptest::sample::select(near.to_vec()), 0..86_400_i64)
        .prop_map(|(text, seconds)| Timestamp::from_second(at(text).as_second() + seconds).unwrap())
}

fn some_zone() -> impl Strategy<Value = TimeZone> {
    let names = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Africa/Cairo",
        "Asia/Kathmandu",
    ];
    proptest::sample::select(names.to_vec()).prop_map(zone)
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(text in any_expression()) {
        let calendar = calendar(&text);
        prop_assert_eq!(calendar.to_string().parse::<Calendar>(), Ok(calendar));
    }

    #[test]
    fn slots_are_those_of_a_walk_through_the_minutes(text in coarse_expression(), start in start(), zone in some_zone()) {
        const MINUTES: i64 = 3 * 1440;
        let calendar = calendar(&text);
        let wanted = naive_slots(&calendar, start, MINUTES, &zone);
        let end = Timestamp::from_second(start.as_second() + MINUTES * 60).unwrap();
        let found: Vec<Timestamp> = calendar.iter(start, &zone).take_while(|slot| *slot <= end).collect();
        prop_assert_eq!(&found, &wanted, "{}", calendar);
        let latest = wanted.last().map(|slot| (*slot, u64::try_from(wanted.len()).unwrap()));
        prop_assert_eq!(calendar.latest_between(start, end, &zone), latest, "{}", calendar);
    }

    #[test]
    fn the_next_slot_does_not_depend_on_where_one_starts_to_ask(text in any_expression(), start in start(), zone in some_zone(), hours in 1..72_i64) {
        let calendar = calendar(&text);
        let later = Timestamp::from_second(start.as_second() + hours * 3600).unwrap();
        if let Some(next) = calendar.next_after(start, &zone).filter(|next| *next > later) {
            prop_assert_eq!(calendar.next_after(later, &zone), Some(next));
        }
    }

    #[test]
    fn any_text_is_read_or_refused_in_words(text in "[a-zA-Z0-9*.,:~/ @-]{0,24}|\\PC{0,12}") {
        match text.parse::<Calendar>() {
            Ok(calendar) => prop_assert!(calendar.explain().ends_with('.')),
            Err(error) => prop_assert!(error.column() >= 1 && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn every_advised_form_can_be_read(text in "(daily|mon|fri..mon|\\*/[1-9]|[0-9]{1,2}(\\.\\.[0-9]{1,2})?)(:| |-)([0-9]{1,2}|\\*/[0-9]|\\*)( [0-9*]{1,2}){0,3}") {
        let Err(error) = text.parse::<Calendar>() else { return Ok(()) };
        for form in error.advice().unwrap_or_default().split('"').skip(1).step_by(2) {
            prop_assert!(form.parse::<Calendar>().is_ok(), "{}", form);
        }
    }
}
