//! What a run's tools printed, kept within bounds: the beginning and the end in a file, the very end for the report.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// The beginning of the output that is kept in the file, in bytes.
const HEAD_BYTES_MAX: u64 = 8 << 20;

/// The end of the output that is kept behind the beginning, in bytes. With the note between them below 10 MiB.
const END_BYTES_MAX: usize = 1 << 20;

/// The end that goes into the report, in bytes.
const TAIL_BYTES_MAX: usize = 8 * 1024;

/// Longest line that is kept, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The output of one run, over all its attempts. Holds redacted lines only.
#[derive(Debug, Default)]
pub(crate) struct OutputFile {
    file: Option<File>,
    written: u64,
    /// Lines behind the head, the newest of them.
    end: Ring,
    tail: Ring,
    left_out_lines: u64,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
}

impl OutputFile {
    /// Output that is kept in memory only.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Appends to the file `output` in a run's directory, which is created where it is missing.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let file = OpenOptions::new().create(true).append(true).open(directory.join("output"))?;
        let written = file.metadata()?.len();
        Ok(Self { file: Some(file), written, ..Self::default() })
    }

    /// Keeps one line. Returns whether it still belongs to the beginning of the output.
    pub(crate) fn keep(&mut self, line: &str) -> bool {
        let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
        self.tail.push(line, TAIL_BYTES_MAX);
        let bytes = line.len() as u64 + 1;
        if self.written + bytes > HEAD_BYTES_MAX || !self.end.lines.is_empty() {
            self.left_out_lines += self.end.push(line, END_BYTES_MAX);
            return false;
        }
        self.write(line);
        true
    }

    /// Writes the end of the output behind its beginning, with a note of what is missing between them.
    pub(crate) fn close(&mut self) {
        if self.end.lines.is_empty() {
            return;
        }
        if self.left_out_lines > 0 {
            self.write(&format!("[{} lines were left out here]", self.left_out_lines));
        }
        for line in std::mem::take(&mut self.end).lines {
            self.write(&line);
        }
    }

    /// The last lines, at most 8 KiB.
    pub(crate) fn tail(&self) -> String {
        let text = self.tail.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let start = text.ceil_char_boundary(text.len().saturating_sub(TAIL_BYTES_MAX));
        text[start..].to_owned()
    }

    /// A file that cannot be written stops no backup; the report still carries the end of the output.
    fn write(&mut self, line: &str) {
        if let Some(file) = &mut self.file {
            let written = file.write_all(format!("{line}\n").as_bytes());
            if written.is_err() {
                self.file = None;
            }
        }
        self.written += line.len() as u64 + 1;
    }
}

impl Ring {
    /// Returns how many old lines made room.
    fn push(&mut self, line: &str, bytes_max: usize) -> u64 {
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        let mut dropped = 0;
        while self.bytes > bytes_max && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_its_beginning_and_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut output = OutputFile::open(directory.path()).unwrap();
        let filler = "x".repeat(1000);
        for number in 0..30_000 {
            output.keep(&format!("{number} {filler}"));
        }
        output.close();
        let text = std::fs::read_to_string(directory.path().join("output")).unwrap();
        assert!(text.len() < 10 << 20, "{}", text.len());
        assert!(text.starts_with("0 x") && text.contains("\n29999 x") && text.contains("lines were left out here"));
        assert!(output.tail().len() <= 8192 && output.tail().contains("29999"));
    }

    #[test]
    fn a_second_attempt_goes_on_behind_the_first() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["one", "two"] {
            let mut output = OutputFile::open(directory.path()).unwrap();
            output.keep(text);
            output.close();
        }
        assert_eq!(std::fs::read_to_string(directory.path().join("output")).unwrap(), "one\ntwo\n");
    }
}
