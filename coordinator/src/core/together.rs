//! Failures of many routines at once: one alert for the whole cluster, and which alerts it speaks for.

use std::collections::BTreeSet;

use landfall_proto::alert::{AlertKey, Severity};
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp, after};

use super::agenda::Matter;
use super::alert::{NODES_MAX, common, trouble_of};
use super::decide::Look;
use super::mesh::Mesh;
use super::node::LastRun;
use super::policy::{AlertKind, Policy};
use super::record::AlertRecord;
use super::step::Notice;
use super::tell;
use super::verify::listed;
use super::wish::{Wanted, Wishes, difference, fix_of};

/// So many failing routines make one alert for the whole cluster.
pub const ROUTINES_TOGETHER: usize = 3;

/// On one node alone it is that node's trouble.
pub const NODES_TOGETHER: usize = 2;

/// Failures of which the latest is no further away than this belong together; and what fails so soon after the alert for the
/// whole cluster is covered by it. Later failures are told by themselves: that alert may stay open for days.
pub const TOGETHER_WITHIN: Duration = Duration::from_secs(3600);

/// A failure that belongs to a trouble of many.
struct Failure<'a> {
    routine: &'a RoutineName,
    node: &'a NodeId,
    run: &'a LastRun,
}

/// Raises the alert for the whole cluster, and resolves it once no two routines fail any more.
pub(super) fn look(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Look {
    let key = key(mesh);
    let mut wishes = Wishes::default();
    let failing = mesh.routines.values().filter(|routine| !routine.failing.is_empty()).count();
    if mesh.index.open_alerts.contains_key(&key) {
        if failing > 1 {
            wishes.unknown.insert(key);
        }
    } else if failing >= ROUTINES_TOGETHER
        && let Some(wanted) = wanted(key, recent(mesh))
    {
        wishes.want(wanted);
    }
    Look::decided(difference(mesh, policy, now, &Matter::Failures, wishes), None)
}

/// The failures close to the latest one. Of a routine that fails on very many nodes some stand for all; damaged data is told by
/// itself.
fn recent(mesh: &Mesh) -> Vec<Failure<'_>> {
    let failing = mesh.routines.values().filter(|routine| !routine.failing.is_empty());
    let all = failing.flat_map(|routine| {
        routine.failing.iter().take(NODES_MAX).filter_map(|node| {
            let (_, run) = trouble_of(mesh, node, &routine.name)?;
            Some(Failure { routine: &routine.name, node, run })
        })
    });
    let mut all: Vec<Failure<'_>> = all.filter(|failure| failure.run.reason != Reason::Integrity).collect();
    let latest = all.iter().map(|failure| failure.run.finished_at).max();
    all.retain(|failure| latest.is_some_and(|latest| after(failure.run.finished_at, TOGETHER_WITHIN) >= latest));
    all
}

fn wanted(key: AlertKey, failures: Vec<Failure<'_>>) -> Option<Wanted> {
    let routines: BTreeSet<&RoutineName> = failures.iter().map(|failure| failure.routine).collect();
    let nodes: BTreeSet<&NodeId> = failures.iter().map(|failure| failure.node).collect();
    if routines.len() < ROUTINES_TOGETHER || nodes.len() < NODES_TOGETHER {
        return None;
    }
    let names: Vec<String> = routines.iter().map(ToString::to_string).collect();
    Some(Wanted {
        kind: AlertKind::ClusterFailing,
        key,
        severity: Severity::Critical,
        title: format!("{} routines failed together on {} nodes: {}", routines.len(), nodes.len(), listed(&names)),
        routine: None,
        round: None,
        nodes: nodes.into_iter().take(NODES_MAX).cloned().collect(),
        reason: common(failures.iter().map(|failure| failure.run.reason)),
        last_good_at: None,
        fix: fix_of(AlertKind::ClusterFailing).to_owned(),
        cause: failures.iter().map(|failure| failure.run.run.0).max().unwrap_or_default(),
    })
}

/// There is one for the whole cluster.
fn key(mesh: &Mesh) -> AlertKey {
    AlertKey(format!("{}/{}", AlertKind::ClusterFailing.as_str(), mesh.me.cluster))
}

/// The alert for the whole cluster that speaks for this one: it was raised first and not long before, and is open for as long
/// as this one. Who is told of that one is not told of this one. An emergency speaks for itself.
pub fn covered_by<'a>(mesh: &'a Mesh, record: &AlertRecord) -> Option<&'a AlertRecord> {
    let kind = super::route::kind_of(&record.alert);
    let is_failure = kind == AlertKind::Failed.as_str() || kind == AlertKind::Diverged.as_str();
    if !is_failure || record.alert.severity == Severity::Emergency {
        return None;
    }
    let key = key(mesh);
    let covers = |cover: &&AlertRecord| {
        let lasts = match (&cover.resolved, &record.resolved) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(cover), Some(own)) => own.at <= cover.at,
        };
        lasts && cover.raised_at <= record.raised_at && record.raised_at < after(cover.raised_at, TOGETHER_WITHIN)
    };
    if let Some(open) = mesh.open_alert(&key).filter(covers) {
        return Some(open);
    }
    // Only the end of an alert can have been covered by one that is over.
    record.resolved.as_ref()?;
    mesh.alerts.values().filter(|cover| cover.alert.key == key).find(covers)
}

/// The notices that are due because the alert for the whole cluster has ended while what it covered goes on.
pub(super) fn uncovered(mesh: &Mesh, policy: &Policy, ended: &AlertRecord) -> Vec<Notice> {
    if ended.alert.key != key(mesh) {
        return Vec::new();
    }
    let knew = tell::receivers(mesh, policy, &AlertRecord { resolved: None, ..ended.clone() });
    let was_covered = |record: &&AlertRecord| {
        let before = AlertRecord { resolved: ended.resolved.clone(), ..AlertRecord::clone(record) };
        covered_by(mesh, &before).is_some_and(|cover| cover.alert.id == ended.alert.id)
    };
    let open =
        mesh.open_alerts().filter(was_covered).filter_map(|record| super::alert::notice(mesh, policy, record.alert.id));
    let late = open.map(|mut notice| {
        notice.sinks.retain(|sink| knew.contains_key(sink));
        notice
    });
    late.filter(|notice| !notice.sinks.is_empty()).collect()
}
