//! The only place that prints: tables, JSON, sizes and times as people read them.
#![allow(clippy::print_stdout, reason = "this is the command line's printer")]

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use landfall_proto::time::{Duration, Timestamp};
use serde::Serialize;

/// Prints a line. A reader who has gone away is no error of ours.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints text as it is.
pub(super) fn text(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}

pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "landfall-agent: {text}");
}

pub(super) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// One value in one line, for streams.
pub(super) fn json_line<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?);
    Ok(())
}

pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for text in table.lines() {
        line(text.trim_end());
    }
}

/// Whether a person looks, so that a bar may move; `NO_COLOR` and dumb terminals get plain lines.
pub(super) fn is_lively() -> bool {
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    std::io::stderr().is_terminal()
        && std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none()
        && !is_dumb
}

/// `1.5 GiB`
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `2h 3m`: two units at most.
pub(super) fn took(duration: Duration) -> String {
    let text = duration.to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Local time to the second.
pub(super) fn moment(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
        assert_eq!(took(Duration::from_ms(3_723_004)), "1h 2m");
    }
}
