//! Pages rendered from values: what hostile names cannot do, and what works without a script.

use std::collections::BTreeMap;

use landfall_proto::alert::{Alert, AlertKey, Risk, Severity};
use landfall_proto::card::Card;
use landfall_proto::envelope::Epoch;
use landfall_proto::fact::coordinator::AlertDelivered;
use landfall_proto::id::{RoundId, RunId};
use landfall_proto::overview::{Forecast, SpaceSample, StorageView};
use landfall_proto::protection::{ProtectionView, RestoreView, Variant};
use landfall_proto::report::{
    Exit, Outcome, Phase, Progress, Reason, RunReport, Statistics, TaskKind, Trigger, Unread,
};
use landfall_proto::time::{Duration, Timestamp};
use landfall_proto::verdict::Rule;
use landfall_proto::view::{
    AlertView, FindingView, RoutineView, RunDetail, RunState, RunView, StatusView, TimelineEntry,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::{acting, alert, card, incident, log, queue, run, storage};
use crate::web::access::Role;

/// A mesh that is well: led, seen, with three nodes; begun two hours ago.
pub(super) fn status(now: Timestamp) -> StatusView {
    StatusView {
        cluster: "home".to_owned(),
        version: "1".to_owned(),
        leader: Some("main".parse().unwrap()),
        epoch: Epoch::default(),
        log_seq: 10,
        lag: Some(0),
        bus_version: None,
        nodes: 3,
        nodes_online: 3,
        nodes_silent: Vec::new(),
        rounds_open: 0,
        runs_queued: 0,
        runs_running: 0,
        alerts_open: 0,
        routines: Vec::new(),
        refused: BTreeMap::new(),
        unknown_kinds: BTreeMap::new(),
        started_at: Timestamp::from_second(now.as_second() - 7200).unwrap(),
        leader_since: None,
        standbys: Vec::new(),
        last_pass_at: Some(now),
        watchdog: None,
        log_copies: None,
        monitors: BTreeMap::new(),
    }
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// A failed run in which every text that comes from a machine says this.
fn detail(said: &str, state: RunState) -> RunDetail {
    let said = said.to_owned();
    let progress = Progress {
        run: RunId(Uuid::from_u128(1)),
        phase: Phase::Transferring,
        action: said.clone(),
        percent: Some(40),
        files_done: 1,
        files_total: None,
        bytes_done: 2,
        bytes_total: Some(5),
        rate_bytes: 1,
        eta_ms: Some(3000),
        at: now(),
    };
    let run = RunView {
        id: RunId(Uuid::from_u128(1)),
        round: RoundId(Uuid::from_u128(2)),
        routine: "nightly".parse().unwrap(),
        node: "a".parse().unwrap(),
        task: TaskKind::Backup,
        slot: None,
        state,
        reason: Some(Reason::SourceMissing),
        trigger: Some(Trigger::Dispatched),
        waits_for: None,
        queued_at: now(),
        started_at: Some(now()),
        finished_at: Some(now()),
        duration_ms: Some(1),
        phase: Some(Phase::Transferring),
        progress: Some(progress),
        files: None,
        bytes: None,
        added_bytes: None,
        snapshot: Some(said.clone()),
        repository: None,
        witness: None,
        attempts: 1,
    };
    let report = RunReport {
        outcome: Outcome::Failed,
        reason: Reason::SourceMissing,
        message: said.clone(),
        started_at: now(),
        finished_at: now(),
        attempts: 1,
        exit: Some(Exit::Code(3)),
        statistics: Statistics::default(),
        evidence: None,
        unread: Unread { count: 1, names: vec![said.clone()] },
        findings: vec![said.clone()],
        tail: said.clone(),
    };
    RunDetail {
        run,
        report: Some(report),
        cause: said.clone(),
        fix: said.clone(),
        findings: vec![FindingView {
            kind: said.clone(),
            severity: Severity::Warning,
            message: said.clone(),
            routine: None,
        }],
        options: BTreeMap::from([(said.clone(), said.clone())]),
        timeline: vec![TimelineEntry { at: now(), what: said }],
    }
}

fn alert_saying(said: &str) -> AlertView {
    let said = said.to_owned();
    AlertView {
        alert: Alert {
            key: AlertKey(said.clone()),
            id: Uuid::from_u128(3),
            severity: Severity::Critical,
            title: said.clone(),
            routine: None,
            round: None,
            nodes: Vec::new(),
            reason: None,
            last_good_at: None,
            fix: said.clone(),
            runbook: Some(format!("javascript:{said}")),
            stakes: None,
        },
        open: true,
        covered_by: None,
        raised_at: now(),
        resolved_at: None,
        deliveries: vec![AlertDelivered {
            epoch: Epoch::default(),
            id: Uuid::from_u128(3),
            sink: said.clone(),
            resolved: false,
            reminder: 0,
            attempts: 2,
            answer: None,
            error: Some(said),
            at: now(),
        }],
    }
}

fn routine_saying(said: &str) -> RoutineView {
    let said = said.to_owned();
    let variant = Variant { value: said.clone(), count: 3, nodes: vec!["a".parse().unwrap()] };
    RoutineView {
        name: "nightly".parse().unwrap(),
        nodes: vec!["a".parse().unwrap()],
        calendar: None,
        zone: None,
        explained: None,
        next_slots: Vec::new(),
        rule: Rule::All,
        start_within_ms: 1,
        finish_within_ms: 1,
        rpo_ms: Some(1),
        last_round: None,
        differs: Vec::new(),
        card: Card {
            protects: vec![said.clone()],
            owner: Some(said.clone()),
            contact: Some(said.clone()),
            escalation: vec![said.clone()],
            rto: Some(Duration::from_secs(60)),
            data_class: Some(said.clone()),
            restore: vec![said.clone()],
            runbook: Some(format!("javascript:{said}")),
        },
        risk: Some(Risk::High),
        protection: Some(ProtectionView {
            targets: vec![variant.clone()],
            drivers: vec![variant.clone()],
            restore: Some(RestoreView {
                node: "a".parse().unwrap(),
                bytes: 1,
                rate_bytes: 1,
                duration_ms: 120_000,
                measured_in: 1,
            }),
            oldest_good: Some(("a".parse().unwrap(), now())),
            never_good: Vec::new(),
            drift: BTreeMap::from([(said.clone(), vec![variant])]),
        }),
    }
}

fn storage_saying(said: &str) -> StorageView {
    let sample = SpaceSample { at: now(), free_bytes: 1, total_bytes: 2 };
    let forecast = Forecast::Filling { days: 3, bytes_a_day: 1000 };
    StorageView { name: said.to_owned(), space: None, samples: vec![sample; 2], forecast }
}

#[test]
fn a_card_says_what_was_promised_and_what_is_not_kept() {
    let page = card::card(&routine_saying("orders"), now()).into_string();
    for wanted in ["RTO", "not kept", "about 2m", "risk high", "orders", "data checks read the destination"] {
        assert!(page.contains(wanted), "{wanted} is missing in\n{page}");
    }
    let mut bare = routine_saying("orders");
    (bare.card, bare.protection) = (Card::default(), Some(ProtectionView::default()));
    let page = card::card(&bare, now()).into_string();
    assert!(page.contains("Nobody has written a card yet") && page.contains("unknown until a check"), "{page}");
    assert!(!page.contains("not kept"), "what is not known is not called broken: {page}");
}

#[test]
fn days_until_full_are_a_number_only_where_there_is_one() {
    let mut storage = storage_saying("nas");
    assert_eq!(storage::soonest(std::slice::from_ref(&storage)).0, "3 d");
    storage.forecast = Forecast::Unknown;
    let (figure, why) = storage::soonest(std::slice::from_ref(&storage));
    assert!(figure == "–" && why.starts_with("unknown"), "{why}");
    storage.forecast = Forecast::Steady;
    assert_eq!(storage::soonest(&[storage]).1, "no destination fills up");
    assert!(storage::soonest(&[]).1.starts_with("unknown"));
}

fn everything(said: &str) -> String {
    let failed = detail(said, RunState::Failed);
    let running = detail(said, RunState::Running);
    let html = [
        acting::shown_to(Role::Admin, || run::body(&failed, now())).into_string(),
        acting::shown_to(Role::Admin, || queue::work(&running.run, now())).into_string(),
        alert::card(&alert_saying(said), now()).into_string(),
        log::lines(said).into_string(),
        card::card(&routine_saying(said), now()).into_string(),
        card::drift(routine_saying(said).protection.as_ref()).into_string(),
        storage::table(&[storage_saying(said)]).into_string(),
    ];
    html.concat()
}

#[test]
fn no_word_of_a_tool_becomes_part_of_the_page() {
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='x",
        "</div></section><form action=//evil>",
        "]]><!--",
    ] {
        let page = everything(hostile);
        let plain = everything("harmless");
        for sign in ["<script", "<img", "<form", "<!--", "</section>", "<section", "<div", "href=\"javascript"] {
            assert_eq!(page.matches(sign).count(), plain.matches(sign).count(), "{hostile} brought in {sign}:\n{page}");
        }
    }
}

#[test]
fn a_failed_run_says_message_exit_cause_and_fix_and_can_be_retried_without_a_script() {
    let failed = detail("it broke", RunState::Failed);
    let shown = |role| acting::shown_to(role, || run::body(&failed, now())).into_string();
    assert!(!shown(Role::Viewer).contains("<form"), "whoever may not act has no button for it");
    let page = shown(Role::Operator);
    for wanted in [
        "it broke",
        "code 3",
        "Cause",
        "Suggested fix",
        "method=\"post\"",
        "/retry\"",
        "name=\"csrf\"",
        "Incident record",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing in\n{page}");
    }
    assert!(!page.contains("/cancel\""), "what has ended cannot be cancelled");
}

#[test]
fn cancelling_is_shown_until_the_process_is_gone() {
    let page = acting::shown_to(Role::Admin, || run::body(&detail("x", RunState::Cancelling), now())).into_string();
    assert!(page.contains("Cancelling: its processes are being ended"), "{page}");
    assert!(!page.contains("/cancel\""), "it is asked for already");
    let unknown = run::body(&detail("x", RunState::Unknown), now()).into_string();
    assert!(unknown.contains("neither failed nor good") && !unknown.contains("✕"), "{unknown}");
}

proptest! {
    #[test]
    fn the_incident_record_has_no_heading_but_its_own(said in "(\\PC|\n|#|<|`){0,80}") {
        let record = incident::record(&detail(&said, RunState::Failed), None, &[&alert_saying(&said)], now());
        let headings: Vec<&str> = record.lines().filter(|line| line.starts_with('#')).collect();
        prop_assert_eq!(headings.len(), if said.is_empty() { 3 } else { 4 }, "{}", record);
        let outside = record.lines().filter(|line| !line.starts_with("    "));
        prop_assert!(outside.filter(|line| line.contains("<script")).count() == 0);
    }
}
