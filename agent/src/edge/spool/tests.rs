//! The spool keeps what it said it keeps: through kills, damage, set-back copies and lost directories.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use landfall_proto::fact::agent::{RunMilestone, RunPhase, SlotMissed};
use landfall_proto::report::Phase;
use uuid::Uuid;

use super::*;
use crate::core::{OUTBOX_MAX, RoutineMemory};

const CHILD: &str = "LANDFALL_SPOOL_TEST_CHILD";

fn node() -> NodeId {
    "a".parse().unwrap()
}

fn life(number: u128) -> Incarnation {
    Incarnation(Uuid::from_u128(number))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn open(path: &Path) -> Opened {
    Spool::open(path, &node(), life(1), at(0)).unwrap()
}

fn missed(count: u64) -> AgentFact {
    AgentFact::SlotMissed(SlotMissed { routine: "db".parse().unwrap(), first: at(0), last: at(0), count })
}

fn considered(second: u64) -> Change {
    let memory = RoutineMemory { considered: Some(at(second.cast_signed())), ..RoutineMemory::default() };
    Change::Routine("db".parse().unwrap(), memory)
}

fn considered_in(memory: &Memory) -> u64 {
    let routine = memory.routines.get(&"db".parse().unwrap());
    routine.and_then(|routine| routine.considered).map_or(0, |considered| considered.as_second().cast_unsigned())
}

fn seqs(spool: &Spool) -> Vec<u64> {
    spool.facts_from(0, 1000).unwrap().iter().map(|fact| fact.seq).collect()
}

#[test]
fn facts_are_numbered_without_holes_and_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let opened = open(&path);
    assert!(opened.is_fresh);
    opened.spool.commit(&[considered(7)], &[missed(0), missed(1)], at(1)).unwrap();
    opened.spool.commit(&[], &[missed(2)], at(2)).unwrap();
    drop(opened);
    let opened = Spool::open(&path, &node(), life(2), at(3)).unwrap();
    assert!(!opened.is_fresh);
    assert_eq!(opened.spool.incarnation(), life(1));
    assert_eq!(seqs(&opened.spool), [0, 1, 2]);
    assert_eq!((opened.spool.next_seq(), opened.spool.outbox_len()), (3, 3));
    assert_eq!(considered_in(&opened.memory), 7);
    assert_eq!(opened.spool.facts_from(1, 1).unwrap()[0].seq, 1);
}

#[test]
fn a_fact_is_deleted_only_when_it_is_safe_elsewhere_and_old() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool")).spool;
    spool.commit(&[], &[missed(0), missed(1), missed(2)], at(0)).unwrap();
    for uptime in [30, 599] {
        assert_eq!(spool.confirm(2, Duration::from_secs(uptime)).unwrap(), 0);
    }
    assert_eq!(spool.confirm(2, Duration::from_secs(630)).unwrap(), 2);
    assert_eq!(seqs(&spool), [2]);
    assert_eq!((spool.next_seq(), spool.outbox_len()), (3, 1));
}

#[test]
fn a_journal_that_was_set_back_goes_on_under_another_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path).spool;
    spool.commit(&[considered(5)], &[missed(0), missed(1)], at(0)).unwrap();
    spool.confirm(1, Duration::from_secs(30)).unwrap();
    spool.confirm(1, Duration::from_secs(630)).unwrap();
    spool.reincarnate(life(9), Vec::new(), Duration::from_secs(630)).unwrap();
    drop(spool);
    let opened = open(&path);
    let facts = opened.spool.facts_from(0, 10).unwrap();
    assert_eq!(facts.len(), 1);
    assert_eq!((facts[0].seq, facts[0].incarnation, opened.spool.next_seq()), (0, life(9), 1));
    assert_eq!(facts[0].id, landfall_proto::id::fact_id("a", life(9), 0));
    assert_eq!(considered_in(&opened.memory), 5);
}

#[test]
fn a_state_directory_belongs_to_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    drop(open(&path));
    let error = Spool::open(&path, &"b".parse().unwrap(), life(2), at(0)).unwrap_err();
    assert!(error.to_string().contains("belongs to node a"), "{error}");
}

#[test]
fn a_leftover_of_an_interrupted_opening_does_not_lock_the_spool_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path).spool;
    spool.commit(&[], &[missed(0)], at(0)).unwrap();
    drop(spool);
    fs::write(path.join("snap.ffffffffffffffff.generating"), b"").unwrap();
    fs::write(path.join("snap.fffffffffffffffe"), b"half").unwrap();
    let opened = open(&path);
    assert_eq!(seqs(&opened.spool), [0]);
    assert!(opened.quarantined.is_none());
}

#[test]
fn a_damaged_value_is_noticed_and_the_spool_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path).spool;
    spool.commit(&[considered(5)], &[missed(0)], at(0)).unwrap();
    {
        let inner = spool.lock();
        let key = named(ROUTINES, "db");
        let mut value = inner.store().unwrap().db.get(&key).unwrap().unwrap().to_vec();
        *value.last_mut().unwrap() ^= 1;
        inner.store().unwrap().db.insert(key, value).unwrap();
        inner.store().unwrap().barrier().unwrap();
    }
    drop(spool);
    let opened = Spool::open(&path, &node(), life(3), at(77)).unwrap();
    assert!(opened.is_fresh);
    assert_eq!(opened.spool.incarnation(), life(3));
    assert!(opened.quarantined.unwrap().join("db").exists());
}

#[test]
fn progress_gives_way_when_the_outbox_is_full_and_ends_do_not() {
    let run = RunId(Uuid::nil());
    assert!(is_dropped(&AgentFact::RunPhase(RunPhase { run, phase: Phase::Scanning }), OUTBOX_MAX));
    let milestone = RunMilestone { run, percent: 10, files_done: 0, bytes_done: 0 };
    assert!(is_dropped(&AgentFact::RunMilestone(milestone), OUTBOX_MAX));
    assert!(!is_dropped(&missed(1), OUTBOX_MAX));
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool")).spool;
    spool.lock().outbox_len = OUTBOX_MAX;
    spool.commit(&[], &[AgentFact::RunPhase(RunPhase { run, phase: Phase::Scanning }), missed(1)], at(0)).unwrap();
    assert_eq!(seqs(&spool), [0], "no hole is left where progress was dropped");
}

#[test]
fn the_database_can_be_opened_again_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder.path().join("spool")).spool;
    spool.commit(&[], &[missed(0)], at(0)).unwrap();
    spool.reopen().unwrap();
    spool.commit(&[], &[missed(1)], at(0)).unwrap();
    assert_eq!(seqs(&spool), [0, 1]);
}

/// The child of the test below: commits for ever and prints each number once it is said to be on disk.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let opened = open(Path::new(&path));
    let mut number = opened.spool.next_seq();
    loop {
        opened.spool.commit(&[considered(number + 1)], &[missed(number)], at(0)).unwrap();
        eprintln!("done {number}");
        number += 1;
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_by_a_kill_and_memory_and_facts_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let mut acknowledged = 0;
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "edge::spool::tests::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for _ in 0..40 + round * 13 {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            if let Some(number) = line.strip_prefix("done ") {
                acknowledged = number.parse::<u64>().unwrap() + 1;
            }
        }
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("done ") {
                acknowledged = number.parse::<u64>().unwrap() + 1;
            }
        }
        child.wait().unwrap();
        let opened = open(&path);
        let next_seq = opened.spool.next_seq();
        assert!(next_seq >= acknowledged, "round {round}: {next_seq} facts are left of {acknowledged}");
        assert_eq!(considered_in(&opened.memory), next_seq);
        let facts = opened.spool.facts_from(0, usize::MAX).unwrap();
        assert!(facts.iter().map(|fact| fact.seq).eq(0..next_seq));
        assert!(opened.quarantined.is_none());
    }
    assert!(acknowledged > 100);
}
