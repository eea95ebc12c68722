//! What the places themselves show at the end: the log from its first message, receipts on disks, snapshots in the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use landfall_proto::fact::agent::RunAbout;
use landfall_proto::report::RunReport;
use landfall_proto::time::Timestamp;
use serde::Deserialize;

use super::mesh::Mesh;
use crate::live::{Log, Seen, tool};

/// Longest time for reading a case's log.
const LOG_WITHIN: Duration = Duration::from_secs(30);

/// A receipt as it lies in a node's folder.
#[derive(Debug, Clone, Deserialize)]
pub struct Receipt {
    pub about: RunAbout,
    pub attempt: u32,
    pub report: RunReport,
}

/// A snapshot as restic lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct Snapshot {
    pub id: String,
    pub time: Timestamp,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Everything that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The log as the bus holds it.
    pub log: Log,
    /// Entries that were read once and are not there any more, oldest first, each once.
    pub lost: Vec<Seen>,
    /// Logs that the bus had before this one, as far as was noticed.
    pub lives: usize,
    pub receipts: BTreeMap<String, Vec<(Receipt, Timestamp)>>,
    /// Absent where no repository was made.
    pub snapshots: Option<Vec<Snapshot>>,
}

impl Snapshot {
    /// What follows a prefix in one of its tags.
    pub fn tag(&self, prefix: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(prefix))
    }
}

/// Before the run's id among a snapshot's tags.
pub const RUN_TAG: &str = "landfall-run:";

/// Before the node's name.
pub const NODE_TAG: &str = "landfall-node:";

/// Looks everywhere.
pub async fn look(mesh: &Mesh) -> Found {
    let log = mesh.cluster.operator.whole_log(LOG_WITHIN).await;
    let earlier = mesh.cluster.operator.lost_logs();
    // The log that is followed may have lost its tail too, where other facts took the same places before anybody looked.
    let followed = mesh.cluster.operator.log();
    let key =
        |seen: &Seen| (seen.seq, seen.message.as_ref().map(|(_, envelope)| (envelope.id, envelope.content_hash())));
    let mut known: BTreeSet<_> = log.0.iter().map(key).collect();
    let lives = earlier.len();
    let read = earlier.into_iter().flat_map(|log| log.0).chain(followed.0);
    let lost = read.filter(|seen| known.insert(key(seen))).collect();
    let receipts = mesh.cluster.node_names().into_iter().map(|name| {
        let found = receipts(&mesh.cluster.state(&name));
        (name, found)
    });
    Found { log, lost, lives, receipts: receipts.collect(), snapshots: snapshots(mesh).await }
}

fn receipts(state: &Path) -> Vec<(Receipt, Timestamp)> {
    let runs = std::fs::read_dir(state.join("runs")).into_iter().flatten().flatten();
    let mut found: Vec<(Receipt, Timestamp)> = runs
        .filter_map(|run| {
            let path = run.path().join("receipt.json");
            let receipt = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
            let written = path.metadata().ok()?.modified().ok()?;
            Some((receipt, Timestamp::try_from(written).ok()?))
        })
        .collect();
    found.sort_by_key(|(receipt, _)| receipt.report.finished_at);
    found
}

async fn snapshots(mesh: &Mesh) -> Option<Vec<Snapshot>> {
    let repository = &mesh.repository;
    if !repository.join("config").is_file() {
        return None;
    }
    let listed = tool::restic(repository, &["--no-lock", "snapshots", "--json"]).await.good().json();
    let found = serde_json::from_value(listed);
    Some(found.unwrap_or_else(|error| panic!("expected snapshots as restic lists them: {error}")))
}
