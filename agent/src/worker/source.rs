//! The files of a backup, walked and read so that each one that is lost on the way is known by name.

use std::collections::{BTreeSet, btree_set};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::iter::Peekable;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, Walk, WalkBuilder};
use landfall_proto::report::Reason;
use rustic_core::{
    ErrorKind, LocalSourceSaveOptions, ReadSource, ReadSourceEntry, ReadSourceOpen, RusticError, RusticResult,
};
use rustix::fs::OFlags;

use super::destination::Destination;
use super::failure::{Failure, is_not_found};
use super::progress::Counters;
use super::unread::Ledger;

/// The sources of one backup.
pub(super) struct Sources {
    roots: Vec<PathBuf>,
    walk: WalkBuilder,
    watch: Watch,
}

/// What the walk and the readers report to.
#[derive(Clone)]
struct Watch {
    ledger: Ledger,
    counters: Counters,
    destination: Destination,
}

impl Sources {
    /// `roots` are absolute, sorted, and none lies in another.
    pub(super) fn new(
        roots: &[PathBuf],
        excludes: &[String],
        one_file_system: bool,
        ledger: &Ledger,
        counters: &Counters,
        destination: &Destination,
    ) -> Result<Self, Failure> {
        let mut walk = walker(roots, one_file_system)?;
        walk.overrides(overrides(excludes)?);
        let watch = Watch { ledger: ledger.clone(), counters: counters.clone(), destination: destination.clone() };
        Ok(Self { roots: roots.to_vec(), walk, watch })
    }
}

/// A walk through these roots that leaves nothing out, in the order of paths.
pub(super) fn walker(roots: &[PathBuf], one_file_system: bool) -> Result<WalkBuilder, Failure> {
    let Some((first, others)) = roots.split_first() else {
        return Err(Failure::new(Reason::SourceMissing, "The plan names no source."));
    };
    let mut walk = WalkBuilder::new(first);
    for root in others {
        walk.add(root);
    }
    walk.standard_filters(false).follow_links(false).sort_by_file_path(Path::cmp).same_file_system(one_file_system);
    Ok(walk)
}

/// The excludes as the walk wants them: there, a leading `!` means "leave out", and a glob without it means "take
/// nothing else". They are anchored at `/`, so an absolute path means itself.
pub(super) fn overrides(excludes: &[String]) -> Result<Override, Failure> {
    let refuse = |glob: &str, cause: String| {
        Failure::new(Reason::Internal, format!("The exclude `{glob}` cannot be used.")).because(cause)
    };
    let mut builder = OverrideBuilder::new("/");
    for glob in excludes {
        if glob.is_empty() || glob.starts_with('!') {
            return Err(refuse(glob, "An exclude is a glob that is not empty and does not begin with `!`.".into()));
        }
        builder.add(&format!("!{glob}")).map_err(|error| refuse(glob, error.to_string()))?;
    }
    builder.build().map_err(|error| refuse(&excludes.join(", "), error.to_string()))
}

impl ReadSource for Sources {
    type Open = Unopened;
    type Iter = Entries;

    fn size(&self) -> RusticResult<Option<u64>> {
        let (mut files, mut bytes) = (0, 0);
        // Errors are left to the backup's own walk, which counts each of them once.
        for metadata in self.walk.build().flatten().filter_map(|entry| entry.metadata().ok()) {
            if !metadata.is_dir() {
                files += 1;
                bytes += metadata.len();
            }
            if self.watch.destination.is_broken() {
                break;
            }
        }
        self.watch.counters.expect_files(files);
        Ok(Some(bytes))
    }

    fn entries(&self) -> Entries {
        let ancestors = ancestors(&self.roots).into_iter().peekable();
        Entries { ancestors, walk: self.walk.build(), next: None, watch: self.watch.clone() }
    }
}

/// The directories above the sources. The engine would invent them with mode 755 and nothing else, and it would leave
/// out the metadata of the sources' own top directories.
fn ancestors(roots: &[PathBuf]) -> BTreeSet<PathBuf> {
    let above = roots.iter().flat_map(|root| root.ancestors().skip(1));
    above.filter(|path| path.parent().is_some()).map(Path::to_path_buf).collect()
}

/// The entries of the sources and of the directories above them, in the order of their paths.
pub(super) struct Entries {
    ancestors: Peekable<btree_set::IntoIter<PathBuf>>,
    walk: Walk,
    /// An item of the walk that waits for the ancestors before it.
    next: Option<Result<DirEntry, ignore::Error>>,
    watch: Watch,
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<Unopened>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.watch.destination.is_broken() {
            // Reading on would be in vain: nothing of it can be written.
            return None;
        }
        let item = match self.next.take() {
            Some(item) => item,
            None => self.walk.next()?,
        };
        // An ancestor sorts before all that is below it, so it comes first when the walk reaches a path behind it.
        if let Ok(entry) = &item
            && entry.depth() == 0
            && let Some(ancestor) = self.ancestor_before(entry.path())
        {
            self.next = Some(item);
            return Some(ancestor);
        }
        Some(match item {
            // The root directory has no name, so it cannot be a node of a tree.
            Ok(entry) if entry.path().parent().is_none() => return self.next(),
            Ok(entry) => self.admit(entry),
            Err(error) => {
                self.lost(error_path(&error).unwrap_or(Path::new("(unknown path)")), &error);
                Err(unusable(error))
            }
        })
    }
}

impl Entries {
    fn ancestor_before(&mut self, path: &Path) -> Option<RusticResult<ReadSourceEntry<Unopened>>> {
        while let Some(ancestor) = self.ancestors.next_if(|ancestor| ancestor.as_path() < path) {
            // An unreadable ancestor is no loss: the engine puts a plain directory in its place.
            let entry = WalkBuilder::new(&ancestor).standard_filters(false).max_depth(Some(0)).build().next();
            if let Some(Ok(entry)) = entry
                && let Ok(entry) = LocalSourceSaveOptions::default().map_entry(entry)
                && entry.node.is_dir()
            {
                return Some(Ok(ReadSourceEntry { path: entry.path, node: entry.node, open: None }));
            }
        }
        None
    }

    fn admit(&self, entry: DirEntry) -> RusticResult<ReadSourceEntry<Unopened>> {
        let path = entry.path().to_path_buf();
        match LocalSourceSaveOptions::default().map_entry(entry) {
            Ok(ReadSourceEntry { path, node, open: _ }) => {
                if !node.is_dir() {
                    self.watch.counters.saw_file();
                }
                let open = Some(Unopened { path: path.clone(), watch: self.watch.clone() });
                Ok(ReadSourceEntry { path, node, open })
            }
            Err(error) => {
                self.lost(&path, &error);
                Err(unusable(error))
            }
        }
    }

    fn lost(&self, path: &Path, error: &(dyn std::error::Error + 'static)) {
        if is_not_found(error) {
            self.watch.ledger.vanished(path);
        } else {
            // The walk's own text repeats the path.
            let cause = error.downcast_ref::<ignore::Error>().and_then(ignore::Error::io_error);
            self.watch.ledger.unread(path, &cause.map_or_else(|| error.to_string(), ToString::to_string));
        }
    }
}

/// A file that the engine will open if it has to read it.
pub(super) struct Unopened {
    path: PathBuf,
    watch: Watch,
}

impl ReadSourceOpen for Unopened {
    type Reader = Watched;

    fn open(self) -> RusticResult<Watched> {
        self.watch.counters.opened_file(&self.path);
        // A file that was replaced by a pipe or a link since the walk must neither block nor lead elsewhere.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&self.path);
        let opened = opened.and_then(|file| Ok((state(&file)?, file)));
        match opened {
            Ok((state, file)) => Ok(Watched { file, path: self.path, state, watch: self.watch, ended: false }),
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    self.watch.ledger.vanished(&self.path);
                } else {
                    self.watch.ledger.unread(&self.path, &error.to_string());
                }
                Err(unusable(error).attach_context("path", self.path.display().to_string()))
            }
        }
    }
}

/// A file that notices when it cannot be read to its end, and when it changed meanwhile.
pub(super) struct Watched {
    file: File,
    path: PathBuf,
    state: (u64, i64, i64),
    watch: Watch,
    ended: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.file.read(buffer);
        match &result {
            Ok(0) if !buffer.is_empty() && !self.ended => {
                self.ended = true;
                if state(&self.file).is_ok_and(|state| state != self.state) {
                    self.watch.ledger.changed(&self.path);
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if !self.ended {
                    self.watch.ledger.unread(&self.path, &error.to_string());
                }
                self.ended = true;
            }
        }
        result
    }
}

/// Size and time of the last change of a regular file.
fn state(file: &File) -> io::Result<(u64, i64, i64)> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no longer a regular file"));
    }
    Ok((metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn error_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => error_path(err),
        ignore::Error::Partial(errors) => errors.iter().find_map(error_path),
        ignore::Error::Loop { child, .. } => Some(child),
        ignore::Error::Io(_)
        | ignore::Error::Glob { .. }
        | ignore::Error::UnrecognizedFileType(_)
        | ignore::Error::InvalidDefinition => None,
    }
}

fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::InputOutput, "A file cannot be read.", error)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::worker::protocol::Location;

    fn watch(folder: &Path) -> Watch {
        let counters = Counters::start();
        let location = Location(folder.join("repository").display().to_string());
        let destination = Destination::connect(&location, &counters).expect("a local path");
        Watch { ledger: Ledger::default(), counters, destination }
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_reported_as_changed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("growing");
        fs::write(&path, vec![1; 1000]).expect("written");
        let watch = watch(folder.path());
        let mut reader = Unopened { path: path.clone(), watch: watch.clone() }.open().expect("it opens");
        let mut content = vec![0; 500];
        reader.read_exact(&mut content).expect("readable");
        fs::OpenOptions::new().append(true).open(&path).expect("it opens").write_all(b"more").expect("written");
        reader.read_to_end(&mut content).expect("readable");
        let (unread, vanished, changed) = watch.ledger.close();
        assert_eq!((unread.count, vanished.count, changed.count), (0, 0, 1));
        assert_eq!(changed.names, [path.display().to_string()]);
    }

    #[test]
    fn a_file_that_is_gone_vanished_and_one_that_became_a_pipe_is_unread() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let watch = watch(folder.path());
        let open = |name: &str| Unopened { path: folder.path().join(name), watch: watch.clone() }.open().is_ok();
        assert!(!open("gone"));
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
        assert!(!open("pipe"), "nobody writes into it, and the reader does not wait");
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).expect("linked");
        assert!(!open("link"), "a link that took a file's place is not followed");
        let (unread, vanished, changed) = watch.ledger.close();
        assert_eq!((unread.count, vanished.count, changed.count), (2, 1, 0));
    }

    #[test]
    fn the_directories_above_come_before_their_source_and_only_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = fs::canonicalize(folder.path()).expect("it exists");
        for name in ["a/one/x", "a/two/y", "b/z"] {
            fs::create_dir_all(root.join(name).parent().expect("it has one")).expect("created");
            fs::write(root.join(name), name).expect("written");
        }
        let watch = watch(&root);
        let roots = ["a/one", "a/two", "b/z"].map(|name| root.join(name));
        let sources =
            Sources::new(&roots, &[], false, &watch.ledger, &watch.counters, &watch.destination).expect("valid");
        let paths: Vec<PathBuf> = sources.entries().map(|entry| entry.expect("readable").path).collect();
        let below = paths.iter().filter_map(|path| path.strip_prefix(&root).ok()?.to_str().map(str::to_owned));
        assert_eq!(below.collect::<Vec<_>>(), ["", "a", "a/one", "a/one/x", "a/two", "a/two/y", "b", "b/z"]);
        assert!(paths.is_sorted(), "{paths:?}");
        assert_eq!(sources.size().expect("measured"), Some(17));
    }
}
