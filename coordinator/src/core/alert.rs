//! Alerts are a difference: what the state wants said, against what is open. Nothing here is sent; raising is a decision.

use std::collections::BTreeSet;

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::{Reason, TaskKind};
use landfall_proto::time::{Duration, Timestamp, after};
use uuid::Uuid;

use super::agenda::Matter;
use super::chain;
use super::check::{self, NodeState};
use super::decide::Look;
use super::mesh::Mesh;
use super::monitor_alerts;
use super::node::LastRun;
use super::policy::{AlertKind, Policy};
use super::record::AlertRecord;
use super::round::Round;
use super::route::kind_of;
use super::routine::Routine;
use super::run::Stage;
use super::step::Notice;
use super::tell;
use super::verify::listed;
use super::wish::{Wanted, Wishes, difference, fix_of};

/// So many failed nodes of one routine make one alert instead of one each.
pub const FAILED_TOGETHER: usize = 3;

/// A failed node is told alone only after this, as long as its round goes on: others that fail with it are told with it.
const GATHERED_WITHIN: Duration = Duration::from_ms(1500);

/// Nodes that one alert names.
pub(super) const NODES_MAX: usize = 100;

/// A new leader repeats what a sink may have missed only where it was resolved so lately.
const REPEATED_WITHIN: Duration = Duration::from_secs(86_400);

/// Raises and resolves the alerts about a routine.
pub(super) fn about_routine(mesh: &Mesh, policy: &Policy, now: Timestamp, name: &RoutineName) -> Look {
    let Some(routine) = mesh.routines.get(name) else { return Look::default() };
    let mut wishes = Wishes::default();
    let held = failures(mesh, routine, now, &mut wishes);
    if !routine.overdue.is_empty() {
        wishes.want(overdue(mesh, routine));
    }
    let rounds = || routine.open.iter().filter_map(|id| mesh.rounds.get(id));
    // From the deadline on the round is overdue, which says more.
    let is_late = |round: &Round| round.start_by <= now && now < round.deadline;
    let late = || rounds().filter(|round| is_late(round) && round.counts.queued + round.counts.sent > 0);
    let late_key = key(AlertKind::Late, name, None);
    // Once told it stays as it is: who has started meanwhile is seen in the queue.
    if late().next().is_some() && mesh.index.open_alerts.contains_key(&late_key) {
        wishes.unknown.insert(late_key);
    } else if let Some(wanted) = late().find_map(|round| late_start(mesh, now, round, late_key.clone())) {
        wishes.want(wanted);
    }
    chain::tell(mesh, routine, &mut wishes);
    let marks = rounds().flat_map(|round| [round.start_by, round.deadline]).filter(|at| *at > now);
    let again_at = marks.chain(held).min();
    Look::decided(difference(mesh, policy, now, &Matter::RoutineAlerts(name.clone()), wishes), again_at)
}

/// Raises and resolves the alerts about a node.
pub(super) fn about_node(mesh: &Mesh, policy: &Policy, now: Timestamp, id: &NodeId) -> Look {
    let Some(node) = mesh.nodes.get(id) else { return Look::default() };
    let state = NodeState { node, live: mesh.live.get(id) };
    let mut wishes = Wishes::default();
    for finding in check::check(state, policy, now) {
        let Some((kind, key)) = finding.alert(id) else { continue };
        let known = finding.routine.as_ref().and_then(|name| node.routines.get(name));
        let good = known.and_then(|known| known.backup.last_good.as_ref());
        wishes.want(Wanted {
            kind,
            key,
            severity: finding.severity,
            title: with_node(&finding.message, id),
            routine: finding.routine,
            round: None,
            nodes: vec![id.clone()],
            reason: finding.reason,
            last_good_at: good.map(|good| good.at),
            fix: finding.reason.map_or_else(|| fix_of(kind).to_owned(), |reason| reason.fix().to_owned()),
            // What beats show comes and goes, so each time is a cause of its own.
            cause: match kind {
                AlertKind::StorageLow | AlertKind::ClockSkew => {
                    Uuid::new_v5(&finding.cause, now.to_string().as_bytes())
                }
                AlertKind::Failed
                | AlertKind::Overdue
                | AlertKind::Diverged
                | AlertKind::ClusterFailing
                | AlertKind::Late
                | AlertKind::NodeSilent
                | AlertKind::Stale
                | AlertKind::Guard
                | AlertKind::ChainBroken
                | AlertKind::Contradicted
                | AlertKind::Conflict
                | AlertKind::HistoryLost
                | AlertKind::CoordinatorDiffers
                | AlertKind::MonitorFailed
                | AlertKind::MonitorOverdue
                | AlertKind::MonitorLate
                | AlertKind::MonitorsTogether
                | AlertKind::Filling
                | AlertKind::DestinationLow
                | AlertKind::BrokenPlan => finding.cause,
            },
        });
    }
    let mut again_at = check::again_at(state, policy, now);
    if !node.is_retired() && !node.routines.is_empty() {
        let at = silence(mesh, policy, now, id, &mut wishes);
        again_at = Some(again_at.map_or(at, |stale| stale.min(at)));
    }
    Look::decided(difference(mesh, policy, now, &Matter::NodeAlerts(id.clone()), wishes), again_at)
}

/// What has to be looked at to judge an alert.
pub(super) fn matter_of(alert: &Alert) -> Matter {
    let kind = kind_of(alert);
    if kind == AlertKind::Filling.as_str() || kind == AlertKind::DestinationLow.as_str() {
        return Matter::Spaces;
    }
    if kind == AlertKind::ClusterFailing.as_str() {
        return Matter::Failures;
    }
    if monitor_alerts::is_kind(kind) {
        return Matter::Monitors;
    }
    let by_routine =
        [AlertKind::Failed, AlertKind::Overdue, AlertKind::Diverged, AlertKind::Late, AlertKind::ChainBroken];
    match (&alert.routine, alert.nodes.first()) {
        (Some(routine), _) if by_routine.iter().any(|by| by.as_str() == kind) => Matter::RoutineAlerts(routine.clone()),
        (_, Some(node)) => Matter::NodeAlerts(node.clone()),
        (Some(routine), None) => Matter::RoutineAlerts(routine.clone()),
        (None, None) => Matter::Mesh,
    }
}

/// The notice about an alert, for the sinks that have not had it.
pub(super) fn notice(mesh: &Mesh, policy: &Policy, id: Uuid) -> Option<Notice> {
    let record = mesh.alerts.get(&id)?;
    let resolved = record.resolved.is_some();
    let had = |sink: &String| record.deliveries.iter().any(|done| done.sink == *sink && done.resolved == resolved);
    let wanting = tell::receivers(mesh, policy, record).into_keys();
    let sinks: Vec<String> = wanting.filter(|sink| !had(sink)).cloned().collect();
    let (alert, raised_at) = (record.alert.clone(), record.raised_at);
    (!sinks.is_empty()).then(|| Notice { alert, raised_at, resolved: record.resolved.clone(), reminder: 0, sinks })
}

/// Every notice that some sink may not have had.
pub(super) fn undelivered<'a>(mesh: &'a Mesh, policy: &'a Policy) -> impl Iterator<Item = Notice> + 'a {
    let since = mesh.leader().map(|leader| leader.claimed_at);
    let is_of_interest = move |record: &&AlertRecord| {
        let ended = record.resolved.as_ref().map(|resolved| resolved.at);
        ended.is_none_or(|at| since.is_some_and(|since| after(at, REPEATED_WITHIN) > since))
    };
    let mut records: Vec<&AlertRecord> = mesh.alerts.values().filter(is_of_interest).collect();
    // What has ended comes before what is open: to a receiver that goes by keys, the end of an earlier trouble would end the later one.
    records.sort_by_key(|record| (record.resolved.is_none(), record.raised_at, record.alert.id));
    records.into_iter().filter_map(move |record| notice(mesh, policy, record.alert.id))
}

/// Single alerts for few failed nodes, one for many. Damaged data is always told by itself. Returns when to look again at what
/// is held back for the others.
fn failures(mesh: &Mesh, routine: &Routine, now: Timestamp, wishes: &mut Wishes) -> Option<Timestamp> {
    let together = key(AlertKind::Diverged, &routine.name, None);
    let is_open = mesh.index.open_alerts.contains_key(&together);
    let many = routine.failing.len() >= FAILED_TOGETHER || is_open;
    let (mut plain, mut held) = (Vec::new(), None);
    for node in &routine.failing {
        let Some((task, trouble)) = trouble_of(mesh, node, &routine.name) else { continue };
        let is_damage = trouble.reason == Reason::Integrity;
        let until = held_until(mesh, routine, node, trouble).filter(|until| *until > now && !is_damage && !many);
        if let Some(until) = until {
            held = Some(held.map_or(until, |at: Timestamp| at.min(until)));
        } else if is_damage || !many {
            wishes.want(failed(mesh, routine, node, task, trouble));
        }
        if !is_damage {
            plain.push((node, trouble));
        }
    }
    // Once raised it stays until every node is good again: it does not crumble into single alerts.
    if (is_open && !plain.is_empty()) || plain.len() >= FAILED_TOGETHER {
        let severity_of = |trouble: &LastRun| check::severity_of(trouble.outcome, trouble.reason);
        let gravest = plain.iter().map(|(_, trouble)| severity_of(trouble)).max();
        let severity = gravest.map_or(Severity::Critical, |gravest| gravest.max(Severity::Critical));
        if mesh.open_alert(&together).is_some_and(|open| open.alert.severity >= severity) {
            wishes.unknown.insert(together);
            return None;
        }
        let cause = plain.iter().map(|(_, trouble)| trouble.run.0).max().unwrap_or_default();
        let names: Vec<String> = plain.iter().map(|(node, trouble)| format!("{node} ({})", trouble.reason)).collect();
        wishes.want(Wanted {
            kind: AlertKind::Diverged,
            key: together,
            severity,
            title: format!("{} failed on {} nodes: {}", routine.name, plain.len(), listed(&names)),
            routine: Some(routine.name.clone()),
            round: plain.first().map(|(_, trouble)| trouble.round),
            nodes: plain.iter().take(NODES_MAX).map(|(node, _)| (*node).clone()).collect(),
            reason: common(plain.iter().map(|(_, trouble)| trouble.reason)),
            last_good_at: None,
            fix: "Look for what these nodes share: the destination, its credentials, the network.".to_owned(),
            cause,
        });
    } else if many {
        for (node, trouble) in plain {
            if let Some((task, _)) = trouble_of(mesh, node, &routine.name) {
                wishes.want(failed(mesh, routine, node, task, trouble));
            }
        }
    }
    held
}

/// Until when a failed node is not told alone; `None` where it has been told, or no other can fail with it any more.
fn held_until(mesh: &Mesh, routine: &Routine, node: &NodeId, trouble: &LastRun) -> Option<Timestamp> {
    let round = mesh.rounds.get(&trouble.round).filter(|round| round.verdict.is_none())?;
    let is_told = mesh.index.open_alerts.contains_key(&key(AlertKind::Failed, &routine.name, Some(node)));
    let since = mesh.process.failing_since.get(&(routine.name.clone(), node.clone()))?;
    (round.counts.ended < round.expected && !is_told).then(|| after(*since, GATHERED_WITHIN))
}

/// The worst trouble of a node with a routine, whichever task it came from.
pub(super) fn trouble_of<'a>(mesh: &'a Mesh, node: &NodeId, routine: &RoutineName) -> Option<(TaskKind, &'a LastRun)> {
    let known = mesh.nodes.get(node)?.routines.get(routine)?;
    let troubles = TaskKind::ALL.into_iter().filter_map(|task| Some((task, known.history(task).trouble.as_ref()?)));
    troubles
        .max_by_key(|(task, trouble)| (check::severity_of(trouble.outcome, trouble.reason), std::cmp::Reverse(*task)))
}

fn failed(mesh: &Mesh, routine: &Routine, node: &NodeId, task: TaskKind, trouble: &LastRun) -> Wanted {
    let known = mesh.nodes.get(node).and_then(|node| node.routines.get(&routine.name));
    let good = known.and_then(|known| known.backup.last_good.as_ref());
    Wanted {
        kind: AlertKind::Failed,
        key: key(AlertKind::Failed, &routine.name, Some(node)),
        severity: check::severity_of(trouble.outcome, trouble.reason),
        title: format!("the {task} of {} ended {} on {node}: {}", routine.name, trouble.outcome, trouble.message),
        routine: Some(routine.name.clone()),
        round: Some(trouble.round),
        nodes: vec![node.clone()],
        reason: Some(trouble.reason),
        last_good_at: good.map(|good| good.at),
        fix: trouble.reason.fix().to_owned(),
        cause: trouble.run.0,
    }
}

fn overdue(mesh: &Mesh, routine: &Routine) -> Wanted {
    let names: Vec<String> = routine.overdue.keys().map(ToString::to_string).collect();
    let opened = |id: &&RoundId| mesh.rounds.get(id).map(|round| round.opened_at);
    let round = routine.overdue.values().max_by_key(|id| (opened(id), **id)).copied();
    let good = |node: &NodeId| {
        mesh.nodes.get(node)?.routines.get(&routine.name)?.backup.last_good.as_ref().map(|good| good.at)
    };
    Wanted {
        kind: AlertKind::Overdue,
        key: key(AlertKind::Overdue, &routine.name, None),
        severity: Severity::Critical,
        title: format!("{} is overdue: nothing was heard of its result on {}", routine.name, listed(&names)),
        routine: Some(routine.name.clone()),
        round,
        nodes: routine.overdue.keys().take(NODES_MAX).cloned().collect(),
        reason: Some(Reason::NoReport),
        last_good_at: routine.overdue.keys().filter_map(good).min(),
        fix: "Check these machines, their network and the agent's service; a good run of each resolves this."
            .to_owned(),
        cause: round.map_or(Uuid::nil(), |round| round.0),
    }
}

/// Nodes that are heard and have not started. A node that is not heard has another trouble, which is told as such.
fn late_start(mesh: &Mesh, now: Timestamp, round: &Round, key: AlertKey) -> Option<Wanted> {
    let runs = round.runs.iter().filter_map(|id| mesh.runs.get(id)).filter(|run| run.expected);
    let waiting = runs.filter(|run| matches!(run.stage, Stage::Queued | Stage::Sent) && mesh.is_online(&run.node, now));
    let mut nodes: Vec<NodeId> = waiting.map(|run| run.node.clone()).collect();
    nodes.sort();
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    nodes.truncate(NODES_MAX);
    (!nodes.is_empty()).then(|| Wanted {
        kind: AlertKind::Late,
        key,
        severity: Severity::Info,
        title: format!("{} has not started in time on {}", round.routine, listed(&names)),
        routine: Some(round.routine.clone()),
        round: Some(round.id),
        nodes,
        reason: None,
        last_good_at: None,
        fix: "The queue says what each of them waits for.".to_owned(),
        cause: round.id.0,
    })
}

/// Silence is told after a while, and only to say that nothing is known. Returns when to look again.
fn silence(mesh: &Mesh, policy: &Policy, now: Timestamp, id: &NodeId, wishes: &mut Wishes) -> Timestamp {
    let live = mesh.live.get(id);
    let last = live.map(|live| live.last_beat_at).or(mesh.process.since).unwrap_or(now);
    // While the bus was out of sight nobody could be heard.
    let at = after(mesh.attentive_since().map_or(last, |since| since.max(last)), policy.silent_alert_after);
    let key = AlertKey(format!("{}/{id}", AlertKind::NodeSilent.as_str()));
    if mesh.is_online(id, now) {
        return at.max(after(now, Duration::from_secs(1)));
    }
    // What only beats can tell stays as it was told.
    for kind in [AlertKind::StorageLow, AlertKind::ClockSkew, AlertKind::Conflict] {
        wishes.unknown.insert(AlertKey(format!("{}/{id}", kind.as_str())));
    }
    if now < at {
        wishes.unknown.insert(key);
        return at;
    }
    if let Some(until) = judged_by(mesh, policy, now, id) {
        wishes.unknown.insert(key);
        return until.max(after(now, Duration::from_secs(1)));
    }
    let cause = Uuid::new_v5(&Uuid::nil(), format!("{id}/{last}").as_bytes());
    wishes.want(Wanted {
        kind: AlertKind::NodeSilent,
        key,
        severity: Severity::Warning,
        title: format!("{id} has not been heard of since {last}; what its backups do is unknown"),
        routine: None,
        round: None,
        nodes: vec![id.clone()],
        reason: Some(Reason::NodeSilent),
        last_good_at: None,
        fix: Reason::NodeSilent.fix().to_owned(),
        cause,
    });
    after(now, policy.silent_alert_after)
}

/// When to look again at a silent node of which a verdict tells already, or tells within the time that silence may last anyway:
/// "overdue" says more, and one trouble is told once. Silence that was told before stays told.
fn judged_by(mesh: &Mesh, policy: &Policy, now: Timestamp, id: &NodeId) -> Option<Timestamp> {
    let soon = after(now, policy.silent_alert_after);
    let routines = || mesh.nodes.get(id).into_iter().flat_map(|node| node.routines.keys());
    let routines = || routines().filter_map(|name| mesh.routines.get(name));
    if routines().any(|routine| routine.overdue.contains_key(id)) {
        return Some(soon);
    }
    let rounds = routines().flat_map(|routine| &routine.open).filter_map(|round| mesh.rounds.get(round));
    let expects = |round: &&Round| {
        let run = mesh.runs.get(&RunId::of(round.id, id, round.task));
        run.is_some_and(|run| run.expected && !run.is_ended())
    };
    rounds.filter(expects).map(|round| round.deadline).filter(|deadline| *deadline <= soon).min()
}

pub(super) fn key(kind: AlertKind, routine: &RoutineName, node: Option<&NodeId>) -> AlertKey {
    AlertKey(match node {
        Some(node) => format!("{}/{routine}/{node}", kind.as_str()),
        None => format!("{}/{routine}", kind.as_str()),
    })
}

/// The one reason that all share.
pub(super) fn common(reasons: impl Iterator<Item = Reason>) -> Option<Reason> {
    let all: BTreeSet<Reason> = reasons.collect();
    if all.len() == 1 { all.first().copied() } else { None }
}

fn with_node(message: &str, node: &NodeId) -> String {
    if message.contains(node.as_str()) { message.to_owned() } else { format!("{node}: {message}") }
}
