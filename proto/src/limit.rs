//! Named limits on how much runs at once, and why a run waits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, RepositoryId, RunId};
use crate::report::TaskKind;

/// A semaphore's name. The order of the variants is the order in which permits are taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LimitName {
    Cluster,
    /// Every node's own limit; one number for all.
    Node,
    /// Shared users of one repository at once; one number for all repositories.
    Repository,
    Storage(String),
    /// `label=value`
    Label(String, String),
    Task(TaskKind),
}

/// Why a text is not a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a limit: write cluster, node, repository, storage:NAME, label:KEY=VALUE, task:backup or task:check"
)]
pub struct LimitError(String);

impl LimitName {
    /// The size where nobody set one; `None` is no limit.
    pub const fn default_size(&self) -> Option<u32> {
        match self {
            Self::Cluster => Some(4),
            Self::Node => Some(1),
            Self::Repository | Self::Storage(_) | Self::Label(..) | Self::Task(_) => None,
        }
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => formatter.write_str("cluster"),
            Self::Node => formatter.write_str("node"),
            Self::Repository => formatter.write_str("repository"),
            Self::Storage(name) => write!(formatter, "storage:{name}"),
            Self::Label(key, value) => write!(formatter, "label:{key}={value}"),
            Self::Task(task) => write!(formatter, "task:{task}"),
        }
    }
}

impl FromStr for LimitName {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let error = || LimitError(text.chars().take(80).collect());
        if text.len() > 160 {
            return Err(error());
        }
        match text.split_once(':') {
            None => match text {
                "cluster" => Ok(Self::Cluster),
                "node" => Ok(Self::Node),
                "repository" => Ok(Self::Repository),
                _ => Err(error()),
            },
            Some(("storage", name)) if !name.is_empty() => Ok(Self::Storage(name.to_owned())),
            Some(("label", pair)) => {
                let (key, value) = pair.split_once('=').ok_or_else(error)?;
                if key.is_empty() { Err(error()) } else { Ok(Self::Label(key.to_owned(), value.to_owned())) }
            }
            Some(("task", name)) => {
                TaskKind::ALL.into_iter().find(|task| task.as_str() == name).map(Self::Task).ok_or_else(error)
            }
            Some(_) => Err(error()),
        }
    }
}

impl TryFrom<String> for LimitName {
    type Error = LimitError;

    fn try_from(text: String) -> Result<Self, LimitError> {
        text.parse()
    }
}

impl From<LimitName> for String {
    fn from(name: LimitName) -> String {
        name.to_string()
    }
}

/// Why a queued run does not run yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The limit is full.
    Limit { name: LimitName, size: u32 },
    /// Another run that does not share is using the repository, or this one would not share.
    RepositoryExclusive { repository: RepositoryId },
    /// The node is not connected; it holds no permit.
    NodeOffline { node: NodeId },
    /// The node asked to be left alone for now.
    NodeBusy { node: NodeId },
    /// Two machines speak in the node's name, or its journal was set back: nothing is sent to it until that is settled.
    NodeQuarantined { node: NodeId },
    /// The node has no room to write down what it begins.
    NodeFull { node: NodeId },
    /// An earlier run of the same routine is still under way there.
    EarlierRun { run: RunId },
    /// It is next; the command is on its way.
    Turn,
}

impl WaitReason {
    /// What stands in the way, without whose or how much.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "limit",
            Self::RepositoryExclusive { .. } => "repository_exclusive",
            Self::NodeOffline { .. } => "node_offline",
            Self::NodeBusy { .. } => "node_busy",
            Self::NodeQuarantined { .. } => "node_quarantined",
            Self::NodeFull { .. } => "node_full",
            Self::EarlierRun { .. } => "earlier_run",
            Self::Turn => "turn",
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { name, size } => write!(formatter, "limit {name} ({size}) is full"),
            Self::RepositoryExclusive { repository } => {
                let short: String = repository.as_str().chars().take(8).collect();
                write!(formatter, "repository {short} is used exclusively")
            }
            Self::NodeOffline { node } => write!(formatter, "node {node} is offline"),
            Self::NodeBusy { node } => write!(formatter, "node {node} asked to wait"),
            Self::NodeQuarantined { node } => write!(formatter, "node {node} is quarantined"),
            Self::NodeFull { node } => write!(formatter, "the disk of node {node}'s agent is full"),
            Self::EarlierRun { run } => {
                let short: String = run.to_string().chars().take(8).collect();
                write!(formatter, "the earlier run {short} is still under way")
            }
            Self::Turn => formatter.write_str("its turn is next"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_back() {
        for text in ["cluster", "node", "repository", "storage:nas", "label:rack=1", "task:check"] {
            assert_eq!(text.parse::<LimitName>().unwrap().to_string(), text);
        }
        for bad in ["", "nodes", "storage:", "label:x", "task:nothing", "cluster:1"] {
            assert!(bad.parse::<LimitName>().is_err(), "{bad}");
        }
    }
}
