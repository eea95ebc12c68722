//! What is worth telling of a run: one line per notable event, with the virtual time that had passed.

use std::fmt::Write;

use landfall_proto::time::Timestamp;

/// The lines of one run.
#[derive(Debug, Clone)]
pub struct Trace {
    start: Timestamp,
    is_on: bool,
    lines: Vec<String>,
}

impl Trace {
    /// Lines are only made where somebody will read them.
    pub const fn new(start: Timestamp, is_on: bool) -> Self {
        Self { start, is_on, lines: Vec::new() }
    }

    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    pub fn note(&mut self, now: Timestamp, line: impl FnOnce() -> String) {
        if self.is_on {
            let mut text = offset(self.start, now);
            let _ = write!(text, "  {}", line());
            self.lines.push(text);
        }
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

/// How far `at` lies from `start`, as `+1:02:03.004`.
pub fn offset(start: Timestamp, at: Timestamp) -> String {
    let ms = at.duration_since(start).as_millis();
    let (sign, ms) = if ms < 0 { ('-', -ms) } else { ('+', ms) };
    format!("{sign}{}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}
