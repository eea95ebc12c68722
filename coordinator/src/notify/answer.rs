//! What a receiver said to one notice, and whether saying it again could help.

use std::time::Duration;

/// Longest part of a receiver's own words that is kept, in characters.
const SAID_CHARS_MAX: usize = 200;

/// A receiver took the notice. The text begins with its status code where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken(pub String);

/// One attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkError {
    pub message: String,
    /// True where the same notice would be refused again.
    pub is_final: bool,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// What one attempt led to.
pub(super) type Answer = Result<Taken, SinkError>;

impl Taken {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl SinkError {
    /// The same notice would be refused again.
    pub fn last(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_final: true, retry_after: None }
    }

    /// The next attempt may succeed.
    pub fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_final: false, retry_after: None }
    }
}

/// A status with the receiver's own words behind it, on one line.
pub(super) fn with_words(status: &str, words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = line.chars().take(SAID_CHARS_MAX).collect();
    if said.is_empty() { status.to_owned() } else { format!("{status}: {said}") }
}

/// An error with everything below it, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        source = error.source();
    }
    text
}
