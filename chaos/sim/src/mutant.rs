//! Planted bugs: each breaks one promise on purpose, so that it is seen that the promise's law looks.
//!
//! A mutant lives in the shells around the real cores, never inside them: it tampers with what goes into a core, with what
//! comes out of it, or with what the model of a shell does about it.

pub mod decisions;
pub mod steer;
pub mod trial;

use std::fmt;

/// What a tool prints that nobody may see: every world holds it as a secret.
pub const SECRET: &str = "canary-7h1s-1s-s3cr3t";

/// One planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    DeleteOnConfirmation,
    NoBarrier,
    TimeoutIsRefusal,
    RenumberResent,
    PublishBeforeWrite,
    StartTwice,
    DeafToSchedule,
    TwoAtOnce,
    OkWithoutSnapshot,
    ObeyOlderEpoch,
    IgnoreOthersClaim,
    SkipOneFact,
    RestoreLosesRecord,
    ObeyUnsigned,
    VerdictByArrival,
    VerdictTwice,
    ConvergeWithMissing,
    BlindToBadCheck,
    NeverClose,
    LeaveProcess,
    PruneUnasked,
    PrintSecret,
    UncutOutput,
    ExceedLimit,
    RaiseTwice,
    SwallowAlert,
    RaiseForNothing,
    NoticeUnderOtherId,
    SkipNotice,
}

/// What is known of one mutant.
struct About {
    name: &'static str,
    /// The law that must catch it.
    law: &'static str,
    /// What is planted, in one sentence.
    what: &'static str,
}

const fn about(name: &'static str, law: &'static str, what: &'static str) -> About {
    About { name, law, what }
}

impl Mutant {
    pub const ALL: [Self; 29] = [
        Self::DeleteOnConfirmation,
        Self::NoBarrier,
        Self::TimeoutIsRefusal,
        Self::RenumberResent,
        Self::PublishBeforeWrite,
        Self::StartTwice,
        Self::DeafToSchedule,
        Self::TwoAtOnce,
        Self::OkWithoutSnapshot,
        Self::ObeyOlderEpoch,
        Self::IgnoreOthersClaim,
        Self::SkipOneFact,
        Self::RestoreLosesRecord,
        Self::ObeyUnsigned,
        Self::VerdictByArrival,
        Self::VerdictTwice,
        Self::ConvergeWithMissing,
        Self::BlindToBadCheck,
        Self::NeverClose,
        Self::LeaveProcess,
        Self::PruneUnasked,
        Self::PrintSecret,
        Self::UncutOutput,
        Self::ExceedLimit,
        Self::RaiseTwice,
        Self::SwallowAlert,
        Self::RaiseForNothing,
        Self::NoticeUnderOtherId,
        Self::SkipNotice,
    ];

    /// Short, in lower case with hyphens.
    pub const fn name(self) -> &'static str {
        self.about().name
    }

    /// The law that must catch it.
    pub const fn law(self) -> &'static str {
        self.about().law
    }

    /// What is planted, in one sentence.
    pub const fn what(self) -> &'static str {
        self.about().what
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a table in the form of a match, so that the compiler misses no planted bug"
    )]
    const fn about(self) -> About {
        match self {
            Self::DeleteOnConfirmation => about(
                "delete-on-confirmation",
                "no-lost-fact",
                "An agent deletes a fact as soon as the bus confirms it.",
            ),
            Self::NoBarrier => about(
                "no-barrier",
                "no-lost-fact",
                "A coordinator says that facts are safe before they are on its disk for good.",
            ),
            Self::TimeoutIsRefusal => about(
                "timeout-is-refusal",
                "ambiguity-is-not-failure",
                "A coordinator takes a command without an answer for one that was refused.",
            ),
            Self::RenumberResent => {
                about("renumber-resent", "identity", "An agent sends a fact again under the next fact's number.")
            }
            Self::PublishBeforeWrite => {
                about("publish-before-write", "write-ahead", "An agent publishes facts before they are on its disk.")
            }
            Self::StartTwice => about(
                "start-twice",
                "slot-uniqueness",
                "An agent that restarts begins the run that it found once more.",
            ),
            Self::DeafToSchedule => about(
                "deaf-to-schedule",
                "autonomy",
                "An agent does not wake for its schedule while no beacon is heard.",
            ),
            Self::TwoAtOnce => about(
                "two-at-once",
                "single-run",
                "An agent that restarts does not end the tools that outlived its earlier process.",
            ),
            Self::OkWithoutSnapshot => about(
                "ok-without-snapshot",
                "honest-success",
                "A runner believes the tool's exit and makes up the evidence that it should read back.",
            ),
            Self::ObeyOlderEpoch => {
                about("obey-older-epoch", "fencing", "An agent takes every command for one of the highest epoch.")
            }
            Self::IgnoreOthersClaim => {
                about("ignore-others-claim", "fencing", "A coordinator passes over the claims of others.")
            }
            Self::SkipOneFact => about("skip-one-fact", "determinism", "One coordinator passes over the end of a run."),
            Self::RestoreLosesRecord => {
                about("restore-loses-record", "rebuild", "A coordinator is restored without one of its records.")
            }
            Self::ObeyUnsigned => {
                about("obey-unsigned", "authority", "An agent obeys commands that no known key has signed.")
            }
            Self::VerdictByArrival => about(
                "verdict-by-arrival",
                "order-independence",
                "A leader's verdict takes the node that reported last for bad.",
            ),
            Self::VerdictTwice => about("verdict-twice", "one-verdict", "A leader says each verdict twice."),
            Self::ConvergeWithMissing => about(
                "converge-with-missing",
                "one-verdict",
                "A leader leaves missing nodes out of its verdict and calls the round converged.",
            ),
            Self::BlindToBadCheck => about(
                "blind-to-bad-check",
                "freshness-of-proof",
                "Every coordinator takes a failed check for a good one.",
            ),
            Self::NeverClose => about("never-close", "liveness-after-heal", "A leader keeps its verdicts to itself."),
            Self::LeaveProcess => {
                about("leave-process", "cleanliness", "A tool's process goes on after its run has ended.")
            }
            Self::PruneUnasked => {
                about("prune-unasked", "monotone-safety", "A good backup takes an older snapshot away, unasked.")
            }
            Self::PrintSecret => {
                about("print-secret", "secrecy", "A report ends with what the tool printed, the secret in it.")
            }
            Self::UncutOutput => about(
                "uncut-output",
                "boundedness",
                "A report ends with all that the tool printed, however long that is.",
            ),
            Self::ExceedLimit => {
                about("exceed-limit", "limits", "A leader hands out permits as if nothing were limited.")
            }
            Self::RaiseTwice => about("raise-twice", "alert-once", "A leader raises each alert twice, under two ids."),
            Self::SwallowAlert => {
                about("swallow-alert", "freshness-of-proof", "A leader keeps the alert about a failed run to itself.")
            }
            Self::RaiseForNothing => {
                about("raise-for-nothing", "alert-cause", "A leader raises an alert about a run that is good.")
            }
            Self::NoticeUnderOtherId => {
                about("notice-under-other-id", "notices", "A notice goes out under an id that no alert has.")
            }
            Self::SkipNotice => about("skip-notice", "notices", "One of the sinks is never handed anything."),
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Which bug is planted in a run: none, as a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mutants {
    planted: Option<Mutant>,
}

impl Mutants {
    pub const NONE: Self = Self { planted: None };

    pub const fn of(mutant: Mutant) -> Self {
        Self { planted: Some(mutant) }
    }

    /// Whether this bug is planted.
    pub fn is(self, mutant: Mutant) -> bool {
        self.planted == Some(mutant)
    }

    pub const fn planted(self) -> Option<Mutant> {
        self.planted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_mutant_is_named_once_and_every_law_has_one() {
        let names: BTreeSet<&str> = Mutant::ALL.into_iter().map(Mutant::name).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        assert!(Mutant::ALL.into_iter().all(|mutant| Mutant::named(mutant.name()) == Some(mutant)));
        assert!(Mutant::ALL.is_sorted());
        let caught: BTreeSet<&str> = Mutant::ALL.into_iter().map(Mutant::law).collect();
        let laws: BTreeSet<&str> = landfall::audit::laws().iter().map(|law| law.name()).collect();
        assert_eq!(caught, laws);
    }
}
