//! What one run is made of, written out in full: a seed expands to this, and a file of it replays the run without the seed's dice.

use landfall_proto::time::{Duration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::fault::Planned;

/// One run: its world and its bad luck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub options: Options,
    #[serde(default, rename = "faults")]
    pub faults: Vec<Planned>,
}

/// The world before anything goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    pub seed: u64,
    pub nodes: u32,
    pub coordinators: u32,
    /// Repositories that the nodes share.
    pub repositories: u32,
    /// The true time at the beginning.
    pub start: Timestamp,
    /// How long faults go on.
    pub busy: Duration,
    /// How long everything may take to come to rest afterwards.
    pub patience: Duration,
    /// When the one plan of every node is due.
    pub calendar: String,
    /// The time between two slots.
    pub slot_every: Duration,
    pub zone: String,
    pub start_within: Duration,
    pub finish_within: Duration,
    /// How long a tool works in fair weather, at most.
    pub tool_takes: Duration,
    /// Whether nodes run a missed slot when they are back.
    pub catch_up: bool,
    /// Whether a check of the repository follows a backup.
    pub checks: bool,
    /// Shortest and longest delay of one direction of a line, in microseconds.
    pub delay_us: (u64, u64),
    /// Percent of loss-tolerant messages that vanish in fair weather.
    pub loss_percent: u32,
    /// How many runs may be active at once in the cluster; absent is no limit.
    #[serde(default)]
    pub cluster_limit: Option<u32>,
}

impl Options {
    /// One line for people.
    pub fn line(&self) -> String {
        toml::Value::try_from(self).map_or_else(
            |_| format!("{self:?}"),
            |value| {
                let table = value.as_table().cloned().unwrap_or_default();
                let words: Vec<String> =
                    table.iter().map(|(key, value)| format!("{key}={}", value.to_string().trim_matches('"'))).collect();
                words.join(" ")
            },
        )
    }
}
