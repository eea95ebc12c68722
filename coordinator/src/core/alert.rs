//! Alerts are a difference: what the state wants said, against what is open. Nothing here is sent; raising is a decision.

use std::collections::BTreeSet;

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::id::{NodeId, RoundId, RoutineName};
use landfall_proto::report::{Reason, TaskKind};
use landfall_proto::time::{Duration, Timestamp, after};
use uuid::Uuid;

use super::agenda::Matter;
use super::check::{self, NodeState};
use super::decide::Look;
use super::mesh::Mesh;
use super::node::LastRun;
use super::policy::{AlertKind, Policy};
use super::record::AlertRecord;
use super::round::Round;
use super::routine::Routine;
use super::run::Stage;
use super::step::Notice;
use super::tell;
use super::verify::listed;
use super::wish::{Wanted, Wishes, difference, fix_of};

/// So many failed nodes of one routine make one alert instead of one each.
pub const FAILED_TOGETHER: usize = 3;

/// Nodes that one alert names.
const NODES_MAX: usize = 100;

/// A new leader repeats what a sink may have missed only where it was resolved so lately.
const REPEATED_WITHIN: Duration = Duration::from_secs(86_400);

/// Raises and resolves the alerts about a routine.
pub(super) fn about_routine(mesh: &Mesh, policy: &Policy, now: Timestamp, name: &RoutineName) -> Look {
    let Some(routine) = mesh.routines.get(name) else { return Look::default() };
    let mut wishes = Wishes::default();
    failures(mesh, routine, &mut wishes);
    if !routine.overdue.is_empty() {
        wishes.want(overdue(mesh, routine));
    }
    let rounds = || routine.open.iter().filter_map(|id| mesh.rounds.get(id));
    // From the deadline on the round is overdue, which says more.
    let is_late = |round: &Round| round.start_by <= now && now < round.deadline;
    let late = rounds().find(|round| is_late(round) && round.counts.queued + round.counts.sent > 0);
    if let Some(round) = late {
        let key = key(AlertKind::Late, name, None);
        // Once told it stays as it is: who has started meanwhile is seen in the queue.
        if mesh.index.open_alerts.contains_key(&key) {
            wishes.unknown.insert(key);
        } else {
            wishes.want(late_start(mesh, round, key));
        }
    }
    let again_at = rounds().flat_map(|round| [round.start_by, round.deadline]).filter(|at| *at > now).min();
    Look::decided(difference(mesh, policy, now, &Matter::RoutineAlerts(name.clone()), wishes), again_at)
}

/// Raises and resolves the alerts about a node.
pub(super) fn about_node(mesh: &Mesh, policy: &Policy, now: Timestamp, id: &NodeId) -> Look {
    let Some(node) = mesh.nodes.get(id) else { return Look::default() };
    let live = mesh.live.get(id);
    let mut wishes = Wishes::default();
    for finding in check::check(NodeState { node, live }, policy, now) {
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
                | AlertKind::Late
                | AlertKind::NodeSilent
                | AlertKind::Stale
                | AlertKind::Guard
                | AlertKind::Contradicted
                | AlertKind::Conflict
                | AlertKind::HistoryLost
                | AlertKind::CoordinatorDiffers
                | AlertKind::BrokenPlan => finding.cause,
            },
        });
    }
    let mut again_at = check::stale_at(node, policy).filter(|at| *at > now);
    if !node.is_retired() && !node.routines.is_empty() {
        let at = silence(mesh, policy, now, id, &mut wishes);
        again_at = Some(again_at.map_or(at, |stale| stale.min(at)));
    }
    Look::decided(difference(mesh, policy, now, &Matter::NodeAlerts(id.clone()), wishes), again_at)
}

/// What has to be looked at to judge an alert.
pub(super) fn matter_of(alert: &Alert) -> Matter {
    let kind = alert.key.0.split('/').next().unwrap_or_default();
    let by_routine = [AlertKind::Failed, AlertKind::Overdue, AlertKind::Diverged, AlertKind::Late];
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

/// Single alerts for few failed nodes, one for many. Damaged data is always told by itself.
fn failures(mesh: &Mesh, routine: &Routine, wishes: &mut Wishes) {
    let together = key(AlertKind::Diverged, &routine.name, None);
    let is_open = mesh.index.open_alerts.contains_key(&together);
    let many = routine.failing.len() >= FAILED_TOGETHER || is_open;
    let mut plain = Vec::new();
    for node in &routine.failing {
        let Some((task, trouble)) = trouble_of(mesh, node, &routine.name) else { continue };
        let is_damage = trouble.reason == Reason::Integrity;
        if is_damage || !many {
            wishes.want(failed(mesh, routine, node, task, trouble));
        }
        if !is_damage {
            plain.push((node, trouble));
        }
    }
    // Once raised it stays until every node is good again: it does not crumble into single alerts.
    if (is_open && !plain.is_empty()) || plain.len() >= FAILED_TOGETHER {
        if is_open {
            wishes.unknown.insert(together);
            return;
        }
        let cause = plain.iter().map(|(_, trouble)| trouble.run.0).max().unwrap_or_default();
        let names: Vec<String> = plain.iter().map(|(node, trouble)| format!("{node} ({})", trouble.reason)).collect();
        wishes.want(Wanted {
            kind: AlertKind::Diverged,
            key: together,
            severity: Severity::Critical,
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
}

/// The worst trouble of a node with a routine, whichever task it came from.
fn trouble_of<'a>(mesh: &'a Mesh, node: &NodeId, routine: &RoutineName) -> Option<(TaskKind, &'a LastRun)> {
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

fn late_start(mesh: &Mesh, round: &Round, key: AlertKey) -> Wanted {
    let runs = round.runs.iter().filter_map(|id| mesh.runs.get(id)).filter(|run| run.expected);
    let waiting = runs.filter(|run| matches!(run.stage, Stage::Queued | Stage::Sent));
    let mut nodes: Vec<NodeId> = waiting.map(|run| run.node.clone()).collect();
    nodes.sort();
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    nodes.truncate(NODES_MAX);
    Wanted {
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
    }
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

fn key(kind: AlertKind, routine: &RoutineName, node: Option<&NodeId>) -> AlertKey {
    AlertKey(match node {
        Some(node) => format!("{}/{routine}/{node}", kind.as_str()),
        None => format!("{}/{routine}", kind.as_str()),
    })
}

/// The one reason that all share.
fn common(reasons: impl Iterator<Item = Reason>) -> Option<Reason> {
    let all: BTreeSet<Reason> = reasons.collect();
    if all.len() == 1 { all.first().copied() } else { None }
}

fn with_node(message: &str, node: &NodeId) -> String {
    if message.contains(node.as_str()) { message.to_owned() } else { format!("{node}: {message}") }
}
