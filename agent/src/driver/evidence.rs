//! Proof that a program left something: a file that was not there before, or what a second program says it found.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp};
use serde::Deserialize;

use super::Failure;

/// How far the clocks of a node and its file server may lie apart, and how coarse a file system's times may be.
const SLACK: Duration = Duration::from_secs(2);

/// A file from further in the future proves nothing: it would look new for ever.
const FUTURE_MAX: Duration = Duration::from_secs(300);

/// Entries of the artifact's directory that are looked at.
const ENTRIES_MAX: usize = 1_000_000;

/// Something that a program left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Artifact {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) taken_at: Timestamp,
}

/// The artifact that was newest before the program ran, by everything that tells one file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Earlier {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What the newest match is before the program runs; `None` where nothing matches yet.
pub(super) fn earlier(pattern: &str) -> Option<Earlier> {
    newest(pattern).ok().flatten().map(|(path, metadata)| Earlier::of(path, &metadata))
}

/// The newest match of a pattern, if it is from `since` or later and not the one that was there before.
pub(super) fn by_path(
    pattern: &str,
    since: Timestamp,
    now: Timestamp,
    before: Option<&Earlier>,
) -> Result<Artifact, Failure> {
    let missing = |text: String| Failure::new(Reason::VerifyMissing, text);
    let Some((path, metadata)) = newest(pattern)? else {
        return Err(missing(format!("No file matches `{pattern}`: the program left nothing.")));
    };
    let shown = path.display().to_string();
    let taken_at = modified(&metadata).ok_or_else(|| missing(format!("`{shown}` has no time that can be read.")))?;
    is_new(&shown, taken_at, since, now)?;
    if before == Some(&Earlier::of(path.clone(), &metadata)) {
        return Err(missing(format!(
            "The newest match, `{shown}`, was there before the program ran and has not changed."
        )));
    }
    settle(&path)?;
    Ok(Artifact { name: shown, bytes: metadata.len(), files: 1, taken_at })
}

/// What an evidence program printed: one JSON object.
pub(super) fn by_program(
    printed: &str,
    location: &Path,
    since: Timestamp,
    now: Timestamp,
) -> Result<Artifact, Failure> {
    #[derive(Deserialize)]
    struct Printed {
        artifact: String,
        bytes: u64,
        #[serde(default)]
        files: Option<u64>,
        taken_at: Timestamp,
    }
    let missing = |text: String| Failure::new(Reason::VerifyMissing, text);
    let printed: Printed = serde_json::from_str(printed.trim()).map_err(|error| {
        missing(format!("The evidence program printed no object with `artifact`, `bytes` and `taken_at`: {error}."))
    })?;
    if printed.artifact.is_empty() {
        return Err(missing("The evidence program names no artifact.".to_owned()));
    }
    is_new(&printed.artifact, printed.taken_at, since, now)?;
    let path = Path::new(&printed.artifact);
    if path.starts_with(location) {
        let found = fs::symlink_metadata(path)
            .map_err(|error| missing(format!("`{}` is not there: {error}.", path.display())))?;
        if found.is_file() && found.len() != printed.bytes {
            return Err(missing(format!(
                "`{}` has {} bytes; the evidence program speaks of {}.",
                path.display(),
                found.len(),
                printed.bytes
            )));
        }
        if found.is_file() {
            settle(path)?;
        }
    }
    Ok(Artifact {
        name: printed.artifact,
        bytes: printed.bytes,
        files: printed.files.unwrap_or(1),
        taken_at: printed.taken_at,
    })
}

impl Earlier {
    fn of(path: PathBuf, metadata: &Metadata) -> Self {
        Self {
            path,
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn is_new(name: &str, taken_at: Timestamp, since: Timestamp, now: Timestamp) -> Result<(), Failure> {
    let early = landfall_proto::time::after(taken_at, SLACK) < since;
    if early || taken_at > landfall_proto::time::after(now, FUTURE_MAX) {
        let text = format!(
            "The newest artifact, `{name}`, is from {taken_at:.0}; this run began at {since:.0}, so it is not this run's."
        );
        return Err(Failure::new(Reason::VerifyMissing, text));
    }
    Ok(())
}

/// The newest regular file that matches; links and directories are no artifacts.
fn newest(pattern: &str) -> Result<Option<(PathBuf, Metadata)>, Failure> {
    let path = Path::new(pattern);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::at_destination("read", directory, &error)),
    };
    let found = entries
        .flatten()
        .take(ENTRIES_MAX)
        .filter(|entry| entry.file_name().to_str().is_some_and(|entry| matches(name, entry)));
    let files = found
        .filter_map(|entry| Some((entry.path(), fs::symlink_metadata(entry.path()).ok().filter(Metadata::is_file)?)));
    Ok(files.max_by_key(|(path, metadata)| (metadata.mtime(), metadata.mtime_nsec(), path.clone())))
}

/// Brings a file to the disk: what only lies in memory has not landed.
fn settle(path: &Path) -> Result<(), Failure> {
    let settled = File::open(path).and_then(|file| file.sync_all());
    let settled = settled.and_then(|()| path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all()));
    settled.map_err(|error| Failure::at_destination("brought to the disk", path, &error))
}

fn modified(metadata: &Metadata) -> Option<Timestamp> {
    let nanoseconds = i32::try_from(metadata.mtime_nsec()).ok()?;
    let exact = Timestamp::new(metadata.mtime(), nanoseconds).ok()?;
    Timestamp::from_millisecond(exact.as_millisecond()).ok()
}

/// `*` is any number of characters, `?` is one.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[from] => {
                at += 1;
                from += 1;
            }
            Some(_) | None => {
                let Some((place, covered)) = star else { return false };
                star = Some((place, covered + 1));
                at = place + 1;
                from = covered + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name) in
            [("*", ""), ("a*c", "abbc"), ("a?c", "abc"), ("*.gz", "x.gz"), ("a*b*c", "aXbXbc"), ("plain", "plain")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a?c", "ac"), ("*.gz", "x.gz2"), ("a*b", "abc"), ("", "a"), ("plain", "plains")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn only_a_regular_file_from_this_run_counts() {
        let directory = tempfile::tempdir().unwrap();
        let pattern = directory.path().join("*.gz").display().to_string();
        let now = crate::edge::clock::now();
        let old = landfall_proto::time::after(now, Duration::from_secs(3600));
        assert_eq!(by_path(&pattern, now, now, None).unwrap_err().reason, Reason::VerifyMissing);
        fs::write(directory.path().join("a.gz"), "abc").unwrap();
        std::os::unix::fs::symlink("a.gz", directory.path().join("z.gz")).unwrap();
        fs::create_dir(directory.path().join("y.gz")).unwrap();
        let found = by_path(&pattern, now, now, None).unwrap();
        assert!(found.name.ends_with("/a.gz") && found.bytes == 3, "{found:?}");
        assert!(by_path(&pattern, old, old, None).unwrap_err().message.contains("is not this run's"));
        let before = earlier(&pattern);
        assert!(by_path(&pattern, now, now, before.as_ref()).unwrap_err().message.contains("was there before"));
        fs::write(directory.path().join("a.gz"), "abcd").unwrap();
        assert!(by_path(&pattern, now, now, before.as_ref()).is_ok());
    }

    #[test]
    fn a_program_that_names_what_is_not_there_proves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let now = crate::edge::clock::now();
        let printed = |name: &str, bytes: u64| {
            format!("{{\"artifact\": {name:?}, \"bytes\": {bytes}, \"taken_at\": \"{now}\"}}\n")
        };
        let inside = directory.path().join("dump").display().to_string();
        let judged = |text: &str| by_program(text, directory.path(), now, now);
        assert!(judged(&printed(&inside, 3)).is_err());
        fs::write(&inside, "abc").unwrap();
        assert!(judged(&printed(&inside, 4)).unwrap_err().message.contains("has 3 bytes"));
        assert_eq!(judged(&printed(&inside, 3)).unwrap().bytes, 3);
        assert_eq!(judged(&printed("catalogue entry 7", 9)).unwrap().name, "catalogue entry 7");
        assert!(judged("done").is_err());
        assert!(judged("{\"artifact\": \"x\", \"bytes\": 1}").is_err(), "without a time it could be from any run");
    }
}
