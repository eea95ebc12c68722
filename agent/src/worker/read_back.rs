//! Asking the destination what really arrived.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landfall_proto::report::Reason;
use rustic_core::repofile::{SnapshotFile, Tree};
use rustic_core::{FileType, Id, IndexedIdsStatus, Repository, RusticResult, TreeId};

use super::failure::{Failure, headline, reason_of};
use super::list::load;
use super::open::{Opened, list_ids};
use super::protocol::ReadBack;

/// What the destination held before the backup. It was looked at then and need not be read again.
#[derive(Default)]
pub(super) struct Before {
    pub(super) snapshots: BTreeSet<Id>,
    pub(super) indexes: BTreeSet<Id>,
    /// Snapshots with the run's tag that were there before.
    pub(super) with_tag: Vec<SnapshotFile>,
}

/// Finds the snapshot of `run_tag` at the destination, past every cache, and follows its tree to each of `paths`.
/// `engine` is the handle that made the backup, where there was one.
pub(super) fn read_back(
    opened: &Opened,
    run_tag: &str,
    paths: &[PathBuf],
    before: &Before,
    engine: Option<Repository<IndexedIdsStatus>>,
) -> Result<(SnapshotFile, ReadBack), Failure> {
    let storage = opened.destination.without_indexes(before.indexes.clone());
    let repository = opened.again(&storage)?;
    let added = list_ids(&storage, FileType::Snapshot)?.difference(&before.snapshots).copied().collect();
    let (loaded, damaged) = load(&repository, &added)?;
    let mut found: Vec<SnapshotFile> = loaded.into_iter().filter(|snapshot| snapshot.tags.contains(run_tag)).collect();
    found.extend(before.with_tag.iter().cloned());
    let count = found.len() as u64;
    let Some(snapshot) = found.into_iter().next() else {
        let (reason, message) = match damaged {
            0 => (Reason::VerifyMissing, "The destination shows no snapshot of this run."),
            _ => (Reason::Integrity, "A snapshot written during this run cannot be read back."),
        };
        return Err(Failure::new(reason, message));
    };
    if count > 1 {
        let message = format!("The destination shows {count} snapshots of this run instead of one.");
        return Err(Failure::new(Reason::VerifyDoubled, message));
    }
    let older = OnceCell::new();
    if let Some(engine) = engine.filter(|_| !opened.has_cache()) {
        // Without a cache, the engine's own handle reads from the destination too, and its index is loaded already.
        let _ = older.set(engine);
    }
    let trees = Trees { opened, newer: repository.to_indexed_ids()?, older };
    let result = trees.follow(&snapshot, paths).map_err(|error| {
        let reason = reason_of(&*error).unwrap_or(Reason::Integrity);
        Failure::new(reason, "The snapshot's tree cannot be read back.").because(headline(&error))
    })?;
    Ok((snapshot, ReadBack { found: count, ..result }))
}

/// The trees at the destination. One that the run wrote is named by an index that the run wrote, and these are few; one
/// that was there before needs the older indexes, which are loaded only then.
struct Trees<'a> {
    opened: &'a Opened,
    newer: Repository<IndexedIdsStatus>,
    older: OnceCell<Repository<IndexedIdsStatus>>,
}

impl Trees<'_> {
    fn follow(&self, snapshot: &SnapshotFile, paths: &[PathBuf]) -> RusticResult<ReadBack> {
        let root = self.tree(&snapshot.tree)?;
        let mut missing = Vec::new();
        let mut listed = 0;
        for path in paths {
            match self.find(&root, path)? {
                Some(entries) => listed += entries,
                None => missing.push(path.display().to_string()),
            }
        }
        Ok(ReadBack {
            found: 0,
            root_tree_readable: true,
            paths_covered: missing.is_empty(),
            paths_missing: missing,
            files_listed: listed,
        })
    }

    /// How many entries the source at an absolute path shows: those of a directory, or itself. `None` where the trees
    /// can be read and do not have it.
    fn find(&self, root: &Tree, path: &Path) -> RusticResult<Option<u64>> {
        let mut entries = root.nodes.len() as u64;
        let mut nodes = Some(Cow::Borrowed(&root.nodes));
        for name in path.iter().skip(1) {
            let Some(node) = nodes.and_then(|nodes| nodes.iter().find(|node| *node.name() == *name).cloned()) else {
                return Ok(None);
            };
            nodes = node.subtree.map(|id| self.tree(&id).map(|tree| Cow::Owned(tree.nodes))).transpose()?;
            entries = nodes.as_ref().map_or(1, |nodes| nodes.len() as u64);
        }
        Ok(Some(entries))
    }

    fn tree(&self, id: &TreeId) -> RusticResult<Tree> {
        match self.newer.get_tree(id) {
            // No cause of its own: the tree is not in the newer indexes. Any other error is final.
            Err(error) if reason_of(&*error).is_none() => {}
            result => return result,
        }
        if self.older.get().is_none() {
            let all = self.opened.again(&self.opened.destination)?.to_indexed_ids()?;
            let _ = self.older.set(all);
        }
        match self.older.get() {
            Some(older) => older.get_tree(id),
            None => self.newer.get_tree(id),
        }
    }
}
