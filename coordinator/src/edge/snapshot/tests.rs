//! A snapshot is read exactly as it was written, or not at all; and it finds its way to another machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use landfall_proto::bus::{Bus, MemoryBus};
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::limit::LimitName;
use landfall_proto::report::Unread;
use landfall_proto::subject::Role;
use proptest::prelude::*;
use uuid::Uuid;

use super::fill::restore;
use super::write::Scribe;
use super::*;
use crate::core::record::{Changes, RunTail};
use crate::edge::ledger::tests::{alert, at, changes, round, run};
use crate::edge::ledger::{Ledger, MemoryLedger, View, open};

fn scribe(folder: &Path) -> Scribe {
    Scribe { folder: folder.to_owned(), cluster: "home".parse().unwrap(), holder: "one".parse().unwrap() }
}

fn write(folder: &Path, ledger: &Arc<dyn Ledger>) -> Option<SnapshotName> {
    let view = View::open(ledger).unwrap();
    scribe(folder).write(&view, at(0), &AtomicBool::new(false)).unwrap()
}

fn sound(folder: &Path, name: SnapshotName) -> Result<read::Sound, SnapshotRefusal> {
    read(&folder.join(name.to_string()), name, &"home".parse().unwrap())
}

/// Every key and value of a ledger.
fn all(ledger: &dyn Ledger) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let keys = ledger.keys(&[], None, usize::MAX).unwrap();
    // The format's number stands in a store's own hand, and in memory nowhere.
    let keys = keys.into_iter().filter(|key| *key != crate::edge::key::format_key());
    keys.map(|key| (key.clone(), ledger.value(&key).unwrap().unwrap())).collect()
}

/// One thing that a step may do to a ledger.
#[derive(Debug, Clone)]
enum Deed {
    Round(u128),
    Run(u128, i64),
    LateRun(u128, i64),
    Alert(u128),
    Tail(u128, usize),
    ForgetRound(u128),
    ForgetAlert(u128),
    Limit(u32),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..4_u128).prop_map(Deed::Round),
        (0..12_u128, 0..3_i64).prop_map(|(id, second)| Deed::Run(id, second)),
        (0..12_u128, 0..3_i64).prop_map(|(id, second)| Deed::LateRun(id, second)),
        (0..4_u128).prop_map(Deed::Alert),
        (0..12_u128, 0..200_000_usize).prop_map(|(id, bytes)| Deed::Tail(id, bytes)),
        (0..4_u128).prop_map(Deed::ForgetRound),
        (0..4_u128).prop_map(Deed::ForgetAlert),
        (1..9_u32).prop_map(Deed::Limit),
    ]
}

fn doing(seq: u64, deed: &Deed) -> Changes {
    let mut all = changes(seq, Vec::new(), Vec::new(), Vec::new());
    match deed {
        Deed::Round(id) => drop(all.rounds.insert(RoundId(Uuid::from_u128(*id)), round(*id, "nightly", 0))),
        // A run belongs to one round for its whole life.
        Deed::Run(id, second) => {
            drop(all.runs.insert(RunId(Uuid::from_u128(*id)), run(*id, id % 4, "a", *second)));
        }
        Deed::LateRun(id, second) => {
            all.forgotten_runs.insert(RunId(Uuid::from_u128(*id)));
            drop(all.runs.insert(RunId(Uuid::from_u128(*id)), run(*id, id % 4, "a", *second)));
        }
        Deed::Alert(id) => drop(all.alerts.insert(Uuid::from_u128(*id), alert(*id, 0))),
        Deed::Tail(id, bytes) => {
            let run = RunId(Uuid::from_u128(*id));
            drop(all.tails.insert(run, RunTail { run, tail: "x".repeat(*bytes), unread: Unread::default() }));
        }
        Deed::ForgetRound(id) => drop(all.forgotten_rounds.insert(RoundId(Uuid::from_u128(*id)))),
        Deed::ForgetAlert(id) => drop(all.forgotten_alerts.insert(Uuid::from_u128(*id))),
        Deed::Limit(size) => drop(all.limits.insert(LimitName::Cluster, *size)),
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_read_is_what_was_written_history_included(deeds in proptest::collection::vec(deed(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
        for (seq, deed) in (1..).zip(&deeds) {
            ledger.commit(&doing(seq, deed)).unwrap();
        }
        let name = write(folder.path(), &ledger).unwrap();
        prop_assert_eq!(name.seq, deeds.len() as u64);
        let again = MemoryLedger::default();
        restore(&again, &sound(folder.path(), name).unwrap()).unwrap();
        prop_assert_eq!(again.load().unwrap(), ledger.load().unwrap());
        prop_assert_eq!(all(&again), all(&*ledger));
    }

    #[test]
    fn no_text_makes_a_name_fall_and_every_name_is_read_back(text in ".{0,60}", era in any::<u32>(), seq in any::<u64>(), hash in any::<[u8; 16]>()) {
        let _ = text.parse::<SnapshotName>();
        let name = SnapshotName { era, seq, hash };
        prop_assert_eq!(name.to_string().parse::<SnapshotName>(), Ok(name));
    }
}

/// A ledger with a little of everything.
fn small() -> Arc<dyn Ledger> {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    ledger.commit(&changes(7, vec![round(1, "n", 0)], vec![run(10, 1, "a", 0)], vec![alert(3, 0)])).unwrap();
    ledger
}

#[test]
fn a_byte_that_is_wrong_anywhere_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = write(folder.path(), &small()).unwrap();
    let path = folder.path().join(name.to_string());
    let good = std::fs::read(&path).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x40;
        std::fs::write(&path, &bad).unwrap();
        let refused = sound(folder.path(), name).unwrap_err().name();
        // A wrong end looks like a missing one.
        let expected = if place >= good.len() - END.len() { "truncated" } else { "hash" };
        assert_eq!(refused, expected, "byte {place}");
    }
}

#[test]
fn a_file_that_is_too_short_or_too_long_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = write(folder.path(), &small()).unwrap();
    let path = folder.path().join(name.to_string());
    let good = std::fs::read(&path).unwrap();
    for length in 0..good.len() {
        std::fs::write(&path, &good[..length]).unwrap();
        assert_eq!(sound(folder.path(), name).unwrap_err().name(), "truncated", "{length} bytes");
    }
    std::fs::write(&path, [&good[..], b"more"].concat()).unwrap();
    assert_eq!(sound(folder.path(), name).unwrap_err().name(), "truncated");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(sound(folder.path(), name).unwrap_err().name(), "unreadable");
}

#[test]
fn a_whole_file_of_another_format_cluster_or_name_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = write(folder.path(), &small()).unwrap();
    let path = folder.path().join(name.to_string());
    let other = read(&path, name, &"other".parse().unwrap()).unwrap_err();
    assert_eq!(other.name(), "other_cluster");
    let elsewhere = SnapshotName { seq: 8, ..name };
    assert_eq!(read(&path, elsewhere, &"home".parse().unwrap()).unwrap_err().name(), "malformed");
    let mut content = std::fs::read(&path).unwrap();
    content.truncate(content.len() - TRAILER_BYTES);
    content[BEGIN.len() + 1] = 2;
    let hash = blake3::hash(&content);
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    std::fs::write(&path, [&content[..], hash.as_bytes(), END].concat()).unwrap();
    let renamed = SnapshotName { hash: half, ..name };
    assert_eq!(read(&path, renamed, &"home".parse().unwrap()).unwrap_err().name(), "version");
}

#[test]
fn three_are_kept_and_nothing_unfinished_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = small();
    for seq in 8..14 {
        ledger.commit(&changes(seq, Vec::new(), Vec::new(), Vec::new())).unwrap();
        write(folder.path(), &ledger).unwrap();
    }
    let seqs: Vec<u64> = list(folder.path()).unwrap().iter().map(|name| name.seq).collect();
    assert_eq!(seqs, [11, 12, 13]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    let view = View::open(&ledger).unwrap();
    let stopped = scribe(folder.path()).write(&view, at(0), &AtomicBool::new(true));
    assert!(matches!(stopped, Err(SnapshotError::Stopped)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn an_empty_ledger_has_no_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    assert_eq!(write(folder.path(), &ledger), None);
}

#[test]
fn a_snapshot_is_of_one_position_while_commits_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_lock, opened) = open(&folder.path().join("state"), at(0)).unwrap();
    let ledger: Arc<dyn Ledger> = Arc::new(opened.ledger);
    let (is_over, committed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seq = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                seq += 1;
                // Early runs change again and again, so that a page that was read late would show it.
                let runs =
                    (0..10).map(|index| run(u128::from(seq % 50) * 10 + index, 1, "a", i64::try_from(seq).unwrap()));
                let mut all = changes(seq, Vec::new(), runs.collect(), Vec::new());
                all.limits.insert(LimitName::Cluster, u32::try_from(seq).unwrap());
                ledger.commit(&all).unwrap();
                committed.store(seq, Ordering::Relaxed);
            }
        });
        for _ in 0..8 {
            let before = committed.load(Ordering::Relaxed);
            while committed.load(Ordering::Relaxed) < before + 60 {
                std::thread::yield_now();
            }
            let name = write(folder.path(), &ledger).unwrap();
            let again = MemoryLedger::default();
            restore(&again, &sound(folder.path(), name).unwrap()).unwrap();
            let records = again.load().unwrap();
            assert_eq!(records.meta.cursor.seq, name.seq);
            assert_eq!(u64::from(records.limits[&LimitName::Cluster]), name.seq);
            let newest = records.runs.values().map(|run| run.queued_at).max().unwrap();
            assert_eq!(newest, at(i64::try_from(name.seq).unwrap()), "no run is newer than the cursor");
            let oldest = records.runs.values().map(|run| run.queued_at).min().unwrap();
            assert_eq!(oldest, at(i64::try_from(name.seq).unwrap() - 49), "and none is older than its last change");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_ledger_that_is_filled_is_there_whole_and_what_a_crash_left_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = small();
    let name = write(&folder.path().join("snapshots"), &ledger).unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir_all(state.join("ledger-filling")).unwrap();
    std::fs::write(state.join("ledger-filling/db"), b"half of something").unwrap();
    fill(&state, &sound(&folder.path().join("snapshots"), name).unwrap()).unwrap();
    assert!(!state.join("ledger-filling").exists());
    let (_lock, opened) = open(&state, at(1)).unwrap();
    assert_eq!((opened.records, opened.quarantined), (ledger.load().unwrap(), None));
}

/// A bus with one coordinator that has a ledger of `seq` positions.
async fn peer(hub: &MemoryBus, name: &str, folder: &Path, ledger: &Arc<dyn Ledger>) -> Keeper {
    let bus = hub.connect(Role::Coordinator);
    let keeper = Keeper::start(folder, &name.parse().unwrap(), ledger, &bus);
    // Its subscription is taken in a task of its own.
    tokio::time::sleep(Duration::from_millis(20)).await;
    keeper
}

async fn fetched(bus: &Bus, from: Option<&str>, folder: &Path) -> Fetched {
    let from = from.map(|name| name.parse().unwrap());
    fetch(bus, &"two".parse().unwrap(), from.as_ref(), folder).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_coordinator_gets_the_newest_state_of_its_peer() {
    let folder = tempfile::tempdir().unwrap();
    let hub = MemoryBus::new(&"home".parse().unwrap());
    let bus = hub.connect(Role::Coordinator);
    let mine = folder.path().join("two");
    assert!(matches!(fetched(&bus, None, &mine).await, Fetched::Nobody), "nobody is there");
    let ledger = small();
    // Large enough for several pieces.
    for id in 100..110 {
        ledger.commit(&doing(8, &Deed::Tail(id, 60_000))).unwrap();
    }
    let keeper = peer(&hub, "one", folder.path(), &ledger).await;
    let Fetched::Sound { from, snapshot } = fetched(&bus, None, &mine).await else { panic!("nothing came") };
    assert_eq!((from.as_str(), snapshot.name.seq), ("one", 8));
    let again = MemoryLedger::default();
    restore(&again, &snapshot).unwrap();
    assert_eq!(all(&again), all(&*ledger));
    // What a crash left of the same file is gone on with, and what it left of another one is removed.
    let whole = std::fs::read(mine.join(snapshot.name.to_string())).unwrap();
    std::fs::remove_file(mine.join(snapshot.name.to_string())).unwrap();
    std::fs::write(mine.join(format!("{}.part", snapshot.name)), &whole[..200_000]).unwrap();
    std::fs::write(mine.join("0-1-00000000000000000000000000000000.landfall.part"), b"x").unwrap();
    assert!(matches!(fetched(&bus, Some("one"), &mine).await, Fetched::Sound { .. }));
    assert_eq!(std::fs::read_dir(&mine).unwrap().count(), 1);
    // A part that is wrong is found out by the whole's hash, and fetched again from its beginning.
    std::fs::rename(mine.join(snapshot.name.to_string()), mine.join(format!("{}.part", snapshot.name))).unwrap();
    std::fs::write(mine.join(format!("{}.part", snapshot.name)), vec![0; 150_000]).unwrap();
    assert!(matches!(fetched(&bus, Some("one"), &mine).await, Fetched::Sound { .. }));
    keeper.end(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_a_state_says_so_and_one_that_is_not_meant_keeps_silent() {
    let folder = tempfile::tempdir().unwrap();
    let hub = MemoryBus::new(&"home".parse().unwrap());
    let bus = hub.connect(Role::Coordinator);
    let empty: Arc<dyn Ledger> = Arc::new(MemoryLedger::default());
    let keeper = peer(&hub, "one", folder.path(), &empty).await;
    let mine = folder.path().join("two");
    assert!(matches!(fetched(&bus, None, &mine).await, Fetched::Nobody));
    tokio::time::timeout(Duration::from_secs(30), async {
        assert!(matches!(fetched(&bus, Some("three"), &mine).await, Fetched::Nobody));
    })
    .await
    .unwrap();
    keeper.end(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_given_no_snapshot() {
    use landfall_proto::control::{REQUEST_KIND, Request, SNAPSHOT_PLACE};
    use landfall_proto::subject::{Subject, Topic};
    let folder = tempfile::tempdir().unwrap();
    let hub = MemoryBus::new(&"home".parse().unwrap());
    let keeper = peer(&hub, "one", folder.path(), &small()).await;
    let operator = hub.connect(Role::Operator);
    let subject = Subject::new(operator.cluster(), Topic::Control(SNAPSHOT_PLACE.to_owned()));
    let request = Request::Snapshot { name: None, offset: 0, holder: None };
    let question = crate::edge::message(
        REQUEST_KIND,
        "operator",
        crate::edge::clock::incarnation(),
        landfall_proto::codec::encode(&request),
    );
    let told = operator.request(&subject, &question, Duration::from_millis(300)).await;
    assert!(!told.is_done(), "{told:?}");
    keeper.end(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_end_leaves_a_snapshot_and_an_unclean_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let hub = MemoryBus::new(&"home".parse().unwrap());
    let ledger = small();
    peer(&hub, "one", folder.path(), &ledger).await.end(false).await;
    assert_eq!(list(&folder.path().join(FOLDER)).unwrap(), []);
    peer(&hub, "one", folder.path(), &ledger).await.end(true).await;
    let first = list(&folder.path().join(FOLDER)).unwrap();
    assert_eq!(first.iter().map(|name| name.seq).collect::<Vec<_>>(), [7]);
    let written = std::fs::metadata(folder.path().join(FOLDER).join(first[0].to_string())).unwrap().modified().unwrap();
    peer(&hub, "one", folder.path(), &ledger).await.end(true).await;
    let again = std::fs::metadata(folder.path().join(FOLDER).join(first[0].to_string())).unwrap().modified().unwrap();
    assert_eq!(written, again, "where nothing changed nothing is written");
}
