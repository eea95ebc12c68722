//! One suite that both ledgers pass, and what only a disk can do wrong.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::fact::coordinator::OpenedBy;
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::limit::LimitName;
use landfall_proto::monitor::{KeyHash, MonitorSpec, Slug};
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::{TaskKind, Unread};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::{NodeStanding, Rule, Standing, Verdict, VerdictKind, Witness};
use uuid::Uuid;

use super::*;
use crate::core::monitor::{Monitor, PingKey};
use crate::core::record::{Meta, Resolved, RunTail};
use crate::core::round::Counts;
use crate::core::run::{Needs, Part};

pub(in crate::edge) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

pub(in crate::edge) fn round(number: u128, routine: &str, second: i64) -> Round {
    Round {
        id: RoundId(Uuid::from_u128(number)),
        routine: routine.parse().unwrap(),
        task: TaskKind::Backup,
        slot: None,
        opened_at: at(second),
        start_by: at(second + 10),
        deadline: at(second + 100),
        rule: Rule::All,
        opened_by: OpenedBy::Operator,
        by: Some("ann".to_owned()),
        expected: 1,
        opening: None,
        asks: Vec::new(),
        concluding: None,
        verdict: None,
        concluded_at: None,
        runs: Default::default(),
        counts: Counts::default(),
    }
}

pub(in crate::edge) fn run(number: u128, round: u128, node: &str, second: i64) -> Run {
    let part = Part {
        round: RoundId(Uuid::from_u128(round)),
        routine: "nightly".parse().unwrap(),
        node: node.parse().unwrap(),
        task: TaskKind::Backup,
        slot: None,
        position: Some(0),
        queued_at: at(second),
        plan_hash: "h".to_owned(),
    };
    let needs = Needs {
        repository: None,
        destination: "d".to_owned(),
        lock: RepositoryLock::Shared,
        storage: None,
        labels: BTreeMap::new(),
        priority: 0,
    };
    Run::queued(RunId(Uuid::from_u128(number)), part, needs)
}

pub(in crate::edge) fn alert(number: u128, second: i64) -> AlertRecord {
    let alert = Alert {
        key: AlertKey(format!("failed/nightly/{number}")),
        id: Uuid::from_u128(number),
        severity: Severity::Critical,
        title: "it failed".to_owned(),
        routine: None,
        round: None,
        nodes: Vec::new(),
        reason: None,
        last_good_at: None,
        fix: String::new(),
        runbook: None,
        stakes: None,
    };
    AlertRecord { alert, raised_at: at(second), resolved: None, deliveries: Vec::new() }
}

fn meta(seq: u64) -> Meta {
    let mut meta = Meta::default();
    meta.cursor.seq = seq;
    meta
}

pub(in crate::edge) fn changes(seq: u64, rounds: Vec<Round>, runs: Vec<Run>, alerts: Vec<AlertRecord>) -> Changes {
    Changes {
        meta: Some(meta(seq)),
        rounds: rounds.into_iter().map(|round| (round.id, round)).collect(),
        runs: runs.into_iter().map(|run| (run.id, run)).collect(),
        alerts: alerts.into_iter().map(|alert| (alert.alert.id, alert)).collect(),
        ..Changes::default()
    }
}

fn targets(ledger: &dyn Ledger, list: &Index, after: Option<&[u8]>, max: usize) -> Vec<u128> {
    ledger.list(&list.list(), after, max).unwrap().iter().map(|entry| entry.target().as_u128()).collect()
}

/// An open ledger with its folder's lock.
struct Held {
    ledger: SledLedger,
    records: Records,
    quarantined: Option<(PathBuf, String)>,
    _lock: File,
}

fn open(folder: &Path, now: Timestamp) -> Result<Held, LedgerError> {
    let (lock, opened) = super::open(folder, now)?;
    let Opened { ledger, records, quarantined } = opened;
    Ok(Held { ledger, records, quarantined, _lock: lock })
}

/// Runs a story on both ledgers.
fn on_both(story: impl Fn(&dyn Ledger)) {
    story(&MemoryLedger::default());
    let folder = tempfile::tempdir().unwrap();
    story(&open(folder.path(), at(0)).unwrap().ledger);
}

#[test]
fn what_was_committed_is_loaded_and_the_cursor_with_it() {
    on_both(|ledger| {
        assert_eq!(ledger.load().unwrap(), Records::default());
        let mut all = changes(7, vec![round(1, "nightly", 0)], vec![run(2, 1, "a", 0)], vec![alert(3, 0)]);
        all.limits.insert(LimitName::Cluster, 9);
        ledger.commit(&all).unwrap();
        ledger.durable().unwrap();
        let mut expected = Records::default();
        expected.apply(all);
        assert_eq!(ledger.load().unwrap(), expected);
        assert_eq!(ledger.load().unwrap().meta.cursor.seq, 7);
    });
}

#[test]
fn lists_are_newest_first_by_node_by_routine_and_by_round() {
    on_both(|ledger| {
        let runs = vec![run(10, 1, "a", 0), run(11, 1, "b", 0), run(12, 2, "a", 50), run(13, 2, "ab", 50)];
        ledger.commit(&changes(1, vec![round(1, "nightly", 0), round(2, "weekly", 50)], runs, Vec::new())).unwrap();
        let (now, nil) = (at(0), Uuid::nil());
        assert_eq!(targets(ledger, &Index::RoundByTime(now, nil), None, 10), [2, 1]);
        assert_eq!(targets(ledger, &Index::RoundByRoutine("weekly".to_owned(), now, nil), None, 10), [2]);
        assert_eq!(targets(ledger, &Index::RunByTime(now, nil), None, 10), [12, 13, 10, 11]);
        assert_eq!(targets(ledger, &Index::RunByNode("a".to_owned(), now, nil), None, 10), [12, 10]);
        assert_eq!(targets(ledger, &Index::RunByRound(Uuid::from_u128(1), nil), None, 10), [10, 11]);
        let third = Index::RunByTime(at(50), Uuid::from_u128(13)).key();
        assert_eq!(targets(ledger, &Index::RunByTime(now, nil), Some(&third), 1), [10]);
    });
}

#[test]
fn a_run_that_enters_the_queue_at_another_time_stands_in_its_lists_once() {
    on_both(|ledger| {
        ledger.commit(&changes(1, Vec::new(), vec![run(10, 1, "a", 5)], Vec::new())).unwrap();
        ledger.commit(&changes(2, vec![round(1, "nightly", 0)], vec![run(10, 1, "a", 0)], Vec::new())).unwrap();
        assert_eq!(targets(ledger, &Index::RunByTime(at(0), Uuid::nil()), None, 10), [10]);
        assert_eq!(targets(ledger, &Index::RunByNode("a".to_owned(), at(0), Uuid::nil()), None, 10), [10]);
        assert_eq!(ledger.run(RunId(Uuid::from_u128(10))).unwrap().unwrap().queued_at, at(0));
    });
}

#[test]
fn what_is_forgotten_is_history_that_is_still_listed() {
    on_both(|ledger| {
        let runs = vec![run(10, 1, "a", 0), run(11, 2, "a", 50)];
        ledger
            .commit(&changes(1, vec![round(1, "n", 0), round(2, "n", 50)], runs, vec![alert(30, 0), alert(31, 1)]))
            .unwrap();
        let mut forget = changes(2, Vec::new(), Vec::new(), Vec::new());
        forget.forgotten_rounds.insert(RoundId(Uuid::from_u128(1)));
        forget.forgotten_alerts.insert(Uuid::from_u128(30));
        ledger.commit(&forget).unwrap();
        let loaded = ledger.load().unwrap();
        let number = |id: &Uuid| id.as_u128();
        assert_eq!(loaded.rounds.keys().map(|id| number(&id.0)).collect::<Vec<_>>(), [2]);
        assert_eq!(loaded.runs.keys().map(|id| number(&id.0)).collect::<Vec<_>>(), [11]);
        assert_eq!(loaded.alerts.keys().map(number).collect::<Vec<_>>(), [31]);
        assert_eq!(targets(ledger, &Index::RunByTime(at(0), Uuid::nil()), None, 10), [11, 10]);
        assert!(ledger.round(RoundId(Uuid::from_u128(1))).unwrap().is_some());
        assert!(ledger.alert(Uuid::from_u128(30)).unwrap().is_some());
    });
}

#[test]
fn what_lists_show_of_a_concluded_round_stands_beside_it_and_changes_with_it() {
    let concluded = |good: u32| {
        let nodes = (0..3).map(|number| NodeStanding {
            node: format!("n{number}").parse().unwrap(),
            run: RunId(Uuid::from_u128(number.into())),
            standing: if number < good { Standing::Good } else { Standing::Bad },
            outcome: None,
            reason: None,
            witness: Witness::Unwitnessed,
        });
        let verdict =
            Verdict { kind: VerdictKind::Diverged, summary: String::new(), nodes: nodes.collect(), late: false };
        Round { expected: 3, verdict: Some(verdict), concluded_at: Some(at(90)), ..round(1, "n", 0) }
    };
    let id = RoundId(Uuid::from_u128(1));
    on_both(|ledger| {
        ledger.commit(&changes(1, vec![round(1, "n", 0)], Vec::new(), Vec::new())).unwrap();
        assert_eq!(ledger.concluded(id).unwrap(), None, "it converges");
        assert_eq!(ledger.listed_round(id).unwrap(), Some(view::round(&round(1, "n", 0))));
        for (seq, good) in [(2, 1), (3, 2)] {
            ledger.commit(&changes(seq, vec![concluded(good)], Vec::new(), Vec::new())).unwrap();
            let listed = ledger.concluded(id).unwrap().unwrap();
            assert_eq!(listed, view::round(&ledger.round(id).unwrap().unwrap()));
            assert_eq!((listed.good, listed.bad, listed.verdict), (good, 3 - good, Some(VerdictKind::Diverged)));
        }
        assert_eq!(ledger.listed_round(RoundId(Uuid::from_u128(2))).unwrap(), None);
    });
    let whole = changes(1, vec![concluded(3)], Vec::new(), Vec::new());
    let restored = MemoryLedger::default();
    restored.restore(&whole, &BTreeSet::from([Key::Round(id)])).unwrap();
    let restored: &dyn Ledger = &restored;
    assert_eq!(restored.concluded(id).unwrap().map(|listed| listed.good), Some(3), "a snapshot brings it too");
}

#[test]
fn a_late_result_of_a_round_that_is_history_is_written_down_and_not_loaded() {
    on_both(|ledger| {
        ledger.commit(&changes(1, vec![round(1, "n", 0)], vec![run(10, 1, "a", 0)], Vec::new())).unwrap();
        let mut forget = changes(2, Vec::new(), Vec::new(), Vec::new());
        forget.forgotten_rounds.insert(RoundId(Uuid::from_u128(1)));
        ledger.commit(&forget).unwrap();
        let mut late = changes(3, Vec::new(), vec![run(10, 1, "a", 7), run(11, 1, "b", 7)], Vec::new());
        late.forgotten_runs.extend([10, 11].map(|id| RunId(Uuid::from_u128(id))));
        ledger.commit(&late).unwrap();
        assert_eq!(ledger.load().unwrap().runs, BTreeMap::new());
        assert_eq!(ledger.run(RunId(Uuid::from_u128(10))).unwrap().unwrap().queued_at, at(7));
        assert_eq!(targets(ledger, &Index::RunByTime(at(0), Uuid::nil()), None, 10), [10, 11]);
    });
}

#[test]
fn an_alert_leaves_the_list_of_open_ones_when_it_is_resolved() {
    on_both(|ledger| {
        ledger.commit(&changes(1, Vec::new(), Vec::new(), vec![alert(30, 0), alert(31, 1)])).unwrap();
        let mut resolved = alert(30, 0);
        resolved.resolved = Some(Resolved { at: at(9), why: "good again".to_owned() });
        ledger.commit(&changes(2, Vec::new(), Vec::new(), vec![resolved])).unwrap();
        assert_eq!(targets(ledger, &Index::OpenAlert(at(0), Uuid::nil()), None, 10), [31]);
        assert_eq!(targets(ledger, &Index::AlertByTime(at(0), Uuid::nil()), None, 10), [31, 30]);
    });
}

#[test]
fn monitors_keys_and_bodies_are_kept_and_taken_away() {
    on_both(|ledger| {
        let label = "scripts".to_owned();
        let (name, body): (RoutineName, _) = ("db.daily".parse().unwrap(), Uuid::from_u128(7));
        let key = PingKey { key: KeyHash::of("secret"), creates: true, set_at: at(1), set_by: "ann".to_owned() };
        let spec = MonitorSpec::created(name.clone(), Slug::of(&name));
        let monitor = Monitor {
            spec,
            set_at: at(1),
            set_by: "ann".to_owned(),
            recent: VecDeque::new(),
            count: 3,
            last_ping_at: Some(at(2)),
            last_good_at: None,
            running: None,
            failure: None,
            failures_since_good: 0,
            last_duration_ms: Some(5),
            expected_at: None,
        };
        let with = |monitor: Option<Monitor>, key: Option<PingKey>, text: Option<String>| Changes {
            meta: Some(meta(1)),
            monitors: [(name.clone(), monitor)].into(),
            ping_keys: [(label.clone(), key)].into(),
            bodies: [(body, text)].into(),
            ..Changes::default()
        };
        ledger.commit(&with(Some(monitor.clone()), Some(key.clone()), Some("saved".to_owned()))).unwrap();
        let loaded = ledger.load().unwrap();
        assert_eq!((loaded.monitors.get(&name), loaded.ping_keys.get(&label)), (Some(&monitor), Some(&key)));
        assert_eq!(ledger.body(body).unwrap().as_deref(), Some("saved"));
        ledger.commit(&with(None, None, None)).unwrap();
        let loaded = ledger.load().unwrap();
        assert!(loaded.monitors.is_empty() && loaded.ping_keys.is_empty());
        assert_eq!(ledger.body(body).unwrap(), None);
    });
}

#[test]
fn a_large_record_is_kept_in_pieces_and_shrinks_again() {
    on_both(|ledger| {
        let id = RunId(Uuid::from_u128(5));
        for bytes in [300_000, 61_000, 10, 130_000] {
            let tail = RunTail { run: id, tail: "x".repeat(bytes), unread: Unread::default() };
            let mut all = changes(1, Vec::new(), Vec::new(), Vec::new());
            all.tails.insert(id, tail.clone());
            ledger.commit(&all).unwrap();
            assert_eq!(ledger.tail(id).unwrap(), Some(tail));
            let pieces = ledger.keys(&[2], None, 100).unwrap().len();
            assert_eq!(pieces, (bytes + 100).div_ceil(writes::VALUE_BYTES_MAX - 8) - 1, "{bytes}");
        }
    });
}

#[test]
fn it_survives_being_closed_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let all = changes(3, vec![round(1, "n", 0)], vec![run(2, 1, "a", 0)], Vec::new());
    let opened = open(folder.path(), at(0)).unwrap();
    opened.ledger.commit(&all).unwrap();
    drop(opened);
    let mut expected = Records::default();
    expected.apply(all);
    let opened = open(folder.path(), at(1)).unwrap();
    assert_eq!((opened.records, opened.quarantined), (expected, None));
}

#[test]
fn two_coordinators_cannot_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path(), at(0)).unwrap();
    assert!(matches!(open(folder.path(), at(0)), Err(LedgerError::InUse { .. })));
}

#[test]
fn a_summary_that_a_crash_left_unfinished_does_not_keep_it_shut() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path(), at(0)).unwrap();
    opened.ledger.commit(&changes(3, Vec::new(), vec![run(2, 1, "a", 0)], Vec::new())).unwrap();
    drop(opened);
    let store = folder.path().join("ledger");
    std::fs::write(store.join("snap.FFFFFFFFFFFFFFF0.generating"), b"half").unwrap();
    std::fs::write(store.join("snap.FFFFFFFFFFFFFFF0"), b"").unwrap();
    let opened = open(folder.path(), at(1)).unwrap();
    assert_eq!((opened.records.meta.cursor.seq, opened.quarantined), (3, None));
}

#[test]
fn a_store_that_cannot_be_read_is_moved_aside_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path(), at(0)).unwrap();
    for seq in 1..200 {
        opened.ledger.commit(&changes(seq, Vec::new(), vec![run(u128::from(seq), 1, "a", 0)], Vec::new())).unwrap();
    }
    drop(opened);
    std::fs::write(folder.path().join("ledger/conf"), b"not a configuration").unwrap();
    let opened = open(folder.path(), at(5)).unwrap();
    let (aside, why) = opened.quarantined.unwrap();
    assert!(aside.join("db").exists() && !why.is_empty());
    assert_eq!(opened.records, Records::default());
}

#[test]
fn rot_that_the_store_does_not_notice_is_noticed_by_the_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path(), at(0)).unwrap().ledger;
    ledger.commit(&changes(3, Vec::new(), vec![run(2, 1, "a", 0)], Vec::new())).unwrap();
    let key = Key::Run(RunId(Uuid::from_u128(2))).bytes();
    ledger.flip_for_test(&key, 30);
    assert!(matches!(ledger.run_for_test(), Err(LedgerError::Damaged { .. })));
}

impl SledLedger {
    fn run_for_test(&self) -> Result<Option<Run>, LedgerError> {
        let ledger: &dyn Ledger = self;
        ledger.run(RunId(Uuid::from_u128(2)))
    }
}

const CHILD_FOLDER: &str = "LANDFALL_TEST_LEDGER";

/// After so many commits the same runs are written again, so that the store does not grow from life to life.
const TURNS: u64 = 30;

/// One life: commits growing numbers until somebody kills it. State and cursor carry the same number.
#[test]
#[ignore = "started by the test below, which kills it"]
fn a_life_that_ends_by_force() {
    let folder = std::env::var(CHILD_FOLDER).expect("the parent names the folder");
    let opened = open(Path::new(&folder), at(0)).unwrap();
    let mut seq = opened.records.meta.cursor.seq;
    loop {
        seq += 1;
        let node: NodeId = "a".parse().unwrap();
        let runs = (0..20)
            .map(|index| run(u128::from(seq % TURNS) * 100 + index, 1, node.as_str(), i64::try_from(seq).unwrap()));
        let mut all = changes(seq, Vec::new(), runs.collect(), Vec::new());
        all.limits.insert(LimitName::Cluster, u32::try_from(seq).unwrap());
        opened.ledger.commit(&all).unwrap();
        if seq.is_multiple_of(3) {
            opened.ledger.durable().unwrap();
            println!("durable {seq}");
        }
    }
}

#[test]
fn killed_at_any_moment_state_and_cursor_agree_and_nothing_durable_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    for life in 0..60_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "edge::ledger::tests::a_life_that_ends_by_force", "--ignored", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, told) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(seq) = line.strip_prefix("durable ").and_then(|seq| seq.parse::<u64>().ok()) {
                    let _ = sender.send(seq);
                }
            }
        });
        let mut last = told.recv_timeout(Duration::from_secs(20)).unwrap();
        std::thread::sleep(Duration::from_millis(1 + life * 7 % 90));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        last = told.try_iter().last().unwrap_or(last);
        let opened = open(folder.path(), at(i64::try_from(life).unwrap())).unwrap();
        let cursor = opened.records.meta.cursor.seq;
        assert_eq!(opened.quarantined, None);
        assert!(cursor >= last, "life {life}: {last} was durable, {cursor} is there");
        assert_eq!(u64::from(opened.records.limits[&LimitName::Cluster]), cursor, "life {life}");
        let mut found: BTreeMap<Timestamp, usize> = BTreeMap::new();
        opened.records.runs.values().for_each(|run| *found.entry(run.queued_at).or_default() += 1);
        let expected = (cursor.saturating_sub(TURNS) + 1..=cursor).map(|seq| (at(i64::try_from(seq).unwrap()), 20));
        assert_eq!(found, expected.collect(), "life {life}: each of the last commits is there whole");
    }
}

/// What a child process says in lines that begin with this word.
fn told(output: &str, word: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned()).collect()
}

/// One life on a disk that becomes full: what was durable is there when there is room again.
#[test]
#[ignore = "started by the test below on a small disk of its own"]
fn a_life_on_a_disk_that_becomes_full() {
    let folder = PathBuf::from(std::env::var(CHILD_FOLDER).expect("the parent names the folder"));
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![7; 4 << 20]).unwrap();
    let mut opened = open(&folder, at(0)).unwrap();
    let (mut durable, mut fulls) = (0, 0);
    for seq in 1..100_000 {
        let tail = RunTail {
            run: RunId(Uuid::from_u128(u128::from(seq))),
            tail: format!("{seq} ").repeat(800),
            unread: Unread::default(),
        };
        let mut all = changes(seq, Vec::new(), vec![run(u128::from(seq), 1, "a", 0)], Vec::new());
        all.limits.insert(LimitName::Cluster, u32::try_from(seq).unwrap());
        all.tails.insert(tail.run, tail);
        match opened.ledger.commit(&all).and_then(|()| opened.ledger.durable()) {
            Ok(()) => durable = seq,
            Err(error) => {
                assert!(error.is_full(), "{error:?}");
                fulls += 1;
                break;
            }
        }
    }
    assert!(durable > 10, "{durable}");
    drop(opened);
    // Opening may need room itself; if it fails, it says so, and breaks nothing.
    if let Err(error) = open(&folder, at(1)).map(drop) {
        assert!(error.is_full(), "{error:?}");
        fulls += 1;
    }
    std::fs::remove_file(ballast).unwrap();
    opened = open(&folder, at(2)).unwrap();
    assert_eq!(opened.quarantined, None);
    let cursor = opened.records.meta.cursor.seq;
    assert!(cursor == durable || cursor == durable + 1, "{durable} was durable, {cursor} is there");
    assert_eq!(u64::from(opened.records.limits[&LimitName::Cluster]), cursor);
    assert_eq!(opened.records.runs.len() as u64, cursor);
    opened.ledger.commit(&changes(cursor + 1, Vec::new(), Vec::new(), Vec::new())).unwrap();
    opened.ledger.durable().unwrap();
    println!("survived {fulls}");
}

#[test]
fn a_full_disk_loses_nothing_that_was_durable_and_is_told_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=12m none \"$0\" && exec \"$1\" --exact edge::ledger::tests::a_life_on_a_disk_that_becomes_full --ignored --nocapture";
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let is_allowed = Command::new("unshare").args([flags, "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !is_allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("not shown on this machine: it allows no file systems of one's own");
        return;
    }
    let output = Command::new("unshare")
        .args([flags, "sh", "-c", script])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_FOLDER, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told(&text, "survived").iter().any(|fulls| fulls != "0"), "{text}");
}

/// A store with some hundred records, closed.
fn grown(folder: &Path) -> Records {
    let opened = open(folder, at(0)).unwrap();
    for seq in 1..150_u64 {
        let mut all = changes(seq, Vec::new(), vec![run(u128::from(seq), 1, "a", 0)], Vec::new());
        all.limits.insert(LimitName::Cluster, u32::try_from(seq).unwrap());
        opened.ledger.commit(&all).unwrap();
    }
    opened.ledger.durable().unwrap();
    drop(opened);
    // The store writes its summary when it is opened.
    open(folder, at(0)).unwrap().ledger.load().unwrap()
}

#[test]
fn a_damaged_summary_alone_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let before = grown(folder.path());
    let summaries: Vec<PathBuf> = std::fs::read_dir(folder.path().join("ledger"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snap."))
        .collect();
    assert!(!summaries.is_empty(), "the store writes a summary");
    for summary in summaries {
        let mut bytes = std::fs::read(&summary).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&summary, bytes).unwrap();
    }
    let opened = open(folder.path(), at(1)).unwrap();
    assert_eq!((opened.records, opened.quarantined), (before, None));
}

/// What is read from a damaged store is a prefix of what was committed, or the store is put aside; never a mixture.
fn is_some_prefix_or_aside(folder: &Path, before: &Records, damage: &str) {
    let opened = open(folder, at(9)).unwrap_or_else(|error| panic!("{damage}: {error:?}"));
    if opened.quarantined.is_some() {
        assert_eq!(opened.records, Records::default(), "{damage}");
        return;
    }
    let cursor = opened.records.meta.cursor.seq;
    assert!(cursor <= before.meta.cursor.seq, "{damage}");
    assert_eq!(opened.records.runs.len() as u64, cursor, "{damage}");
    assert_eq!(u64::from(opened.records.limits.get(&LimitName::Cluster).copied().unwrap_or(0)), cursor, "{damage}");
}

fn copy_of(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("ledger")).unwrap();
    for entry in std::fs::read_dir(from.join("ledger")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.path().join("ledger").join(entry.file_name())).unwrap();
        }
    }
    to
}

#[test]
fn a_store_whose_tail_is_gone_is_what_it_was_earlier_or_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let before = grown(folder.path());
    let bytes = std::fs::metadata(folder.path().join("ledger/db")).unwrap().len();
    for left in [0, 1, 1000, bytes / 4, bytes / 2, bytes - 70_000, bytes - 1] {
        let copy = copy_of(folder.path());
        File::options().write(true).open(copy.path().join("ledger/db")).unwrap().set_len(left).unwrap();
        is_some_prefix_or_aside(copy.path(), &before, &format!("{left} of {bytes} bytes are left"));
    }
}

#[test]
fn flipped_bits_anywhere_in_the_store_never_make_a_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let before = grown(folder.path());
    let bytes = std::fs::read(folder.path().join("ledger/db")).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for place in 0..40 {
        let copy = copy_of(folder.path());
        let mut damaged = bytes.clone();
        let at = used * place / 40;
        for byte in &mut damaged[at..(at + 16).min(used + 1)] {
            *byte ^= 0x24;
        }
        std::fs::write(copy.path().join("ledger/db"), damaged).unwrap();
        is_some_prefix_or_aside(copy.path(), &before, &format!("16 bytes are wrong at {at} of {used}"));
    }
}

#[test]
fn no_more_stores_are_kept_aside_than_a_person_will_look_at() {
    let folder = tempfile::tempdir().unwrap();
    for second in 0..6 {
        drop(open(folder.path(), at(second)).unwrap());
        std::fs::write(folder.path().join("ledger/conf"), b"not a configuration").unwrap();
        assert!(open(folder.path(), at(second + 10)).unwrap().quarantined.is_some());
    }
    let kept = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("quarantine-"));
    assert_eq!(kept.count(), 3);
}

#[test]
fn a_view_shows_what_stood_between_two_commits_whatever_is_committed_meanwhile() {
    on_both_shared(|ledger| {
        ledger
            .commit(&changes(1, vec![round(1, "n", 0)], vec![run(10, 1, "a", 0), run(11, 1, "b", 0)], Vec::new()))
            .unwrap();
        let view = View::open(&ledger).unwrap();
        assert!(View::open(&ledger).is_none(), "one at a time");
        let mut later =
            changes(2, vec![round(2, "n", 9)], vec![run(10, 1, "a", 5), run(12, 2, "a", 9)], vec![alert(30, 0)]);
        later.forgotten_rounds.insert(RoundId(Uuid::from_u128(1)));
        ledger.commit(&later).unwrap();
        let runs = view.page(b"u", None, 1).unwrap();
        assert_eq!(runs.keys.len(), 1);
        let rest = view.page(b"u", runs.next.as_deref(), 10).unwrap();
        assert_eq!((rest.keys.len(), rest.next), (1, None), "the run that came later is not there");
        let first = view.record(&Key::Run(RunId(Uuid::from_u128(10)))).unwrap().unwrap();
        let first: Run = decode(&first, RECORD_BYTES_MAX).unwrap();
        assert_eq!(first.queued_at, at(0));
        assert_eq!(view.page(&[9], None, 10).unwrap().keys.len(), 2, "both runs were held");
        assert_eq!(view.record(&Key::Alert(Uuid::from_u128(30))).unwrap(), None);
        drop(view);
        let view = View::open(&ledger).unwrap();
        assert_eq!(view.page(b"u", None, 10).unwrap().keys.len(), 3);
    });
}

/// As [`on_both`], for what is shared with other threads.
fn on_both_shared(story: impl Fn(Arc<dyn Ledger>)) {
    story(Arc::new(MemoryLedger::default()));
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path(), at(0)).unwrap();
    story(Arc::new(opened.ledger));
}
