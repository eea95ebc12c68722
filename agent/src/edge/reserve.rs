//! A little space that is kept back, so that even on a full disk it can be written down that the disk is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Enough for many receipts and facts.
const RESERVE_BYTES: usize = 1 << 20;

/// The file that holds the space.
#[derive(Debug, Clone)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("reserve") }
    }

    /// Takes the space, unless it is held. An error means that a run's result could perhaps not be kept.
    pub(super) fn hold(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == RESERVE_BYTES as u64) {
            return Ok(());
        }
        let mut file = File::create(&self.path)?;
        // Not all zeros, which some file systems would not store.
        let written = file.write_all(&[0x5a; RESERVE_BYTES]).and_then(|()| file.sync_all());
        if written.is_err() {
            self.release();
        }
        written
    }

    /// Gives the space back for what must be written at this moment.
    pub(super) fn release(&self) {
        // Where there is none there is nothing to give back.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_held_given_back_and_held_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(folder.path());
        for _ in 0..2 {
            reserve.hold().unwrap();
            reserve.hold().unwrap();
            assert_eq!(fs::metadata(folder.path().join("reserve")).unwrap().len(), 1 << 20);
            reserve.release();
            assert!(!folder.path().join("reserve").exists());
        }
        assert!(Reserve::new(Path::new("/proc/nowhere")).hold().is_err());
    }
}
