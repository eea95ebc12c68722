//! One thing that was looked at.

use serde::Serialize;

use crate::cli::failure::Failure;

/// What was found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Stable, for programs.
    pub(super) name: &'static str,
    pub(super) ok: Health,
    pub(super) what: String,
    /// Empty where nothing is to be done.
    pub(super) fix: String,
}

/// Three-valued: what cannot be seen is not bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Health {
    Good,
    Bad,
    Unknown,
}

impl Finding {
    pub(super) fn good(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, ok: Health::Good, what: what.into(), fix: String::new() }
    }

    pub(super) fn bad(name: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, ok: Health::Bad, what: what.into(), fix: fix.into() }
    }

    pub(super) fn unknown(name: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, ok: Health::Unknown, what: what.into(), fix: fix.into() }
    }

    pub(super) fn of_failure(name: &'static str, failure: Failure) -> Self {
        let problem = failure.problem;
        let what = if problem.why.is_empty() { problem.what } else { format!("{}: {}", problem.what, problem.why) };
        Self::bad(name, what, problem.fix)
    }
}
