//! The tree that is backed up: the same bytes each time, many small files and few large ones, half of them compressible.

use std::fs;
use std::io;
use std::path::Path;

use crate::live::source::noise;

/// Sizes of eight files in a row, in hundredths of the mean; they add up to 800.
const SIZES: [u64; 8] = [2, 5, 10, 20, 40, 80, 160, 483];

/// Files in one folder.
const FOLDER_FILES: u64 = 50;

/// Folders in one folder.
const FOLDER_FOLDERS: u64 = 20;

const WORDS: [&str; 16] = [
    "anchor", "harbour", "lantern", "rope", "tide", "signal", "keel", "north", "ledger", "salt", "mast", "pilot",
    "gull", "storm", "chart", "shore",
];

/// Writes `files` files of `bytes` bytes in all below `root`.
pub(super) fn write(root: &Path, files: u64, bytes: u64) -> io::Result<()> {
    for number in 0..files {
        let folder = number / FOLDER_FILES;
        let folder = root.join(format!("part-{}", folder / FOLDER_FOLDERS)).join(format!("folder-{folder}"));
        if number % FOLDER_FILES == 0 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("file-{number}")), content(number, size(number, files, bytes)))?;
    }
    Ok(())
}

fn size(number: u64, files: u64, bytes: u64) -> usize {
    let mean = bytes / files.max(1);
    let place = usize::try_from(number % SIZES.len() as u64).unwrap_or_default();
    usize::try_from(mean * SIZES[place] / 100).unwrap_or(usize::MAX)
}

/// Every second group of eight is text, the others are noise; no two files are alike.
fn content(number: u64, bytes: usize) -> Vec<u8> {
    let seed = number.wrapping_add(0x5eed);
    if (number / SIZES.len() as u64).is_multiple_of(2) {
        return noise(seed, bytes);
    }
    let mut text = Vec::with_capacity(bytes + 16);
    let mut choices = noise(seed, bytes / 4 + 1).into_iter().cycle();
    while text.len() < bytes {
        let choice = usize::from(choices.next().unwrap_or_default());
        text.extend_from_slice(WORDS[choice % WORDS.len()].as_bytes());
        text.push(if choice % 11 == 0 { b'\n' } else { b' ' });
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_tree_is_the_same_each_time_and_as_large_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            write(&folder.path().join(name), 200, 400_000).unwrap();
        }
        let one = crate::live::source::content(&folder.path().join("one"));
        assert_eq!(one, crate::live::source::content(&folder.path().join("two")));
        assert_eq!(one.len(), 200);
        let bytes: usize = one.values().map(Vec::len).sum();
        assert!((390_000..=400_000).contains(&bytes), "{bytes}");
        assert_eq!(one.values().collect::<BTreeSet<_>>().len(), 200, "no two files are alike");
    }
}
