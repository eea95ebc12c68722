//! Reading TOML files, with every error placed: file, line, key path, what is wrong and what to do.

use std::fmt;

use serde::de::DeserializeOwned;

/// One error in a file that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileProblem {
    pub file: String,
    /// From 1; absent where the error is about what is not there.
    pub line: Option<usize>,
    pub column: Option<usize>,
    /// `schedule.calendar`; `.` is the whole file.
    pub key: String,
    pub what: String,
    pub fix: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
            if let Some(column) = self.column {
                write!(formatter, ":{column}")?;
            }
        }
        if self.key != "." {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}", self.what)?;
        if self.fix.is_empty() { Ok(()) } else { write!(formatter, " — {}", self.fix) }
    }
}

/// Reads a file's text as a `T`. `sample` says where a person finds every key, as half a sentence.
pub fn read_toml<T: DeserializeOwned>(file: &str, text: &str, sample: &str) -> Result<T, Box<FileProblem>> {
    let document = toml::Deserializer::parse(text)
        .map_err(|error| Box::new(placed(file, text, &error, ".".to_owned(), sample)))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let key = error.path().to_string();
        Box::new(placed(file, text, error.inner(), key, sample))
    })
}

/// A problem with the value under `key`, placed at its line.
pub fn problem_at(file: &str, text: &str, key: &str, what: String, fix: &str) -> FileProblem {
    FileProblem {
        file: file.to_owned(),
        line: key_line(text, key),
        column: None,
        key: key.to_owned(),
        what,
        fix: fix.to_owned(),
    }
}

/// The line of a key, found through the document's own spans; the nearest parent's where the key is absent.
fn key_line(text: &str, key: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut line = None;
    for part in key.split('.') {
        let name = part.split('[').next().unwrap_or(part);
        let Some((found, value)) = table.iter().find(|(candidate, _)| candidate.get_ref() == name) else { break };
        line = Some(line_and_column(text, found.span().start).0);
        let toml::de::DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    line
}

fn placed(file: &str, text: &str, error: &toml::de::Error, key: String, sample: &str) -> FileProblem {
    let place = error.span().map(|span| line_and_column(text, span.start));
    let what = error.message().to_owned();
    let act = if what.starts_with("unknown field") {
        "remove it or correct its spelling"
    } else if what.starts_with("missing field") {
        "add it"
    } else {
        "correct the value"
    };
    FileProblem {
        file: file.to_owned(),
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
        key,
        what,
        fix: format!("{act}; {sample}"),
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}
