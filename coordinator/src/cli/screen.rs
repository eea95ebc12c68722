//! The only place that writes to the terminal.

use std::io::{IsTerminal, Write, stderr, stdout};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressDrawTarget};
use landfall_proto::control::Problem;
use serde::Serialize;

/// Where answers go, and in which form.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    pub(super) json: bool,
    pub(super) quiet: bool,
    /// A person looks at it.
    pub(super) terminal: bool,
    color: bool,
}

/// What a word means, shown as a colour where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

impl Screen {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        let terminal = stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, quiet, terminal, color: terminal && !no_color }
    }

    /// One line of the answer. A reader that went away ends the program quietly, as other tools do.
    pub(super) fn line(&self, text: &str) {
        if writeln!(stdout(), "{text}").is_err() {
            std::process::exit(0);
        }
    }

    /// Text as it is, without a line end of its own.
    pub(super) fn raw(&self, text: &str) {
        if write!(stdout(), "{text}").and_then(|()| stdout().flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// One JSON value on one line.
    pub(super) fn json_line<T: Serialize>(&self, value: &T) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.note(&format!("an answer cannot be written as JSON: {error}")),
        }
    }

    /// The whole answer as JSON, for people and programs.
    pub(super) fn json_answer<T: Serialize>(&self, value: &T) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.note(&format!("an answer cannot be written as JSON: {error}")),
        }
    }

    /// Something beside the answer.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            // There is nobody left to tell when this fails.
            let _ = writeln!(stderr(), "{text}");
        }
    }

    pub(super) fn problem(&self, problem: &Problem) {
        if self.json {
            let _ = writeln!(stderr(), "{}", serde_json::json!({ "error": problem }));
            return;
        }
        let _ = writeln!(stderr(), "{} {}", self.paint("error:", Tone::Bad), problem.what);
        if !problem.why.is_empty() {
            let _ = writeln!(stderr(), "  why: {}", problem.why);
        }
        if !problem.fix.is_empty() {
            let _ = writeln!(stderr(), "  now: {}", problem.fix);
        }
    }

    pub(super) fn paint(&self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31;1",
            Tone::Dim => "2",
        };
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Lines that are drawn again in place, below what was printed; invisible where nobody looks.
    pub(super) fn bars(&self) -> MultiProgress {
        let target = if self.terminal && !self.json && !self.quiet { ProgressDrawTarget::stdout_with_hz(10) } else { ProgressDrawTarget::hidden() };
        MultiProgress::with_draw_target(target)
    }

    /// A table that fits the terminal; where nobody looks, its columns are not folded.
    pub(super) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().map(|name| self.paint(name, Tone::Dim)));
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for row in rows {
            table.add_row(row);
        }
        for text in table.lines() {
            self.line(text.trim_end());
        }
    }
}
