//! The fence in a plain file beside the journal: a journal that breaks must not let an older leader be obeyed again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sealed;
use crate::core::{Change, Fence};

const NAME: &str = "fence.json";

/// The file that holds the highest epoch obeyed and its holder.
#[derive(Debug, Clone)]
pub(super) struct FenceFile {
    state_dir: PathBuf,
}

/// Why the file says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FenceError {
    #[error("the fence {path} is damaged and is not believed; it is written anew when the next leader is obeyed")]
    Damaged { path: PathBuf },
    #[error("the fence {path} cannot be read; make it readable for the agent's user")]
    Unreadable { path: PathBuf, source: io::Error },
}

impl FenceFile {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.state_dir.join(NAME)
    }

    /// What the file says; the lowest fence where there is no file.
    pub(super) fn read(&self) -> Result<Fence, FenceError> {
        match fs::read(self.path()) {
            Ok(bytes) => sealed::open(&bytes).ok_or_else(|| FenceError::Damaged { path: self.path() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Fence::default()),
            Err(source) => Err(FenceError::Unreadable { path: self.path(), source }),
        }
    }

    /// On disk when this returns.
    pub(super) fn write(&self, fence: &Fence) -> io::Result<()> {
        sealed::write(&self.state_dir, NAME, fence)
    }

    /// Writes the fence that is among these changes, if one is.
    pub(super) fn keep(&self, changes: &[Change]) -> io::Result<()> {
        let fence = changes.iter().rev().find_map(|change| match change {
            Change::Fence(fence) => Some(fence),
            Change::Routine(..) | Change::Run(..) | Change::Forget(_) | Change::Repository(..) => None,
        });
        fence.map_or(Ok(()), |fence| self.write(fence))
    }

    /// The higher one of the journal's fence and the file's. A file that is broken or behind is brought up to the journal;
    /// where the journal begins anew there is nothing better than the file, so it is left as it lies.
    pub(super) fn joined(&self, journal: Fence) -> Fence {
        let kept = self.read();
        if let Err(error) = &kept {
            tracing::error!("{}", super::shell::chain(error));
        }
        let joined = journal.clone().or_higher(kept.as_ref().ok().cloned().unwrap_or_default());
        if journal.holder.is_some()
            && kept.ok().as_ref() != Some(&joined)
            && let Err(error) = self.write(&joined)
        {
            tracing::warn!("the fence {} cannot be written: {error}", self.path().display());
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::envelope::Epoch;

    use super::*;

    fn fence(term: u64) -> Fence {
        Fence { epoch: Epoch { era: 0, term }, holder: Some("main".parse().unwrap()) }
    }

    #[test]
    fn a_journal_that_begins_anew_takes_the_fence_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = FenceFile::new(folder.path());
        assert_eq!(file.joined(Fence::default()), Fence::default());
        assert!(!file.path().exists(), "nobody has been obeyed");
        file.keep(&[Change::Fence(fence(3)), Change::Fence(fence(4))]).unwrap();
        assert_eq!(file.joined(Fence::default()), fence(4));
        assert_eq!(file.joined(fence(3)), fence(4), "the journal had not come so far");
        assert_eq!(file.joined(fence(5)), fence(5));
        assert_eq!(file.read().unwrap(), fence(5), "a file that was behind is brought up");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the writing");
    }

    #[test]
    fn a_broken_fence_is_refused_by_name_and_mended_from_a_sound_journal() {
        let folder = tempfile::tempdir().unwrap();
        let file = FenceFile::new(folder.path());
        file.write(&fence(4)).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        for broken in [text.replace('4', "2"), text[..text.len() / 2].to_owned(), String::new()] {
            fs::write(file.path(), &broken).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains("fence.json") && error.contains("damaged"), "{error}");
            assert_eq!(file.joined(Fence::default()), Fence::default());
            assert_eq!(fs::read_to_string(file.path()).unwrap(), broken, "a person can still look at it");
            assert_eq!(file.joined(fence(3)), fence(3));
            assert_eq!(file.read().unwrap(), fence(3));
        }
    }
}
