//! Laws of the figures: what is unknown is left out, names follow the rules, and a large mesh stays within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use landfall_proto::alert::Severity;
use landfall_proto::metrics::{
    CoordinatorFigures, DeliveryFigures, MetricsView, NodeFigures, PlanFigures, QueueFigures, RoutineFigures, Status,
    TaskFigures,
};
use landfall_proto::report::{Reason, Space, TaskKind};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::VerdictKind;
use landfall_proto::view::{LimitView, LogCopies, RunState, WatchdogView};

use super::families::{Kind, families};
use super::text::{Format, write};

/// The runbook's names keep their form, whatever the rules say.
const OF_THE_RUNBOOK: [&str; 4] = [
    "proxmox_backup_job_last_status",
    "proxmox_backup_job_last_run_endtime",
    "pbs_datastore_available",
    "pbs_datastore_total",
];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

/// A coordinator that knows nothing yet.
fn nothing() -> MetricsView {
    MetricsView {
        version: "1.0.0".to_owned(),
        coordinator: CoordinatorFigures {
            holder: "one".parse().unwrap(),
            leads: false,
            leader_since: None,
            standbys: 0,
            started_at: at(0),
            last_pass_at: None,
            log_seq: 0,
            log_lag: None,
            log_copies: None,
            refused: BTreeMap::new(),
            unknown_kinds: 0,
            ignored_decisions: 0,
            watchdog: None,
        },
        nodes: Vec::new(),
        nodes_retired: 0,
        routines: Vec::new(),
        queue: QueueFigures::default(),
        alerts_open: BTreeMap::new(),
        deliveries: BTreeMap::new(),
        limits: Vec::new(),
        storages: BTreeMap::new(),
        monitors: Vec::new(),
        filling: BTreeMap::new(),
    }
}

/// A node whose last backup was good and whose last check was not.
fn node(name: &str) -> NodeFigures {
    let backup = TaskFigures {
        task: TaskKind::Backup,
        status: Some(Status::Ok),
        ended_at: at(100),
        trouble: None,
        last_good_at: Some(at(90)),
        failures_since_good: 0,
        duration_ms: Some(12_500),
        bytes: Some(1 << 30),
        files: Some(1154),
    };
    let check = TaskFigures {
        task: TaskKind::Check,
        status: Some(Status::Error),
        trouble: Some(Reason::Integrity),
        last_good_at: None,
        failures_since_good: 3,
        duration_ms: None,
        bytes: None,
        files: None,
        ..backup
    };
    let plan = PlanFigures {
        routine: "nightly".parse().unwrap(),
        rpo_ms: Some(86_400_000),
        first_announced_at: at(1),
        backup: Some(backup),
        check: Some(check),
    };
    NodeFigures {
        id: name.parse().unwrap(),
        online: true,
        quarantined: false,
        last_beat_at: Some(at(119)),
        plans: vec![plan],
    }
}

/// A mesh in which everything is known.
fn everything() -> MetricsView {
    let mut view = nothing();
    view.coordinator = CoordinatorFigures {
        leads: true,
        leader_since: Some(at(1)),
        standbys: 1,
        last_pass_at: Some(at(120)),
        log_seq: 77,
        log_lag: Some(0),
        log_copies: Some(LogCopies { wanted: 3, kept: 3 }),
        refused: BTreeMap::from([("too_long".to_owned(), 2)]),
        watchdog: Some(WatchdogView { called_at: Some(at(110)), failures: 0, failures_total: 4 }),
        ..view.coordinator
    };
    let mut new = node("b");
    new.online = false;
    new.quarantined = true;
    new.last_beat_at = None;
    new.plans[0].backup = None;
    new.plans[0].check = None;
    view.nodes = vec![node("a"), new];
    view.nodes_retired = 1;
    view.routines = vec![RoutineFigures {
        name: "nightly".parse().unwrap(),
        nodes: 2,
        failing: 1,
        overdue: 1,
        rounds_open: 1,
        interval_ms: Some(86_400_000),
        next_slot_at: Some(at(3600)),
        last_verdict: Some(VerdictKind::Overdue),
        last_verdict_at: Some(at(110)),
    }];
    view.queue = QueueFigures {
        states: BTreeMap::from([(RunState::Queued, 1), (RunState::Running, 0)]),
        waiting: BTreeMap::from([("node_offline".to_owned(), 1)]),
        oldest_queued_at: Some(at(60)),
    };
    view.alerts_open = BTreeMap::from([(Severity::Warning, 0), (Severity::Critical, 2)]);
    view.deliveries = BTreeMap::from([("journal".to_owned(), DeliveryFigures { taken: 2, refused: 1 })]);
    view.limits = vec![LimitView { name: "label:rack=\"1".parse().unwrap(), size: Some(4), used: 1, is_default: true }];
    view.storages = BTreeMap::from([("nas".to_owned(), Space { free_bytes: 10, total_bytes: 100 })]);
    view.filling = BTreeMap::from([("nas".to_owned(), 9)]);
    view
}

fn text(view: MetricsView, format: Format) -> String {
    write(Arc::new(view), format).unwrap()
}

#[test]
fn a_mesh_is_written_down_in_both_forms() {
    insta::assert_snapshot!("open_metrics", text(everything(), Format::OpenMetrics));
    let plain = text(everything(), Format::Plain);
    assert!(
        plain.contains(
            "# TYPE landfall_messages_refused_total counter\nlandfall_messages_refused_total{reason=\"too_long\"} 2\n"
        ),
        "{plain}"
    );
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&plain), samples(&text(everything(), Format::OpenMetrics)));
    assert!(!plain.contains("# EOF"));
}

#[test]
fn names_follow_the_rules_and_a_family_has_one_set_of_labels() {
    let view = everything();
    let mut names = BTreeSet::new();
    for family in families(&view) {
        assert!(names.insert(family.name), "{} is there twice", family.name);
        let mut seen = BTreeSet::new();
        for sample in &family.samples {
            assert_eq!(sample.labels.len(), family.labels.len(), "{}", family.name);
            assert!(seen.insert(sample.labels.clone()), "{} has {:?} twice", family.name, sample.labels);
        }
        if OF_THE_RUNBOOK.contains(&family.name) {
            continue;
        }
        assert!(family.name.starts_with("landfall_"), "{}", family.name);
        assert!(!family.name.ends_with("_total"), "{}: the format adds it to counters", family.name);
        assert!(family.kind == Kind::Counter || !family.name.ends_with("_count"), "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.name);
    }
    assert!(OF_THE_RUNBOOK.iter().all(|name| names.contains(name)));
}

#[test]
fn what_is_unknown_is_left_out_and_never_zero() {
    let text = text(nothing(), Format::Plain);
    for unknown in ["lag", "last_pass", "leader_since", "copies", "watchdog", "oldest", "pbs_", "proxmox_", "NaN"] {
        assert!(!text.contains(unknown), "{unknown} is told although nobody knows it:\n{text}");
    }
    let mut skipped = everything();
    skipped.nodes[0].plans[0].backup.as_mut().unwrap().status = None;
    let skipped = self::text(skipped, Format::Plain);
    assert!(!skipped.contains("proxmox_backup_job_last_status"), "a skipped run proves nothing:\n{skipped}");
    assert!(
        skipped.contains("proxmox_backup_job_last_run_endtime{job=\"nightly\",node=\"a\"} 1780000100"),
        "{skipped}"
    );
}

#[test]
fn the_series_of_a_plan_that_is_gone_vanish_with_it() {
    let mut view = everything();
    view.nodes.iter_mut().for_each(|node| node.plans.clear());
    view.routines.clear();
    let text = text(view, Format::OpenMetrics);
    assert!(!text.contains("nightly"), "{text}");
}

#[test]
fn ten_thousand_nodes_stay_within_bounds() {
    let mut view = everything();
    view.nodes = (0..10_000).map(|number| node(&format!("node-{number}"))).collect();
    let text = text(view, Format::Plain);
    let samples = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    assert_eq!(samples("proxmox_backup_job_last_status"), 10_000);
    assert_eq!(samples("landfall_run_last_status"), 20_000);
    assert_eq!(samples("landfall_run_last_success_size_bytes"), 10_000);
    let all = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(all <= 16 * 10_000 + 100, "{all} samples");
    assert!(text.len() < 16 << 20, "{} bytes", text.len());
}

#[test]
fn open_metrics_is_for_who_asks_for_it() {
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
    assert_eq!(Format::accepted("text/html,*/*"), Format::Plain);
    assert_eq!(Format::accepted(""), Format::Plain);
}
