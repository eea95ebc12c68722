//! One ping: what a program says of itself, and what it is answered.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::{KeyHash, Slug};
use crate::report::Reason;

/// Bytes of a ping's body that are kept, its end, so that the fact stays below the longest one.
pub const BODY_KEPT_BYTES_MAX: usize = 32 * 1024;

/// Bytes of what a client says of itself in one word: its name, an error, an address.
pub const WORD_BYTES_MAX: usize = 500;

/// What a ping says of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PingKind {
    Start,
    Success,
    Fail,
    /// Something to be kept that changes nothing.
    Log,
    /// It ended with this status; 0 is a success.
    Exit {
        status: u8,
    },
}

impl PingKind {
    /// Whether the program says that it ended well; `None` where it says nothing about an end.
    pub const fn is_good(self) -> Option<bool> {
        match self {
            Self::Success | Self::Exit { status: 0 } => Some(true),
            Self::Fail | Self::Exit { .. } => Some(false),
            Self::Start | Self::Log => None,
        }
    }
}

impl fmt::Display for PingKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => formatter.pad("start"),
            Self::Success => formatter.pad("success"),
            Self::Fail => formatter.pad("fail"),
            Self::Log => formatter.pad("log"),
            Self::Exit { status } => formatter.pad(&format!("exit {status}")),
        }
    }
}

/// Where a program says that it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Preparing,
    Started,
    Progress,
    Verifying,
    Verified,
    Completed,
    Failed,
}

impl Stage {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Verifying => "verifying",
            Self::Verified => "verified",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Figures that a program told of itself. Nobody has proven them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Said {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// At most [`WORD_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Present where it says more than that the program failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// One ping as it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Ping {
    /// Drawn once where it came in, so that a question that is asked twice is one ping.
    pub id: Uuid,
    pub kind: PingKind,
    /// The program's own id of its run: pairs a start with its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<Uuid>,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// What the client calls itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// The end of its body, [`BODY_KEPT_BYTES_MAX`] at most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// How many bytes were sent, as far as they were read.
    #[serde(default)]
    pub body_bytes: u64,
    #[serde(default)]
    pub said: Said,
}

/// Which monitor a ping is for, by what is kept of the secret in its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PingTo {
    /// By the monitor's own UUID.
    Key { key: KeyHash },
    /// By a ping key of the mesh and a slug.
    Slug {
        key: KeyHash,
        slug: Slug,
        /// Whether the monitor is made where there is none.
        create: bool,
    },
}

/// What became of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PingAnswer {
    /// It stands in the log, or one that says the same does.
    Taken,
    /// It made its monitor, and stands in the log.
    Created,
    /// Nothing has this address.
    NotFound,
    /// Several monitors have this slug.
    Ambiguous,
    /// There are as many monitors as there may be.
    Full,
}
