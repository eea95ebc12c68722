//! The only place that writes to the terminal.

use std::io::{IsTerminal, Write, stderr, stdout};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
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

const BEGIN: &str = "\u{1b}[";
const END: &str = "\u{1b}[0m";

impl Tone {
    /// The terminal's number for it; empty where there is none.
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31;1",
            Self::Dim => "2",
        }
    }
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
        match tone {
            Tone::Good | Tone::Warn | Tone::Bad | Tone::Dim if self.color => {
                format!("{BEGIN}{}m{text}{END}", tone.code())
            }
            Tone::Plain | Tone::Good | Tone::Warn | Tone::Bad | Tone::Dim => text.to_owned(),
        }
    }

    /// Lines that are drawn again in place, below what was printed; invisible where nobody looks.
    pub(super) fn bars(&self) -> MultiProgress {
        let target = if self.terminal && !self.json && !self.quiet {
            ProgressDrawTarget::stdout_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        MultiProgress::with_draw_target(target)
    }

    /// A table that fits the terminal; where nobody looks, its columns are not folded.
    pub(super) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().map(|name| cell(&self.paint(name, Tone::Dim))));
        if self.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for row in rows {
            table.add_row(row.iter().map(|text| cell(text)));
        }
        for text in table.lines() {
            self.line(text.trim_end());
        }
    }
}

/// A cell of a table. Painted text is taken apart, because a table has to know how wide it is without its colour.
fn cell(text: &str) -> Cell {
    let painted =
        text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).and_then(|rest| rest.split_once('m'));
    let Some((code, inner)) = painted else { return Cell::new(text) };
    let of = |tone: Tone| code == tone.code();
    let cell = Cell::new(inner);
    if of(Tone::Good) {
        cell.fg(Color::DarkGreen)
    } else if of(Tone::Warn) {
        cell.fg(Color::DarkYellow)
    } else if of(Tone::Bad) {
        cell.fg(Color::DarkRed).add_attribute(Attribute::Bold)
    } else {
        cell.add_attribute(Attribute::Dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_does_not_widen_a_cell() {
        let screen = Screen { json: false, quiet: false, terminal: true, color: true };
        for tone in [Tone::Plain, Tone::Good, Tone::Warn, Tone::Bad, Tone::Dim] {
            assert_eq!(cell(&screen.paint("converged", tone)).content(), "converged");
        }
        let plain = Screen { color: false, ..screen };
        assert_eq!(plain.paint("ok", Tone::Bad), "ok");
    }
}
