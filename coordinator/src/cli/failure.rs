//! What the tool says when it cannot do what was asked: what happened, why, what to do now, and an exit code.

use std::error::Error;
use std::process::ExitCode;

use landfall_proto::bus::{BusError, BusRefusal};
use landfall_proto::control::Problem;

use super::screen::Screen;

/// The answer is bad.
pub(super) const BAD: u8 = 1;
/// The request makes no sense.
pub(super) const USAGE: u8 = 2;
/// The mesh could not be asked; nothing is known.
pub(super) const UNKNOWN: u8 = 3;
/// A person pressed Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// An end without the wanted answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) problem: Problem,
    pub(super) code: u8,
}

impl Failure {
    pub(super) fn new(code: u8, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: Problem { what: what.into(), why: why.into(), fix: fix.into(), code: None }, code }
    }

    pub(super) fn internal(what: &str, error: &dyn Error) -> Self {
        Self::new(BAD, what, chain(error), "see that memory, disk and open files are not exhausted, then try again")
    }

    /// No answer came: the act may or may not have happened.
    pub(super) fn silence(what: &str) -> Self {
        Self::new(
            UNKNOWN,
            format!("no coordinator answered {what}"),
            "none is running, or it cannot reach the bus",
            "see that `landfall serve` runs; `landfall doctor` looks at every part. An act may have been heard all the same: look before you repeat it",
        )
    }

    pub(super) fn report(&self, screen: &Screen) -> ExitCode {
        screen.problem(&self.problem);
        ExitCode::from(self.code)
    }
}

impl From<BusError> for Failure {
    fn from(error: BusError) -> Self {
        Self { problem: error.problem(), code: UNKNOWN }
    }
}

impl From<BusRefusal> for Failure {
    fn from(refusal: BusRefusal) -> Self {
        Self { problem: refusal.problem(), code: UNKNOWN }
    }
}

/// An error with everything below it, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        // Some libraries print their source in their own text.
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}
