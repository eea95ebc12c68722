//! One run as people see it: its state, its figures, and its life in sentences.

use std::collections::BTreeMap;

use landfall_proto::alert::Severity;
use landfall_proto::control::RunFilter;
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::{Reason, RunReport, TaskKind, Trigger};
use landfall_proto::time::{Timestamp, between};
use landfall_proto::verdict::Witness;
use landfall_proto::view::{FindingView, RunDetail, RunView, TimelineEntry};

use super::Scene;
use crate::core::permits::waits_for;
use crate::core::record::RunTail;
use crate::core::round::Round;
use crate::core::run::{Run, Stage};

/// One run in a list. `round` is its round where it is known.
pub fn run(scene: Scene<'_>, run: &Run, round: Option<&Round>) -> RunView {
    let report = run.end.as_ref().and_then(|end| end.report.as_ref());
    // A check leaves nothing at the destination: its evidence speaks of the repository, not of the run.
    let is_backup = run.task == TaskKind::Backup;
    let evidence = report.and_then(|report| report.evidence.as_ref()).filter(|_| is_backup);
    let progress = scene.progress.get(&run.id).filter(|_| run.is_active()).cloned();
    let started_at = report.map(|report| report.started_at).or(run.started_at);
    let finished_at = run.end.as_ref().map(|end| end.at);
    RunView {
        id: run.id,
        round: run.round,
        routine: run.routine.clone(),
        node: run.node.clone(),
        task: run.task,
        slot: run.slot,
        state: scene.mesh.run_state(run, scene.now),
        reason: run.end.as_ref().map(|end| end.reason),
        trigger: run.trigger,
        waits_for: (run.stage == Stage::Queued).then(|| waits_for(scene.mesh, scene.policy, scene.now, run)),
        queued_at: run.queued_at,
        started_at,
        finished_at,
        duration_ms: started_at.zip(finished_at).map(|(from, until)| between(from, until).as_ms()),
        phase: progress.as_ref().map(|progress| progress.phase).or(run.phase.filter(|_| run.is_active())),
        progress,
        files: report.and_then(|report| report.statistics.files).or(evidence.map(|evidence| evidence.files)),
        bytes: report.and_then(|report| report.statistics.bytes).or(evidence.map(|evidence| evidence.bytes)),
        added_bytes: report.and_then(|report| report.statistics.added_bytes),
        snapshot: evidence.map(|evidence| evidence.snapshot.clone()),
        repository: run.repository().cloned(),
        witness: round.filter(|round| is_backup && !round.asks.is_empty()).map(|round| round.witness_of(run.id)),
        attempts: report.map_or(run.attempt, |report| report.attempts),
    }
}

/// One run with everything known of it.
pub fn detail(scene: Scene<'_>, of: &Run, round: Option<&Round>, tail: Option<RunTail>) -> RunDetail {
    let mut report: Option<RunReport> = of.end.as_ref().and_then(|end| end.report.clone());
    if let (Some(report), Some(tail)) = (report.as_mut(), tail) {
        report.tail = tail.tail;
        report.unread = tail.unread;
    }
    let reason = of.end.as_ref().map(|end| end.reason);
    let findings = report.iter().flat_map(|report| &report.findings).map(|message| FindingView {
        kind: "reported".to_owned(),
        severity: Severity::Warning,
        message: message.clone(),
        routine: Some(of.routine.clone()),
    });
    RunDetail {
        run: run(scene, of, round),
        cause: reason.map(Reason::cause).unwrap_or_default().to_owned(),
        fix: reason.map(Reason::fix).unwrap_or_default().to_owned(),
        findings: findings.collect(),
        timeline: timeline(of, round),
        options: options(scene, of),
        report,
    }
}

/// What the node's plan says, and whether the node has another plan by this time.
fn options(scene: Scene<'_>, run: &Run) -> BTreeMap<String, String> {
    let node = scene.mesh.nodes().get(&run.node);
    let Some(plan) = node.and_then(|node| node.routines.get(&run.routine)).map(|state| &state.plan) else {
        return BTreeMap::new();
    };
    let lock = match plan.lock {
        RepositoryLock::Shared => "shared",
        RepositoryLock::Exclusive => "exclusive",
    };
    let is_same = plan.hash == run.plan_hash;
    let mut options: BTreeMap<String, String> = [
        ("driver", plan.driver.clone()),
        ("target", plan.target.to_string()),
        ("repository lock", lock.to_owned()),
        ("start within", plan.start_within.to_string()),
        ("finish within", plan.finish_within.to_string()),
        ("stalled after", plan.stall_after.to_string()),
        ("priority", plan.priority.to_string()),
        (
            "plan",
            if is_same { plan.hash.clone() } else { format!("{}; its node has {} by now", run.plan_hash, plan.hash) },
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    options.extend(plan.storage.clone().map(|storage| ("storage".to_owned(), storage)));
    options
}

/// Whether every given condition holds.
pub fn matches(run: &Run, filter: &RunFilter) -> bool {
    filter.node.as_ref().is_none_or(|node| *node == run.node)
        && filter.routine.as_ref().is_none_or(|routine| *routine == run.routine)
        && filter.round.is_none_or(|round| round == run.round)
        && filter.outcome.is_none_or(|outcome| run.outcome() == Some(outcome))
        && filter.ended.is_none_or(|ended| run.is_ended() == ended)
}

fn timeline(run: &Run, round: Option<&Round>) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    let mut add = |at: Timestamp, what: String| entries.push(TimelineEntry { at, what });
    if run.expected {
        let asked =
            round.and_then(|round| round.by.as_ref()).map(|by| format!(": {by} asked for it")).unwrap_or_default();
        add(run.queued_at, format!("entered the queue{asked}"));
    }
    if let Some(sent) = &run.sent {
        let accepted = if sent.accepted { ", which took it on" } else { "" };
        add(sent.at, format!("got its permits and was sent to {}{accepted} (dispatch {})", run.node, run.dispatches));
    }
    if let Some(at) = run.started_at {
        add(at, format!("started{}", run.trigger.map(because).unwrap_or_default()));
        for retry in &run.retries {
            add(
                at,
                format!(
                    "attempt {} failed ({}): {}; the next follows after {}",
                    retry.attempt, retry.reason, retry.message, retry.delay
                ),
            );
        }
    }
    if let Some(cancel) = &run.cancel {
        add(cancel.at, format!("{} asked to cancel it", cancel.by));
    }
    if let Some(end) = &run.end {
        let late = if end.late { " after the verdict" } else { "" };
        add(end.at, format!("ended{late}: {} ({}): {}", end.outcome, end.reason, end.message));
    }
    for (at, witness) in sightings(run, round) {
        match witness {
            Witness::Confirmed { by } => add(at, format!("{by} saw its snapshot at the destination")),
            Witness::Contradicted { by } => add(at, format!("{by} did not find its snapshot at the destination")),
            Witness::Pending => add(at, "a neighbour was asked to look at the destination".to_owned()),
            Witness::Unwitnessed => add(at, "a neighbour could not read the destination".to_owned()),
        }
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn because(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Dispatched => " on the coordinator's word",
        Trigger::Autonomous => " on the node's own schedule",
        Trigger::Hand => " by hand on the node",
    }
}

fn sightings(run: &Run, round: Option<&Round>) -> Vec<(Timestamp, Witness)> {
    let asks = round.into_iter().flat_map(|round| &round.asks).filter(|ask| ask.asked.runs.contains(&run.id));
    let seen = |ask: &crate::core::round::Ask| {
        let by = ask.asked.witness.clone();
        match &ask.answer {
            None => (ask.asked.asked_at, Witness::Pending),
            Some(sighting) if sighting.seen.contains(&run.id) => (sighting.at, Witness::Confirmed { by }),
            Some(sighting) if sighting.absent.contains(&run.id) => (sighting.at, Witness::Contradicted { by }),
            Some(sighting) => (sighting.at, Witness::Unwitnessed),
        }
    };
    asks.map(seen).collect()
}
