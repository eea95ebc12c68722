//! Receipts that lie on this machine: plain files that agents write at a run's end and never change.

use std::fs;
use std::path::{Path, PathBuf};

use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::report::RunReport;
use landfall_proto::subject::Topic;
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Seen;
use crate::audit::{History, ReceiptSeen};
use crate::cli::failure::{Failure, USAGE};

/// Where an agent of the distribution keeps its state.
const USUAL_STATE: &str = "/var/lib/landfall";

/// Receipts that are read; an agent keeps five hundred.
const RECEIPTS_MAX: usize = 100_000;

/// What an agent seals.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    about: RunAbout,
    attempt: u32,
    report: RunReport,
}

#[derive(Debug, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    content: Content,
    /// Hash of the content as compact JSON.
    hash: String,
}

/// One folder of receipts, and whether somebody named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    path: PathBuf,
    is_named: bool,
}

/// The folders to read: those that were named, else those in the usual places.
pub(super) fn folders(states: &[PathBuf], receipts: &[PathBuf], context: Option<&Path>) -> Vec<Folder> {
    let named = states.iter().map(|state| state.join("runs")).chain(receipts.iter().cloned());
    let named: Vec<Folder> = named.map(|path| Folder { path, is_named: true }).collect();
    if !named.is_empty() {
        return named;
    }
    let beside = context.and_then(Path::parent).unwrap_or(Path::new(".landfall"));
    let nodes = fs::read_dir(beside.join("nodes")).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = nodes.map(|node| node.path().join("state/runs")).collect();
    found.push(Path::new(USUAL_STATE).join("runs"));
    found.sort();
    found.into_iter().filter(|path| path.is_dir()).map(|path| Folder { path, is_named: false }).collect()
}

/// Reads them into the traces of their nodes.
pub(super) fn read(folders: &[Folder], seen: &mut Seen) -> Result<(), Failure> {
    let (mut broken, mut strange, mut count) = (0_u64, 0_u64, 0);
    for folder in folders {
        let entries = match fs::read_dir(&folder.path) {
            Ok(entries) => entries,
            Err(error) if folder.is_named => {
                let what = format!("{} cannot be read", folder.path.display());
                let fix = "name an agent's state folder with --state, or a folder of receipts with --receipts, that you may read";
                return Err(Failure::new(USAGE, what, error.to_string(), fix));
            }
            Err(error) => {
                seen.notes.push(format!("{} cannot be read: {error}", folder.path.display()));
                continue;
            }
        };
        for entry in entries.filter_map(Result::ok) {
            let Some(run) = entry.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()) else { continue };
            let path = entry.path().join("receipt.json");
            if count >= RECEIPTS_MAX || !path.exists() {
                continue;
            }
            count += 1;
            match receipt(&path, run) {
                Some(receipt) => match owner(&seen.history, &receipt.about) {
                    Some(node) => seen.history.nodes.entry(node).or_default().receipts.push(receipt),
                    None => strange += 1,
                },
                None => broken += 1,
            }
        }
    }
    if broken > 0 {
        seen.notes.push(format!("{broken} receipts cannot be read, or are not as they were written"));
    }
    if strange > 0 {
        seen.notes.push(format!("{strange} receipts are of nodes that the log does not know"));
    }
    Ok(())
}

/// `None` where it cannot be believed.
fn receipt(path: &Path, run: RunId) -> Option<ReceiptSeen> {
    let bytes = fs::read(path).ok()?;
    let Sealed { content, hash } = serde_json::from_slice(&bytes).ok()?;
    let is_whole = blake3::hash(&serde_json::to_vec(&content).ok()?).to_hex()[..32] == *hash;
    let Content { about, attempt, report } = content;
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    let written_at = Timestamp::try_from(modified).ok()?;
    (is_whole && about.run == run).then_some(ReceiptSeen { about, attempt, report, written_at })
}

/// A run's id follows from its round and its node, so the node that the receipt is of can be found.
fn owner(history: &History, about: &RunAbout) -> Option<NodeId> {
    let writers =
        history.log.iter().filter_map(|entry| if let Topic::NodeFact(node) = &entry.topic { Some(node) } else { None });
    let mut known: Vec<&NodeId> = history.nodes.keys().chain(writers).collect();
    known.sort();
    known.dedup();
    known.into_iter().find(|node| RunId::of(about.round, node, about.task) == about.run).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::id::RoundId;
    use landfall_proto::report::{Outcome, Reason, TaskKind, Trigger};
    use uuid::Uuid;

    fn content(node: &str) -> Content {
        let round = RoundId(Uuid::from_u128(1));
        let about = RunAbout {
            run: RunId::of(round, &node.parse().unwrap(), TaskKind::Backup),
            round,
            routine: "nightly".parse().unwrap(),
            slot: None,
            task: TaskKind::Backup,
            trigger: Trigger::Hand,
            plan_hash: "h".to_owned(),
            repository: None,
        };
        let report = RunReport {
            outcome: Outcome::Failed,
            reason: Reason::NoSpace,
            message: "The disk is full.".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            attempts: 1,
            exit: None,
            statistics: Default::default(),
            evidence: None,
            unread: Default::default(),
            findings: Vec::new(),
            tail: String::new(),
        };
        Content { about, attempt: 1, report }
    }

    fn write(root: &Path, content: &Content) -> PathBuf {
        let folder = root.join(content.about.run.to_string());
        fs::create_dir_all(&folder).unwrap();
        let mut value = serde_json::to_value(content).unwrap();
        let hash = blake3::hash(&serde_json::to_vec(content).unwrap()).to_hex()[..32].to_owned();
        value["hash"] = hash.into();
        fs::write(folder.join("receipt.json"), serde_json::to_vec_pretty(&value).unwrap()).unwrap();
        folder.join("receipt.json")
    }

    #[test]
    fn receipts_find_their_node_and_a_changed_one_is_not_believed() {
        let state = tempfile::tempdir().unwrap();
        let runs = state.path().join("runs");
        write(&runs, &content("a"));
        write(&runs, &content("stranger"));
        let changed = write(&runs, &content("b"));
        let text = fs::read_to_string(&changed).unwrap();
        fs::write(&changed, text.replace("failed", "ok")).unwrap();
        let mut seen = Seen::default();
        for node in ["a", "b"] {
            seen.history.nodes.insert(node.parse().unwrap(), Default::default());
        }
        read(&folders(&[state.path().to_owned()], &[], None), &mut seen).unwrap();
        assert_eq!(seen.history.nodes[&"a".parse().unwrap()].receipts.len(), 1);
        assert_eq!(seen.history.nodes[&"b".parse().unwrap()].receipts.len(), 0);
        assert_eq!(seen.notes.len(), 2, "{:?}", seen.notes);
    }

    #[test]
    fn a_named_folder_must_be_there_and_a_usual_one_need_not() {
        let nowhere = PathBuf::from("/nowhere/at/all");
        let failure = read(&folders(&[nowhere], &[], None), &mut Seen::default()).unwrap_err();
        assert!(failure.problem.what.contains("/nowhere/at/all/runs"));
        let empty = tempfile::tempdir().unwrap();
        let found = folders(&[], &[], Some(&empty.path().join("operator.toml")));
        assert!(found.iter().all(|folder| !folder.is_named));
    }

    #[test]
    fn the_nodes_of_up_are_found_beside_the_context_file() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("nodes/web-1/state/runs")).unwrap();
        let found = folders(&[], &[], Some(&root.path().join("operator.toml")));
        let path = root.path().join("nodes/web-1/state/runs");
        assert!(found.contains(&Folder { path, is_named: false }));
    }
}
