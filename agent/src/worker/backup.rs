//! One snapshot, from the look at the sources to the evidence that it landed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use landfall_proto::report::{Phase, Reason};
use rustic_core::repofile::{SnapshotFile, SnapshotSummary};
use rustic_core::{
    BackupOptions, FileType, IndexedIdsStatus, OpenStatus, ParentOptions, PathList, Repository, SnapshotOptions,
    StringList,
};

use super::emit;
use super::failure::Failure;
use super::list::{describe, load};
use super::lock::{Need, take};
use super::open::{Opened, list_ids, open};
use super::progress::Counters;
use super::protocol::{Backup, Done, Event, Order, Summary};
use super::read_back::{Before, read_back};
use super::source::Sources;
use super::unread::Ledger;

/// Makes the snapshot that `task` asks for, unless the repository holds it, and reads it back.
pub(super) fn run(order: &Order, task: &Backup, counters: &Counters) -> Result<Event, Failure> {
    counters.enter(Phase::Preflight);
    if task.run_tag.is_empty() {
        return Err(Failure::new(
            Reason::Internal,
            "The order names no run tag, so its snapshot could not be found again.",
        ));
    }
    let paths = resolve(&task.sources)?;
    counters.enter(Phase::Opening);
    let (repository, opened) = open(order, task.create_if_missing, counters)?;
    emit::emit(&opened.event()?);
    let turn = take(&opened, order, Need::Must)?;

    let snapshots = list_ids(&opened.destination, FileType::Snapshot)?;
    let (known, _) = load(&repository, &snapshots)?;
    let indexes = list_ids(&opened.destination, FileType::Index)?;
    let before = Before { snapshots, indexes, with_tag: Vec::new() };
    let with_tag: Vec<SnapshotFile> =
        known.iter().filter(|snapshot| snapshot.tags.contains(&task.run_tag)).cloned().collect();
    if !with_tag.is_empty() {
        counters.enter(Phase::Verifying);
        let before = Before { with_tag, indexes: Default::default(), ..before };
        let (snapshot, read_back) = read_back(&opened, &task.run_tag, &paths, &before, None)?;
        return Ok(Event::AlreadyDone { snapshot: describe(&snapshot), read_back, notes: turn.notes.clone() });
    }

    let ledger = Ledger::default();
    let (written, engine) = write(repository, &opened, task, &paths, &known, &ledger, counters)?;
    counters.enter(Phase::Verifying);
    opened.destination.sync_directories()?;
    let (snapshot, read_back) = read_back(&opened, &task.run_tag, &paths, &before, Some(engine))?;
    if snapshot.id != written.id || snapshot.tree != written.tree {
        return Err(Failure::new(
            Reason::Integrity,
            "The snapshot at the destination is not the one that was written.",
        ));
    }
    let (unread, vanished, changed) = ledger.close();
    let summary = summarize(snapshot.summary.clone().unwrap_or_default());
    let (snapshot, notes) = (describe(&snapshot), turn.notes.clone());
    Ok(Event::Done(Box::new(Done { snapshot, summary, unread, vanished, changed, read_back, notes })))
}

/// The sources as the snapshot will name them: links resolved, sorted, none inside another. Each of them must exist and
/// open, because the engine would go on without it and call that a success.
pub(super) fn resolve(sources: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut resolved = Vec::with_capacity(sources.len());
    for source in sources {
        if !source.is_absolute() {
            let message = format!("The source `{}` is not an absolute path.", source.display());
            return Err(Failure::new(Reason::SourceMissing, message));
        }
        resolved.push(look_at(source).map_err(|error| refuse(source, &error))?);
    }
    if resolved.is_empty() {
        return Err(Failure::new(Reason::SourceMissing, "The plan names no source."));
    }
    Ok(resolved.into_iter().collect::<PathList>().merge().paths())
}

fn look_at(source: &Path) -> io::Result<PathBuf> {
    let path = fs::canonicalize(source)?;
    let metadata = fs::metadata(&path)?;
    if metadata.is_dir() {
        fs::read_dir(&path)?;
    } else if metadata.is_file() {
        File::open(&path)?;
    }
    Ok(path)
}

fn refuse(source: &Path, error: &io::Error) -> Failure {
    let missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let (reason, what) =
        if missing { (Reason::SourceMissing, "does not exist") } else { (Reason::SourceUnreadable, "cannot be read") };
    Failure::new(reason, format!("The source `{}` {what}.", source.display())).because(error.to_string())
}

fn write(
    repository: Repository<OpenStatus>,
    opened: &Opened,
    task: &Backup,
    paths: &[PathBuf],
    known: &[SnapshotFile],
    ledger: &Ledger,
    counters: &Counters,
) -> Result<(SnapshotFile, Repository<IndexedIdsStatus>), Failure> {
    let sources = Sources::new(paths, &task.excludes, task.one_file_system, ledger, counters, &opened.destination)?;
    let options = BackupOptions::default().no_scan(!task.scan).parent_opts(parent(task, paths, known));
    let repository = repository.to_indexed_ids()?;
    counters.enter(Phase::Transferring);
    let result = repository.archive(&options, &sources, prepare(task)?, paths);
    // The storage knows the cause; the engine's own error is often only that its writer thread has ended.
    if let Some(failure) = opened.destination.first_failure() {
        return Err(failure);
    }
    Ok((result?, repository))
}

/// The newest snapshot of the same host, label and paths. Chosen here because the snapshots are already loaded, and the
/// engine would load them all once more.
fn parent(task: &Backup, paths: &[PathBuf], known: &[SnapshotFile]) -> ParentOptions {
    let same_paths = |snapshot: &SnapshotFile| {
        snapshot.paths.iter().count() == paths.len()
            && paths.iter().all(|path| path.to_str().is_some_and(|path| snapshot.paths.contains(path)))
    };
    let newest = known
        .iter()
        .filter(|snapshot| snapshot.hostname == task.host && snapshot.label == task.label && same_paths(snapshot))
        .max_by_key(|snapshot| snapshot.time.timestamp());
    match newest {
        Some(snapshot) => ParentOptions::default().parents(vec![snapshot.id.to_hex().as_str().to_owned()]),
        None => ParentOptions::default().force(true),
    }
}

fn prepare(task: &Backup) -> Result<SnapshotFile, Failure> {
    let mut tags = StringList::default();
    for tag in task.tags.iter().chain([&task.run_tag]) {
        tags.add(tag.clone());
    }
    Ok(SnapshotOptions::default()
        .host(task.host.clone())
        .label((!task.label.is_empty()).then(|| task.label.clone()))
        .time(task.time.to_zoned(TimeZone::UTC))
        .tags(vec![tags])
        .command("landfall-agent worker".to_owned())
        .to_snapshot()?)
}

fn summarize(summary: SnapshotSummary) -> Summary {
    Summary {
        files_new: summary.files_new,
        files_changed: summary.files_changed,
        files_unmodified: summary.files_unmodified,
        dirs: summary.total_dirs_processed,
        total_files: summary.total_files_processed,
        total_bytes: summary.total_bytes_processed,
        data_added: summary.data_added,
        data_added_packed: summary.data_added_packed,
        backup_start: summary.backup_start.timestamp(),
        duration_ms: std::time::Duration::try_from_secs_f64(summary.backup_duration)
            .map_or(0, |duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
    }
}
