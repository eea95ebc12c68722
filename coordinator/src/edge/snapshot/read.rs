//! Reading a snapshot file: the whole of it is checked against its hash before one record of it is believed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use landfall_proto::codec::decode;
use landfall_proto::id::ClusterName;

use super::name::SnapshotName;
use super::{
    BEGIN, END, FORMAT, HEAD_BYTES_MAX, HELD, HISTORY, Head, LAST, PREFIX_BYTES, SnapshotRefusal, TRAILER_BYTES,
};
use crate::core::record::RECORD_BYTES_MAX;

/// Bytes that are hashed at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A file whose content is what its writer wrote.
#[derive(Debug)]
pub(in crate::edge) struct Sound {
    path: PathBuf,
    pub(in crate::edge) name: SnapshotName,
    pub(in crate::edge) head: Head,
    /// Where the records begin in the file.
    begins_at: u64,
}

/// One record of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edge) struct Entry {
    /// Whether it is held in memory, where its kind is not always held.
    pub(in crate::edge) is_held: bool,
    pub(in crate::edge) key: Vec<u8>,
    pub(in crate::edge) value: Vec<u8>,
}

/// Checks the file called `name`, whatever `path` it lies under.
pub(in crate::edge) fn read(path: &Path, name: SnapshotName, cluster: &ClusterName) -> Result<Sound, SnapshotRefusal> {
    let unreadable = |source| SnapshotRefusal::Unreadable { path: path.to_owned(), source };
    let malformed = |detail: &str| SnapshotRefusal::Malformed { path: path.to_owned(), detail: detail.to_owned() };
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let Some(content_bytes) =
        usize::try_from(length).ok().and_then(|length| length.checked_sub(TRAILER_BYTES)).map(|bytes| bytes as u64)
    else {
        return Err(SnapshotRefusal::Truncated { path: path.to_owned() });
    };
    let hash = hash(&mut file, content_bytes).map_err(unreadable)?;
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact(&mut trailer).map_err(unreadable)?;
    if !trailer.ends_with(END) {
        return Err(SnapshotRefusal::Truncated { path: path.to_owned() });
    }
    if trailer[..32] != *hash.as_bytes() || !name.fits(&hash) {
        return Err(SnapshotRefusal::Hash { path: path.to_owned() });
    }
    file.rewind().map_err(unreadable)?;
    let mut prefix = [0; PREFIX_BYTES];
    file.read_exact(&mut prefix).map_err(|_| malformed("it is too short"))?;
    let (begin, rest) = prefix.split_at(BEGIN.len());
    if begin != BEGIN {
        return Err(malformed("it begins with something else"));
    }
    let format = u16::from_be_bytes([rest[0], rest[1]]);
    if format != FORMAT {
        return Err(SnapshotRefusal::Version { path: path.to_owned(), found: format });
    }
    let head_bytes = u32::from_be_bytes([rest[2], rest[3], rest[4], rest[5]]);
    let mut head = vec![0; (head_bytes as usize).min(HEAD_BYTES_MAX + 1)];
    file.read_exact(&mut head).map_err(|_| malformed("its head is too short"))?;
    let head: Head = decode(&head, HEAD_BYTES_MAX).map_err(|refusal| malformed(&refusal.to_string()))?;
    if head.cluster != *cluster {
        return Err(SnapshotRefusal::OtherCluster { path: path.to_owned(), found: head.cluster });
    }
    if (head.cursor.era, head.cursor.seq) != (name.era, name.seq) {
        return Err(malformed("its name says another position than its head"));
    }
    let begins_at = PREFIX_BYTES as u64 + u64::from(head_bytes);
    Ok(Sound { path: path.to_owned(), name, head, begins_at })
}

fn hash(file: &mut File, mut left: u64) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        let wanted = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut chunk[..wanted])?;
        hasher.update(&chunk[..wanted]);
        left -= wanted as u64;
    }
    Ok(hasher.finalize())
}

impl Sound {
    /// Its records, in the order in which they were written.
    pub(in crate::edge) fn records(&self) -> Result<Records<'_>, SnapshotRefusal> {
        let unreadable = |source| SnapshotRefusal::Unreadable { path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(self.begins_at)).map_err(unreadable)?;
        Ok(Records { path: &self.path, file: BufReader::new(file), count: 0, is_over: false })
    }
}

/// Reads record after record.
#[derive(Debug)]
pub(in crate::edge) struct Records<'a> {
    path: &'a Path,
    file: BufReader<File>,
    count: u64,
    is_over: bool,
}

impl Records<'_> {
    fn entry(&mut self) -> Result<Option<Entry>, String> {
        let [kind] = self.bytes()?;
        if kind == LAST {
            let count = u64::from_be_bytes(self.bytes()?);
            let fits = count == self.count;
            return if fits { Ok(None) } else { Err(format!("it has {} records and says {count}", self.count)) };
        }
        if !matches!(kind, HELD | HISTORY) {
            return Err(format!("a record of an unknown kind, {kind}"));
        }
        let key_bytes = u16::from_be_bytes(self.bytes()?);
        let key = self.take(usize::from(key_bytes))?;
        let value_bytes = u32::from_be_bytes(self.bytes()?) as usize;
        if value_bytes > RECORD_BYTES_MAX {
            return Err(format!("a record of {value_bytes} bytes"));
        }
        let value = self.take(value_bytes)?;
        self.count += 1;
        Ok(Some(Entry { is_held: kind == HELD, key, value }))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Entry, SnapshotRefusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let entry = self.entry();
        self.is_over = !matches!(entry, Ok(Some(_)));
        entry.map_err(|detail| SnapshotRefusal::Malformed { path: self.path.to_owned(), detail }).transpose()
    }
}
