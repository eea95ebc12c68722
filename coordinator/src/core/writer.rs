//! The identity of facts: each writer's facts are applied once, in order and without holes.

use std::collections::{BTreeMap, VecDeque};

use landfall_proto::envelope::{ContentHash, Envelope};
use landfall_proto::id::Incarnation;
use serde::{Deserialize, Serialize};

use super::step::Logged;

/// Facts of one writer that wait behind a hole. More are not kept: the writer still has them and sends them again.
pub const PARKED_MAX: usize = 1000;

/// Hashes that are kept to tell a repeated fact from another fact under the same identity.
pub const HASHES_MAX: usize = 128;

/// A writer's name and the life of its journal.
pub type WriterKey = (String, Incarnation);

/// One life of one writer's journal, as the ledger keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Writer {
    /// Every fact below this is folded.
    pub next_seq: u64,
    /// First halves of the content hashes of the last folded facts, oldest first.
    pub hashes: VecDeque<u64>,
    /// Identities that came again with other content.
    pub conflicts: u64,
    /// Facts behind a hole; records of their own.
    #[serde(skip)]
    pub parked: BTreeMap<u64, Logged>,
}

/// What to do with a message that came from the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Fold it, then look whether parked facts follow.
    Next,
    /// Folded or parked before.
    Duplicate,
    /// Put aside until the hole before it is filled.
    Parked,
    /// Behind a hole, and no room to put it aside.
    Dropped,
    /// Another content under a known identity.
    Conflict,
}

impl Writer {
    /// Says what to do with a fact; `Next` counts it as folded, `Parked` keeps a copy.
    pub(super) fn admit(&mut self, message: &Logged) -> Admission {
        let seq = message.envelope.seq;
        if seq > self.next_seq {
            return self.park(message);
        }
        let hash = half(message.envelope.content_hash());
        if seq == self.next_seq {
            self.next_seq += 1;
            self.hashes.push_back(hash);
            if self.hashes.len() > HASHES_MAX {
                self.hashes.pop_front();
            }
            return Admission::Next;
        }
        // An identity that is too old to be compared counts as a repeat; beats show a journal that fell behind.
        let back = usize::try_from(self.next_seq - seq).unwrap_or(usize::MAX);
        match self.hashes.len().checked_sub(back).map(|index| self.hashes[index]) {
            Some(known) if known != hash => {
                self.conflicts += 1;
                Admission::Conflict
            }
            Some(_) | None => Admission::Duplicate,
        }
    }

    fn park(&mut self, message: &Logged) -> Admission {
        let seq = message.envelope.seq;
        if let Some(known) = self.parked.get(&seq) {
            let same = known.envelope.content_hash() == message.envelope.content_hash();
            self.conflicts += u64::from(!same);
            return if same { Admission::Duplicate } else { Admission::Conflict };
        }
        if self.parked.len() >= PARKED_MAX {
            return Admission::Dropped;
        }
        self.parked.insert(seq, message.clone());
        Admission::Parked
    }

    /// The parked fact that has become the next one.
    pub(super) fn unpark(&mut self) -> Option<Logged> {
        let first = self.parked.first_entry()?;
        if *first.key() == self.next_seq { Some(first.remove()) } else { None }
    }

    /// What is remembered of the last facts below `seq`, at most so many, oldest first.
    pub(super) fn halves_below(&self, seq: u64, max: usize) -> Vec<u64> {
        let above = usize::try_from(self.next_seq.saturating_sub(seq)).unwrap_or(usize::MAX);
        let end = self.hashes.len().saturating_sub(above);
        self.hashes.range(end.saturating_sub(max)..end).copied().collect()
    }

    /// Where a writer should begin to send again.
    pub fn hole(&self) -> Option<u64> {
        (!self.parked.is_empty()).then_some(self.next_seq)
    }
}

/// The writer of a message.
pub(super) fn key_of(envelope: &Envelope) -> WriterKey {
    (envelope.writer.clone(), envelope.incarnation)
}

fn half(hash: ContentHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
