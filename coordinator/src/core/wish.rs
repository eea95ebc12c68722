//! What the state wants to be told, and the decisions that make what is open equal to it.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::alert::{Alert, AlertKey, Severity};
use landfall_proto::card::{Card, Stakes};
use landfall_proto::fact::coordinator::{AlertRaised, AlertResolved, CoordinatorFact};
use landfall_proto::id::{NodeId, RoundId, RoutineName};
use landfall_proto::report::Reason;
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use super::agenda::Matter;
use super::check;
use super::mesh::Mesh;
use super::policy::{AlertKind, Policy};
use super::record::AlertRecord;
use super::routine::Routine;

/// An alert that the state asks for.
pub(super) struct Wanted {
    pub(super) kind: AlertKind,
    pub(super) key: AlertKey,
    pub(super) severity: Severity,
    pub(super) title: String,
    pub(super) routine: Option<RoutineName>,
    pub(super) round: Option<RoundId>,
    pub(super) nodes: Vec<NodeId>,
    pub(super) reason: Option<Reason>,
    pub(super) last_good_at: Option<Timestamp>,
    pub(super) fix: String,
    /// What it follows from; with the key it makes the alert's id.
    pub(super) cause: Uuid,
}

/// What the state asks for about one matter, and which keys it can say nothing about at this moment.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) wanted: BTreeMap<AlertKey, Wanted>,
    pub(super) unknown: BTreeSet<AlertKey>,
}

/// The decisions that make what is open equal to what is wanted.
pub(super) fn difference(
    mesh: &Mesh,
    policy: &Policy,
    now: Timestamp,
    matter: &Matter,
    wishes: Wishes,
) -> Vec<CoordinatorFact> {
    let mut facts = Vec::new();
    let epoch = mesh.epoch();
    let resolve = |record: &AlertRecord, why: &str| {
        let (key, id) = (record.alert.key.clone(), record.alert.id);
        CoordinatorFact::from(AlertResolved { epoch, key, id, resolved_at: now, why: why.to_owned() })
    };
    let Wishes { wanted, unknown } = wishes;
    for key in mesh.index.alerts_about.get(matter).into_iter().flatten() {
        if !wanted.contains_key(key)
            && !unknown.contains(key)
            && let Some(record) = mesh.open_alert(key)
        {
            facts.push(resolve(record, why_resolved(key)));
        }
    }
    for (key, wanted) in wanted {
        let alert = wanted.alert(mesh, policy, now);
        if let Some(record) = mesh.open_alert(&key) {
            if !outgrows(&record.alert, &alert) {
                continue;
            }
            facts.push(resolve(record, "a graver one follows"));
        }
        // The same cause has been told and settled before: it is not told twice.
        if !mesh.alerts.contains_key(&alert.id) {
            facts.push(AlertRaised { epoch, alert, raised_at: now }.into());
        }
    }
    facts
}

/// Whether the open alert says too little: it is louder by now, or a later verdict, or a further broken chain, names more nodes.
fn outgrows(open: &Alert, wanted: &Alert) -> bool {
    if open.id == wanted.id {
        return false;
    }
    let kind = open.key.0.split('/').next().unwrap_or_default();
    let names_all = [AlertKind::Overdue, AlertKind::ChainBroken].iter().any(|all| all.as_str() == kind);
    wanted.severity > open.severity || (names_all && wanted.nodes.iter().any(|node| !open.nodes.contains(node)))
}

impl Wishes {
    /// Of two wishes for one key the louder one counts.
    pub(super) fn want(&mut self, wanted: Wanted) {
        match self.wanted.get(&wanted.key) {
            Some(before) if before.severity >= wanted.severity => {}
            Some(_) | None => drop(self.wanted.insert(wanted.key.clone(), wanted)),
        }
    }
}

impl Wanted {
    fn alert(self, mesh: &Mesh, policy: &Policy, now: Timestamp) -> Alert {
        let severity = policy.severity(self.kind, self.routine.as_ref(), self.severity);
        let id = Uuid::new_v5(&self.cause, format!("{}/{severity}", self.key).as_bytes());
        let routine = self.routine.as_ref().and_then(|name| mesh.routines().get(name));
        let card = routine.map(|routine| routine.card(policy)).unwrap_or_default();
        let runbook = policy.runbook(&self.key.0, self.routine.as_ref()).or_else(|| card.runbook.clone());
        let stakes = routine.map(|routine| stakes(mesh, policy, now, routine, &self.nodes, card));
        Alert {
            key: self.key,
            id,
            severity,
            title: self.title.chars().take(1000).collect(),
            routine: self.routine,
            round: self.round,
            nodes: self.nodes,
            reason: self.reason,
            last_good_at: self.last_good_at,
            fix: self.fix,
            runbook,
            stakes: stakes.filter(|stakes| !stakes.is_empty()).map(Box::new),
        }
    }
}

/// Who is called for this routine and what was promised, as it stands at this moment.
fn stakes(mesh: &Mesh, policy: &Policy, now: Timestamp, routine: &Routine, nodes: &[NodeId], card: Card) -> Stakes {
    let states = || nodes.iter().filter_map(|node| mesh.nodes().get(node)?.routines.get(&routine.name));
    Stakes {
        owner: card.owner,
        contact: card.contact,
        escalation: card.escalation,
        rpo: states().filter_map(|state| check::rpo(&routine.name, state, policy)).min(),
        rto: card.rto,
        risk: states().filter_map(|state| check::risk(&routine.name, state, policy, now)).max(),
    }
}

/// What to do about an alert that no reason of a run explains.
pub(super) const fn fix_of(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Stale => "Look at the node's last runs; retry the one that failed.",
        AlertKind::ClusterFailing => {
            "Look for what they share: a destination, its credentials, the network; `landfall alerts` lists each of them."
        }
        AlertKind::BrokenPlan => "Correct the named file; `landfall-agent plans` on the node shows every error.",
        AlertKind::DestinationLow => {
            "Free space there, give it more, or keep fewer snapshots; runs soon refuse to begin."
        }
        AlertKind::ChainBroken => {
            "Run the base and see that it is good; what builds on it is worth something from then on."
        }
        AlertKind::StorageLow => "Free space there or give it more.",
        AlertKind::Filling => {
            "Free space there, give it more, or keep fewer snapshots; `landfall storages` shows how it grew."
        }
        AlertKind::ClockSkew => "Set the node's clock by NTP.",
        AlertKind::Conflict => "Give the copy its own node id and a fresh state directory.",
        AlertKind::HistoryLost => {
            "Look at the bus's disk and its settings; nodes send again what they still have, and one that never comes back can be retired."
        }
        AlertKind::CoordinatorDiffers => {
            "See that all coordinators have the same version; the one that differs takes over the leader's state."
        }
        AlertKind::MonitorFailed => "Look at what its last ping says, and at the program itself.",
        AlertKind::MonitorOverdue | AlertKind::MonitorLate => {
            "Look whether the program runs, whether its schedule is the expected one, and whether it reaches this address."
        }
        AlertKind::MonitorsTogether => {
            "Look for what these share: a machine, a destination, the way to this coordinator."
        }
        AlertKind::Failed
        | AlertKind::Overdue
        | AlertKind::Diverged
        | AlertKind::Late
        | AlertKind::NodeSilent
        | AlertKind::Guard
        | AlertKind::Contradicted => "Look at the run's log.",
    }
}

fn why_resolved(key: &AlertKey) -> &'static str {
    match key.0.split('/').next().unwrap_or_default() {
        "failed" => "a later run is good, or the alert about several nodes tells it",
        "overdue" => "every named node has had a good run since, or was retired",
        "diverged" => "every node of the routine is good again",
        "cluster_failing" => "no two routines fail any more",
        "chain_broken" => "the base is good again on every named node, or nothing builds on it any more",
        "late" => "every run has started, or its round is over",
        "node_silent" => "the node is heard again, or was retired",
        "stale" => "there is a good backup that is young enough",
        "guard" => "the latest good run is within its bands",
        "history_lost" => "every node that is heard has sent what was missing",
        "coordinator_differs" => "its state is the leader's again, or it has gone",
        "destination_low" => "it has room again",
        "filling" => "it has more time again, or no longer grows",
        "contradicted" => "a later snapshot was found",
        "monitor_failed" => "it has said since that it ended well, or the monitor was removed",
        "monitor_overdue" => "it was heard of again, or expects something else, or was removed",
        "monitor_late" => "it was heard of again, or is overdue, which is told louder",
        "monitors_together" => "fewer are bad",
        _ => "it is no longer so",
    }
}
