//! What the bus can say about a wish: done, refused, or nothing at all. Nothing at all is never a failure.

use crate::control::Problem;

/// The outcome of anything that crosses the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Told<T> {
    /// It happened; the other side said so.
    Done(T),
    /// It did not happen, and the other side, or this one before sending, said why.
    Refused(BusRefusal),
    /// No answer: it may have happened, may happen later, or never. Repeat it under the same id.
    Unknown,
}

impl<T> Told<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Told<U> {
        match self {
            Self::Done(value) => Told::Done(change(value)),
            Self::Refused(refusal) => Told::Refused(refusal),
            Self::Unknown => Told::Unknown,
        }
    }

    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Refused(_) | Self::Unknown => None,
        }
    }

    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// Where a published fact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its sequence in the log: a position, not an identity.
    pub seq: u64,
    /// The log held it already; as good as published.
    pub duplicate: bool,
}

/// A certain no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusRefusal {
    #[error("this client may not use {subject}")]
    NotPermitted { subject: String },
    #[error("nobody listens on {subject}")]
    NobodyListens { subject: String },
    #[error("the bus has no log {stream}")]
    NoLog { stream: String },
    #[error("the bus keeps no logs: JetStream is off ({detail})")]
    NoJetStream { detail: String },
    #[error("the log is full: {detail}")]
    LogFull { detail: String },
    #[error("the message has {bytes} bytes; {max} is the most")]
    TooLong { bytes: usize, max: usize },
    #[error("replies to {subject} are not given")]
    ReplySubject { subject: String },
    #[error("the log ends at {last_seq}, before {after}: the bus has lost its tail")]
    LogRewound { after: u64, last_seq: u64 },
    #[error("the log is another one than before: the bus has lost its disk, or the log was made again")]
    LogReplaced,
    #[error("nats-server {version} is too old")]
    ServerTooOld { version: String },
    #[error("the log {stream} is not set up as it must be: {differences}")]
    LogDiffers { stream: String, differences: String },
    #[error("the bus refused with code {code}: {detail}")]
    Other { code: u64, detail: String },
}

impl BusRefusal {
    /// Whether the same wish may be granted later without anybody doing anything here.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::NobodyListens { .. }
            | Self::NoLog { .. }
            | Self::NoJetStream { .. }
            | Self::LogFull { .. }
            | Self::Other { .. } => true,
            Self::NotPermitted { .. }
            | Self::TooLong { .. }
            | Self::ReplySubject { .. }
            | Self::LogRewound { .. }
            | Self::LogReplaced
            | Self::ServerTooOld { .. }
            | Self::LogDiffers { .. } => false,
        }
    }

    /// The refusal for a person: what happened, why, and what to do now.
    pub fn problem(&self) -> Problem {
        let (why, fix) = self.why_and_fix();
        Problem { what: self.to_string(), why: why.to_owned(), fix: fix.to_owned(), code: None }
    }

    const fn why_and_fix(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotPermitted { .. } => (
                "the bus's user list does not allow it for this client's key",
                "compare this client's entry in the bus's configuration with the sample, and reload the bus",
            ),
            Self::NobodyListens { .. } => (
                "the one who would answer is not connected to the bus",
                "see that it runs and is connected, then try again",
            ),
            Self::NoLog { .. } => (
                "no coordinator has made it yet, its servers have not agreed on who leads it, or the bus has lost its store",
                "start the coordinator: it makes the log, once it is sure that there is none",
            ),
            Self::NoJetStream { .. } => (
                "the server was started without JetStream, or switched it off because its disk was full",
                "look at the server's log, free its disk if it is full, and restart it",
            ),
            Self::LogFull { .. } => (
                "the log's limit, or the server's max_file_store, is reached; nothing is thrown away to make room",
                "give the server's store more room, raise max_file_store, and restart the server",
            ),
            Self::TooLong { .. } => ("messages are bounded", "send less: long output belongs in a file"),
            Self::ReplySubject { .. } => (
                "an answer to a foreign address would let the asker write in our name",
                "ask through a client of this project",
            ),
            Self::LogRewound { .. } | Self::LogReplaced => (
                "the server's machine crashed or its store was replaced",
                "read the log again from its start; agents send what is missing",
            ),
            Self::ServerTooOld { .. } => (
                "before 2.10 it cannot write through to the disk, and ignores settings without a word",
                "install nats-server 2.10 or newer (recommended: 2.10.23 or newer) and restart the bus",
            ),
            Self::LogDiffers { .. } => (
                "it was made or changed by other hands; as it is, facts could be lost",
                "change the stream back with the bus's own tools, or choose another cluster name",
            ),
            Self::Other { .. } => ("the server gave this reason", "look at the server's log"),
        }
    }
}
