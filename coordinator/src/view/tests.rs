//! The field names that people's programs depend on, as recorded documents.

use std::collections::BTreeMap;

use insta::assert_json_snapshot;
use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::card::Card;
use landfall_proto::control::{Paging, RunFilter};
use landfall_proto::envelope::{ContentHash, Envelope, Epoch, Identity, Position};
use landfall_proto::fact::agent::{AgentFact, Witnessed};
use landfall_proto::fact::agent::{
    AgentStarted, PlanAnnouncement, PlansAnnounced, RunAbout, RunFinished, RunStarted, StartCause,
};
use landfall_proto::fact::coordinator::{
    AlertDelivered, AlertRaised, CoordinatorFact, Dispatched, ExpectedRun, LeaderClaimed, OpenedBy, RoundConcluded,
    RoundOpened, WitnessAsked,
};
use landfall_proto::id::{CommandId, Incarnation, NodeId, RoundId, RunId};
use landfall_proto::live::{Beat, Presence};
use landfall_proto::overview::{Forecast, StorageView};
use landfall_proto::plan::{Guards, RepositoryLock};
use landfall_proto::report::{
    Evidence, Outcome, ProofLevel, Reason, RunReport, Space, Statistics, TaskKind, Trigger, Unread, Vitals,
};
use landfall_proto::time::{Duration, Timestamp, after};
use landfall_proto::verdict::{NodeStanding, Rule, Standing, Verdict, VerdictKind, Witness};
use landfall_proto::view::{LogCopies, WatchdogView};
use uuid::Uuid;

use super::*;
use crate::core::LogSight;
use crate::core::record::RunTail;
use crate::core::step::{Input, Logged, step};

const ROUND: RoundId = RoundId(Uuid::from_u128(0x10));
const EPOCH: Epoch = Epoch { era: 0, term: 1 };

pub(super) fn at(second: u64) -> Timestamp {
    after("2026-11-20T02:00:00Z".parse().unwrap(), Duration::from_secs(second))
}

pub(super) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(super) fn run_of(name: &str) -> RunId {
    RunId::of(ROUND, &node(name), TaskKind::Backup)
}

/// A mesh of two nodes: one landed and was seen by the other, which failed.
pub(super) struct Stage {
    pub(super) mesh: Mesh,
    pub(super) policy: Policy,
    position: u64,
    seqs: BTreeMap<String, u64>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let mesh = Mesh::new("home".parse().unwrap(), "one".parse().unwrap(), Incarnation(Uuid::from_u128(1)));
        let mut stage = Self { mesh, policy: Policy::default(), position: 0, seqs: BTreeMap::new() };
        stage.decide(0, LeaderClaimed { epoch: EPOCH, holder: "one".parse().unwrap(), log: None });
        for name in ["a", "b"] {
            let labels = BTreeMap::from([("rack".to_owned(), "1".to_owned())]);
            stage.say(
                1,
                name,
                AgentStarted {
                    version: "1.0".to_owned(),
                    cause: StartCause::First,
                    host: format!("{name}.example"),
                    labels,
                },
            );
            stage.say(1, name, PlansAnnounced { plans: vec![plan()], broken: Vec::new() });
            stage.feed(2, Input::Heard(beat(name)));
        }
        stage
    }

    fn with_a_round(mut self) -> Self {
        self.decide(10, opened());
        for name in ["a", "b"] {
            let command = CommandId(Uuid::from_u128(0x20));
            self.decide(
                11,
                Dispatched {
                    epoch: EPOCH,
                    run: run_of(name),
                    node: node(name),
                    command,
                    dispatch: 1,
                    not_after: at(40),
                },
            );
            self.say(12, name, RunStarted { about: about(name), started_at: at(12), attempt: 1 });
        }
        self
    }

    pub(super) fn with_a_verdict(self) -> Self {
        let mut stage = self.with_a_round();
        stage.say(60, "a", RunFinished { about: about("a"), report: report("a", true) });
        stage.say(61, "b", RunFinished { about: about("b"), report: report("b", false) });
        let (witness, command, runs) = (node("b"), CommandId(Uuid::from_u128(0x30)), vec![run_of("a")]);
        let repository = "r".parse().unwrap();
        let asked = WitnessAsked {
            epoch: EPOCH,
            round: ROUND,
            repository,
            witness,
            command,
            runs,
            asked_at: at(62),
            not_after: at(99),
        };
        let (repository, seen) = (asked.repository.clone(), asked.runs.clone());
        stage.decide(62, asked);
        let (absent, unknown, message) = (Vec::new(), None, String::new());
        stage.say(63, "b", Witnessed { command, round: ROUND, repository, asked: 1, seen, absent, unknown, message });
        stage.decide(
            64,
            RoundConcluded { epoch: EPOCH, round: ROUND, concluded_at: at(64), verdict: verdict(), part: 0, parts: 1 },
        );
        stage.decide(65, AlertRaised { epoch: EPOCH, alert: alert_about_b(), raised_at: at(65) });
        let id = Uuid::from_u128(0x40);
        let sink = "ops".to_owned();
        stage.decide(
            66,
            AlertDelivered {
                epoch: EPOCH,
                id,
                sink,
                resolved: false,
                attempts: 2,
                error: None,
                at: at(66),
                reminder: 0,
                answer: None,
            },
        );
        stage
    }

    /// A node tells that its plan's storage has this name, and how much space its target has.
    fn sees(&mut self, second: u64, name: &str, storage: Option<&str>, space: Space) {
        let plan = PlanAnnouncement { storage: storage.map(str::to_owned), ..plan() };
        self.say(second, name, PlansAnnounced { plans: vec![plan], broken: Vec::new() });
        let mut beat = beat(name);
        beat.vitals.targets = BTreeMap::from([("nas".parse().unwrap(), space)]);
        self.feed(second, Input::Heard(beat));
    }

    fn storages(&self, second: u64) -> BTreeMap<String, Space> {
        let none = BTreeMap::new();
        let around = Surroundings {
            bus_version: None,
            started_at: at(0),
            refused: BTreeMap::new(),
            last_pass_at: None,
            watchdog: None,
            log_copies: None,
        };
        metrics(Scene { now: at(second), ..self.scene(&none) }, &around, &LastVerdicts::new()).storages
    }

    fn say(&mut self, second: u64, name: &str, fact: impl Into<AgentFact>) {
        let fact = fact.into();
        let envelope = self.envelope(second, name, Incarnation(Uuid::from_u128(2)), fact.kind(), fact.encode());
        self.log(second, Logged::from_node(node(name), envelope));
    }

    fn decide(&mut self, second: u64, fact: impl Into<CoordinatorFact>) {
        let fact = fact.into();
        let envelope = self.envelope(second, "one", Incarnation(Uuid::from_u128(9)), fact.kind(), fact.encode());
        self.log(second, Logged::from_coordinator("one".parse().unwrap(), envelope));
    }

    fn envelope(&mut self, second: u64, writer: &str, incarnation: Incarnation, kind: &str, body: Vec<u8>) -> Envelope {
        let next = self.seqs.entry(writer.to_owned()).or_default();
        let identity = Identity { writer: writer.to_owned(), incarnation, seq: *next };
        *next += 1;
        Envelope::fact(identity, kind, at(second), body)
    }

    fn log(&mut self, second: u64, logged: Logged) {
        self.position += 1;
        let position = Position { era: 0, seq: self.position, hash: ContentHash([0; 16]) };
        self.feed(second, Input::Logged(position, logged));
    }

    fn feed(&mut self, second: u64, input: Input) {
        let _ = step(&mut self.mesh, &self.policy, at(second), input);
    }

    fn scene<'a>(&'a self, progress: &'a BTreeMap<RunId, Progress>) -> Scene<'a> {
        Scene { mesh: &self.mesh, policy: &self.policy, progress, now: at(14) }
    }
}

fn plan() -> PlanAnnouncement {
    PlanAnnouncement {
        routine: "nightly".parse().unwrap(),
        hash: "0123".to_owned(),
        driver: "rustic".to_owned(),
        target: "nas".parse().unwrap(),
        repository: Some("r".parse().unwrap()),
        can_witness: true,
        lock: RepositoryLock::Shared,
        calendar: Some("*-*-* 02:00:00".to_owned()),
        zone: "UTC".to_owned(),
        start_within: Duration::from_secs(3600),
        finish_within: Duration::from_secs(7200),
        stall_after: Duration::from_secs(1800),
        rpo: Some(Duration::from_secs(100_000)),
        labels: BTreeMap::new(),
        guards: Guards::default(),
        storage: None,
        priority: 0,
        card: None,
        builds_on: None,
    }
}

fn beat(name: &str) -> Beat {
    let incarnation = Incarnation(Uuid::from_u128(2));
    let (version, live, paused) = ("1.0".to_owned(), Vec::new(), None);
    Beat {
        epoch: None,
        node: node(name),
        incarnation,
        version,
        next_seq: 2,
        outbox: 1,
        vitals: Vitals::default(),
        live,
        paused,
        sent_at: at(2),
    }
}

fn about(name: &str) -> RunAbout {
    RunAbout {
        run: run_of(name),
        round: ROUND,
        routine: "nightly".parse().unwrap(),
        slot: Some(at(0)),
        task: TaskKind::Backup,
        trigger: Trigger::Dispatched,
        plan_hash: "0123".to_owned(),
        repository: Some("r".parse().unwrap()),
    }
}

fn opened() -> RoundOpened {
    let expected = |name: &str| ExpectedRun {
        node: node(name),
        run: run_of(name),
        plan_hash: "0123".to_owned(),
        repository: Some("r".parse().unwrap()),
        lock: RepositoryLock::Shared,
        storage: None,
        labels: BTreeMap::new(),
        priority: 0,
    };
    RoundOpened {
        epoch: EPOCH,
        round: ROUND,
        routine: "nightly".parse().unwrap(),
        task: TaskKind::Backup,
        slot: Some(at(0)),
        opened_at: at(10),
        start_by: at(3600),
        deadline: at(7200),
        rule: Rule::All,
        expected: vec![expected("a"), expected("b")],
        part: 0,
        parts: 1,
        opened_by: OpenedBy::Slot,
        by: None,
    }
}

fn report(name: &str, lands: bool) -> RunReport {
    let evidence = Evidence {
        repository: Some("r".parse().unwrap()),
        snapshot: format!("snapshot-of-{name}"),
        taken_at: at(20),
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: true,
        files: 3,
        bytes: 300,
        read_at: at(59),
    };
    RunReport {
        outcome: if lands { Outcome::Ok } else { Outcome::Failed },
        reason: if lands { Reason::Completed } else { Reason::NoSpace },
        message: if lands { "3 files landed".to_owned() } else { "the disk is full".to_owned() },
        started_at: at(12),
        finished_at: at(60),
        attempts: 1,
        exit: None,
        statistics: Statistics { files: Some(3), bytes: Some(300), added_bytes: Some(30), ..Statistics::default() },
        evidence: lands.then_some(evidence),
        unread: Unread::default(),
        findings: if lands { Vec::new() } else { vec!["less than 20 % of the disk is free".to_owned()] },
        tail: String::new(),
    }
}

fn verdict() -> Verdict {
    let standing = |name: &str, standing, outcome, reason, witness| NodeStanding {
        node: node(name),
        run: run_of(name),
        standing,
        outcome: Some(outcome),
        reason: Some(reason),
        witness,
    };
    let nodes = vec![
        standing("a", Standing::Good, Outcome::Ok, Reason::Completed, Witness::Confirmed { by: node("b") }),
        standing("b", Standing::Bad, Outcome::Failed, Reason::NoSpace, Witness::Unwitnessed),
    ];
    Verdict { kind: VerdictKind::Diverged, summary: "1 of 2 nodes is not good: b".to_owned(), nodes, late: false }
}

fn alert_about_b() -> Alert {
    Alert {
        key: AlertKey("failed/nightly/b".to_owned()),
        id: Uuid::from_u128(0x40),
        severity: Severity::Critical,
        title: "nightly failed on b".to_owned(),
        routine: Some("nightly".parse().unwrap()),
        round: Some(ROUND),
        nodes: vec![node("b")],
        reason: Some(Reason::NoSpace),
        last_good_at: None,
        fix: "free space there".to_owned(),
        runbook: Some("https://wiki.example/failed".to_owned()),
        stakes: None,
    }
}

#[test]
fn a_run_that_is_under_way_shows_its_latest_figures() {
    let stage = Stage::new().with_a_round();
    let progress = Progress {
        run: run_of("a"),
        phase: landfall_proto::report::Phase::Transferring,
        action: "/home/x".to_owned(),
        percent: Some(40),
        files_done: 4,
        files_total: Some(10),
        bytes_done: 40,
        bytes_total: Some(100),
        rate_bytes: 10,
        eta_ms: Some(6000),
        at: at(13),
    };
    let progress = BTreeMap::from([(run_of("a"), progress)]);
    let scene = stage.scene(&progress);
    assert_json_snapshot!(
        "run_under_way",
        run(scene, &stage.mesh.runs()[&run_of("a")], stage.mesh.rounds().get(&ROUND))
    );
}

#[test]
fn a_run_that_ended_shows_its_evidence_its_witness_and_its_life() {
    let stage = Stage::new().with_a_verdict();
    let none = BTreeMap::new();
    let (scene, round) = (stage.scene(&none), stage.mesh.rounds().get(&ROUND));
    let tail = |name| Some(RunTail { run: run_of(name), tail: "the end".to_owned(), unread: Unread::default() });
    assert_json_snapshot!("run_that_landed", run_detail(scene, &stage.mesh.runs()[&run_of("a")], round, tail("a")));
    assert_json_snapshot!("run_that_failed", run_detail(scene, &stage.mesh.runs()[&run_of("b")], round, tail("b")));
}

#[test]
fn a_round_shows_who_is_good_bad_and_missing() {
    let none = BTreeMap::new();
    let under_way = Stage::new().with_a_round();
    assert_json_snapshot!("round_under_way", round(&under_way.mesh.rounds()[&ROUND]));
    let stage = Stage::new().with_a_verdict();
    let runs: Vec<_> = stage.mesh.runs().values().collect();
    assert_json_snapshot!("round_concluded", round_detail(stage.scene(&none), &stage.mesh.rounds()[&ROUND], &runs));
}

#[test]
fn nodes_routines_alerts_and_the_whole_are_shown() {
    let stage = Stage::new().with_a_verdict();
    let none = BTreeMap::new();
    let scene = stage.scene(&none);
    let b = &stage.mesh.nodes()[&node("b")];
    assert_json_snapshot!("node", super::node(scene, b, findings(scene, b)));
    let nightly = &stage.mesh.routines()[&"nightly".parse().unwrap()];
    let last = Some(round(&stage.mesh.rounds()[&ROUND]));
    assert_json_snapshot!("routine", routine(scene, nightly, last));
    assert_json_snapshot!("alert", alert(&stage.mesh, stage.mesh.open_alerts().next().unwrap()));
    assert_json_snapshot!("limits", crate::core::permits::limits(scene.mesh, scene.policy));
    let refused = BTreeMap::from([("malformed".to_owned(), 2)]);
    let mut stage = Stage::new().with_a_verdict();
    let last_seq = stage.mesh.cursor().seq;
    let now = stage.scene(&none).now;
    let sight = LogSight { asked_at: now, created: at(0), last_seq };
    step(&mut stage.mesh, &stage.policy, now, Input::Sight(Some(sight)));
    let other = Mesh::new("home".parse().unwrap(), "two".parse().unwrap(), Incarnation(Uuid::from_u128(2)));
    let presence = Presence { version: "as built".to_owned(), ..other.presence(now) };
    step(&mut stage.mesh, &stage.policy, now, Input::Present(presence));
    let scene = stage.scene(&none);
    let around = Surroundings {
        bus_version: Some("2.10.27".to_owned()),
        started_at: at(0),
        refused,
        last_pass_at: Some(now),
        watchdog: Some(WatchdogView { called_at: Some(at(0)), failures: 2, failures_total: 5 }),
        log_copies: Some(LogCopies { wanted: 3, kept: 3 }),
    };
    let verdicts = LastVerdicts::from([("nightly".parse().unwrap(), (VerdictKind::Diverged, Some(at(64))))]);
    let mut figures = metrics(scene, &around, &verdicts);
    figures.version = "as built".to_owned();
    assert_json_snapshot!("metrics", figures);
    let mut whole = status(scene, &around, Vec::new());
    whole.version = "as built".to_owned();
    assert_json_snapshot!("status", whole);
}

#[test]
fn a_filter_holds_only_where_every_condition_does() {
    let stage = Stage::new().with_a_verdict();
    let landed = &stage.mesh.runs()[&run_of("a")];
    let all = RunFilter {
        node: Some(node("a")),
        routine: Some("nightly".parse().unwrap()),
        round: Some(ROUND),
        outcome: Some(Outcome::Ok),
        ended: Some(true),
    };
    assert!(run_matches(landed, &RunFilter::default()) && run_matches(landed, &all));
    for other in [
        RunFilter { node: Some(node("b")), ..all.clone() },
        RunFilter { outcome: Some(Outcome::Failed), ..all.clone() },
        RunFilter { ended: Some(false), ..all.clone() },
        RunFilter { round: Some(RoundId(Uuid::nil())), ..all.clone() },
    ] {
        assert!(!run_matches(landed, &other), "{other:?}");
    }
    assert_eq!(rows_wanted(&Paging::default()), 100);
}

#[test]
fn a_storage_that_several_see_is_one_and_the_word_of_a_silent_node_does_not_count() {
    let mut stage = Stage::new();
    let space = |free_bytes| Space { free_bytes, total_bytes: 100 };
    stage.sees(10, "a", Some("shelf"), space(7));
    stage.sees(11, "b", Some("shelf"), space(5));
    assert_eq!(stage.storages(12), BTreeMap::from([("shelf".to_owned(), space(5))]));
    stage.sees(500, "b", None, space(3));
    assert_eq!(stage.storages(501), BTreeMap::from([("b/nas".to_owned(), space(3))]), "expected that a is silent");
}

#[test]
fn a_card_is_what_most_nodes_say_and_the_drift_names_who_says_otherwise() {
    let mut stage = Stage::new();
    let card = |owner: &str| Some(Card { owner: Some(owner.to_owned()), ..Card::default() });
    for (name, owner, rpo) in [("a", "Ann", 100_000), ("b", "Bob", 50_000), ("c", "Ann", 100_000)] {
        let rpo = Some(Duration::from_secs(rpo));
        let plan = PlanAnnouncement { card: card(owner), rpo, ..plan() };
        stage.say(5, name, PlansAnnounced { plans: vec![plan], broken: Vec::new() });
    }
    let none = BTreeMap::new();
    let found = stage.mesh.routines().values().next().unwrap();
    let view = routine(stage.scene(&none), found, None);
    assert_eq!(view.card.owner.as_deref(), Some("Ann"));
    let protection = protection(stage.scene(&none), found);
    assert_eq!(protection.drift.keys().map(String::as_str).collect::<Vec<_>>(), ["card", "rpo"]);
    let rpo = &protection.drift["rpo"];
    assert_eq!((rpo[0].count, rpo[1].nodes.as_slice()), (2, [node("b")].as_slice()));
    assert_eq!(protection.never_good.len(), 3);
    assert_eq!((protection.targets.len(), protection.targets[0].count, protection.restore), (1, 3, None));
}

#[test]
fn how_long_a_restore_takes_is_said_only_where_a_check_has_read_the_destination() {
    let mut stage = Stage::new().with_a_verdict();
    let restore = |stage: &Stage| {
        let none = BTreeMap::new();
        let found = stage.mesh.routines().values().next().unwrap();
        protection(stage.scene(&none), found).restore
    };
    assert_eq!(restore(&stage), None);
    let check = |stage: &mut Stage, round: u128, bytes_read: Option<u64>| {
        let round = RoundId(Uuid::from_u128(round));
        let run = RunId::of(round, &node("a"), TaskKind::Check);
        let about = RunAbout { run, round, task: TaskKind::Check, slot: None, ..about("a") };
        let mut report = report("a", true);
        report.statistics.bytes_read = bytes_read;
        stage.say(70, "a", RunStarted { about: about.clone(), started_at: at(12), attempt: 1 });
        stage.say(71, "a", RunFinished { about, report });
    };
    check(&mut stage, 0x50, None);
    assert_eq!(restore(&stage), None, "a check of the structure alone reads no data");
    check(&mut stage, 0x51, Some(48 * 1024 * 1024));
    let found = restore(&stage).unwrap();
    assert_eq!((found.rate_bytes, found.measured_in), (1024 * 1024, 1), "48 MiB in 48 s");
    assert_eq!((found.bytes, found.duration_ms, found.node), (300, 0, node("a")));
}

#[test]
fn a_destination_without_a_history_is_shown_with_an_unknown_forecast() {
    let mut stage = Stage::new();
    stage.sees(10, "a", Some("shelf"), Space { free_bytes: 5, total_bytes: 10 });
    let none = BTreeMap::new();
    stage.sees(10, "b", Some("attic"), Space { free_bytes: 6, total_bytes: 10 });
    let named = |only, after| -> Vec<String> {
        storages(stage.scene(&none), only, after).map(|storage| storage.name).collect()
    };
    assert_eq!(named(None, None), ["attic", "shelf"]);
    assert_eq!((named(None, Some("attic")), named(Some("shelf"), Some("shelf"))), (vec!["shelf".to_owned()], vec![]));
    let found: Vec<StorageView> = storages(stage.scene(&none), Some("shelf"), None).collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].forecast), ("shelf", Forecast::Unknown));
    assert!(found[0].space.is_some() && found[0].samples.is_empty());
}
