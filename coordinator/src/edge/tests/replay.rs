//! A story of a long log that is read again: what is committed in large parts is what would be committed one by one.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::envelope::{Envelope, Identity, Position};
use landfall_proto::fact::agent::{AgentFact, RunAbout, RunMilestone, RunStarted};
use landfall_proto::id::{NodeId, RoundId, RunId};
use landfall_proto::report::Trigger;
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::time::{Duration as Span, Timestamp, after};
use tokio::time::sleep;
use uuid::Uuid;

use super::agent::TASK;
use super::{Story, clock};
use crate::core::mesh::Mesh;
use crate::core::record::Records;
use crate::core::run::Run;
use crate::core::step::{Input, Logged, step};
use crate::edge::intake::hash;
use crate::edge::key::Index;
use crate::edge::ledger::{Ledger, MemoryLedger};

/// What anybody can read of a ledger: the state, every key, and every run of the history.
fn everything(ledger: &dyn Ledger) -> (Records, Vec<Vec<u8>>, Vec<Run>) {
    let keys: Vec<Vec<u8>> = (0..=u8::MAX).flat_map(|kind| ledger.keys(&[kind], None, usize::MAX).unwrap()).collect();
    let runs = ledger.list(&Index::RunByTime(Timestamp::MAX, Uuid::nil()).list(), None, usize::MAX).unwrap();
    let runs = runs.iter().filter_map(|entry| ledger.run(RunId(entry.target())).unwrap()).collect();
    (ledger.load().unwrap(), keys, runs)
}

/// A large commit of a replay, a second one that its end cuts short, and small ones where the log ends.
const RUNS: u64 = 2100;
const FACTS_A_RUN: u64 = 6;

/// A node that has worked for long while no coordinator was there.
async fn work(story: &Story) {
    let node: NodeId = "a".parse().unwrap();
    let (bus, incarnation) = (story.hub.connect(Role::Agent(node.clone())), clock::incarnation());
    let slot = |number: u64| after(Timestamp::UNIX_EPOCH, Span::from_secs(1_700_000_000 + number));
    let about = |number| {
        let round = RoundId::of_slot(bus.cluster(), &"nightly".parse().unwrap(), slot(number));
        RunAbout {
            run: RunId::of(round, &node, TASK),
            round,
            routine: "nightly".parse().unwrap(),
            slot: Some(slot(number)),
            task: TASK,
            trigger: Trigger::Autonomous,
            plan_hash: "h".to_owned(),
            repository: None,
        }
    };
    let facts = (0..RUNS * FACTS_A_RUN).map(|seq| {
        let (about, part) = (about(seq / FACTS_A_RUN), seq % FACTS_A_RUN);
        let fact: AgentFact = if part == 0 {
            RunStarted { started_at: slot(seq / FACTS_A_RUN), about, attempt: 1 }.into()
        } else {
            RunMilestone {
                run: about.run,
                percent: u8::try_from(part * 10).unwrap(),
                files_done: part,
                bytes_done: seq,
            }
            .into()
        };
        let identity = Identity { writer: node.to_string(), incarnation, seq };
        Envelope::fact(identity, fact.kind(), slot(seq / FACTS_A_RUN), fact.encode())
    });
    let facts: Vec<Envelope> = facts.collect();
    let subject = Subject::new(bus.cluster(), Topic::NodeFact(node.clone()));
    assert!(bus.publish_facts(&subject, &facts).await.iter().all(|told| told.is_done()));
}

/// What the log's beginning leaves in a ledger that takes each fact by itself.
async fn one_by_one(story: &Story, until: u64) -> MemoryLedger {
    let ledger = MemoryLedger::default();
    let mut mesh = Mesh::new(story.operator.cluster().clone(), "two".parse().unwrap(), clock::incarnation());
    let mut reader = story.operator.read_log(0);
    let messages = reader.next_batch(1_000_000, Duration::from_secs(1)).await.done().unwrap().messages;
    for message in messages.iter().filter(|message| message.seq <= until) {
        let logged = match message.fact().unwrap() {
            (Topic::NodeFact(node), envelope) => Logged::from_node(node, envelope),
            (Topic::CoordinatorFact(holder), envelope) => Logged::from_coordinator(holder, envelope),
            other => panic!("{other:?}"),
        };
        let position = Position { era: 0, seq: message.seq, hash: hash(message) };
        step(&mut mesh, &story.policy, clock::now(), Input::Logged(position, logged));
        mesh.take_changes().iter().for_each(|changes| ledger.commit(changes).unwrap());
    }
    ledger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_killed_again_and_again_in_a_replay_loses_and_doubles_nothing() {
    let story = Story::new().await;
    work(&story).await;
    let ledger: Arc<MemoryLedger> = Arc::default();
    let mut cursor = 0;
    for life in 0..100 {
        let coordinator = story.live("one", &ledger);
        sleep(Duration::from_millis(100 + 100 * life)).await;
        drop(coordinator.kill().await);
        // A commit that was under way would end with its process, one way or the other.
        while Arc::strong_count(&ledger) > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        let before = std::mem::replace(&mut cursor, ledger.load().unwrap().meta.cursor.seq);
        if cursor == before {
            continue;
        }
        let expected = one_by_one(&story, cursor).await;
        assert!(everything(&*ledger) == everything(&expected), "killed at {cursor}");
        let digest = |ledger: &MemoryLedger| {
            let cluster = story.operator.cluster().clone();
            Mesh::restore(cluster, "two".parse().unwrap(), clock::incarnation(), ledger.load().unwrap()).digest()
        };
        assert_eq!(digest(&ledger), digest(&expected));
        if cursor >= RUNS * FACTS_A_RUN {
            return;
        }
    }
    panic!("the log was never read to its end");
}
