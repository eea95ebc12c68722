//! Why a run ended as it did: one closed list, each with its cause and next step for people.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($( $(#[$doc:meta])* $variant:ident = $text:literal, $cause:literal, $fix:literal; )*) => {
        /// A machine-readable reason. One list for every driver and task.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $( $(#[$doc])* #[serde(rename = $text)] $variant, )*
        }

        impl Reason {
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            /// What this usually means, for people.
            pub const fn cause(self) -> &'static str {
                match self { $( Self::$variant => $cause, )* }
            }

            /// What to do next, for people; empty where nothing is to be done.
            pub const fn fix(self) -> &'static str {
                match self { $( Self::$variant => $fix, )* }
            }
        }
    };
}

reasons! {
    Completed = "completed", "The work is done and the destination confirms it.", "";
    AlreadyDone = "already_done", "The destination already holds this run's snapshot.", "";
    Recovered = "recovered", "The agent was interrupted, and the destination shows that the work had been done.", "";
    SourceMissing = "source_missing", "A source named in the plan does not exist.",
        "Correct `sources` in the plan, or mount what is missing, then retry the run.";
    SourceUnreadable = "source_unreadable", "Some files could not be read, so the snapshot lacks them.",
        "Give the agent's user read access to the named files, or exclude them in the plan.";
    ToolMissing = "tool_missing", "The program that this driver runs is not installed.",
        "Install it, or correct its path in the plan.";
    ToolVersion = "tool_version", "The program is installed in a version that is known not to work.",
        "Install a supported version; `landfall-agent doctor` names it.";
    NoCredentials = "no_credentials", "The secret for the destination could not be read on this node.",
        "Check `password_file` or `password_command` of the target; the agent's user must be able to read it.";
    Auth = "auth", "The destination refused the password or key.",
        "Put the repository's right password into the target's secret; a retry cannot help before that.";
    NoRepository = "no_repository", "There is no repository at the destination.",
        "Correct the target's location, mount it, or set `create = true` to make a repository there.";
    NoSpace = "no_space", "The destination or the staging area has too little free space.",
        "Free space there or give it more; then retry the run.";
    Network = "network", "The destination could not be reached.",
        "Check the connection and the destination's service; the run is retried by itself a few times.";
    Lock = "lock", "Another program holds a lock on the repository.",
        "Wait for it to end; never remove a lock that another machine may still hold.";
    Busy = "busy", "The destination was busy and asked to come back later.", "It is retried by itself; if it stays busy, lower the limits.";
    ReadOnly = "read_only", "The destination cannot be written.", "Mount it writable or correct its permissions, then retry.";
    Permission = "permission", "The system refused access.", "Give the agent's user the right to do this, then retry.";
    Integrity = "integrity", "The repository contains damaged data.",
        "Do not prune. Check the destination's disk, then repair from another copy; restores of older snapshots may be affected.";
    VerifyMissing = "verify_missing", "The tool ended well, but the destination does not show what it should have left there.",
        "Look into the run's log; the backup does not exist, whatever the tool said.";
    VerifyIncomplete = "verify_incomplete", "What landed does not cover every source of the plan.",
        "Look at the named sources; run the plan again once they are there.";
    VerifyDoubled = "verify_doubled", "More than one snapshot at the destination carries this run's id.",
        "Look for a second agent with the same identity, a cloned machine for instance.";
    Empty = "empty", "The backup landed, but it is empty.", "Check that the sources are mounted; allow it with `guards.allow_empty = true`.";
    Shrunk = "shrunk", "The backup is much smaller than its history.", "Check that nothing is missing in the sources.";
    Grown = "grown", "The backup is much larger than its history.", "Check what was added, and the destination's space.";
    Slow = "slow", "The run took much longer than its history.", "Check the load of node and destination.";
    Damaged = "damaged", "The check found damage that does not touch all data.", "Run a full data check and repair the repository.";
    Stalled = "stalled", "The run made no progress for too long and was ended with its children.",
        "Look at what it was doing; raise `stall_after` if it was really working.";
    TimedOut = "timed_out", "The run took longer than it may and was ended with its children.",
        "Raise `limits.timeout`, or find out why it is slow.";
    Killed = "killed", "The tool was killed by a signal.", "Look for the out-of-memory killer in the journal, or who sent the signal.";
    Interrupted = "interrupted", "The agent ended while the run was under way.", "Retry the run; unfinished data is taken up again.";
    CancelledByOperator = "cancelled_by_operator", "A person cancelled the run.", "";
    Overlap = "overlap", "The previous run of this plan was still under way.", "Make the schedule wider or the run faster.";
    Missed = "missed", "The node was off or asleep at that time; a later run caught up.", "";
    NoPlan = "no_plan", "The node has no plan of this name, or its file is broken.",
        "Run `landfall-agent plans` on the node; it names every error.";
    ExitWarning = "exit_warning", "The tool reported a warning.", "Read the run's log.";
    ExitSkipped = "exit_skipped", "The tool said that there is nothing to do now.", "";
    UnknownExit = "unknown_exit", "The tool ended with a code that its table does not name.",
        "Read the run's log; name the code in the plan's `exit` table if it is harmless.";
    TurnNeverCame = "turn_never_came", "The run was not started before its round ended.", "Raise the limits, or spread the schedules.";
    NodeSilent = "node_silent", "The node has not been heard of.", "Check the machine, its network and the agent's service.";
    Conflict = "conflict", "Two machines speak in this node's name, or its journal was set back.",
        "Give the copy its own node id and a fresh state directory; retire the node if it is gone.";
    NoReport = "no_report", "The node is there, but the run has sent no result.", "Look at the run on the node: `landfall-agent runs`.";
    Internal = "internal", "The agent itself could not go on.", "Read the run's log and report it.";
    Unknown = "unknown", "The cause is not known.", "Read the run's log.";
}

impl Reason {
    /// Whether trying again soon may help. Everything else fails at once.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Network | Self::Lock | Self::Busy)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_explains_itself() {
        for reason in Reason::ALL {
            assert!(reason.cause().ends_with('.'), "{reason}");
            assert!(reason.fix().is_empty() || reason.fix().ends_with('.'), "{reason}");
        }
    }
}
