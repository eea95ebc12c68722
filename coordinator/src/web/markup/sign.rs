//! What a word means, as a sign: always the word itself, with a mark and a colour beside it.

use landfall_proto::alert::Severity;
use landfall_proto::overview::Grade;
use landfall_proto::report::Outcome;
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::RunState;
use maud::{Markup, html};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Busy,
    Dim,
}

impl Tone {
    /// The class in the style sheet.
    pub(in crate::web) const fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Busy => "busy",
            Self::Dim => "dim",
        }
    }

    /// For eyes that do not see the colour.
    pub(in crate::web) const fn mark(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "✓ ",
            Self::Warn => "! ",
            Self::Bad => "✕ ",
            Self::Busy => "▸ ",
            Self::Dim => "· ",
        }
    }
}

pub(in crate::web) fn tag(tone: Tone, word: &str) -> Markup {
    html! { span class={ "tag " (tone.class()) } { span aria-hidden="true" { (tone.mark()) } (word) } }
}

pub(in crate::web) const fn of_state(state: RunState) -> Tone {
    match state {
        RunState::Ok => Tone::Good,
        RunState::Warning | RunState::Partial | RunState::Unknown | RunState::Lost => Tone::Warn,
        RunState::Failed => Tone::Bad,
        RunState::Skipped | RunState::Cancelled | RunState::Queued => Tone::Dim,
        RunState::Sent | RunState::Running | RunState::Cancelling => Tone::Busy,
    }
}

pub(in crate::web) const fn of_outcome(outcome: Outcome) -> Tone {
    of_state(RunState::of(outcome))
}

pub(in crate::web) const fn of_verdict(kind: VerdictKind) -> Tone {
    match kind {
        VerdictKind::Converged => Tone::Good,
        VerdictKind::Diverged | VerdictKind::Overdue => Tone::Bad,
    }
}

pub(in crate::web) const fn of_severity(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Plain,
        Severity::Warning => Tone::Warn,
        Severity::Critical | Severity::Emergency => Tone::Bad,
    }
}

pub(in crate::web) const fn of_grade(grade: Grade) -> Tone {
    match grade {
        Grade::Never | Grade::TooOld => Tone::Bad,
        Grade::Waiting => Tone::Dim,
        Grade::Unbounded => Tone::Plain,
        Grade::Protected => Tone::Good,
    }
}
