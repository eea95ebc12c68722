//! The model of the log's stream: sequences, a window of known ids, and everything that a stream was seen to lose.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use landfall_proto::envelope::ContentHash;
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after};
use uuid::Uuid;

/// How long the stream recognises a repeated id: what the bus's own set-up asks for.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);

/// One message that stands in the stream.
#[derive(Debug, Clone)]
pub struct Stored {
    pub seq: u64,
    /// By the bus's clock.
    pub at: Timestamp,
    pub topic: Topic,
    pub payload: Rc<[u8]>,
    pub hash: ContentHash,
    /// Index into everything that any stream ever took.
    pub(super) ever: usize,
}

/// One message that some life of the stream took, and whether it still stands there.
#[derive(Debug, Clone)]
pub struct Taken {
    pub stored: Stored,
    /// Which life of the log took it, counted from 0: every loss begins another one.
    pub era: u32,
    pub is_there: bool,
    /// For a message that was lost: whether some ledger had held it durably by then.
    pub was_held: Option<bool>,
}

/// One stream, from its making to its loss.
#[derive(Debug)]
pub struct Log {
    pub created: Timestamp,
    entries: VecDeque<Stored>,
    last_seq: u64,
    known: BTreeMap<Uuid, (u64, Timestamp)>,
}

impl Log {
    pub(super) const fn new(created: Timestamp) -> Self {
        Self { created, entries: VecDeque::new(), last_seq: 0, known: BTreeMap::new() }
    }

    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub fn first_seq(&self) -> u64 {
        self.entries.front().map_or(0, |first| first.seq)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|stored| stored.payload.len() as u64).sum()
    }

    /// The sequence under which the id is known, as long as the window reaches back to it.
    ///
    /// Observed: a repeated id within the window is answered with the first sequence and `duplicate: true`; after the
    /// window it is taken as new.
    pub(super) fn known(&self, id: Uuid, now: Timestamp) -> Option<u64> {
        self.known.get(&id).filter(|(_, at)| after(*at, DUPLICATE_WINDOW) > now).map(|(seq, _)| *seq)
    }

    pub(super) fn append(&mut self, now: Timestamp, id: Option<Uuid>, mut stored: Stored) -> u64 {
        self.last_seq += 1;
        stored.seq = self.last_seq;
        self.entries.push_back(stored);
        if let Some(id) = id {
            self.known.insert(id, (self.last_seq, now));
        }
        self.last_seq
    }

    /// Observed: the window is forgotten by a purge with a restart, and wherever the tail that it is rebuilt from is lost.
    pub(super) fn forget_ids(&mut self) -> usize {
        let count = self.known.len();
        self.known.clear();
        count
    }

    /// Takes the last messages away. Observed: the next message gets a sequence that was given before, `created` stays,
    /// and a lost id is taken as new.
    pub(super) fn tear(&mut self, messages: usize) -> Vec<Stored> {
        let keep = self.entries.len().saturating_sub(messages);
        let lost: Vec<Stored> = self.entries.drain(keep..).collect();
        self.last_seq = self.entries.back().map_or_else(|| self.last_seq - lost.len() as u64, |last| last.seq);
        let last_seq = self.last_seq;
        self.known.retain(|_, (seq, _)| *seq <= last_seq);
        lost
    }

    /// At most `max` messages behind `after`, in order.
    pub fn read(&self, after: u64, max: usize) -> Vec<Stored> {
        let from = self.entries.partition_point(|stored| stored.seq <= after);
        self.entries.iter().skip(from).take(max).cloned().collect()
    }

    /// What stands at this place.
    pub fn at(&self, seq: u64) -> Option<ContentHash> {
        let index = self.entries.partition_point(|stored| stored.seq < seq);
        self.entries.get(index).filter(|stored| stored.seq == seq).map(|stored| stored.hash)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Stored> {
        self.entries.iter()
    }
}
