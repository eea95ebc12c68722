//! The lines of `watch --json` hold everything: the table of a verdict can be rebuilt from them alone.

use landfall_proto::bus::LogMessage;
use landfall_proto::codec::encode;
use landfall_proto::command::COMMAND_KIND;
use landfall_proto::envelope::{Envelope, Epoch, Identity};
use landfall_proto::fact::agent::{AgentFact, RunAbout, RunFinished, Witnessed};
use landfall_proto::fact::coordinator::{CoordinatorFact, ExpectedRun, OpenedBy, RoundConcluded, RoundOpened};
use landfall_proto::id::{ClusterName, CommandId, Incarnation, NodeId, RepositoryId, RoundId, RunId};
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::{Evidence, Outcome, ProofLevel, Reason, RunReport, Statistics, TaskKind, Trigger, Unread};
use landfall_proto::subject::{Subject, Topic};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::{NodeStanding, Rule, Standing, Verdict, VerdictKind, Witness};
use serde_json::{Value, json};
use uuid::Uuid;

use super::concern::Concern;
use super::line::{Line, read};
use super::sentence;

const AT: Timestamp = Timestamp::UNIX_EPOCH;
const EPOCH: Epoch = Epoch { era: 0, term: 1 };

fn round() -> RoundId {
    RoundId(Uuid::from_u128(7))
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn run(name: &str) -> RunId {
    RunId::of(round(), &node(name), TaskKind::Backup)
}

fn repository() -> RepositoryId {
    "0123456789abcdef".parse().unwrap()
}

fn message(position: u64, topic: Topic, kind: &str, body: Vec<u8>) -> LogMessage {
    let cluster: ClusterName = "home".parse().unwrap();
    let writer = if let Topic::NodeFact(node) = &topic { node.to_string() } else { "main".to_owned() };
    let identity = Identity { writer, incarnation: Incarnation(Uuid::from_u128(1)), seq: position };
    let payload = encode(&Envelope::fact(identity, kind, AT, body)).into();
    LogMessage { seq: position, subject: Subject::new(&cluster, topic).to_string(), payload, time: AT }
}

fn from_node(position: u64, name: &str, fact: AgentFact) -> LogMessage {
    message(position, Topic::NodeFact(node(name)), fact.kind(), fact.encode())
}

fn from_coordinator(position: u64, fact: CoordinatorFact) -> LogMessage {
    message(position, Topic::CoordinatorFact("main".parse().unwrap()), fact.kind(), fact.encode())
}

fn opened() -> CoordinatorFact {
    let expected = ["a", "b"].map(|name| ExpectedRun {
        node: node(name),
        run: run(name),
        plan_hash: "h".into(),
        repository: Some(repository()),
        lock: RepositoryLock::Shared,
        storage: None,
        labels: [].into(),
        priority: 0,
    });
    CoordinatorFact::from(RoundOpened {
        epoch: EPOCH,
        round: round(),
        routine: "nightly".parse().unwrap(),
        task: TaskKind::Backup,
        slot: None,
        opened_at: AT,
        start_by: AT,
        deadline: AT,
        rule: Rule::All,
        expected: expected.into(),
        opened_by: OpenedBy::Operator,
        by: Some("ann".to_owned()),
        part: 0,
        parts: 0,
    })
}

fn finished(name: &str, outcome: Outcome, reason: Reason) -> AgentFact {
    let evidence = outcome.is_good().then(|| Evidence {
        repository: Some(repository()),
        snapshot: format!("5a5a5a5a{name}"),
        taken_at: AT,
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: true,
        files: 12,
        bytes: 3456,
        read_at: AT,
    });
    AgentFact::from(RunFinished {
        about: RunAbout {
            run: run(name),
            round: round(),
            routine: "nightly".parse().unwrap(),
            slot: None,
            task: TaskKind::Backup,
            trigger: Trigger::Dispatched,
            plan_hash: "h".into(),
            repository: Some(repository()),
        },
        report: RunReport {
            outcome,
            reason,
            message: "done".into(),
            started_at: AT,
            finished_at: AT,
            attempts: 1,
            exit: None,
            statistics: Statistics { added_bytes: Some(99), ..Statistics::default() },
            evidence,
            unread: Unread::default(),
            findings: Vec::new(),
            tail: String::new(),
        },
    })
}

fn concluded() -> CoordinatorFact {
    let standing = |name: &str, standing, outcome, reason, witness| NodeStanding {
        node: node(name),
        run: run(name),
        standing,
        outcome: Some(outcome),
        reason: Some(reason),
        witness,
    };
    let nodes = vec![
        standing("a", Standing::Good, Outcome::Ok, Reason::Completed, Witness::Confirmed { by: node("b") }),
        standing("b", Standing::Bad, Outcome::Failed, Reason::NoSpace, Witness::Unwitnessed),
    ];
    let verdict = Verdict { kind: VerdictKind::Diverged, summary: "1 of 2 is good".into(), nodes, late: false };
    CoordinatorFact::from(RoundConcluded { epoch: EPOCH, round: round(), concluded_at: AT, verdict, part: 0, parts: 0 })
}

fn story() -> Vec<LogMessage> {
    let witnessed = AgentFact::from(Witnessed {
        command: CommandId(Uuid::from_u128(3)),
        round: round(),
        repository: repository(),
        asked: 1,
        seen: vec![run("a")],
        absent: Vec::new(),
        unknown: None,
        message: String::new(),
    });
    vec![
        from_coordinator(1, opened()),
        from_node(2, "a", finished("a", Outcome::Ok, Reason::Completed)),
        from_node(3, "b", finished("b", Outcome::Failed, Reason::NoSpace)),
        from_node(4, "b", witnessed),
        from_coordinator(5, concluded()),
    ]
}

/// One row of the table a verdict is shown with, from nothing but lines of JSON.
fn rebuilt(lines: &[Value]) -> Vec<Value> {
    let verdict = lines.iter().rfind(|line| line["kind"] == "round_concluded").unwrap();
    let standings = verdict["body"]["verdict"]["nodes"].as_array().unwrap();
    standings
        .iter()
        .map(|standing| {
            let finish = lines
                .iter()
                .find(|line| line["kind"] == "run_finished" && line["body"]["about"]["run"] == standing["run"]);
            let report = &finish.unwrap()["body"]["report"];
            let witness = lines.iter().find(|line| {
                line["kind"] == "witnessed" && line["body"]["seen"].as_array().unwrap().contains(&standing["run"])
            });
            json!([
                standing["node"],
                report["outcome"],
                report["reason"],
                report["evidence"]["files"],
                report["evidence"]["bytes"],
                report["statistics"]["added_bytes"],
                report["evidence"]["snapshot"],
                witness.map(|line| line["node"].clone()),
            ])
        })
        .collect()
}

#[test]
fn the_table_of_a_verdict_is_rebuilt_from_the_lines() {
    let lines: Vec<Value> = story()
        .iter()
        .map(|message| serde_json::from_str(&serde_json::to_string(&read(message)).unwrap()).unwrap())
        .collect();
    for (line, position) in lines.iter().zip(1..) {
        assert_eq!(line["position"], position);
        assert!(line["id"].is_string() && line["writer"].is_string() && line["kind"].is_string(), "{line}");
    }
    let table = rebuilt(&lines);
    assert_eq!(table[0], json!(["a", "ok", "completed", 12, 3456, 99, "5a5a5a5aa", "b"]));
    assert_eq!(table[1], json!(["b", "failed", "no_space", null, null, 99, null, null]));
}

#[test]
fn a_round_is_followed_through_facts_that_name_only_its_runs() {
    let mut concern = Concern::new(round(), []);
    assert!(story().iter().all(|message| concern.takes(&read(message))));
    let mut other = Concern::new(RoundId(Uuid::from_u128(8)), []);
    assert!(!story().iter().any(|message| other.takes(&read(message))));
}

#[test]
fn what_cannot_be_read_is_a_line_too() {
    let unknown = read(&message(9, Topic::NodeFact(node("a")), "weather_report", encode(&"rain")));
    assert_eq!(serde_json::to_value(&unknown).unwrap()["known"], false);
    assert!(sentence::of(&unknown).1.contains("weather_report"));

    let mut foreign = from_node(10, "a", finished("a", Outcome::Ok, Reason::Completed));
    foreign.subject = foreign.subject.replace(".node.a", ".node.b");
    let refused = read(&foreign);
    assert_eq!(serde_json::to_value(&refused).unwrap()["refused"], "wrong_writer");
    assert!(sentence::of(&refused).1.contains("REFUSED"));

    let broken = read(&message(11, Topic::NodeFact(node("a")), "run_finished", b"?".to_vec()));
    assert!(matches!(broken, Line::Refused(_)));
    let misplaced = read(&message(12, Topic::Command(node("a")), COMMAND_KIND, Vec::new()));
    assert!(matches!(misplaced, Line::Refused(_)));
}
