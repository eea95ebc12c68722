//! Writing a snapshot file from a view of the ledger: everything reaches the disk before the file gets its name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use landfall_proto::codec::{decode, encode};
use landfall_proto::id::{ClusterName, Holder};
use landfall_proto::time::Timestamp;

use super::name::{SnapshotName, list};
use super::{BEGIN, END, FORMAT, HELD, HISTORY, Head, LAST, SnapshotError};
use crate::core::record::{Key, Meta, RECORD_BYTES_MAX};
use crate::edge::key::Index;
use crate::edge::ledger::{LedgerError, View};

/// Snapshots that are kept: should the newest turn out to be unreadable, an older one and more of the log do.
const KEPT: usize = 3;

/// Keys that are asked of the ledger at once.
const PAGE: usize = 512;

/// A file that has no name yet. There is one at a time, and what a crash left is overwritten.
const UNFINISHED: &str = "unfinished";

/// Letters of all records, in the order of the file: a round stands before its runs.
const LETTERS: [u8; 14] = *b"abhklmnoprstuw";

/// For whom a snapshot is written.
#[derive(Debug, Clone)]
pub(super) struct Scribe {
    pub(super) folder: PathBuf,
    pub(super) cluster: ClusterName,
    pub(super) holder: Holder,
}

impl Scribe {
    /// Writes the view into a file, and removes all but the newest ones. `stop` ends it early.
    pub(super) fn write(
        &self,
        view: &View,
        now: Timestamp,
        stop: &AtomicBool,
    ) -> Result<Option<SnapshotName>, SnapshotError> {
        let Some(meta) = view.record(&Key::Meta)? else { return Ok(None) };
        let meta: Meta = decode(&meta, RECORD_BYTES_MAX).map_err(LedgerError::Unreadable)?;
        let head = Head {
            cluster: self.cluster.clone(),
            holder: self.holder.clone(),
            written_at: now,
            cursor: meta.cursor,
            epoch: meta.epoch,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let path = self.folder.join(UNFINISHED);
        let written = self.write_unfinished(&path, &head, view, stop);
        if written.is_err() {
            // A half file helps nobody, and its room may be what is missing.
            let _ = fs::remove_file(&path);
        }
        let name = SnapshotName::new(meta.cursor, &written?);
        publish(&self.folder, &path, name)?;
        Ok(Some(name))
    }

    fn write_unfinished(
        &self,
        path: &Path,
        head: &Head,
        view: &View,
        stop: &AtomicBool,
    ) -> Result<blake3::Hash, SnapshotError> {
        let wrong = |source| SnapshotError::Folder { path: path.to_owned(), source };
        fs::create_dir_all(&self.folder).map_err(wrong)?;
        let mut out =
            Hashed { file: BufWriter::new(File::create(path).map_err(wrong)?), hasher: blake3::Hasher::new() };
        let head = encode(head);
        out.put(&[BEGIN, &FORMAT.to_be_bytes(), &length(&head).to_be_bytes(), &head]).map_err(wrong)?;
        let held = held(view)?;
        let mut records = 0_u64;
        for letter in LETTERS {
            let mut after: Option<Vec<u8>> = None;
            loop {
                if stop.load(Ordering::Relaxed) {
                    return Err(SnapshotError::Stopped);
                }
                let page = view.page(&[letter], after.as_deref(), PAGE)?;
                for bytes in page.keys {
                    let Some(key) = Key::parse(&bytes) else { continue };
                    let Some(value) = view.record(&key)? else { continue };
                    let kind = if is_history(&key, &held) { HISTORY } else { HELD };
                    // Keys are names and ids, a hundred bytes at most.
                    let key_length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                    out.put(&[&[kind], &key_length.to_be_bytes(), &bytes, &length(&value).to_be_bytes(), &value])
                        .map_err(wrong)?;
                    records += 1;
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        out.put(&[&[LAST], &records.to_be_bytes()]).map_err(wrong)?;
        out.end().map_err(wrong)
    }
}

/// Gives a finished file its name, for good, and removes the oldest ones.
pub(super) fn publish(folder: &Path, unfinished: &Path, name: SnapshotName) -> Result<(), SnapshotError> {
    let wrong = |source| SnapshotError::Folder { path: folder.to_owned(), source };
    fs::rename(unfinished, folder.join(name.to_string())).map_err(wrong)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
    // The new one stays even where others claim later positions: those may be of a state that was given up.
    let names: Vec<SnapshotName> = list(folder).map_err(wrong)?.into_iter().filter(|other| *other != name).collect();
    for old in names.iter().take((names.len() + 1).saturating_sub(KEPT)) {
        fs::remove_file(folder.join(old.to_string())).map_err(wrong)?;
    }
    Ok(())
}

/// Keys of the rounds, runs and alerts that are held in memory.
fn held(view: &View) -> Result<BTreeSet<Key>, LedgerError> {
    let mut held = BTreeSet::new();
    for list in Index::HELD {
        let page = view.page(&[list], None, usize::MAX)?;
        held.extend(page.keys.iter().filter_map(|key| Index::read(key)?.held()));
    }
    Ok(held)
}

fn is_history(key: &Key, held: &BTreeSet<Key>) -> bool {
    match key {
        Key::Round(_) | Key::Run(_) | Key::Alert(_) => !held.contains(key),
        Key::Meta
        | Key::Writer(_)
        | Key::Parked(..)
        | Key::Node(_)
        | Key::Routine(_)
        | Key::Limit(_)
        | Key::Tail(_)
        | Key::Monitor(_)
        | Key::PingKey(_)
        | Key::Body(_)
        | Key::Space(_) => false,
    }
}

/// A record is at most 15 MiB.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// A file that knows the hash of what was put into it.
struct Hashed {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Hashed {
    fn put(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.hasher.update(part);
            self.file.write_all(part)?;
        }
        Ok(())
    }

    /// Writes the trailer and waits for the disk.
    fn end(mut self) -> io::Result<blake3::Hash> {
        let hash = self.hasher.finalize();
        self.file.write_all(hash.as_bytes())?;
        self.file.write_all(END)?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(hash)
    }
}
