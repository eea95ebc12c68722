//! From figures to families: names, units and labels. A value that is not known is left out; a family has one set of labels.

use std::borrow::Cow;

use landfall_proto::metrics::{MetricsView, NodeFigures, PlanFigures, TaskFigures};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::VerdictKind;

use super::monitors::monitors;

/// All samples of one name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family<'a> {
    /// Without `_total`, which the format gives to counters.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) samples: Vec<Sample<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

/// One value, and those of its family's labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) labels: Vec<Cow<'a, str>>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    /// Seconds.
    Seconds(f64),
}

impl<'a> Family<'a> {
    pub(super) fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, kind: Kind::Gauge, labels, samples: Vec::new() }
    }

    fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { kind: Kind::Counter, ..Self::gauge(name, help, labels) }
    }

    /// A family of one sample without labels.
    fn single(self, value: impl Into<Option<Value>>) -> Self {
        self.with([], value)
    }

    fn with<const N: usize>(mut self, labels: [&'a str; N], value: impl Into<Option<Value>>) -> Self {
        self.add(labels, value);
        self
    }

    fn add<const N: usize>(&mut self, labels: [&'a str; N], value: impl Into<Option<Value>>) {
        let Some(value) = value.into() else { return };
        self.samples.push(Sample { labels: labels.into_iter().map(Cow::Borrowed).collect(), value });
    }

    pub(super) fn each<const N: usize>(
        mut self,
        samples: impl IntoIterator<Item = ([&'a str; N], Option<Value>)>,
    ) -> Self {
        for (labels, value) in samples {
            self.add(labels, value);
        }
        self
    }

    fn samples_of(mut self, samples: impl IntoIterator<Item = (String, Option<Value>)>) -> Self {
        let known = samples.into_iter().filter_map(|(label, value)| Some((label, value?)));
        self.samples.extend(known.map(|(label, value)| Sample { labels: vec![Cow::Owned(label)], value }));
        self
    }
}

const PLAN: &[&str] = &["routine", "node"];
const TASK: &[&str] = &["routine", "node", "task"];

/// Every family that has a sample.
pub(super) fn families(view: &MetricsView) -> Vec<Family<'_>> {
    let mut all = Vec::new();
    all.extend(runbook(view));
    all.extend(tasks(view));
    all.extend(plans(view));
    all.extend(routines(view));
    all.extend(queue(view));
    all.extend(nodes(view));
    all.extend(alerts(view));
    all.extend(storages(view));
    all.extend(monitors(view));
    all.extend(coordinator(view));
    all.extend(log(view));
    all.retain(|family| !family.samples.is_empty());
    all
}

/// The names that the field's runbook for failed backups asks for.
fn runbook(view: &MetricsView) -> [Family<'_>; 4] {
    const JOB: &[&str] = &["job", "node"];
    let backups = || each_plan(view).filter_map(|(node, plan)| plan.backup.as_ref().map(|task| (node, plan, task)));
    [
        Family::gauge(
            "proxmox_backup_job_last_status",
            "How the last backup of a job ended: 0 ok, 1 warning, 2 error.",
            JOB,
        )
        .each(backups().map(|(node, plan, task)| ([plan.routine.as_str(), node.id.as_str()], status(task)))),
        Family::gauge("proxmox_backup_job_last_run_endtime", "When the last backup of a job ended, in seconds.", JOB)
            .each(backups().map(|(node, plan, task)| ([plan.routine.as_str(), node.id.as_str()], at(task.ended_at)))),
        Family::gauge("pbs_datastore_available", "Free bytes of a destination.", &["datastore"])
            .each(view.storages.iter().map(|(name, space)| ([name.as_str()], whole(space.free_bytes)))),
        Family::gauge("pbs_datastore_total", "Size of a destination in bytes.", &["datastore"])
            .each(view.storages.iter().map(|(name, space)| ([name.as_str()], whole(space.total_bytes)))),
    ]
}

fn tasks(view: &MetricsView) -> [Family<'_>; 7] {
    let gauge = |name, help, value: fn(&TaskFigures) -> Option<Value>| {
        Family::gauge(name, help, TASK).each(each_task(view).map(move |(node, plan, task)| {
            ([plan.routine.as_str(), node.id.as_str(), task.task.as_str()], value(task))
        }))
    };
    [
        gauge("landfall_run_last_status", "How a node's last run stands: 0 ok, 1 warning, 2 error.", status),
        gauge("landfall_run_last_end_timestamp_seconds", "When a node's last run ended.", |task| at(task.ended_at)),
        gauge(
            "landfall_run_last_success_timestamp_seconds",
            "The instant that a restore of a node's last good run would bring back.",
            |task| task.last_good_at.and_then(at),
        ),
        gauge("landfall_run_failures_since_success", "Runs that failed since a node's last good one.", |task| {
            whole(u64::from(task.failures_since_good))
        }),
        gauge("landfall_run_last_success_duration_seconds", "How long a node's last good run took.", |task| {
            task.duration_ms.map(seconds)
        }),
        gauge("landfall_run_last_success_size_bytes", "What a node's last good run protects.", |task| {
            task.bytes.map(Value::Whole)
        }),
        gauge("landfall_run_last_success_files", "Files in a node's last good run.", |task| {
            task.files.map(Value::Whole)
        }),
    ]
}

fn plans(view: &MetricsView) -> [Family<'_>; 3] {
    let trouble = each_task(view).filter_map(|(node, plan, task)| {
        let reason = task.trouble?.as_str();
        Some(([plan.routine.as_str(), node.id.as_str(), task.task.as_str(), reason], whole(1)))
    });
    let never = each_plan(view).filter(|(_, plan)| plan.backup.is_none_or(|task| task.last_good_at.is_none()));
    [
        Family::gauge(
            "landfall_run_trouble_info",
            "Why a node is in trouble; gone with its next good run.",
            &["routine", "node", "task", "reason"],
        )
        .each(trouble),
        Family::gauge("landfall_backup_rpo_seconds", "How old the last good backup of a node may be.", PLAN).each(
            each_plan(view).map(|(node, plan)| ([plan.routine.as_str(), node.id.as_str()], plan.rpo_ms.map(seconds))),
        ),
        Family::gauge(
            "landfall_backup_unproven_since_timestamp_seconds",
            "Since when a node is to have a backup and has no good one.",
            PLAN,
        )
        .each(never.map(|(node, plan)| ([plan.routine.as_str(), node.id.as_str()], at(plan.first_announced_at)))),
    ]
}

fn routines(view: &MetricsView) -> Vec<Family<'_>> {
    const ROUTINE: &[&str] = &["routine"];
    let gauge = |name, help, value: fn(&landfall_proto::metrics::RoutineFigures) -> Option<Value>| {
        Family::gauge(name, help, ROUTINE)
            .each(view.routines.iter().map(move |routine| ([routine.name.as_str()], value(routine))))
    };
    vec![
        gauge("landfall_routine_nodes", "Nodes that are to have a routine.", |it| whole(it.nodes.into())),
        gauge("landfall_routine_failing_nodes", "Nodes on which a routine is in trouble.", |it| {
            whole(it.failing.into())
        }),
        gauge("landfall_routine_overdue_nodes", "Nodes that a verdict missed, with nothing good since.", |it| {
            whole(it.overdue.into())
        }),
        gauge("landfall_routine_open_rounds", "Rounds of a routine without a verdict.", |it| {
            whole(it.rounds_open.into())
        }),
        gauge(
            "landfall_routine_expected_interval_seconds",
            "The longest time between two of a routine's next slots.",
            |it| it.interval_ms.map(seconds),
        ),
        gauge("landfall_routine_next_slot_timestamp_seconds", "When a routine is due next.", |it| {
            it.next_slot_at.and_then(at)
        }),
        gauge(
            "landfall_routine_last_verdict",
            "The last verdict of a routine: 0 converged, 1 diverged, 2 overdue.",
            |it| it.last_verdict.and_then(|kind| whole(verdict_code(kind))),
        ),
        gauge("landfall_routine_last_verdict_timestamp_seconds", "When a routine's last verdict fell.", |it| {
            it.last_verdict_at.and_then(at)
        }),
        verdicts(view),
    ]
}

fn verdicts(view: &MetricsView) -> Family<'_> {
    let having = |kind| view.routines.iter().filter(|routine| routine.last_verdict == Some(kind)).count();
    let kinds = [VerdictKind::Converged, VerdictKind::Diverged, VerdictKind::Overdue];
    Family::gauge("landfall_routines", "Routines by their last verdict.", &["last_verdict"])
        .each(kinds.map(|kind| ([kind.as_str()], u64::try_from(having(kind)).ok().map(Value::Whole))))
}

fn queue(view: &MetricsView) -> [Family<'_>; 5] {
    let figures = &view.queue;
    [
        Family::gauge("landfall_runs", "Runs that have not ended, by state.", &["state"])
            .each(figures.states.iter().map(|(state, count)| ([state.as_str()], whole((*count).into())))),
        Family::gauge("landfall_runs_waiting", "Queued runs, by what they wait for.", &["reason"])
            .each(figures.waiting.iter().map(|(reason, count)| ([reason.as_str()], whole((*count).into())))),
        Family::gauge("landfall_queue_oldest_timestamp_seconds", "When the oldest queued run entered the queue.", &[])
            .single(figures.oldest_queued_at.and_then(at)),
        Family::gauge("landfall_limit_size", "Size of a limit.", &["limit"]).samples_of(
            view.limits.iter().map(|limit| (limit.name.to_string(), limit.size.and_then(|size| whole(size.into())))),
        ),
        Family::gauge("landfall_limit_used", "How much of a limit is taken.", &["limit"])
            .samples_of(view.limits.iter().map(|limit| (limit.name.to_string(), whole(limit.used.into())))),
    ]
}

fn nodes(view: &MetricsView) -> [Family<'_>; 4] {
    let having = |wanted: bool| u64::try_from(view.nodes.iter().filter(|node| node.online == wanted).count()).ok();
    let presence = [
        (["online"], having(true).map(Value::Whole)),
        (["silent"], having(false).map(Value::Whole)),
        (["retired"], whole(view.nodes_retired.into())),
    ];
    [
        Family::gauge("landfall_nodes", "Nodes by presence.", &["presence"]).each(presence),
        Family::gauge("landfall_node_online", "Whether a node's beats come in.", &["node"])
            .each(view.nodes.iter().map(|node| ([node.id.as_str()], whole(node.online.into())))),
        Family::gauge("landfall_node_last_beat_timestamp_seconds", "When a node was last heard.", &["node"])
            .each(view.nodes.iter().map(|node| ([node.id.as_str()], node.last_beat_at.and_then(at)))),
        Family::gauge(
            "landfall_node_quarantined",
            "Nodes that are kept apart, because two speak in their name.",
            &["node"],
        )
        .each(view.nodes.iter().filter(|node| node.quarantined).map(|node| ([node.id.as_str()], whole(1)))),
    ]
}

fn alerts(view: &MetricsView) -> [Family<'_>; 2] {
    let deliveries = view.deliveries.iter().flat_map(|(sink, figures)| {
        [
            ([sink.as_str(), "taken"], whole(figures.taken.into())),
            ([sink.as_str(), "refused"], whole(figures.refused.into())),
        ]
    });
    [
        Family::gauge("landfall_alerts_open", "Open alerts by severity.", &["severity"])
            .each(view.alerts_open.iter().map(|(severity, count)| ([severity.as_str()], whole((*count).into())))),
        Family::gauge(
            "landfall_alert_deliveries",
            "Notices of alerts that are open or ended lately, by what the sink did with them.",
            &["sink", "result"],
        )
        .each(deliveries),
    ]
}

fn storages(view: &MetricsView) -> [Family<'_>; 3] {
    [
        Family::gauge("landfall_storage_free_bytes", "Free space of a destination.", &["storage"])
            .each(view.storages.iter().map(|(name, space)| ([name.as_str()], whole(space.free_bytes)))),
        Family::gauge("landfall_storage_size_bytes", "Size of a destination.", &["storage"])
            .each(view.storages.iter().map(|(name, space)| ([name.as_str()], whole(space.total_bytes)))),
        Family::gauge(
            "landfall_storage_days_until_full",
            "When a destination will be full, by its growth over weeks; left out where it does not grow or nobody can tell.",
            &["storage"],
        )
        .each(view.filling.iter().map(|(name, days)| ([name.as_str()], whole(*days)))),
    ]
}

fn coordinator(view: &MetricsView) -> [Family<'_>; 9] {
    let it = &view.coordinator;
    let gauge = |name, help| Family::gauge(name, help, &[]);
    let calls = it.watchdog.as_ref();
    [
        Family::gauge("landfall_build_info", "Which build answers, and under which name.", &["version", "coordinator"])
            .with([view.version.as_str(), it.holder.as_str()], whole(1)),
        gauge("landfall_coordinator_start_timestamp_seconds", "When this coordinator began.").single(at(it.started_at)),
        gauge("landfall_coordinator_leads", "Whether this coordinator leads.").single(whole(it.leads.into())),
        gauge("landfall_coordinator_standbys", "Other coordinators that are heard.").single(whole(it.standbys.into())),
        gauge(
            "landfall_coordinator_last_pass_timestamp_seconds",
            "When this coordinator last came round with the log in sight.",
        )
        .single(it.last_pass_at.and_then(at)),
        gauge("landfall_leader_since_timestamp_seconds", "Since when the leader leads.")
            .single(it.leader_since.and_then(at)),
        gauge("landfall_watchdog_last_call_timestamp_seconds", "When a call of the address outside last succeeded.")
            .single(calls.and_then(|calls| calls.called_at).and_then(at)),
        gauge("landfall_watchdog_failures", "Calls of the address outside that failed since one succeeded.")
            .single(calls.and_then(|calls| whole(calls.failures.into()))),
        Family::counter("landfall_watchdog_failed_calls", "Calls of the address outside that failed.", &[])
            .single(calls.and_then(|calls| whole(calls.failures_total))),
    ]
}

fn log(view: &MetricsView) -> [Family<'_>; 7] {
    let it = &view.coordinator;
    [
        Family::gauge("landfall_log_position", "The last position of the log that is folded.", &[])
            .single(whole(it.log_seq)),
        Family::gauge(
            "landfall_log_lag_facts",
            "Facts that are not folded; absent while the log is out of sight.",
            &[],
        )
        .single(it.log_lag.and_then(whole)),
        Family::gauge("landfall_log_copies_wanted", "Copies of the log that were asked for.", &[])
            .single(it.log_copies.and_then(|copies| whole(copies.wanted.into()))),
        Family::gauge("landfall_log_copies_kept", "Copies of the log that the bus keeps.", &[])
            .single(it.log_copies.and_then(|copies| whole(copies.kept.into()))),
        Family::counter("landfall_messages_refused", "Messages that were refused, by the refusal's name.", &["reason"])
            .each(it.refused.iter().map(|(name, count)| ([name.as_str()], whole(*count)))),
        Family::counter("landfall_facts_of_unknown_kind", "Facts of kinds that this build does not know.", &[])
            .single(whole(it.unknown_kinds)),
        Family::counter("landfall_decisions_ignored", "Decisions of coordinators that did not lead.", &[])
            .single(whole(it.ignored_decisions)),
    ]
}

fn each_plan(view: &MetricsView) -> impl Iterator<Item = (&NodeFigures, &PlanFigures)> {
    view.nodes.iter().flat_map(|node| node.plans.iter().map(move |plan| (node, plan)))
}

fn each_task(view: &MetricsView) -> impl Iterator<Item = (&NodeFigures, &PlanFigures, &TaskFigures)> {
    each_plan(view)
        .flat_map(|(node, plan)| [&plan.backup, &plan.check].into_iter().flatten().map(move |task| (node, plan, task)))
}

fn status(task: &TaskFigures) -> Option<Value> {
    task.status.and_then(|status| whole(status.code()))
}

const fn verdict_code(kind: VerdictKind) -> u64 {
    match kind {
        VerdictKind::Converged => 0,
        VerdictKind::Diverged => 1,
        VerdictKind::Overdue => 2,
    }
}

pub(super) const fn whole(number: u64) -> Option<Value> {
    Some(Value::Whole(number))
}

pub(super) fn at(instant: Timestamp) -> Option<Value> {
    Some(Value::Seconds(instant.as_duration().as_secs_f64()))
}

pub(super) fn seconds(ms: u64) -> Value {
    Value::Seconds(std::time::Duration::from_millis(ms).as_secs_f64())
}
