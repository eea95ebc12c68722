//! Figures as people read them.

use landfall_proto::id::RoundId;
use landfall_proto::report::Outcome;
use landfall_proto::time::{Timestamp, between};
use landfall_proto::verdict::{VerdictKind, Witness};
use landfall_proto::view::RunState;

use super::screen::Tone;

/// `1.5 GiB`
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut whole = count;
    let mut tenths = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 || whole >= 100 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenths} {}", UNITS[unit])
    }
}

pub(super) fn bytes_or_dash(count: Option<u64>) -> String {
    count.map_or_else(dash, bytes)
}

pub(super) fn number_or_dash(count: Option<u64>) -> String {
    count.map_or_else(dash, |count| count.to_string())
}

pub(super) fn dash() -> String {
    "-".to_owned()
}

/// `850ms`, `12.3s`, `4m 05s`, `3h 12m`, `5d 3h`
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

pub(super) fn span_or_dash(ms: Option<u64>) -> String {
    ms.map_or_else(dash, span)
}

/// `3m 05s ago`, `in 2h 00m`
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("in {}", span(between(now, at).as_ms()))
    } else {
        format!("{} ago", span(between(at, now).as_ms()))
    }
}

pub(super) fn ago_or_dash(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(dash, |at| ago(at, now))
}

/// The first letters of an id, which is enough for a person.
pub(crate) fn short(id: impl ToString) -> String {
    id.to_string().chars().take(8).collect()
}

/// The first letters of a round's id. One that an operator opened begins with its instant, so that fewer letters would name
/// every round of the same minute.
pub(crate) fn short_round(id: RoundId) -> String {
    id.to_string().chars().take(13).collect()
}

/// UTC to the second.
pub(crate) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

pub(super) const fn verdict_tone(kind: VerdictKind) -> Tone {
    match kind {
        VerdictKind::Converged => Tone::Good,
        VerdictKind::Diverged | VerdictKind::Overdue => Tone::Bad,
    }
}

pub(super) const fn state_tone(state: RunState) -> Tone {
    match state {
        RunState::Ok => Tone::Good,
        RunState::Warning | RunState::Partial | RunState::Unknown | RunState::Lost => Tone::Warn,
        RunState::Failed => Tone::Bad,
        RunState::Skipped | RunState::Cancelled | RunState::Queued => Tone::Dim,
        RunState::Sent | RunState::Running | RunState::Cancelling => Tone::Plain,
    }
}

pub(super) const fn outcome_tone(outcome: Outcome) -> Tone {
    state_tone(RunState::of(outcome))
}

pub(super) fn witness(witness: Option<&Witness>) -> String {
    match witness {
        None => dash(),
        Some(Witness::Confirmed { by }) => by.to_string(),
        Some(Witness::Contradicted { by }) => format!("NOT seen by {by}"),
        Some(Witness::Pending) => "pending".to_owned(),
        Some(Witness::Unwitnessed) => "unwitnessed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_places_at_most() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(200 << 20), "200 MiB");
        assert_eq!(bytes(u64::MAX), "16383 PiB");
        assert_eq!(span(850), "850ms");
        assert_eq!(span(12_345), "12.3s");
        assert_eq!(span(245_000), "4m 05s");
        assert_eq!(span(11_520_000), "3h 12m");
        assert_eq!(span(442_800_000), "5d 3h");
    }
}
