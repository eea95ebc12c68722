//! A sink that appends each notice as one JSON line to a file, or prints it.

use std::io::{self, Write as _};
use std::path::PathBuf;

use super::answer::{Answer, SinkError, Taken};
use super::body::NoticeBody;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Jsonl {
    Stdout,
    File(PathBuf),
}

impl Jsonl {
    /// Appends one whole line; a file is opened each time, so that it may be rotated or removed meanwhile.
    pub(super) fn write(&self, body: &NoticeBody) -> Answer {
        let mut line = body.to_json();
        line.push('\n');
        let written = match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes()).and_then(|()| out.flush())
            }
            Self::File(path) => std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_data())),
        };
        written.map(|()| Taken::new("written")).map_err(|error| SinkError::passing(error.to_string()))
    }
}
