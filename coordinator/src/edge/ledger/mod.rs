//! The checkpoint of the fold: state and cursor in one transaction, read back at start, and read by pages afterwards.

mod memory;
mod open;
mod shadow;
mod sled;
#[cfg(test)]
pub(in crate::edge) mod tests;
mod writes;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use landfall_proto::codec::{Refusal, decode};
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::view::RoundView;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::key::{Index, listed_round_key};
use crate::core::record::{AlertRecord, Changes, Key, RECORD_BYTES_MAX, Records, RunTail};
use crate::core::round::Round;
use crate::core::run::Run;
use crate::view;

pub use memory::MemoryLedger;
pub use open::{FOLDER, Opened, lock, open, open_locked, put_aside};
pub use shadow::{Shadow, View};
pub use sled::SledLedger;
pub use writes::Before;
use writes::unseal;

/// What the coordinator needs of a store. Two keep to it, and one suite tests both.
pub trait Ledger: Before + Send + Sync {
    /// Everything that a mesh is built from again.
    fn load(&self) -> Result<Records, LedgerError>;

    /// Writes all changes, the cursor among them, or none. What follows a crash is some prefix of the commits, and at
    /// least those before the last [`Ledger::durable`].
    fn commit(&self, changes: &Changes) -> Result<(), LedgerError>;

    /// Writes records that come from elsewhere into a ledger that has none of them. Those in `history` are listed and not
    /// loaded.
    fn restore(&self, changes: &Changes, history: &BTreeSet<Key>) -> Result<(), LedgerError>;

    /// Returns when everything that was committed survives the end of the process and of the machine. Nobody is told that
    /// a fact is safe before that.
    fn durable(&self) -> Result<(), LedgerError>;

    /// Keys of the list that `prefix` begins, in order, from behind `after`; at most `max`.
    fn keys(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Vec<Vec<u8>>, LedgerError>;

    /// One record's bytes; `None` where there is none.
    fn record(&self, key: &Key) -> Result<Option<Vec<u8>>, LedgerError>;

    /// What keeps the values that a [`View`] still needs.
    fn shadow(&self) -> &Shadow;
}

/// Why the ledger cannot be used. It is only a checkpoint: whoever meets one of these opens it again or rebuilds it from the log.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the ledger's folder {path} cannot be used")]
    Folder { path: PathBuf, source: io::Error },
    #[error("another coordinator uses {path}")]
    InUse { path: PathBuf },
    #[error("the store failed")]
    Store(#[from] ::sled::Error),
    #[error("a record is damaged: {detail}")]
    Damaged { detail: String },
    #[error("a record cannot be read")]
    Unreadable(#[source] Refusal),
    #[error("the store's format is {found}, this build reads {wanted}")]
    Format { found: u8, wanted: u8 },
    #[error("the ledger changed too much while a view of it was read")]
    ViewLost,
}

impl LedgerError {
    /// Whether there was no room left on the disk. The store is whole, and goes on as it was once there is room again.
    pub fn is_full(&self) -> bool {
        let kind = match self {
            Self::Folder { source, .. } => source.kind(),
            Self::Store(::sled::Error::Io(error)) => error.kind(),
            Self::Store(_)
            | Self::InUse { .. }
            | Self::Damaged { .. }
            | Self::Unreadable(_)
            | Self::Format { .. }
            | Self::ViewLost => return false,
        };
        matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Records by their ids, for reading history.
impl dyn Ledger + '_ {
    pub fn run(&self, id: RunId) -> Result<Option<Run>, LedgerError> {
        self.read(&Key::Run(id))
    }

    pub fn round(&self, id: RoundId) -> Result<Option<Round>, LedgerError> {
        self.read(&Key::Round(id))
    }

    /// A round as lists show it, at a cost that does not grow with its nodes once it is concluded.
    pub fn listed_round(&self, id: RoundId) -> Result<Option<RoundView>, LedgerError> {
        match self.concluded(id)? {
            Some(listed) => Ok(Some(listed)),
            None => Ok(self.round(id)?.map(|round| view::round(&round))),
        }
    }

    /// What was written beside a concluded round; `None` where it was not, or in another form.
    pub(in crate::edge) fn concluded(&self, id: RoundId) -> Result<Option<RoundView>, LedgerError> {
        let Some(bytes) = unseal(self, &listed_round_key(id))? else { return Ok(None) };
        decode(&bytes, RECORD_BYTES_MAX).map(Some).map_err(LedgerError::Unreadable)
    }

    pub fn alert(&self, id: Uuid) -> Result<Option<AlertRecord>, LedgerError> {
        self.read(&Key::Alert(id))
    }

    pub fn tail(&self, id: RunId) -> Result<Option<RunTail>, LedgerError> {
        self.read(&Key::Tail(id))
    }

    /// What came with a ping.
    pub fn body(&self, ping: Uuid) -> Result<Option<String>, LedgerError> {
        self.read(&Key::Body(ping))
    }

    /// Entries of a list, in order, from behind the key `after`.
    pub fn list(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Vec<Index>, LedgerError> {
        let keys = self.keys(prefix, after, max)?;
        keys.iter()
            .map(|key| {
                Index::read(key).ok_or_else(|| LedgerError::Damaged { detail: "a list holds a foreign key".to_owned() })
            })
            .collect()
    }

    fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, LedgerError> {
        let Some(bytes) = self.record(key)? else { return Ok(None) };
        decode(&bytes, RECORD_BYTES_MAX).map(Some).map_err(LedgerError::Unreadable)
    }
}

/// Kinds of records that are held in memory whatever their age: meta, writers, parked facts, nodes, routines, limits, monitors, ping
/// keys, room.
const ALWAYS_HELD: [u8; 9] = *b"mwpnolhks";

/// Reads everything that is held in memory, through the two reading methods; both ledgers load this way.
fn load(ledger: &dyn Ledger) -> Result<Records, LedgerError> {
    let mut keys = held(ledger)?;
    for kind in ALWAYS_HELD {
        // Pieces of large records have keys of another kind, so each of these is a record's own.
        keys.extend(ledger.keys(&[kind], None, usize::MAX)?.iter().filter_map(|key| Key::parse(key)));
    }
    let mut loaded = Records::default();
    for key in keys {
        if let Some(bytes) = ledger.record(&key)? {
            loaded.read(key, &bytes).map_err(LedgerError::Unreadable)?;
        }
    }
    Ok(loaded)
}

fn held(ledger: &dyn Ledger) -> Result<Vec<Key>, LedgerError> {
    let mut keys = Vec::new();
    for list in Index::HELD {
        keys.extend(ledger.list(&[list], None, usize::MAX)?.iter().filter_map(Index::held));
    }
    Ok(keys)
}
