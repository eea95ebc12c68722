//! What a coordinator asks of an agent, and what the agent answers. A command names a local plan; it never carries one.

use serde::{Deserialize, Serialize};

use crate::envelope::Epoch;
use crate::id::{CommandId, Holder, NodeId, RepositoryId, RoundId, RoutineName, RunId};
use crate::report::{Reason, TaskKind};
use crate::time::Timestamp;

/// Kind of the envelope that carries a [`SignedCommand`].
pub const COMMAND_KIND: &str = "command";

/// Kind of the envelope that carries an [`Answer`].
pub const ANSWER_KIND: &str = "answer";

/// A command as it travels: the exact bytes that were signed, so that nothing is encoded twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SignedCommand {
    /// An encoded [`Command`].
    #[serde(with = "serde_bytes")]
    pub command: Vec<u8>,
    /// Ed25519 over `command`.
    #[serde(with = "serde_bytes")]
    pub signature: Vec<u8>,
    /// Public nkey of the signer; the agent obeys only keys it was told of at install.
    pub signer: String,
}

/// One command. Obeyed only by its audience, before `not_after`, and under an epoch that is not lower than the highest seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Command {
    pub id: CommandId,
    pub audience: NodeId,
    pub holder: Holder,
    pub epoch: Epoch,
    pub issued_at: Timestamp,
    pub not_after: Timestamp,
    pub action: Action,
}

/// What is asked for. Only names, ids and instants: no path, program or environment ever comes from the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Run a task of a local plan.
    Start { run: RunId, round: RoundId, routine: RoutineName, slot: Option<Timestamp>, task: TaskKind },
    /// End a run; it has ended when its result is in the log, not when this is answered.
    Cancel { run: RunId },
    /// List a repository that a local target holds, and say which runs' snapshots are there. The result is a fact.
    Witness { round: RoundId, repository: RepositoryId, runs: Vec<RunId> },
    /// Read a piece of a run's log.
    ReadLog { run: RunId, offset: u64 },
}

/// The reply to a command, given within two seconds. Results of work are facts, not answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Written down and under way; also for a repeat of a command that is under way.
    Accepted,
    /// This run has ended before; its result is in the log.
    AlreadyDone,
    Refused {
        reason: Refused,
        message: String,
    },
    Log {
        offset: u64,
        text: String,
        next_offset: u64,
        ended: bool,
    },
}

/// Why an agent does not obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// Not signed by a known key, or the signature does not fit.
    Signature,
    WrongAudience,
    Expired,
    /// The epoch is lower than one seen before, or another holder has it.
    StaleEpoch,
    NoPlan,
    NoRun,
    /// Not now; ask again. The node is paused or its own limit is full.
    Busy,
    Malformed,
    /// Not now: the disk on which the agent writes down what it begins is full.
    NoSpace,
}

impl Refused {
    /// Whether the same command may succeed later.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Busy | Self::Expired | Self::NoSpace)
    }

    /// The reason a run ends with when it is refused for good.
    pub const fn reason(self) -> Reason {
        match self {
            Self::NoPlan => Reason::NoPlan,
            Self::Busy => Reason::Busy,
            Self::NoSpace => Reason::NoSpace,
            Self::Signature
            | Self::WrongAudience
            | Self::Expired
            | Self::StaleEpoch
            | Self::NoRun
            | Self::Malformed => Reason::Internal,
        }
    }
}
