//! Trees of files to protect, the same each time, and comparing what came back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

/// Writes `files` files of `bytes` bytes each in folders of ten; the content differs from file to file and does not compress.
pub fn tree(root: &Path, files: usize, bytes: usize) {
    for number in 0..files {
        let folder = root.join(format!("folder-{}", number / 10));
        fs::create_dir_all(&folder).expect("a source can be made");
        fs::write(folder.join(format!("file-{number}")), noise(number as u64, bytes)).expect("a source can be written");
    }
}

/// Bytes that follow from a seed alone.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// Every file below a folder with its content, by its path from there.
pub fn content(root: &Path) -> BTreeMap<String, Vec<u8>> {
    WalkDir::new(root)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(root).unwrap_or(entry.path()).display().to_string();
            (
                name,
                fs::read(entry.path())
                    .unwrap_or_else(|error| panic!("{} can be read: {error}", entry.path().display())),
            )
        })
        .collect()
}

/// Turns some bytes over in the middle of a file, as a dying disk does.
pub fn flip_bytes(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = fs::read(path).unwrap_or_else(|error| panic!("{} can be read: {error}", path.display()));
    let middle = bytes.len() / 2;
    for byte in bytes.iter_mut().skip(middle).take(16) {
        *byte ^= 0xff;
    }
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{} can be written: {error}", path.display()));
}

/// The largest file below a folder.
pub fn largest(root: &Path) -> std::path::PathBuf {
    let files = WalkDir::new(root).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let largest = files.max_by_key(|entry| entry.metadata().map_or(0, |metadata| metadata.len()));
    largest.unwrap_or_else(|| panic!("expected a file below {}", root.display())).into_path()
}
