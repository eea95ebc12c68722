//! What bad weather really did: a fault counts when it took effect, not when it was planned.

use std::collections::BTreeMap;

/// How often each kind of bad luck took effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    counts: BTreeMap<&'static str, u64>,
}

/// Every kind that thousands of seeds must have hit, and what it means that it was.
pub const EXPECTED: &[(&str, &str)] = &[
    ("agent-killed", "an agent's process ended at some moment"),
    ("agent-killed-before-intent", "an agent died with a start decided and not written down"),
    ("agent-killed-before-commit", "an agent died with something else decided and not written down"),
    ("agent-killed-after-commit", "an agent died with something written down and not done"),
    ("agent-killed-between-effects", "an agent died between two effects"),
    ("agent-killed-intent-written", "an agent died with an intent written and not durable"),
    ("agent-killed-after-intent", "an agent died with an intent on its disk and no tool started"),
    ("agent-killed-after-spawn", "an agent died right after it had started its tool"),
    ("agent-killed-while-tool-runs", "an agent died while its tool worked"),
    ("agent-killed-after-save", "an agent died with a snapshot saved and not read back"),
    ("agent-killed-before-receipt", "an agent died after its tool had ended, before the receipt"),
    ("agent-killed-receipt-written", "an agent died with a receipt written and not durable"),
    ("agent-killed-after-receipt", "an agent died after the receipt, before the fact"),
    ("agent-killed-after-publish", "an agent died with a fact published and unconfirmed"),
    ("agent-killed-after-ack", "an agent died right after a confirmation"),
    ("agent-stopped", "an agent was asked to stop"),
    ("agent-power-lost", "a node's machine lost power"),
    ("agent-disk-full", "a node's disk was full when it wanted to write"),
    ("outbox-at-cap", "an outbox at its cap let progress go"),
    ("agent-spool-lost", "an agent found its spool gone or broken"),
    ("agent-state-lost", "an agent found its whole state directory gone"),
    ("node-tired", "a node asked for rest"),
    ("node-rolled-back", "a node came back with an older disk"),
    ("node-duplicated", "two machines ran under one node id"),
    ("node-clock-stepped", "a node's clock jumped"),
    ("node-off-over-slots", "a node was off while slots passed"),
    ("plan-changed", "a plan's definition changed on a node"),
    ("tool-hung", "a tool stood still"),
    ("tool-failed", "a tool failed"),
    ("tool-lied", "a tool reported success and left nothing"),
    ("tool-partial", "a tool left only a part"),
    ("tool-slow", "a run took longer than the time between slots"),
    ("tool-failed-once", "a tool failed and worked when it was tried again"),
    ("tool-unread", "a tool could not read some files"),
    ("tool-crashed", "a tool died half-way"),
    ("tool-outlived", "a tool could live on when its agent died"),
    ("repository-unreachable", "a repository could not be reached"),
    ("repository-robbed", "a snapshot was removed behind everybody's back"),
    ("repository-locked", "a repository was locked by somebody else"),
    ("repository-full", "a repository had no room"),
    ("repository-rotten", "a repository's data rotted"),
    ("coordinator-killed", "a coordinator's process ended at some moment"),
    ("coordinator-killed-decided", "a coordinator died with a decision that had not left"),
    ("coordinator-killed-published", "a coordinator died between publishing and committing"),
    ("coordinator-killed-committed", "a coordinator died between committing and acting"),
    ("coordinator-killed-half-acted", "a coordinator died between two effects"),
    ("coordinator-killed-acted", "a coordinator died after its effects, before the barrier"),
    ("coordinator-killed-durable", "a coordinator died after the barrier, before nodes were told"),
    ("coordinator-power-lost", "a coordinator's machine lost transactions that were not durable"),
    ("coordinator-ledger-lost", "a coordinator began with an empty ledger"),
    ("ledger-full", "a coordinator's ledger had no room for what it had folded"),
    ("ledger-filled-from-peer", "a coordinator with an empty ledger began with a peer's snapshot"),
    ("coordinator-paused", "a coordinator stood still and went on"),
    ("leader-paused", "a leader stood still, and found another one when it went on"),
    ("leader-killed", "the leader died"),
    ("coordinators-all-gone", "no coordinator was there"),
    ("claims-competed", "two coordinators claimed the same term"),
    ("coordinator-clock-wrong", "a coordinator's clock jumped"),
    ("sink-failed", "a notice could not be delivered"),
    ("bus-killed", "the bus's process ended"),
    ("bus-tail-torn", "the log lost its last messages, and gave their sequences out again"),
    ("bus-wiped", "the log's store was lost"),
    ("log-recreated", "the log was deleted and made again while the bus ran"),
    ("log-doubted", "the log seemed to be lost, and was not"),
    ("bus-soft-full", "the log refused a fact, because it was full"),
    ("bus-hard-full", "the log answered nothing, because the disk was full"),
    ("bus-paused", "the bus stood still and went on with what it had been sent"),
    ("bus-gone-at-boot", "a process started while the bus was away"),
    ("bus-clock-stepped", "the bus's clock jumped"),
    ("ids-forgotten", "the bus forgot which ids it had seen"),
    ("ack-empty", "the bus confirmed a fact that it did not have"),
    ("ack-lost", "a confirmation was lost"),
    ("ack-late", "a confirmation came after nobody waited for it any more"),
    ("duplicate-in-log", "a fact stood in the log twice"),
    ("reordered", "messages overtook each other"),
    ("words-lost", "beats, beacons or synchronisations were lost"),
    ("words-doubled", "messages came twice"),
    ("cut-to-bus", "a client's messages did not reach the bus"),
    ("cut-from-bus", "the bus's messages did not reach a client"),
    ("cut", "a client was cut off"),
    ("cut-long", "a client was cut off until the bus gave it up"),
    ("request-late", "a command came after its asker had stopped waiting"),
    ("request-replayed", "an old command came again"),
    ("request-unsigned", "a command came that nobody signed"),
    ("kind-unknown", "a fact of an unknown kind stood in the log"),
    ("poison", "a message that cannot be read stood in the log"),
    ("fact-forged", "a fact stood on another node's subject"),
    ("result-after-deadline", "a result came after its round was concluded"),
    ("operator-started", "a person started a round"),
    ("operator-cancelled", "a person cancelled a run or a round"),
    ("clock-changed", "local time jumped between summer and winter"),
];

impl Hits {
    pub fn hit(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub fn add(&mut self, name: &'static str, count: u64) {
        debug_assert!(EXPECTED.iter().any(|(known, _)| *known == name), "{name} is not in the table");
        if count > 0 {
            *self.counts.entry(name).or_default() += count;
        }
    }

    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
    }

    /// What should have happened at least once and never did.
    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.iter().map(|(name, _)| *name).filter(|name| self.count(name) == 0).collect()
    }
}
