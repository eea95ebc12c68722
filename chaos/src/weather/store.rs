//! Surgery on a bus's store while the bus is down: a torn tail, as after a power failure, and nothing left at all.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Cuts a third off the newest block of the log, and leaves the server's own summary of it as it was; gives how many bytes went.
pub fn tear_tail(store: &Path) -> u64 {
    let block = newest_block(store);
    let length = fs::metadata(&block).map_or(0, |metadata| metadata.len());
    let left = length - length / 3;
    let file = fs::OpenOptions::new().write(true).open(&block);
    let file = file.unwrap_or_else(|error| panic!("{} can be opened: {error}", block.display()));
    file.set_len(left).unwrap_or_else(|error| panic!("{} can be cut: {error}", block.display()));
    length - left
}

/// As after the loss of the disk.
pub fn wipe(store: &Path) {
    fs::remove_dir_all(store).unwrap_or_else(|error| panic!("{} can be removed: {error}", store.display()));
}

/// The last block of messages: blocks are numbered.
fn newest_block(store: &Path) -> PathBuf {
    let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let blocks = WalkDir::new(store).into_iter().flatten().map(walkdir::DirEntry::into_path);
    let blocks = blocks.filter(|path| path.extension().is_some_and(|extension| extension == "blk"));
    let newest = blocks.max_by_key(|path| number(path));
    newest.unwrap_or_else(|| panic!("expected a block of messages below {}", store.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Place;

    #[test]
    fn the_newest_block_loses_a_third() {
        let place = Place::new("store");
        let folder = place.folder("store/msgs");
        for (name, bytes) in [("1.blk", 900), ("10.blk", 300), ("9.blk", 600), ("index.db", 50)] {
            fs::write(folder.join(name), vec![0; bytes]).unwrap();
        }
        assert_eq!(tear_tail(&place.path("store")), 100);
        assert_eq!(fs::metadata(folder.join("10.blk")).unwrap().len(), 200);
        assert_eq!(fs::metadata(folder.join("1.blk")).unwrap().len(), 900);
        wipe(&place.path("store"));
        assert!(!place.path("store").exists());
    }
}
