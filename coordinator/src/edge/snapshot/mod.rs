//! Snapshots: the whole ledger of one position in one plain file, for the day when the ledger's store is gone or wrong.
//!
//! A file is named after its position and the hash of its content. It is written beside the loop from a view of the ledger,
//! reaches the disk before it gets its name, and is read only where every byte of it is what was written.
//!
//! | part    | bytes                                                                                      |
//! |---------|--------------------------------------------------------------------------------------------|
//! | begin   | `LANDFALL`, format as u16, length of the head as u32, the head as MessagePack               |
//! | records | 1 for one held in memory or 2 for history, key length as u16, key, value length as u32, value |
//! | end     | 0, number of records as u64                                                                |
//! | trailer | BLAKE3 of all bytes before it, `LANDEND.`                                                  |
//!
//! Numbers are big-endian. Keys and values are the ledger's own, [`crate::core::record::Key`], without its checksums and lists.

mod fetch;
mod fill;
mod keeper;
mod name;
mod read;
mod serve;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::PathBuf;

use landfall_proto::envelope::{Epoch, Position};
use landfall_proto::id::{ClusterName, Holder};
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use fetch::{Fetched, fetch};
pub(super) use fill::fill;
pub(super) use keeper::Keeper;
pub(super) use name::{SnapshotName, list};
pub(super) use read::read;

use super::ledger::LedgerError;

/// Where the files lie in the state folder.
pub(super) const FOLDER: &str = "snapshots";

/// The format of the file; one with another number is refused, for what it lacks can be read from the log.
const FORMAT: u16 = 1;

const BEGIN: &[u8; 8] = b"LANDFALL";
const END: &[u8; 8] = b"LANDEND.";

/// Hash and end mark.
const TRAILER_BYTES: usize = 32 + END.len();

/// Format and length of the head.
const PREFIX_BYTES: usize = BEGIN.len() + 2 + 4;

/// Longest head that is read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What stands before a record.
const HELD: u8 = 1;
const HISTORY: u8 = 2;
/// What stands behind the last one.
const LAST: u8 = 0;

/// What a snapshot says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) cluster: ClusterName,
    /// Who wrote it.
    pub(super) holder: Holder,
    pub(super) written_at: Timestamp,
    /// The last position of the log that is in it.
    pub(super) cursor: Position,
    pub(super) epoch: Epoch,
    /// The build that wrote it.
    pub(super) version: String,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotRefusal {
    #[error("{path} cannot be read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is truncated")]
    Truncated { path: PathBuf },
    #[error("the content of {path} is not what its hash says")]
    Hash { path: PathBuf },
    #[error("{path} has format {found}, this build reads {FORMAT}")]
    Version { path: PathBuf, found: u16 },
    #[error("{path} belongs to the cluster {found}")]
    OtherCluster { path: PathBuf, found: ClusterName },
    #[error("{path} is no snapshot: {detail}")]
    Malformed { path: PathBuf, detail: String },
}

impl SnapshotRefusal {
    /// Stable name for logs.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Truncated { .. } => "truncated",
            Self::Hash { .. } => "hash",
            Self::Version { .. } => "version",
            Self::OtherCluster { .. } => "other_cluster",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// Why a snapshot was not written or not taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("{path} cannot be written")]
    Folder { path: PathBuf, source: io::Error },
    #[error("the ledger failed while a snapshot was written or taken over")]
    Ledger(#[from] LedgerError),
    #[error("the snapshot was refused")]
    Refused(#[from] SnapshotRefusal),
    #[error("another snapshot is being written")]
    Busy,
    #[error("it was given up, for the coordinator ends")]
    Stopped,
}
