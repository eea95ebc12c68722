//! Calendar expressions against `systemd-analyze calendar`: the same ones are valid, with the same normal form and slots.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use landfall_proto::calendar::Calendar;

const ITERATIONS: usize = 8;
const RANDOM_EXPRESSIONS_PER_START: usize = 150;
/// Most expressions that systemd may fail to compute after one start.
const GIVEN_UP_MAX: usize = 5;
const SEED: u64 = 0x6c61_6e64_6661_6c6c;

/// Zones with the instants from which slots are asked: days before clock changes of every known kind, and some plain
/// ones. None lies within the second pass of a repeated hour, where systemd alone has slots; and none before the spring
/// change of Dublin or Troll or the skipped day of Apia, where systemd 252 also moves slots that are hours away.
const STARTS: &[(&str, &[&str])] = &[
    ("UTC", &["2026-11-20T00:00:00Z", "2028-02-28T23:59:59Z", "1999-12-31T23:59:30Z", "2196-02-27T11:11:11Z"]),
    ("Europe/Berlin", &["2026-03-28T22:00:00Z", "2026-10-24T22:30:00Z", "2026-06-30T12:34:56Z"]),
    ("America/New_York", &["2027-03-14T05:10:00Z", "2026-11-01T04:20:00Z"]),
    ("Europe/Dublin", &["2026-10-24T23:10:00Z", "2026-07-31T12:00:00Z"]),
    ("America/Santiago", &["2026-09-05T20:00:00Z", "2026-04-04T23:00:00Z"]),
    ("Africa/Cairo", &["2026-04-23T18:00:00Z", "2026-10-29T17:00:00Z"]),
    ("Australia/Lord_Howe", &["2026-10-03T13:00:00Z", "2026-04-04T13:40:00Z"]),
    ("Antarctica/Troll", &["2026-10-24T23:30:00Z"]),
    ("Pacific/Apia", &["2012-03-31T06:00:00Z"]),
    ("Asia/Kathmandu", &["2026-11-20T12:00:00Z"]),
];

/// Texts that people write, right and wrong, and the corners of the grammar.
const CORPUS: &str = include_str!("calendar_oracle.txt");

#[test]
fn expressions_mean_what_systemd_says_they_mean() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!(
            "systemd-analyze is not here: the unit tests hold the same rules against a naive walk through the minutes"
        );
        return;
    }
    let mut random = Random(SEED);
    let mut differences = Vec::new();
    let (mut compared, mut lost) = (0, 0);
    for (zone_name, starts) in STARTS {
        let zone = TimeZone::get(zone_name).unwrap();
        for start in *starts {
            let start: Timestamp = start.parse().unwrap();
            let mut texts: Vec<String> = CORPUS.lines().map(str::to_owned).collect();
            texts.extend((0..RANDOM_EXPRESSIONS_PER_START).map(|_| random.expression()));
            let asked = texts.len();
            let answers = ask_systemd(&mut texts, zone_name, start);
            let given_up = asked - texts.len();
            assert!(given_up <= GIVEN_UP_MAX, "{given_up} given up after {start} in {zone_name}");
            compared += texts.len();
            for (text, theirs) in texts.iter().zip(answers) {
                match lost_by_systemd(text, theirs.as_ref(), start, &zone) {
                    Ok(count) => lost += count,
                    Err(difference) => {
                        differences.push(format!("{text:?} after {start} in {zone_name}: {difference}"));
                    }
                }
            }
        }
    }
    assert!(compared > 3000, "only {compared} comparisons were made");
    assert!(differences.is_empty(), "{} of {compared} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(lost <= compared / 500, "in {compared} expressions they leave slots out {lost} times");
}

/// What systemd says of one expression: the normal form, and the slots in whole seconds.
#[derive(Debug)]
struct Answer {
    normal: String,
    slots: Vec<Timestamp>,
}

/// How often systemd left slots out, or how the answers differ. Three liberties are granted: in a repeated hour libc
/// chooses either pass, systemd 252 loses slots of some repetitions (`*:0/8`) when the next larger unit rolls over, and it
/// has no slot for a time that the clock skips, where ours is due when the clock resumes.
fn lost_by_systemd(text: &str, theirs: Option<&Answer>, start: Timestamp, zone: &TimeZone) -> Result<usize, String> {
    let (calendar, theirs) = match (text.parse::<Calendar>(), theirs) {
        (Err(_), None) => return Ok(0),
        (Err(error), Some(theirs)) => return Err(format!("we refuse it, {error}; they say {theirs:?}")),
        (Ok(calendar), None) => return Err(format!("they refuse it; we say {calendar}")),
        (Ok(calendar), Some(theirs)) => (calendar, theirs),
    };
    if calendar.to_string() != theirs.normal {
        return Err(format!("our normal form is {calendar}, theirs is {}", theirs.normal));
    }
    let named = calendar.zone_name().map(|name| TimeZone::get(name).unwrap());
    let zone = named.as_ref().unwrap_or(zone);
    let in_seconds = |slot: Timestamp| Timestamp::from_second(slot.as_second()).unwrap();
    let (mut at, mut lost) = (start, 0);
    for slot in &theirs.slots {
        let slot = zone.to_ambiguous_timestamp(zone.to_datetime(*slot)).earlier().unwrap();
        let next = calendar.next_after(at, zone);
        let exact = |found: &Timestamp| in_seconds(*found) == slot;
        let next = match next {
            Some(resumed) if !exact(&resumed) && resumes(resumed, zone) => calendar.next_after(resumed, zone),
            other => other,
        };
        let later = || calendar.next_after(slot.checked_sub(SignedDuration::from_nanos(1)).unwrap(), zone);
        match (next.filter(exact), later().filter(exact)) {
            (Some(found), _) => at = found,
            (None, Some(found)) if theirs.normal.contains('/') => (at, lost) = (found, lost + 1),
            (None, _) => return Err(format!("after {at} we say {next:?}, they say {slot}")),
        }
    }
    match calendar.next_after(at, zone).filter(|more| !resumes(*more, zone)) {
        Some(more) if theirs.slots.len() < ITERATIONS => Err(format!("after {at} we say {more}, they say never")),
        _ => Ok(lost),
    }
}

/// Whether the clock goes forward at this instant.
fn resumes(at: Timestamp, zone: &TimeZone) -> bool {
    let before = at.checked_sub(SignedDuration::from_nanos(1)).unwrap();
    zone.to_offset(at) > zone.to_offset(before)
}

/// One answer for each text, none where systemd refuses it. One call answers for all. Where the clock goes
/// forward, systemd 252 gives up on a few expressions ("infinite loop"): those are taken out of `texts`.
fn ask_systemd(texts: &mut Vec<String>, zone_name: &str, start: Timestamp) -> Vec<Option<Answer>> {
    let output = Command::new("systemd-analyze")
        .env("TZ", zone_name)
        .env("LC_ALL", "C")
        .env("SYSTEMD_COLORS", "0")
        .args(["calendar", &format!("--iterations={ITERATIONS}")])
        .arg(start.strftime("--base-time=%Y-%m-%d %H:%M:%S UTC").to_string())
        .arg("--")
        .args(&*texts)
        .output()
        .unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let about = |what: &str| -> BTreeSet<&str> {
        let quoted = complaints.lines().filter_map(|line| line.strip_prefix(what));
        quoted.filter_map(|rest| Some(rest.strip_prefix(" '")?.rsplit_once("': ")?.0)).collect()
    };
    let (refused, lost) =
        (about("Failed to parse calendar specification"), about("Failed to determine next elapse for"));
    if !lost.is_empty() {
        // Their answers may be cut short, so that the others are asked for again without them.
        texts.retain(|text| !lost.contains(text.as_str()));
        return ask_systemd(texts, zone_name, start);
    }
    let mut answers: Vec<Answer> = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let Some((label, value)) = line.trim().split_once(": ") else { continue };
        let in_utc =
            label == "(in UTC)" || zone_name == "UTC" && (label == "Next elapse" || label.starts_with("Iter. #"));
        if label == "Normalized form" {
            answers.push(Answer { normal: value.to_owned(), slots: Vec::new() });
        } else if in_utc && value != "never" {
            // Fri 2026-11-20 22:00:00 UTC
            let words: Vec<&str> = value.split(' ').collect();
            let slot = format!("{}T{}Z", words[1], words[2]).parse().unwrap();
            answers.last_mut().unwrap().slots.push(slot);
        }
    }
    let mut answers = answers.into_iter();
    let all: Vec<_> = texts
        .iter()
        .map(|text| {
            if refused.contains(text.as_str()) { None } else { Some(answers.next().expect("one answer for each text")) }
        })
        .collect();
    assert!(answers.next().is_none(), "more answers than texts");
    all
}

/// A generator from a fixed seed, so that a difference comes back at every run.
struct Random(u64);

impl Random {
    /// Below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of(&mut self, choices: &[&str]) -> String {
        let count = u64::try_from(choices.len()).unwrap();
        choices[usize::try_from(self.below(count)).unwrap()].to_owned()
    }

    fn expression(&mut self) -> String {
        let mut text = String::new();
        if self.below(3) == 0 {
            text += &self.one_of(&[
                "mon",
                "Tue,Thu",
                "Mon..Fri",
                "sat,sun",
                "Wed..Sun",
                "Friday",
                "Sun",
                "Mon,Wed..Thu,Sun",
            ]);
            text += " ";
        }
        if self.below(2) == 0 {
            let year = self.one_of(&["*-", "*-", "*-", "2026..2030-", "2024/4-", "27-", ""]);
            let separator = self.one_of(&["-", "-", "-", "~"]);
            // With each further item of such a list, systemd 252 lowers the largest day that it takes by three.
            let day_last = if separator == "~" { 20 } else { 31 };
            text += &format!("{year}{}{separator}{} ", self.list(1, 12, false), self.list(1, day_last, false));
        }
        text += &format!("{}:{}", self.list(0, 23, false), self.list(0, 59, false));
        if self.below(3) == 0 {
            text += &format!(":{}", self.list(0, 59, true));
        }
        if self.below(6) == 0 {
            text +=
                &self.one_of(&[" UTC", " Europe/Berlin", " America/New_York", " Asia/Kolkata", " Pacific/Auckland"]);
        }
        if self.below(5) == 0 { self.broken(text) } else { text }
    }

    fn list(&mut self, first: u64, last: u64, fractions: bool) -> String {
        if self.below(3) == 0 {
            return "*".to_owned();
        }
        let count = 1 + self.below(3) * self.below(2);
        (0..count).map(|_| self.item(first, last, fractions)).collect::<Vec<_>>().join(",")
    }

    /// A little beyond the bounds at times, so that both sides have something to refuse.
    fn item(&mut self, first: u64, last: u64, fractions: bool) -> String {
        let excess = u64::from(self.below(40) == 0);
        let start = first + self.below(last - first + 1 + excess);
        let stop = start + self.below(last - start.min(last) + 1 + excess);
        let step = self.below(12) + u64::from(self.below(20) != 0);
        let fraction =
            if fractions && self.below(3) == 0 { format!(".{}", self.below(100_000_000)) } else { String::new() };
        match self.below(6) {
            0 => format!("{start}..{stop}"),
            1 => format!("{start}{fraction}..{stop}/{step}"),
            2 => format!("{start}/{step}{fraction}"),
            _ => format!("{start:02}{fraction}"),
        }
    }

    /// One character dropped, doubled or replaced.
    fn broken(&mut self, mut text: String) -> String {
        let at = usize::try_from(self.below(u64::try_from(text.len()).unwrap())).unwrap();
        match self.below(3) {
            0 => drop(text.remove(at)),
            1 => text.insert_str(at, &text.clone()[at..=at]),
            _ => {
                text.replace_range(at..=at, &self.one_of(&["*", ":", "-", "~", "/", ".", ",", " ", "0", "9", "x", "T"]))
            }
        }
        text
    }
}
