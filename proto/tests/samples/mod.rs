//! One sample of every message, with every optional part present.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use landfall_proto::alert::{Alert, AlertKey, Risk, Severity};
use landfall_proto::card::{Card, Stakes};
use landfall_proto::command::{Action, Answer, Command, Refused, SignedCommand};
use landfall_proto::control::{Paging, Request, RunFilter};
use landfall_proto::envelope::{ContentHash, Epoch, Position};
use landfall_proto::fact::agent::*;
use landfall_proto::fact::coordinator::*;
use landfall_proto::id::{CommandId, Holder, Incarnation, NodeId, RepositoryId, RoundId, RoutineName, RunId};
use landfall_proto::live::{Beacon, Beat, Digest, LiveRun, Output, Presence, Sync};
use landfall_proto::monitor::{Expects, KeyHash, MonitorSpec, Ping, PingKind, PingTo, Said, Stage};
use landfall_proto::overview::{BoardFilter, QueueCard, QueueFilter};
use landfall_proto::plan::{Guards, RepositoryLock};
use landfall_proto::report::*;
use landfall_proto::time::{Duration, Timestamp};
use landfall_proto::verdict::{NodeStanding, Rule, Standing, Verdict, VerdictKind, Witness};
use uuid::Uuid;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn node() -> NodeId {
    "a".parse().unwrap()
}

fn routine() -> RoutineName {
    "nightly".parse().unwrap()
}

fn holder() -> Holder {
    "first".parse().unwrap()
}

fn repository() -> RepositoryId {
    "9f2c".parse().unwrap()
}

fn round() -> RoundId {
    RoundId(Uuid::from_u128(1))
}

pub(crate) fn run() -> RunId {
    RunId(Uuid::from_u128(2))
}

fn command_id() -> CommandId {
    CommandId(Uuid::from_u128(3))
}

pub(crate) fn incarnation() -> Incarnation {
    Incarnation(Uuid::from_u128(4))
}

fn epoch() -> Epoch {
    Epoch { era: 0, term: 5 }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("rack".to_owned(), "1".to_owned())])
}

fn about() -> RunAbout {
    RunAbout {
        run: run(),
        round: round(),
        routine: routine(),
        slot: Some(at("2026-11-20T02:00:00Z")),
        task: TaskKind::Backup,
        trigger: Trigger::Dispatched,
        plan_hash: "0123456789abcdef".to_owned(),
        repository: Some(repository()),
    }
}

fn report() -> RunReport {
    RunReport {
        outcome: Outcome::Partial,
        reason: Reason::SourceUnreadable,
        message: "one file could not be read".to_owned(),
        started_at: at("2026-11-20T02:00:01Z"),
        finished_at: at("2026-11-20T02:00:09.5Z"),
        attempts: 2,
        exit: Some(Exit::Code(0)),
        statistics: Statistics {
            files: Some(10),
            bytes: Some(1000),
            files_new: Some(1),
            files_changed: Some(2),
            added_bytes: Some(300),
            packs_read: Some(4),
            bytes_read: Some(5),
        },
        evidence: Some(Evidence {
            repository: Some(repository()),
            snapshot: "d4558b36".to_owned(),
            taken_at: at("2026-11-20T02:00:02Z"),
            level: ProofLevel::Landed,
            matches: 1,
            covers_sources: true,
            files: 10,
            bytes: 1000,
            read_at: at("2026-11-20T02:00:09Z"),
        }),
        unread: Unread { count: 1, names: vec!["/etc/secret".to_owned()] },
        findings: vec!["slower than usual".to_owned()],
        tail: "done\n".to_owned(),
    }
}

pub(crate) fn agent_facts() -> Vec<AgentFact> {
    vec![
        AgentStarted {
            version: "0.1.0".to_owned(),
            cause: StartCause::First,
            host: "host.example".to_owned(),
            labels: labels(),
        }
        .into(),
        PlansAnnounced {
            plans: vec![announcement()],
            broken: vec![BrokenPlan { file: "x.toml".to_owned(), error: "line 1".to_owned() }],
        }
        .into(),
        RunStarted { about: about(), started_at: at("2026-11-20T02:00:01Z"), attempt: 1 }.into(),
        RunPhase { run: run(), phase: Phase::Transferring }.into(),
        RunMilestone { run: run(), percent: 10, files_done: 1, bytes_done: 100 }.into(),
        RunRetried {
            run: run(),
            attempt: 1,
            reason: Reason::Network,
            message: "refused".to_owned(),
            delay: Duration::from_secs(10),
        }
        .into(),
        RunFinished { about: about(), report: report() }.into(),
        SlotMissed {
            routine: routine(),
            first: at("2026-11-18T02:00:00Z"),
            last: at("2026-11-19T02:00:00Z"),
            count: 2,
        }
        .into(),
        Witnessed {
            command: command_id(),
            round: round(),
            repository: repository(),
            asked: 1,
            seen: vec![run()],
            absent: vec![],
            unknown: Some(Reason::Network),
            message: "unreachable".to_owned(),
        }
        .into(),
    ]
}

fn space_sampled() -> SpaceSampled {
    SpaceSampled {
        epoch: epoch(),
        sampled_at: at("2026-11-20T03:00:00Z"),
        storages: BTreeMap::from([("nas".to_owned(), Space { free_bytes: 3, total_bytes: 4 })]),
    }
}

/// Of a plan that says who is called.
pub(crate) fn announced_with_a_card() -> PlansAnnounced {
    let card = Card {
        protects: vec!["the orders".to_owned()],
        owner: Some("Ann".to_owned()),
        contact: Some("#orders".to_owned()),
        escalation: vec!["Bob, +1 555 0100".to_owned()],
        rto: Some(Duration::from_secs(14_400)),
        data_class: Some("confidential".to_owned()),
        restore: vec!["restic restore latest --target /srv".to_owned()],
        runbook: Some("https://runbooks.example/orders".to_owned()),
    };
    PlansAnnounced { plans: vec![PlanAnnouncement { card: Some(card), ..announcement() }], broken: Vec::new() }
}

/// Of a log archive that stands on a base backup.
pub(crate) fn announced_on_a_base() -> PlansAnnounced {
    let plan = PlanAnnouncement { builds_on: Some("base".parse().unwrap()), ..announcement() };
    PlansAnnounced { plans: vec![plan], broken: Vec::new() }
}

/// Of a routine whose card says who is called.
pub(crate) fn raised_with_stakes() -> AlertRaised {
    let stakes = Stakes {
        owner: Some("Ann".to_owned()),
        contact: Some("#orders".to_owned()),
        escalation: vec!["Bob, +1 555 0100".to_owned()],
        rpo: Some(Duration::from_secs(93_600)),
        rto: Some(Duration::from_secs(14_400)),
        risk: Some(Risk::High),
    };
    AlertRaised {
        epoch: epoch(),
        alert: Alert { stakes: Some(Box::new(stakes)), ..alert() },
        raised_at: at("2026-11-20T02:10:00Z"),
    }
}

fn announcement() -> PlanAnnouncement {
    PlanAnnouncement {
        routine: routine(),
        hash: "0123456789abcdef".to_owned(),
        driver: "rustic".to_owned(),
        target: "main".parse().unwrap(),
        repository: Some(repository()),
        can_witness: true,
        lock: RepositoryLock::Shared,
        calendar: Some("*-*-* 02:00:00".to_owned()),
        zone: "UTC".to_owned(),
        start_within: Duration::from_secs(3600),
        finish_within: Duration::from_secs(28800),
        stall_after: Duration::from_secs(1800),
        rpo: Some(Duration::from_secs(93600)),
        labels: labels(),
        guards: Guards::default(),
        storage: Some("nas".to_owned()),
        priority: 1,
        card: None,
        builds_on: None,
    }
}

pub(crate) fn coordinator_facts() -> Vec<CoordinatorFact> {
    let mut facts = vec![
        LeaderClaimed { epoch: epoch(), holder: holder(), log: None }.into(),
        opened().into(),
        Dispatched {
            epoch: epoch(),
            run: run(),
            node: node(),
            command: command_id(),
            dispatch: 1,
            not_after: at("2026-11-20T02:00:30Z"),
        }
        .into(),
        Answered {
            epoch: epoch(),
            run: run(),
            command: command_id(),
            refused: Some(Reason::NoPlan),
            message: "no such plan".to_owned(),
        }
        .into(),
        CancelAsked { epoch: epoch(), run: run(), command: command_id(), by: "anna".to_owned() }.into(),
        RunLost { epoch: epoch(), run: run(), reason: Reason::NodeSilent }.into(),
        WitnessAsked {
            epoch: epoch(),
            round: round(),
            repository: repository(),
            witness: node(),
            command: command_id(),
            runs: vec![run()],
            asked_at: at("2026-11-20T02:01:00Z"),
            not_after: at("2026-11-20T02:11:00Z"),
        }
        .into(),
        RoundConcluded {
            epoch: epoch(),
            round: round(),
            concluded_at: at("2026-11-20T02:02:00Z"),
            verdict: verdict(),
            part: 0,
            parts: 0,
        }
        .into(),
        AlertRaised { epoch: epoch(), alert: alert(), raised_at: at("2026-11-20T02:02:00Z") }.into(),
        AlertResolved {
            epoch: epoch(),
            key: alert().key,
            id: alert().id,
            resolved_at: at("2026-11-21T02:02:00Z"),
            why: "good again".to_owned(),
        }
        .into(),
        AlertDelivered {
            epoch: epoch(),
            id: alert().id,
            sink: "hook".to_owned(),
            resolved: false,
            attempts: 3,
            error: Some("refused".to_owned()),
            at: at("2026-11-20T02:02:09Z"),
            reminder: 0,
            answer: None,
        }
        .into(),
        LimitSet { epoch: epoch(), name: "storage:nas".parse().unwrap(), value: 2, by: "anna".to_owned() }.into(),
        NodeRetired { epoch: epoch(), node: node(), by: "anna".to_owned() }.into(),
    ];
    facts.extend(monitor_facts());
    facts.push(space_sampled().into());
    facts
}

fn monitor_facts() -> [CoordinatorFact; 4] {
    [
        MonitorSet { epoch: epoch(), monitor: monitor(), set_at: at("2026-11-21T01:00:00Z"), by: "anna".to_owned() }
            .into(),
        MonitorRemoved { epoch: epoch(), name: routine(), by: "anna".to_owned() }.into(),
        PingKeySet {
            epoch: epoch(),
            label: "scripts".to_owned(),
            key: Some(KeyHash::of("secret")),
            creates: true,
            set_at: at("2026-11-21T01:00:00Z"),
            by: "anna".to_owned(),
        }
        .into(),
        Pinged { epoch: epoch(), monitor: routine(), at: at("2026-11-21T02:00:00Z"), ping: ping() }.into(),
    ]
}

fn monitor() -> MonitorSpec {
    MonitorSpec {
        name: "db.daily".parse().unwrap(),
        slug: "db-daily".parse().unwrap(),
        key: Some(KeyHash::of("00000000-0000-4000-8000-000000000001")),
        expects: Expects::Slots { calendar: "*-*-* 02:00:00".to_owned(), zone: "Europe/Berlin".to_owned() },
        grace: Duration::from_secs(3600),
        late_after: Some(Duration::from_secs(600)),
        labels: [("rack".to_owned(), "1".to_owned())].into(),
        note: "the shop's orders".to_owned(),
        owner: "anna".to_owned(),
    }
}

fn ping() -> Ping {
    Ping {
        id: Uuid::from_u128(11),
        kind: PingKind::Exit { status: 3 },
        rid: Some(Uuid::from_u128(12)),
        from: "192.0.2.1".to_owned(),
        method: "POST".to_owned(),
        agent: "curl/8.5.0".to_owned(),
        body: "no space left".to_owned(),
        body_bytes: 13,
        said: Said {
            stage: Some(Stage::Failed),
            percent: Some(40),
            duration_ms: Some(61_000),
            bytes: Some(5),
            files: Some(2),
            error: Some("no space left".to_owned()),
            reason: Some(Reason::NoSpace),
        },
    }
}

/// A round that a person asked for.
pub(crate) fn opened_by_name() -> RoundOpened {
    RoundOpened { slot: None, opened_by: OpenedBy::Operator, by: Some("anna".to_owned()), ..opened() }
}

fn opened() -> RoundOpened {
    RoundOpened {
        epoch: epoch(),
        round: round(),
        routine: routine(),
        task: TaskKind::Backup,
        slot: Some(at("2026-11-20T02:00:00Z")),
        opened_at: at("2026-11-20T02:00:00.1Z"),
        start_by: at("2026-11-20T03:00:00Z"),
        deadline: at("2026-11-20T10:00:00Z"),
        rule: Rule::Coverage("shard".to_owned()),
        expected: vec![ExpectedRun {
            node: node(),
            run: run(),
            plan_hash: "0123456789abcdef".to_owned(),
            repository: Some(repository()),
            lock: RepositoryLock::Exclusive,
            storage: Some("nas".to_owned()),
            labels: labels(),
            priority: 1,
        }],
        opened_by: OpenedBy::Retry { of: run() },
        by: None,
        part: 0,
        parts: 0,
    }
}

fn verdict() -> Verdict {
    Verdict {
        kind: VerdictKind::Diverged,
        summary: "1 of 1 nodes is not good".to_owned(),
        nodes: vec![NodeStanding {
            node: node(),
            run: run(),
            standing: Standing::Bad,
            outcome: Some(Outcome::Partial),
            reason: Some(Reason::SourceUnreadable),
            witness: Witness::Confirmed { by: "b".parse().unwrap() },
        }],
        late: true,
    }
}

fn alert() -> Alert {
    Alert {
        key: AlertKey("failed/nightly/a".to_owned()),
        id: Uuid::from_u128(6),
        severity: Severity::Critical,
        title: "nightly failed on a".to_owned(),
        routine: Some(routine()),
        round: Some(round()),
        nodes: vec![node()],
        reason: Some(Reason::NoSpace),
        last_good_at: Some(at("2026-11-19T02:00:00Z")),
        fix: "free space".to_owned(),
        runbook: Some("https://runbooks.example/backup".to_owned()),
        stakes: None,
    }
}

fn command(action: Action) -> Command {
    Command {
        id: command_id(),
        audience: node(),
        holder: holder(),
        epoch: epoch(),
        issued_at: at("2026-11-20T02:00:00Z"),
        not_after: at("2026-11-20T02:00:30Z"),
        action,
    }
}

pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let slot = Some(at("2026-11-20T02:00:00Z"));
    vec![
        (
            "start",
            command(Action::Start { run: run(), round: round(), routine: routine(), slot, task: TaskKind::Backup }),
        ),
        ("cancel", command(Action::Cancel { run: run() })),
        ("witness", command(Action::Witness { round: round(), repository: repository(), runs: vec![run()] })),
        ("read_log", command(Action::ReadLog { run: run(), offset: 4096 })),
    ]
}

pub(crate) fn answers() -> Vec<(&'static str, Answer)> {
    vec![
        ("accepted", Answer::Accepted),
        ("already_done", Answer::AlreadyDone),
        ("refused", Answer::Refused { reason: Refused::StaleEpoch, message: "term 4 is over".to_owned() }),
        ("log", Answer::Log { offset: 0, text: "line\n".to_owned(), next_offset: 5, ended: true }),
    ]
}

pub(crate) fn requests() -> Vec<Request> {
    let paging = Paging { rows: Some(10), after: Some("x".to_owned()) };
    let by = "anna".to_owned();
    vec![
        Request::Status,
        Request::Rounds { routine: Some(routine()), open: Some(true), paging: paging.clone() },
        Request::Round { id: round() },
        Request::Runs { filter: RunFilter { node: Some(node()), ..RunFilter::default() }, paging: paging.clone() },
        Request::Run { id: run() },
        Request::Nodes { paging: paging.clone() },
        Request::Node { id: node() },
        Request::Routines,
        Request::Routine { name: routine() },
        Request::Storages { name: Some("nas".to_owned()), paging: paging.clone() },
        Request::Alerts { all: true, paging },
        Request::Alert { key: "failed/nightly/a".to_owned() },
        Request::Limits,
        Request::Board {
            filter: BoardFilter { search: Some("web".to_owned()), days: true, offset: 50, rows: Some(50) },
        },
        Request::Queue {
            filter: QueueFilter {
                task: Some(TaskKind::Backup),
                node: Some("web".to_owned()),
                card: Some(QueueCard::Failed),
            },
        },
        Request::Trends { routine: Some(routine()), node: Some(node()), days: 30 },
        Request::Metrics,
        Request::Rehearse { routine: routine(), nodes: vec![node()], task: TaskKind::Backup },
        Request::Logs { run: run(), offset: 0 },
        Request::Start {
            routine: routine(),
            nodes: vec![node()],
            task: TaskKind::Check,
            by: by.clone(),
            request: Uuid::from_u128(7),
        },
        Request::Cancel { id: Uuid::from_u128(2), by: by.clone() },
        Request::Retry { id: Uuid::from_u128(2), by: by.clone(), request: Uuid::from_u128(8) },
        Request::Retire { node: node(), by: by.clone() },
        Request::SetLimit { name: "cluster".parse().unwrap(), value: 8, by: by.clone() },
        Request::Monitors { paging: Paging { rows: Some(5), after: Some("5".to_owned()) } },
        Request::Monitor { name: routine() },
        Request::SetMonitor { monitor: monitor(), replaces: true, by: by.clone() },
        Request::RemoveMonitor { name: routine(), by: by.clone() },
        Request::SetPingKey { label: "scripts".to_owned(), key: Some(KeyHash::of("secret")), creates: true, by },
        Request::Ping {
            to: PingTo::Slug { key: KeyHash::of("secret"), slug: "db-daily".parse().unwrap(), create: true },
            ping: ping(),
        },
        Request::TestSink { sink: "pager".to_owned(), request: Uuid::from_u128(9) },
        Request::Snapshot { name: Some("0-7-ab.landfall".to_owned()), offset: 131_072, holder: Some(holder()) },
    ]
}

pub(crate) fn signed_command() -> SignedCommand {
    SignedCommand { command: vec![1, 2], signature: vec![3; 64], signer: "UABC".to_owned() }
}

pub(crate) fn progress() -> Progress {
    Progress {
        run: run(),
        phase: Phase::Transferring,
        action: "/etc/hosts".to_owned(),
        percent: Some(42),
        files_done: 4,
        files_total: Some(10),
        bytes_done: 420,
        bytes_total: Some(1000),
        rate_bytes: 100,
        eta_ms: Some(5800),
        at: at("2026-11-20T02:00:05Z"),
    }
}

pub(crate) fn beat() -> Beat {
    Beat {
        epoch: None,
        node: node(),
        incarnation: incarnation(),
        version: "0.1.0".to_owned(),
        next_seq: 9,
        outbox: 2,
        vitals: Vitals {
            load_per_cpu: 0.5,
            memory_total_bytes: 100,
            memory_available_bytes: 50,
            disks: BTreeMap::from([("/".to_owned(), Space { free_bytes: 1, total_bytes: 2 })]),
            targets: BTreeMap::new(),
            on_battery: Some(false),
            agent_memory_bytes: 9,
        },
        live: vec![LiveRun { run: run(), idle_ms: 10, progress: Some(progress()) }],
        paused: Some("on battery".to_owned()),
        sent_at: at("2026-11-20T02:00:05Z"),
    }
}

/// Of a node that sees its destinations.
pub(crate) fn far_sighted_beat() -> Beat {
    let mut beat = beat();
    beat.vitals.targets = BTreeMap::from([("main".parse().unwrap(), Space { free_bytes: 3, total_bytes: 4 })]);
    beat
}

pub(crate) fn beacon() -> Beacon {
    let position = Position { era: 0, seq: 12, hash: ContentHash([7; 16]) };
    Beacon { holder: holder(), epoch: epoch(), position, sent_at: at("2026-11-20T02:00:06Z") }
}

pub(crate) fn presence() -> Presence {
    let position = Position { era: 1, seq: 12, hash: ContentHash([7; 16]) };
    Presence {
        holder: holder(),
        incarnation: incarnation(),
        epoch: epoch(),
        leads: true,
        position,
        lag: Some(2),
        digests: vec![Digest { position, state: ContentHash([9; 16]) }],
        is_ending: true,
        version: "0.1.0".to_owned(),
        sent_at: at("2026-11-20T02:00:06Z"),
    }
}

/// A claim that begins an era.
pub(crate) fn era_claim() -> LeaderClaimed {
    let log = LogBirth {
        created: at("2026-11-20T02:00:00Z"),
        lost_from: Some(5),
        folded_to: 12,
        known_to: 14,
        folded_at: Some(at("2026-11-20T01:59:00Z")),
        noticed_at: at("2026-11-20T02:00:01Z"),
    };
    LeaderClaimed { epoch: epoch(), holder: holder(), log: Some(log) }
}

pub(crate) fn sync() -> Sync {
    Sync {
        epoch: epoch(),
        incarnation: incarnation(),
        durable_below: 8,
        last_halves: Vec::new(),
        resend_from: Some(3),
        queued: vec![run()],
        announce: true,
    }
}

pub(crate) fn output() -> Output {
    Output { run: run(), offset: 10, text: "line\n".to_owned() }
}
