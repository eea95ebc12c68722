//! A destination as one node knows it.

use serde::{Deserialize, Serialize};

use super::DriverName;
use crate::id::TargetName;

/// One file of `targets.d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub name: TargetName,
    pub driver: DriverName,
    /// A directory, or for `rustic` also `rest:http://…`. For `command` the directory that its artifacts land in.
    pub location: String,
    /// Makes a repository where there is none.
    #[serde(default)]
    pub create: bool,
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Percent of the destination's file system that must be free before a run.
    #[serde(default = "default_free_percent")]
    pub free_percent_min: u8,
    /// The storage that this target counts against in limits.
    #[serde(default)]
    pub storage: Option<String>,
}

const fn default_free_percent() -> u8 {
    20
}

/// Where the secret is read from. The secret itself is never in a file of plans or targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Secret {
    /// The first line of this file.
    File(String),
    /// What this program prints; absolute path and arguments.
    Command(Vec<String>),
    /// The name of a systemd credential.
    Credential(String),
}
