//! What is told to whoever watches on this node, and what they may ask: JSON lines over a local socket.

use landfall_proto::fact::agent::{RunAbout, RunRetried};
use landfall_proto::id::{RoutineName, RunId};
use landfall_proto::report::{Phase, Progress, RunReport, TaskKind};
use serde::{Deserialize, Serialize};

/// One line from a visitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Start a task of a plan and tell how it goes.
    Start {
        plan: RoutineName,
        task: TaskKind,
    },
    Cancel {
        run: RunId,
    },
}

/// One line to a visitor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// The wish is granted; what follows speaks of this run.
    Started {
        run: RunId,
    },
    Refused {
        message: String,
    },
    Phase {
        run: RunId,
        phase: Phase,
    },
    Progress(Progress),
    Retried(RunRetried),
    Output {
        run: RunId,
        text: String,
    },
    Ended {
        about: RunAbout,
        report: Box<RunReport>,
    },
}

impl News {
    /// The run that this speaks of.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Started { run } | Self::Phase { run, .. } | Self::Output { run, .. } => Some(*run),
            Self::Progress(progress) => Some(progress.run),
            Self::Retried(retried) => Some(retried.run),
            Self::Ended { about, .. } => Some(about.run),
            Self::Refused { .. } => None,
        }
    }
}
