//! Lives of the log: a bus that lost its tail or its disk begins a new era, and everything is read again under it.

use landfall_proto::envelope::{ContentHash, Position};
use landfall_proto::fact::coordinator::{LeaderClaimed, LogBirth};
use landfall_proto::id::Holder;
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::agenda::Matter;
use super::mesh::Mesh;
use super::sight::Eyes;

/// What was known of a log that is gone, until somebody has claimed the era after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    #[serde(default)]
    pub lost_from: Option<u64>,
    /// The last sequence that was folded of it.
    pub folded_to: u64,
    pub known_to: u64,
    #[serde(default)]
    pub folded_at: Option<Timestamp>,
    pub noticed_at: Timestamp,
}

/// The beginning of the present era, as it was claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraBegun {
    pub era: u32,
    pub log: LogBirth,
    /// Whose state is the state: everybody else's has to agree with it.
    pub by: Holder,
}

impl Mesh {
    /// The log is another one, or has lost its tail. It is read again from its start: identities make every repeat harmless.
    /// Until somebody claims the era, its number is provisional.
    pub(super) fn log_replaced(&mut self, lost_from: Option<u64>, now: Timestamp) {
        let before = self.meta.cursor;
        // What was lost is measured by the log that was read last in an era of its own.
        if self.meta.loss.is_none() && before.era == self.meta.epoch.era {
            let known_to = self.process.eyes.log.map_or(before.seq, |log| log.last_seq.max(before.seq));
            let folded_at = self.meta.folded_at;
            self.meta.loss = Some(Loss { lost_from, folded_to: before.seq, known_to, folded_at, noticed_at: now });
        }
        self.meta.cursor = Position { era: self.meta.epoch.era + 1, seq: 0, hash: ContentHash([0; 16]) };
        self.touched.meta = true;
        self.process.eyes = Eyes::default();
        self.process.digests.clear();
    }

    /// Whether the log that is read is another one than the present era is about.
    pub const fn owes_an_era(&self) -> bool {
        self.meta.cursor.era > self.meta.epoch.era
    }

    /// What a claim of the next era says; `None` where none is owed.
    pub(super) fn birth_of_the_log(&self, now: Timestamp) -> Option<LogBirth> {
        let created = self.process.eyes.log.filter(|_| self.owes_an_era())?.created;
        Some(match &self.meta.loss {
            Some(Loss { lost_from, folded_to, known_to, folded_at, noticed_at }) => LogBirth {
                created,
                lost_from: *lost_from,
                folded_to: *folded_to,
                known_to: *known_to,
                folded_at: *folded_at,
                noticed_at: *noticed_at,
            },
            None => unknown(created, now),
        })
    }

    /// The same where nothing is known of what was before; `None` while the log is out of sight.
    pub(super) fn unknown_birth(&self, now: Timestamp) -> Option<LogBirth> {
        self.process.eyes.log.map(|log| unknown(log.created, now))
    }

    /// Takes in an accepted claim. Positions carry the claimed era from here on, also where nobody noticed here that the log
    /// is another one.
    pub(super) fn era_begun(&mut self, claim: &LeaderClaimed) {
        if let Some(log) = claim.log.clone() {
            let era = claim.epoch.era;
            self.meta.era = Some(EraBegun { era, log, by: claim.holder.clone() });
            self.meta.loss = None;
            self.meta.cursor.era = era;
            self.process.digests.clear();
            self.agenda.mark(Matter::Mesh);
        }
    }
}

const fn unknown(created: Timestamp, noticed_at: Timestamp) -> LogBirth {
    LogBirth { created, lost_from: None, folded_to: 0, known_to: 0, folded_at: None, noticed_at }
}
