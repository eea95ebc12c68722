//! The snapshots of a repository, as a witness or a person wants to see them.

use std::collections::BTreeSet;

use landfall_proto::report::Phase;
use rustic_core::repofile::{SnapshotFile, SnapshotId};
use rustic_core::{FileType, Id, Open, Repository};

use super::emit;
use super::failure::{Failure, reason_of};
use super::lock;
use super::open::{list_ids, open};
use super::progress::Counters;
use super::protocol::{Event, MAX_SNAPSHOTS, Order, Snapshot};

/// Lists the snapshots that carry one of `run_tags`, or all where none is given.
pub(super) fn run(order: &Order, run_tags: &[String], locks: bool, counters: &Counters) -> Result<Event, Failure> {
    let (_, opened) = open(order, false, counters)?;
    emit::emit(&opened.event()?);
    counters.enter(Phase::Verifying);
    // A witness must not be answered by its own cache.
    let repository = opened.again(&opened.destination)?;
    let ids = list_ids(&opened.destination, FileType::Snapshot)?;
    let (found, damaged) = load(&repository, &ids)?;
    let mut snapshots: Vec<Snapshot> = found
        .iter()
        .filter(|snapshot| run_tags.is_empty() || run_tags.iter().any(|tag| snapshot.tags.contains(tag)))
        .map(describe)
        .collect();
    snapshots.sort_by(|one, other| other.time.cmp(&one.time).then_with(|| one.id.cmp(&other.id)));
    let omitted = snapshots.len().saturating_sub(MAX_SNAPSHOTS) as u64;
    snapshots.truncate(MAX_SNAPSHOTS);
    let locks = if locks { lock::list(&opened, order).map_err(|failure| refused(&failure)).ok() } else { None };
    Ok(Event::Snapshots { snapshots, omitted, damaged, locks })
}

/// A listing is right without the locks; whoever asked for them learns that they are not known.
fn refused(failure: &Failure) {
    emit::log(super::protocol::Level::Warning, &failure.to_string());
}

/// Loads the snapshot files; those that are damaged are counted and left out, so that one of them does not stop every
/// later backup. A failing connection is a failure all the same.
pub(super) fn load<S: Open>(
    repository: &Repository<S>,
    ids: &BTreeSet<Id>,
) -> Result<(Vec<SnapshotFile>, u64), Failure> {
    let mut snapshots = Vec::with_capacity(ids.len());
    let mut damaged = 0;
    let wanted = ids.iter().map(|id| SnapshotId::from(*id)).collect();
    for item in repository.stream_files_list::<SnapshotFile>(wanted)? {
        match item {
            Ok((id, mut snapshot)) => {
                snapshot.id = id;
                snapshots.push(snapshot);
            }
            Err(error) => match reason_of(&*error) {
                None | Some(landfall_proto::report::Reason::Integrity) => {
                    damaged += 1;
                    let cause = super::failure::headline(&error);
                    emit::log(super::protocol::Level::Error, &format!("A snapshot file cannot be used: {cause}"));
                }
                Some(_) => return Err(error.into()),
            },
        }
    }
    Ok((snapshots, damaged))
}

/// A snapshot in the words of the protocol.
pub(super) fn describe(snapshot: &SnapshotFile) -> Snapshot {
    let summary = snapshot.summary.as_ref();
    Snapshot {
        id: snapshot.id.to_hex().as_str().to_owned(),
        tree: snapshot.tree.to_hex().as_str().to_owned(),
        time: snapshot.time.timestamp(),
        host: snapshot.hostname.clone(),
        label: snapshot.label.clone(),
        tags: snapshot.tags.iter().cloned().collect(),
        paths: snapshot.paths.iter().cloned().collect(),
        files: summary.map_or(0, |summary| summary.total_files_processed),
        bytes: summary.map_or(0, |summary| summary.total_bytes_processed),
    }
}
