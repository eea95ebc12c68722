//! Small files that a person can read and that are believed only whole: written beside, renamed into place, with their hash.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::store::sync_directory;

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    #[serde(flatten)]
    content: T,
    /// BLAKE3 of the content as compact JSON.
    hash: String,
}

/// Writes the content with its hash. On disk when this returns, and at no moment half there.
pub(crate) fn write<T: Serialize>(directory: &Path, name: &str, content: &T) -> io::Result<()> {
    let sealed = Sealed { hash: hash(content)?, content };
    write_whole(directory, name, &serde_json::to_vec_pretty(&sealed)?)
}

/// The content of a file's bytes; `None` where the hash does not fit.
pub(crate) fn open<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let sealed: Sealed<T> = serde_json::from_slice(bytes).ok()?;
    hash(&sealed.content).is_ok_and(|hash| hash == sealed.hash).then_some(sealed.content)
}

/// Writes a whole file. On disk when this returns, and at no moment half there.
pub(super) fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(directory.join(name)).map_err(|error| error.error)?;
    sync_directory(directory)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn hash<T: Serialize>(content: &T) -> io::Result<String> {
    Ok(blake3::hash(&serde_json::to_vec(content)?).to_hex()[..32].to_owned())
}
