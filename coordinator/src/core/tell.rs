//! Who is told what, and when again: derived from alerts, routes and the deliveries that stand in the log.

use std::collections::BTreeMap;

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::id::{NodeId, RoundId};
use landfall_proto::time::{Duration, Timestamp, after};
use landfall_proto::verdict::VerdictKind;
use uuid::Uuid;

use super::agenda::Matter;
use super::mesh::Mesh;
use super::policy::Policy;
use super::record::{AlertRecord, Resolved};
use super::route::{Labels, Wish, told, told_of_success};
use super::step::{Delivery, Effect, Notice};
use super::together;

/// A notice that was given up is tried again after this, as long as it is of interest.
pub const GIVEN_UP_AGAIN: Duration = Duration::from_secs(900);

/// The end of an alert that was given up is tried again for so long.
const END_OF_INTEREST: Duration = Duration::from_secs(86_400);

/// Receivers that forget are told of an alert's end for so long after it, as Prometheus does it.
pub const END_SHOWN: Duration = Duration::from_secs(900);

/// The kind of the notice that a round converged; it is no alert, and nothing remembers it.
pub const CONVERGED: &str = "converged";

/// An alert as a receiver that forgets has to see it again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub alert: Alert,
    pub raised_at: Timestamp,
    /// Absent while the alert is open.
    pub resolved_at: Option<Timestamp>,
    /// Who wants to see it.
    pub sinks: Vec<String>,
}

/// Who is told of an alert as it is at this instant, but for those who are told of the one that covers it: the sinks that its
/// routes name, and of its end also whoever was told that it began and would be left waiting, because the routes or a node's
/// labels have changed since.
pub(super) fn receivers<'a>(mesh: &Mesh, policy: &'a Policy, record: &AlertRecord) -> BTreeMap<&'a String, Wish> {
    let mut labels = labels(mesh, &record.alert.nodes);
    labels.extend(mesh.monitor_of(&record.alert).map(|monitor| &monitor.spec.labels));
    let mut told = told(&policy.routes, &policy.sinks, &record.alert, &labels);
    if record.resolved.is_some() {
        for sink in &policy.sinks {
            let was_told = record.deliveries.iter().any(|done| done.sink == *sink && !done.resolved);
            if was_told {
                told.entry(sink).or_insert(Wish { resolved: true, reminder_interval: None });
            }
        }
        told.retain(|_, wish| wish.resolved);
    }
    if let Some(cover) = together::covered_by(mesh, record) {
        let knows = receivers(mesh, policy, cover);
        told.retain(|sink, _| !knows.contains_key(sink));
    }
    told
}

fn labels<'a>(mesh: &'a Mesh, nodes: &[NodeId]) -> Vec<&'a Labels> {
    nodes.iter().filter_map(|node| mesh.nodes.get(node)).map(|node| &node.labels).collect()
}

/// Tells again what is due: reminders of what is still open, and what a sink has not taken.
pub(super) fn remind(mesh: &mut Mesh, policy: &Policy, now: Timestamp, effects: &mut Vec<Effect>) {
    for id in mesh.agenda.take_reminders() {
        let Some(record) = mesh.alerts.get(&id) else { continue };
        let mut again_at: Option<Timestamp> = None;
        let mut handed = Vec::new();
        let resolved = record.resolved.is_some();
        let is_open_again = resolved && mesh.index.open_alerts.contains_key(&record.alert.key);
        for (sink, wish) in receivers(mesh, policy, record) {
            let done = record.deliveries.iter().find(|done| done.sink == *sink && done.resolved == resolved);
            let Some(done) = done else { continue };
            let Some(interval) = interval(record, wish, done.error.is_some(), is_open_again, now) else { continue };
            let key = (id, sink.clone());
            // What is on its way does not stand in the log yet.
            let under_way = mesh.process.reminded.get(&key).filter(|(reminder, _)| *reminder > done.reminder);
            let told_at = under_way.map_or(done.at, |(_, at)| *at);
            let due_at = after(told_at, interval);
            if due_at <= now {
                handed.push((key, done.reminder.saturating_add(1)));
            }
            let look_at = if due_at <= now { after(now, interval) } else { due_at };
            again_at = Some(again_at.map_or(look_at, |at| at.min(look_at)));
        }
        let (alert, raised_at, resolved) = (record.alert.clone(), record.raised_at, record.resolved.clone());
        for ((id, sink), reminder) in handed {
            let (alert, resolved, sinks) = (alert.clone(), resolved.clone(), vec![sink.clone()]);
            effects.push(Effect::Notify(Notice { alert, raised_at, resolved, reminder, sinks }));
            mesh.process.reminded.insert((id, sink), (reminder, now));
        }
        if again_at.is_none() {
            mesh.process.reminded.retain(|(about, _), _| *about != id);
        }
        mesh.agenda.wake(Matter::Reminder(id), again_at);
    }
}

/// How long after the last telling the next one is due.
fn interval(
    record: &AlertRecord,
    wish: Wish,
    was_given_up: bool,
    is_open_again: bool,
    now: Timestamp,
) -> Option<Duration> {
    let asked = wish.reminder_interval.filter(|_| record.resolved.is_none());
    if !was_given_up {
        return asked;
    }
    let is_old = |ended: &Resolved| after(ended.at, END_OF_INTEREST) <= now;
    // To a receiver that goes by keys, the end of an earlier trouble would end the one that is open.
    let is_over = record.resolved.as_ref().is_some_and(|ended| is_old(ended) || is_open_again);
    (!is_over).then(|| asked.map_or(GIVEN_UP_AGAIN, |asked| asked.min(GIVEN_UP_AGAIN)))
}

/// The notice that a round converged, where a route asks for it. It is given out once, by the leader that concluded the round.
pub(super) fn success(mesh: &Mesh, policy: &Policy, id: RoundId) -> Option<Notice> {
    let round = mesh.rounds.get(&id)?;
    let verdict = round.verdict.as_ref().filter(|verdict| verdict.kind == VerdictKind::Converged)?;
    let nodes: Vec<NodeId> = verdict.nodes.iter().map(|standing| standing.node.clone()).collect();
    let sinks = told_of_success(&policy.routes, &policy.sinks, &round.routine, &labels(mesh, &nodes));
    let sinks: Vec<String> = sinks.into_iter().cloned().collect();
    let at = round.concluded_at?;
    let key = AlertKey(format!("{CONVERGED}/{}", round.routine));
    let alert = Alert {
        id: Uuid::new_v5(&id.0, key.0.as_bytes()),
        key,
        severity: Severity::Info,
        title: format!("{} converged: {}", round.routine, verdict.summary),
        routine: Some(round.routine.clone()),
        round: Some(id),
        nodes: Vec::new(),
        reason: None,
        last_good_at: Some(at),
        fix: String::new(),
        runbook: None,
        stakes: None,
    };
    (!sinks.is_empty()).then_some(Notice { alert, raised_at: at, resolved: None, reminder: 0, sinks })
}

/// Everything that receivers who forget have to see: open alerts, and those that ended lately.
pub fn standing(mesh: &Mesh, policy: &Policy, now: Timestamp) -> Vec<Standing> {
    let open = mesh.index.open_alerts.values();
    let is_fresh = |at: Timestamp| after(at, END_SHOWN) > now;
    let ended = mesh.index.resolved_alerts.iter().rev().take_while(|(at, _)| is_fresh(*at)).map(|(_, id)| id);
    let shown = open.chain(ended).filter_map(|id| mesh.alerts.get(id)).map(|record| Standing {
        alert: record.alert.clone(),
        raised_at: record.raised_at,
        resolved_at: record.resolved.as_ref().map(|resolved| resolved.at),
        sinks: receivers(mesh, policy, record).into_keys().cloned().collect(),
    });
    shown.filter(|standing| !standing.sinks.is_empty()).collect()
}

/// Whether this delivery stands in the log.
pub(super) fn is_delivered(mesh: &Mesh, delivery: &Delivery) -> bool {
    mesh.alerts.get(&delivery.id).is_none_or(|alert| {
        alert.deliveries.iter().any(|done| {
            done.sink == delivery.sink && done.resolved == delivery.resolved && done.reminder >= delivery.reminder
        })
    })
}
