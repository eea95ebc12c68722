//! The model bus: what JetStream was observed to do, and nothing that was not. Each knob says what was seen.

mod link;
mod log;

use std::rc::Rc;

use landfall_proto::envelope::ContentHash;
use landfall_proto::subject::Topic;
use landfall_proto::time::Timestamp;
use uuid::Uuid;

pub use link::{Direction, Link, Way, micros_after};
pub use log::{Log, Stored, Taken};

/// How the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Up,
    /// Stopped by a signal. Observed: every request times out, and what was sent meanwhile is stored when it goes on.
    Paused,
    /// The process is gone; every connection with it.
    Down,
}

/// How the server's store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sound,
    /// Observed at the store's own limit: 503/10023 for every publish, also after space is freed, until a restart.
    SoftFull,
    /// Observed with no space left on the disk: JetStream switches itself off; every publish and every question about the
    /// stream times out, also after space is freed, until a restart. Core messages still flow.
    HardFull,
}

/// What the stream says to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Done { seq: u64, duplicate: bool },
    Full,
    NoLog,
    Unknown,
}

/// What a reader finds when it looks at the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    State { created: Timestamp, first_seq: u64, last_seq: u64 },
    NoLog,
    Unknown,
}

/// The server with its one stream.
#[derive(Debug)]
pub struct Bus {
    pub standing: Standing,
    pub store: Store,
    /// Absent before a coordinator has made it, and after it was deleted.
    log: Option<Log>,
    /// A server without a copy answers for the log. Observed in a cluster of three where one comes back with an empty disk,
    /// for as long as the others have not chosen who leads: another log that ends at 0; a publish times out.
    pub is_unsure: bool,
    /// Everything that was ever taken, in the order of time.
    ever: Vec<Taken>,
    /// Lives of the log: each loss begins another one.
    era: u32,
    /// How far the server's clock is off, in milliseconds.
    pub skew_ms: i64,
    pub bytes: u64,
    /// So many facts are called known without standing anywhere.
    pub acks_to_empty: u32,
}

impl Bus {
    pub const fn new() -> Self {
        Self {
            standing: Standing::Up,
            store: Store::Sound,
            log: None,
            is_unsure: false,
            ever: Vec::new(),
            era: 0,
            skew_ms: 0,
            bytes: 0,
            acks_to_empty: 0,
        }
    }

    pub const fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    pub fn ever(&self) -> &[Taken] {
        &self.ever
    }

    /// Whether the server takes and answers anything.
    pub const fn is_up(&self) -> bool {
        matches!(self.standing, Standing::Up)
    }

    /// Makes the stream unless it is there. False where the server does not answer.
    pub fn ensure_log(&mut self, now: Timestamp) -> bool {
        if self.store == Store::HardFull || !self.is_up() {
            return false;
        }
        if self.log.is_none() {
            self.log = Some(Log::new(shifted(now, self.skew_ms)));
        }
        true
    }

    pub fn look(&self) -> Look {
        if self.is_unsure && self.is_up() && self.log.is_some() {
            return Look::State { created: Timestamp::UNIX_EPOCH, first_seq: 0, last_seq: 0 };
        }
        match (self.standing, self.store, &self.log) {
            (Standing::Up, Store::Sound | Store::SoftFull, Some(log)) => {
                Look::State { created: log.created, first_seq: log.first_seq(), last_seq: log.last_seq() }
            }
            (Standing::Up, Store::Sound | Store::SoftFull, None) => Look::NoLog,
            (Standing::Paused | Standing::Down, _, _) | (Standing::Up, Store::HardFull, _) => Look::Unknown,
        }
    }

    /// Observed: the check of the id comes before every other, so a duplicate is as good as done.
    pub fn publish(&mut self, now: Timestamp, topic: Topic, id: Option<Uuid>, payload: Rc<[u8]>) -> Told {
        if self.store == Store::HardFull || self.is_unsure {
            return Told::Unknown;
        }
        let at = shifted(now, self.skew_ms);
        let Some(log) = &mut self.log else { return Told::NoLog };
        if let Some(seq) = id.and_then(|id| log.known(id, at)) {
            return Told::Done { seq, duplicate: true };
        }
        if self.store == Store::SoftFull {
            return Told::Full;
        }
        // Observed on three servers that stood still and chose another leader: ids of proposals that were lost with the old
        // one are answered as duplicates of places that were never filled, and taken as new a moment later.
        if id.is_some() && self.acks_to_empty > 0 {
            self.acks_to_empty -= 1;
            return Told::Done { seq: log.last_seq() + 1, duplicate: true };
        }
        let hash = hash(&payload);
        self.bytes += payload.len() as u64;
        let stored = Stored { seq: 0, at, topic, payload, hash, ever: self.ever.len() };
        let seq = log.append(at, id, stored.clone());
        self.ever.push(Taken { stored: Stored { seq, ..stored }, era: self.era, is_there: true, was_held: None });
        Told::Done { seq, duplicate: false }
    }

    /// Whether the payload stands in the log at this moment.
    pub fn holds(&self, hash: ContentHash) -> bool {
        self.log.as_ref().is_some_and(|log| log.entries().any(|stored| stored.hash == hash))
    }

    /// Observed: see [`Log::forget_ids`].
    pub fn forget_ids(&mut self) -> usize {
        self.log.as_mut().map_or(0, Log::forget_ids)
    }

    /// Observed after a power loss with lazy writing, and by cutting the last block file: see [`Log::tear`].
    pub fn tear(&mut self, messages: usize) -> usize {
        let Some(log) = &mut self.log else { return 0 };
        let lost = log.tear(messages);
        for stored in &lost {
            self.ever[stored.ever].is_there = false;
        }
        self.era += u32::from(!lost.is_empty());
        lost.len()
    }

    /// Everything that streams have lost.
    pub fn lost(&mut self) -> impl Iterator<Item = &mut Taken> {
        self.ever.iter_mut().filter(|taken| !taken.is_there)
    }

    /// The stream is gone: deleted by hand, or with the whole store. Another one will have another `created`.
    pub fn wipe(&mut self) -> usize {
        let Some(log) = self.log.take() else { return 0 };
        for stored in log.entries() {
            self.ever[stored.ever].is_there = false;
        }
        self.era += 1;
        log.len()
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

/// What tells a message at a position from another one at the same position: the same as the reader's own.
fn hash(payload: &[u8]) -> ContentHash {
    let mut hash = [0; 16];
    blake3::Hasher::new().update(payload).finalize_xof().fill(&mut hash);
    ContentHash(hash)
}

/// The instant that a clock shows which is off by so many milliseconds.
pub fn shifted(at: Timestamp, ms: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}
