//! How large the parts of the state are that others could make grow, and the bound of each.

use landfall_proto::monitor::{MONITORS_MAX, PING_KEYS_MAX};

use super::Mesh;
use super::ask::ASKS_MAX;
use super::digest::{KEPT_MAX, PEERS_MAX};
use super::fold::{RESOLVED_MAX, ROUNDS_KEPT_MAX, RUNS_KEPT_MAX};
use super::monitor::PINGS_KEPT_MAX;
use super::space::STORAGES_MAX;
use super::writer::{HASHES_MAX, PARKED_MAX};

/// One part: what it is, how many it holds, and how many are the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub name: &'static str,
    pub size: usize,
    pub most: usize,
}

impl Mesh {
    /// Every bounded part. Looks at every writer.
    pub fn sizes(&self) -> [Size; 11] {
        let of = |name, size, most| Size { name, size, most };
        let parked = self.writers.values().map(|writer| writer.parked.len()).max();
        let hashes = self.writers.values().map(|writer| writer.hashes.len()).max();
        let pings = self.monitors.values().map(|monitor| monitor.recent.len());
        // The latest concluded round stays, however many runs it had.
        let older = if self.index.concluded.len() > 1 { self.index.concluded_runs } else { 0 };
        [
            of("parked facts of one writer", parked.unwrap_or(0), PARKED_MAX),
            of("remembered facts of one writer", hashes.unwrap_or(0), HASHES_MAX),
            of("resolved alerts", self.index.resolved_alerts.len(), RESOLVED_MAX),
            of("concluded rounds", self.index.concluded.len(), ROUNDS_KEPT_MAX),
            of("runs of concluded rounds", older, RUNS_KEPT_MAX),
            of("waiting requests", self.process.asks.len(), ASKS_MAX),
            of("monitors", self.monitors.len(), MONITORS_MAX),
            of("storages with a history", self.spaces.len(), STORAGES_MAX),
            of("ping keys", self.ping_keys.len(), PING_KEYS_MAX),
            of("pings of one monitor", pings.max().unwrap_or(0), PINGS_KEPT_MAX),
            of("digests and peers", self.process.digests.len().max(self.process.peers.len()), KEPT_MAX.max(PEERS_MAX)),
        ]
    }
}
