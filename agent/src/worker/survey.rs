//! What a backup would read: the sources walked and counted as the engine would walk them, without opening a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

use super::backup;
use super::failure::Failure;
use super::source::{overrides, walker};

/// One source as a backup would find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Survey {
    /// Links resolved.
    pub(crate) path: PathBuf,
    /// Everything that is not a folder.
    pub(crate) files: u64,
    pub(crate) folders: u64,
    /// Of the files, as the file system tells their lengths.
    pub(crate) bytes: u64,
    /// What the excludes leave out; a folder counts once, whatever is in it.
    pub(crate) excluded: u64,
    /// What could not be looked at.
    pub(crate) unread: u64,
    /// False where it was stopped first, so that there is more than was counted.
    pub(crate) is_complete: bool,
}

/// Counts what lies below each source, until it is told to stop. Sources inside another are counted with it, once.
pub(crate) fn survey(
    sources: &[PathBuf],
    excludes: &[String],
    one_file_system: bool,
    stop: &AtomicBool,
) -> Result<Vec<Survey>, String> {
    let said = |failure: Failure| [vec![failure.message], failure.detail].concat().join(" ");
    let roots = backup::resolve(sources).map_err(said)?;
    let excludes = overrides(excludes).map_err(said)?;
    let count = |root: PathBuf| {
        let excluded = Arc::new(AtomicU64::new(0));
        let (rules, left_out) = (excludes.clone(), Arc::clone(&excluded));
        let mut walk = walker(std::slice::from_ref(&root), one_file_system)?;
        walk.filter_entry(move |entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let is_out = rules.matched(entry.path(), is_folder).is_ignore();
            left_out.fetch_add(u64::from(is_out), Ordering::Relaxed);
            !is_out
        });
        let mut survey = Survey::of(root);
        for entry in walk.build() {
            if stop.load(Ordering::Relaxed) {
                survey.is_complete = false;
                break;
            }
            match entry.map(|entry| entry.metadata()) {
                Ok(Ok(metadata)) if metadata.is_dir() => survey.folders += 1,
                Ok(Ok(metadata)) => {
                    survey.files += 1;
                    survey.bytes += metadata.len();
                }
                Ok(Err(_)) | Err(_) => survey.unread += 1,
            }
        }
        survey.excluded = excluded.load(Ordering::Relaxed);
        Ok(survey)
    };
    roots.into_iter().map(count).collect::<Result<_, _>>().map_err(said)
}

impl Survey {
    fn of(path: PathBuf) -> Self {
        Self { path, files: 0, folders: 0, bytes: 0, excluded: 0, unread: 0, is_complete: true }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for (name, length) in [("kept/a", 10), ("kept/b.tmp", 20), ("cache/x", 30), ("cache/y", 40), ("c", 5)] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), vec![1; length]).unwrap();
        }
        (folder, root)
    }

    #[test]
    fn what_is_left_out_is_counted_apart_and_a_folder_counts_once() {
        let (_folder, root) = tree();
        let excludes = ["*.tmp".to_owned(), root.join("cache").display().to_string()];
        let found = survey(std::slice::from_ref(&root), &excludes, false, &AtomicBool::new(false)).unwrap();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.files, one.bytes, one.folders, one.excluded, one.unread), (2, 15, 2, 2, 0));
        assert!(one.is_complete && one.path() == root);
    }

    #[test]
    fn a_source_inside_another_is_counted_once_and_one_that_is_missing_is_named() {
        let (_folder, root) = tree();
        let found = survey(&[root.clone(), root.join("kept")], &[], false, &AtomicBool::new(false)).unwrap();
        assert_eq!(found.iter().map(|one| (one.files, one.bytes)).collect::<Vec<_>>(), [(5, 105)]);
        let error = survey(&[root.join("gone")], &[], false, &AtomicBool::new(false)).unwrap_err();
        assert!(error.contains("gone"), "{error}");
        assert!(
            survey(&[root], &["!x".to_owned()], false, &AtomicBool::new(false)).is_err(),
            "as the engine refuses it"
        );
    }

    #[test]
    fn a_survey_that_was_stopped_says_so() {
        let (_folder, root) = tree();
        let found = survey(&[root], &[], false, &AtomicBool::new(true)).unwrap();
        assert!(!found[0].is_complete && found[0].files == 0);
    }
}
