//! The directory that programs leave their artifacts in: its own id, and a record of each run that landed there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use landfall_proto::id::{NodeId, RepositoryId, RoutineName, RunId};
use landfall_proto::report::Reason;
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::edge::clock;

/// Holds the directory's id. Nodes that find the same id share the directory, whatever they call it.
const ID_FILE: &str = ".landfall-repository";

/// Holds one record per run.
const RECORDS: &str = "landfall-runs";

/// Longest record that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

/// What a run left, written beside it when it had been verified, so that other nodes can confirm it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) run: RunId,
    pub(super) node: NodeId,
    pub(super) routine: RoutineName,
    /// Relative to the directory where it lies inside, because nodes may know the directory under other paths.
    pub(super) artifact: String,
    /// Whether it is a file that anybody who sees the directory can look at; else only its program knows it.
    pub(super) is_file: bool,
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) taken_at: Timestamp,
    pub(super) recorded_at: Timestamp,
}

/// What became of a recorded artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Artifact {
    There,
    /// Gone, or of another size.
    Different,
    /// No file in this directory, so nobody but its program can look at it.
    Elsewhere,
}

/// The directory's id. Where there is none it is made, if `make` allows it: where one was known before, its absence means
/// that another directory is here, for instance because the right one is not mounted.
pub(super) fn repository(location: &Path, make: bool) -> Result<RepositoryId, Failure> {
    let path = location.join(ID_FILE);
    if let Some(id) = known_repository(location)? {
        return Ok(id);
    }
    if !make {
        let message = format!(
            "`{}` is not the directory that it was: its file {ID_FILE} is missing. Is the right disk mounted?",
            location.display()
        );
        return Err(Failure::new(Reason::NoRepository, message));
    }
    let fresh = clock::draw_place().simple().to_string();
    match write_whole(location, &path, fresh.as_bytes(), false) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::at_destination("written", &path, &error)),
    }
    // Another node may have been faster; its id is the directory's then.
    read_id(&path)?.ok_or_else(|| {
        Failure::new(Reason::VerifyMissing, format!("`{}` was written and is not there.", path.display()))
    })
}

/// The directory's id, where it has one.
pub(super) fn known_repository(location: &Path) -> Result<Option<RepositoryId>, Failure> {
    read_id(&location.join(ID_FILE))
}

/// Writes the record of a run. Writing it again replaces it.
pub(super) fn write_record(location: &Path, record: &Record) -> io::Result<()> {
    let directory = location.join(RECORDS);
    match fs::create_dir(&directory) {
        Ok(()) => File::open(location)?.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let text = serde_json::to_vec(record)?;
    write_whole(&directory, &directory.join(format!("{}.json", record.run)), &text, true)
}

/// The record of a run; `None` where there is none, or none that can be understood.
pub(super) fn read_record(location: &Path, run: RunId) -> Result<Option<Record>, Failure> {
    let path = location.join(RECORDS).join(format!("{run}.json"));
    let Some(text) = read_bounded(&path)? else { return Ok(None) };
    let record: Option<Record> = serde_json::from_str(&text).ok();
    Ok(record.filter(|record| record.run == run))
}

/// The name of an artifact as a record holds it.
pub(super) fn relative(location: &Path, artifact: &str) -> String {
    let inside = Path::new(artifact).strip_prefix(location).ok().and_then(Path::to_str);
    inside.unwrap_or(artifact).to_owned()
}

/// Looks at a recorded artifact. Links are not followed, and no record leads out of the directory.
pub(super) fn look(location: &Path, record: &Record) -> Artifact {
    let inside = Path::new(&record.artifact).components().all(|part| matches!(part, Component::Normal(_)));
    if !record.is_file || record.artifact.is_empty() || !inside {
        return Artifact::Elsewhere;
    }
    match fs::symlink_metadata(artifact_path(location, record)) {
        Ok(metadata) if metadata.is_file() && metadata.len() == record.bytes => Artifact::There,
        Ok(_) | Err(_) => Artifact::Different,
    }
}

/// Where a recorded artifact lies on this node.
pub(super) fn artifact_path(location: &Path, record: &Record) -> PathBuf {
    location.join(&record.artifact)
}

fn read_id(path: &Path) -> Result<Option<RepositoryId>, Failure> {
    let Some(text) = read_bounded(path)? else { return Ok(None) };
    let id = text
        .trim()
        .parse()
        .map_err(|_| Failure::new(Reason::Integrity, format!("`{}` holds no id.", path.display())))?;
    Ok(Some(id))
}

fn read_bounded(path: &Path) -> Result<Option<String>, Failure> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(RECORD_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::at_destination("read", path, &error)),
    }
}

/// All of it or nothing, on the disk when this returns.
fn write_whole(directory: &Path, path: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".landfall-").permissions(permissions()).tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let kept = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Other nodes, perhaps as other users, have to read these files.
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(artifact: &str, bytes: u64) -> Record {
        Record {
            run: RunId(clock::draw_place()),
            node: "a".parse().unwrap(),
            routine: "dump".parse().unwrap(),
            artifact: artifact.to_owned(),
            is_file: true,
            bytes,
            files: 1,
            taken_at: Timestamp::UNIX_EPOCH,
            recorded_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_directory_has_one_id_for_ever_and_none_is_made_where_one_was() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(repository(directory.path(), false).unwrap_err().reason, Reason::NoRepository);
        let id = repository(directory.path(), true).unwrap();
        assert_eq!(repository(directory.path(), true), Ok(id.clone()));
        assert_eq!(known_repository(directory.path()), Ok(Some(id)));
    }

    #[test]
    fn many_at_once_agree_on_the_id() {
        let directory = tempfile::tempdir().unwrap();
        let ids: Vec<RepositoryId> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| repository(directory.path(), true).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_record_is_read_back_and_its_artifact_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let record = record("dump.gz", 3);
        assert_eq!(read_record(directory.path(), record.run), Ok(None));
        write_record(directory.path(), &record).unwrap();
        assert_eq!(read_record(directory.path(), record.run), Ok(Some(record.clone())));
        assert_eq!(look(directory.path(), &record), Artifact::Different);
        fs::write(directory.path().join("dump.gz"), "abc").unwrap();
        assert_eq!(look(directory.path(), &record), Artifact::There);
        fs::write(directory.path().join("dump.gz"), "ab").unwrap();
        assert_eq!(look(directory.path(), &record), Artifact::Different);
    }

    #[test]
    fn no_record_leads_out_of_the_directory_or_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("real"), "abc").unwrap();
        std::os::unix::fs::symlink("real", directory.path().join("link")).unwrap();
        for outside in ["../real", "/etc/hostname", ""] {
            assert_eq!(look(directory.path(), &record(outside, 3)), Artifact::Elsewhere, "{outside}");
        }
        assert_eq!(look(directory.path(), &record("link", 3)), Artifact::Different);
        assert_eq!(relative(directory.path(), &directory.path().join("a/b").display().to_string()), "a/b");
    }
}
