//! What coordinators say of themselves and of the nodes: asked over the bus, and heard on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use landfall_proto::bus::{Inbox, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode};
use landfall_proto::control::{Paging, Request};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::{Holder, Incarnation, RunId};
use landfall_proto::live::{PRESENCE_KIND, Presence};
use landfall_proto::subject::{Subject, Topic};
use landfall_proto::time::Duration as Span;
use landfall_proto::view::{NodeView, StatusView};

use super::Seen;
use crate::audit::{CoordinatorTrace, Heal, History};
use crate::cli::ask::{Mesh, expect_reply};
use crate::cli::failure::Failure;
use crate::core::policy::RoutinePolicy;

/// Every coordinator says each second where it stands; more than two of these fit into this.
const LISTEN: Duration = Duration::from_secs(3);

/// Once somebody has led for so long, everything must have come to rest.
const PATIENCE: Span = Span::from_secs(120);

/// A leader that is further behind has not come to rest.
const LAG_MAX: u64 = 100;

/// Pages of nodes that are read.
const PAGES_MAX: usize = 1000;

/// Runs that are asked for one by one.
const ASKED_MAX: usize = 100;

/// Asks for status, limits and nodes, and hears who is there. What is not answered is noted, and its promises are not judged.
pub(super) async fn collect(mesh: &Mesh, seen: &mut Seen) {
    match presences(mesh).await {
        Some(traces) => seen.history.coordinators = traces,
        None => seen.notes.push("the bus does not let this operator hear the coordinators".to_owned()),
    }
    match status(mesh).await {
        Ok(status) => of_status(&status, &mut seen.history),
        Err(failure) => seen.notes.push(format!("{}: {}", failure.problem.what, failure.problem.why)),
    }
    match limits(mesh).await {
        Ok(limits) => seen.history.policy.limits.extend(limits),
        Err(failure) => seen.notes.push(format!("the limits are not known: {}", failure.problem.what)),
    }
    match nodes(mesh).await {
        Ok(nodes) => nodes.iter().for_each(|node| of_node(node, &mut seen.history)),
        Err(failure) => seen.notes.push(format!("the nodes are not known: {}", failure.problem.what)),
    }
}

async fn status(mesh: &Mesh) -> Result<StatusView, Failure> {
    expect_reply!(mesh.ask(&Request::Status).await?, Status)
}

/// Sizes that come from the policy; those that were set by command are in the log.
async fn limits(mesh: &Mesh) -> Result<Vec<(landfall_proto::limit::LimitName, u32)>, Failure> {
    let limits = expect_reply!(mesh.ask(&Request::Limits).await?, Limits)?;
    let given = limits.into_iter().filter(|limit| limit.is_default);
    Ok(given.filter_map(|limit| Some((limit.name, limit.size?))).collect())
}

async fn nodes(mesh: &Mesh) -> Result<Vec<NodeView>, Failure> {
    let mut nodes = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = expect_reply!(mesh.ask(&Request::Nodes { paging: Paging { rows: None, after } }).await?, Nodes)?;
        nodes.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(nodes)
}

fn of_status(status: &StatusView, history: &mut History) {
    let is_level = status.lag.is_some_and(|lag| lag <= LAG_MAX);
    history.heal = status.leader_since.filter(|_| is_level).map(|at| Heal { at, patience: PATIENCE });
    // The policy may have been another one before the coordinator started.
    history.policy_since = Some(status.started_at);
    for routine in &status.routines {
        let rpo = routine.rpo_ms.map(Span::from_ms);
        let policy = RoutinePolicy { rpo, ..RoutinePolicy::default() };
        history.policy.routines.insert(routine.name.clone(), policy);
    }
}

fn of_node(node: &NodeView, history: &mut History) {
    let trace = history.nodes.entry(node.id.clone()).or_default();
    trace.is_up = Some(node.online && node.quarantined.is_none() && !node.retired);
    trace.unconfirmed = node.outbox;
}

/// One trace for each coordinator process that was heard.
async fn presences(mesh: &Mesh) -> Option<Vec<CoordinatorTrace>> {
    let subject = Subject::new(mesh.bus.cluster(), Topic::Beacon).to_string();
    let Told::Done(mut inbox) = mesh.bus.listen(&subject).await else { return None };
    let mut heard = BTreeMap::new();
    // The time is over: whoever was heard is here.
    let _ = tokio::time::timeout(LISTEN, hear(&mut inbox, &mut heard)).await;
    Some(heard.into_values().collect())
}

async fn hear(inbox: &mut Inbox, heard: &mut BTreeMap<(Holder, Incarnation), CoordinatorTrace>) {
    while let Some(message) = inbox.next().await {
        let envelope = message.envelope().ok().filter(|envelope| envelope.kind == PRESENCE_KIND);
        let presence = envelope.and_then(|envelope| decode::<Presence>(&envelope.body, MESSAGE_BYTES_MAX).ok());
        if let Some(presence) = presence {
            take(presence, heard);
        }
    }
}

fn take(presence: Presence, heard: &mut BTreeMap<(Holder, Incarnation), CoordinatorTrace>) {
    let key = (presence.holder.clone(), presence.incarnation);
    if presence.is_ending {
        heard.remove(&key);
        return;
    }
    let trace =
        heard.entry(key).or_insert_with(|| CoordinatorTrace::new(presence.holder.clone(), presence.incarnation));
    trace.leads = presence.leads;
    trace.cursor = Some(presence.position);
    for digest in presence.digests {
        let digest = (digest.position, digest.state);
        if !trace.digests.contains(&digest) {
            trace.digests.push(digest);
        }
    }
}

/// Ends that lie on a disk here and are not in the log may be in a coordinator's ledger.
pub(super) async fn ask_for_missing(mesh: &Mesh, seen: &mut Seen) {
    let missing = missing(&seen.history);
    if missing.len() > ASKED_MAX {
        seen.notes.push(format!(
            "{} ends on this machine's disks are not in the log; the coordinator was asked about {ASKED_MAX} of them",
            missing.len()
        ));
    }
    let mut known = BTreeSet::new();
    for run in missing.into_iter().take(ASKED_MAX) {
        let Ok(reply) = mesh.ask(&Request::Run { id: run }).await else { continue };
        if expect_reply!(reply, Run).is_ok_and(|detail| detail.report.is_some()) {
            known.insert(run);
        }
    }
    if let Some(trace) = seen.history.coordinators.first_mut() {
        trace.ended_runs = Some(known);
    }
}

fn missing(history: &History) -> Vec<RunId> {
    let logged: BTreeSet<RunId> = history
        .log
        .iter()
        .filter_map(|entry| match AgentFact::decode(&entry.envelope.kind, &entry.envelope.body) {
            Ok(Some(AgentFact::RunFinished(body))) => Some(body.about.run),
            Ok(_) | Err(_) => None,
        })
        .collect();
    let receipts = history.nodes.values().flat_map(|node| &node.receipts);
    receipts.map(|receipt| receipt.about.run).filter(|run| !logged.contains(run)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::envelope::{ContentHash, Epoch, Position};
    use landfall_proto::live::Digest;
    use landfall_proto::time::Timestamp;
    use uuid::Uuid;

    fn presence(name: &str, seq: u64, leads: bool) -> Presence {
        let position = Position { era: 0, seq, hash: ContentHash([1; 16]) };
        Presence {
            holder: name.parse().unwrap(),
            incarnation: Incarnation(Uuid::nil()),
            epoch: Epoch::default(),
            leads,
            position,
            lag: Some(0),
            digests: vec![Digest { position, state: ContentHash([2; 16]) }],
            is_ending: false,
            version: String::new(),
            sent_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn each_coordinator_that_was_heard_has_one_trace() {
        let mut heard = BTreeMap::new();
        for said in [presence("a", 64, true), presence("b", 64, false), presence("a", 128, true)] {
            take(said, &mut heard);
        }
        take(Presence { is_ending: true, ..presence("b", 64, false) }, &mut heard);
        let traces: Vec<CoordinatorTrace> = heard.into_values().collect();
        assert_eq!(traces.len(), 1);
        assert!(traces[0].leads && traces[0].cursor.unwrap().seq == 128 && traces[0].digests.len() == 2);
    }
}
