//! The names of snapshot files: position and hash, so that the newest is found and a wrong content is known without opening it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use landfall_proto::envelope::Position;

/// What every name ends in.
const SUFFIX: &str = ".landfall";

/// A snapshot's name. In order of their positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::edge) struct SnapshotName {
    pub(in crate::edge) era: u32,
    pub(in crate::edge) seq: u64,
    /// First half of the hash of the content.
    pub(in crate::edge) hash: [u8; 16],
}

impl SnapshotName {
    pub(super) fn new(cursor: Position, hash: &blake3::Hash) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&hash.as_bytes()[..16]);
        Self { era: cursor.era, seq: cursor.seq, hash: half }
    }

    pub(super) fn fits(&self, hash: &blake3::Hash) -> bool {
        hash.as_bytes().starts_with(&self.hash)
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-", self.era, self.seq)?;
        self.hash.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
        formatter.write_str(SUFFIX)
    }
}

/// A text that names no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no snapshot's name")]
pub(in crate::edge) struct NoName;

impl FromStr for SnapshotName {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let parts: Vec<&str> = text.strip_suffix(SUFFIX).ok_or(NoName)?.split('-').collect();
        let [era, seq, digits] = parts[..] else { return Err(NoName) };
        let mut hash = [0; 16];
        if digits.len() != 2 * hash.len() || !digits.is_ascii() {
            return Err(NoName);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoName)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoName)?;
        }
        let name = Self { era: era.parse().map_err(|_| NoName)?, seq: seq.parse().map_err(|_| NoName)?, hash };
        // One file has one name, and a name that a peer gave is a plain name: no sign, no second spelling.
        if name.to_string() == text { Ok(name) } else { Err(NoName) }
    }
}

/// All snapshots in a folder, oldest first; none where there is no folder.
pub(in crate::edge) fn list(folder: &Path) -> io::Result<Vec<SnapshotName>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().to_str().and_then(|name| name.parse::<SnapshotName>().ok()));
    }
    names.sort();
    Ok(names)
}
