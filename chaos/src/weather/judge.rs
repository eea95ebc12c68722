//! The judgement about a case: its own expectations, asked of the log, the disks and the repository, and every law of the mesh.

use std::collections::BTreeSet;

use landfall_proto::control::{Reply, Request};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::subject::Role;
use landfall_proto::verdict::VerdictKind;

use super::mesh::{Asked, Mesh, NIGHTLY};
use super::stray::strays;
use super::witness::{Found, RUN_TAG, Receipt, look};
use super::{history, rest};
use crate::live::{Log, Seen};

/// Mends everything, waits for rest, and writes down every expectation that is not met and every promise that is not kept.
pub async fn close(mut mesh: Mesh) {
    mesh.say("everything is mended");
    let healed_at = crate::live::now();
    mesh.heal();
    rest::come_to_rest(&mesh).await;
    let found = look(&mesh).await;
    let mut wrong = Vec::new();
    for asked in &mesh.asked {
        judge_round(&mesh, &found, asked, &mut wrong);
    }
    judge_receipts(&mesh, &found, &mut wrong).await;
    judge_snapshots(&found, &mut wrong);
    judge_places(&mesh, &mut wrong).await;
    wrong.sort();
    wrong.dedup();
    for line in wrong {
        mesh.weather.diary.violation(line);
    }
    history::judge_laws(&mesh, &found, healed_at);
    let violations = mesh.weather.diary.counts().violations;
    assert!(violations.is_empty(), "{} promises were broken: {violations:#?}", violations.len());
}

/// Every entry that was ever read, those that are lost included; a fact that was said again counts once.
fn ever(found: &Found) -> Vec<&Seen> {
    let mut known = BTreeSet::new();
    let all = found.log.0.iter().chain(&found.lost);
    all.filter(|seen| seen.message.as_ref().is_none_or(|(_, envelope)| known.insert(envelope.id))).collect()
}

fn judge_round(mesh: &Mesh, found: &Found, asked: &Asked, wrong: &mut Vec<String>) {
    let round = asked.round;
    let everything = Log(ever(found).into_iter().cloned().collect());
    // Each part of an opening and of a verdict counts once; all rounds of a case fit into one part.
    let openings: Vec<_> = everything.openings(round);
    if openings.len() != 1 {
        wrong.push(format!("round {round} was opened {} times", openings.len()));
    }
    let verdicts = everything.verdicts(round);
    match verdicts.as_slice() {
        [verdict] if verdict.kind != asked.expected => {
            wrong.push(format!("round {round} ended {}, expected {}: {verdict:?}", verdict.kind, asked.expected));
        }
        [verdict] => {
            let kind = verdict.kind;
            mesh.weather.diary.change(|counts| *counts.verdicts.entry(kind).or_default() += 1);
        }
        several => wrong.push(format!("round {round} has {} verdicts: {several:?}", several.len())),
    }
    let Some(opening) = openings.first() else { return };
    for expected in &opening.expected {
        let run = RunId::of(round, &expected.node, opening.task);
        judge_run(mesh, &everything, asked, &expected.node, run, wrong);
    }
}

fn judge_run(mesh: &Mesh, everything: &Log, asked: &Asked, node: &NodeId, run: RunId, wrong: &mut Vec<String>) {
    let mut reports = everything.reports(run);
    if mesh.set_back.iter().any(|(name, _)| *name == node.as_str()) {
        // A journal that begins a new life says again what it kept; that it is the same is what counts.
        reports.dedup_by(|one, other| one.report == other.report);
    }
    if mesh.excused.contains(&run) {
        return;
    }
    match reports.as_slice() {
        [one] if one.report.outcome.is_good() || asked.expected != VerdictKind::Converged => {}
        [one] => wrong.push(format!(
            "the run of {node} in round {} ended {}: {}",
            asked.round, one.report.outcome, one.report.message
        )),
        [] if asked.expected != VerdictKind::Converged => {}
        several => wrong.push(format!("the run of {node} in round {} has {} ends", asked.round, several.len())),
    }
}

/// Every receipt's end stands in the log as the bus holds it, with the same content. Where the bus has lost a log, what a
/// coordinator had made safe before is not said again: then the coordinator has to know it.
async fn judge_receipts(mesh: &Mesh, found: &Found, wrong: &mut Vec<String>) {
    let has_forgotten = found.lives > 0 || !found.lost.is_empty();
    for (node, receipts) in &found.receipts {
        for (receipt, _) in receipts {
            let run = receipt.about.run;
            let reports = found.log.reports(run);
            let is_there = reports.iter().any(|finished| finished.report == receipt.report);
            if is_there || (has_forgotten && is_known(mesh, receipt).await) {
                continue;
            }
            wrong.push(format!("the end of run {run}, of which {node} has the receipt, is not known to the mesh"));
        }
    }
}

async fn is_known(mesh: &Mesh, receipt: &Receipt) -> bool {
    match mesh.cluster.operator.ask(&Request::Run { id: receipt.about.run }).await {
        Some(Reply::Run(detail)) => detail.report.as_ref() == Some(&receipt.report),
        Some(_) | None => false,
    }
}

/// One snapshot for each good run of the routine that makes them, and none that no run explains.
fn judge_snapshots(found: &Found, wrong: &mut Vec<String>) {
    let Some(snapshots) = &found.snapshots else { return };
    let everything = Log(ever(found).into_iter().cloned().collect());
    for (_, node, finished) in everything.runs_finished() {
        let run = finished.about.run.to_string();
        let count = snapshots.iter().filter(|snapshot| snapshot.tag(RUN_TAG) == Some(&run)).count();
        let is_saved = finished.about.routine.as_str() == NIGHTLY && finished.report.outcome.is_good();
        if is_saved && count != 1 {
            wrong.push(format!("run {run} of {node} is good and has {count} snapshots"));
        }
        if count > 1 {
            wrong.push(format!("run {run} of {node} has {count} snapshots"));
        }
    }
    let is_known = |run: &str| everything.0.iter().any(|seen| speaks_of(seen, run));
    for snapshot in snapshots {
        match snapshot.tag(RUN_TAG) {
            Some(run) if is_known(run) => {}
            Some(run) => wrong.push(format!("snapshot {} belongs to run {run}, of which no fact speaks", snapshot.id)),
            None => wrong.push(format!("snapshot {} belongs to no run", snapshot.id)),
        }
    }
}

fn speaks_of(seen: &Seen, run: &str) -> bool {
    match seen.agent() {
        Some((_, AgentFact::RunStarted(fact))) => fact.about.run.to_string() == run,
        Some((_, AgentFact::RunFinished(fact))) => fact.about.run.to_string() == run,
        Some(_) | None => match seen.coordinator() {
            Some(CoordinatorFact::Dispatched(fact)) => fact.run.to_string() == run,
            Some(_) | None => false,
        },
    }
}

/// No program lived twice at once, nothing is left running, nobody is alarmed, and the bus refused nothing.
async fn judge_places(mesh: &Mesh, wrong: &mut Vec<String>) {
    for (node, work) in &mesh.works {
        for run in work.overlaps() {
            wrong.push(format!("two programs of run {run} lived at the same time on {node}"));
        }
    }
    for stray in strays(mesh.cluster.place.root(), &mesh.cluster.processes()) {
        wrong.push(format!("a process is left: {stray}"));
    }
    for view in mesh.cluster.operator.open_alerts().await {
        let key = &view.alert.key.0;
        if !mesh.alerts_allowed.iter().any(|allowed| key.starts_with(allowed)) {
            wrong.push(format!("the alert {key} is open at rest: {}", view.alert.title));
        }
    }
    if !mesh.complaints_allowed {
        // An answer whose line broke goes out on another one, where nobody allowed it; whoever asked does not wait for it.
        let is_late_answer = |complaint: &String| {
            let inboxes = [Role::Coordinator.inbox_prefix(), Role::Operator.inbox_prefix()];
            inboxes.iter().any(|inbox| complaint.contains(&format!("Subject \"{inbox}.")))
        };
        for complaint in mesh.cluster.bus_complaints().into_iter().filter(|line| !is_late_answer(line)) {
            wrong.push(format!("the bus refused something: {complaint}"));
        }
    }
}
