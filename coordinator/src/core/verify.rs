//! The judgement about a whole round: who is good by their own evidence and their neighbours' eyes, and whether the rule holds.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::fact::coordinator::WitnessAsked;
use landfall_proto::id::{CommandId, NodeId, RepositoryId, RunId};
use landfall_proto::report::{Outcome, Reason, TaskKind};
use landfall_proto::time::{Timestamp, after};
use landfall_proto::verdict::{NodeStanding, Rule, Standing, Verdict, VerdictKind, Witness};

use super::mesh::Mesh;
use super::node::NODE_SILENCE;
use super::policy::Policy;
use super::round::{Ask, Round};
use super::run::Run;

/// Runs that one witness is asked about in one command.
pub const WITNESS_RUNS_MAX: usize = 1000;

/// Names of nodes in a sentence.
const NAMES_MAX: usize = 10;

/// Where every expected node stands at this moment, in the round's order.
pub fn standings(mesh: &Mesh, round: &Round) -> Vec<NodeStanding> {
    let witnesses = round.witnesses();
    let mut runs: Vec<&Run> = expected(mesh, round).collect();
    runs.sort_by_key(|run| run.position);
    runs.into_iter().map(|run| trusted(mesh, standing_of(run, &witnesses))).collect()
}

/// What a node reports while two machines may speak in its name proves nothing.
fn trusted(mesh: &Mesh, mut node: NodeStanding) -> NodeStanding {
    if node.standing == Standing::Good && mesh.quarantine(&node.node).is_some() {
        (node.standing, node.reason) = (Standing::Bad, Some(Reason::Conflict));
    }
    node
}

/// The verdict that follows from what is known. Nodes are missing only at the deadline, for before it everybody has reported.
pub(super) fn verdict(mesh: &Mesh, round: &Round, now: Timestamp, late: bool) -> Verdict {
    let nodes = standings(mesh, round);
    let holds = rule_holds(mesh, round, &nodes);
    let has_missing = nodes.iter().any(|node| node.standing == Standing::Missing);
    let kind = match (holds, has_missing) {
        (true, _) => VerdictKind::Converged,
        (false, true) => VerdictKind::Overdue,
        (false, false) => VerdictKind::Diverged,
    };
    let mut summary = summary(&nodes);
    if late {
        summary
            .push_str(&format!("; judged late at {now}, because no coordinator led, or saw the log, at the deadline"));
    }
    Verdict { kind, summary, nodes, late }
}

/// Whether enough nodes are good. A round that expects nobody proves nothing and never converges.
fn rule_holds(mesh: &Mesh, round: &Round, nodes: &[NodeStanding]) -> bool {
    let good = || nodes.iter().filter(|node| node.standing == Standing::Good);
    let count = u32::try_from(good().count()).unwrap_or(u32::MAX);
    match &round.rule {
        Rule::All => count > 0 && good().count() == nodes.len(),
        Rule::Quorum(needed) => count >= *needed,
        Rule::Coverage(label) => {
            let value = |node: &NodeStanding| mesh.runs.get(&node.run).and_then(|run| run.needs.labels.get(label));
            // A node without the label covers nothing and needs no cover of its own, so it has to be good itself.
            let unlabelled = nodes.iter().filter(|node| value(node).is_none());
            let wanted: BTreeSet<_> = nodes.iter().filter_map(value).collect();
            let covered: BTreeSet<_> = good().filter_map(value).collect();
            count > 0 && wanted == covered && unlabelled.clone().all(|node| node.standing == Standing::Good)
        }
    }
}

/// Whether a verdict calls a node missing whose result stands before it in the log: then it speaks of an older state, and is
/// made again.
pub(super) fn is_outdated(mesh: &Mesh, verdict: &Verdict) -> bool {
    let witnesses = BTreeMap::new();
    verdict.nodes.iter().filter(|node| node.standing == Standing::Missing).any(|node| {
        let run = mesh.runs.get(&node.run);
        run.is_some_and(|run| standing_of(run, &witnesses).standing != Standing::Missing)
    })
}

fn standing_of(run: &Run, witnesses: &BTreeMap<RunId, Witness>) -> NodeStanding {
    let witness = witnesses.get(&run.id).cloned().unwrap_or(Witness::Unwitnessed);
    let end = run.end.as_ref();
    let standing = match end.map(|end| end.outcome) {
        None | Some(Outcome::Lost) => Standing::Missing,
        Some(_) if run.is_good() && !matches!(witness, Witness::Contradicted { .. }) => Standing::Good,
        Some(_) => Standing::Bad,
    };
    let (outcome, reason) = (end.map(|end| end.outcome), end.map(|end| end.reason));
    NodeStanding { node: run.node.clone(), run: run.id, standing, outcome, reason, witness }
}

fn summary(nodes: &[NodeStanding]) -> String {
    let of = |standing: Standing| nodes.iter().filter(move |node| node.standing == standing);
    let good = of(Standing::Good).count();
    let mut text = format!("{good} of {} nodes are good", nodes.len());
    let bad: Vec<String> = of(Standing::Bad).map(named).collect();
    let missing: Vec<String> = of(Standing::Missing).map(|node| node.node.to_string()).collect();
    for (what, names) in [("not good", bad), ("missing", missing)] {
        if !names.is_empty() {
            text.push_str(&format!("; {what}: {}", listed(&names)));
        }
    }
    text
}

fn named(node: &NodeStanding) -> String {
    match (&node.witness, node.reason) {
        (Witness::Contradicted { by }, _) => format!("{} (not found by {by})", node.node),
        (_, Some(reason)) => format!("{} ({reason})", node.node),
        (_, None) => node.node.to_string(),
    }
}

/// The first names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMES_MAX) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        Some(_) | None => shown,
    }
}

/// What witnesses are to be asked, once every expected run has ended; empty once they have been asked, and where no
/// neighbour can look.
pub(super) fn asks(mesh: &Mesh, policy: &Policy, now: Timestamp, round: &Round) -> Vec<WitnessAsked> {
    if !round.asks.is_empty() || round.task != TaskKind::Backup || !policy.wants_witness(&round.routine) {
        return Vec::new();
    }
    let mut written: BTreeMap<&RepositoryId, Vec<&Run>> = BTreeMap::new();
    for run in expected(mesh, round).filter(|run| run.is_good()) {
        if let Some(repository) = run.repository() {
            written.entry(repository).or_default().push(run);
        }
    }
    let mut asks = Vec::new();
    for (repository, runs) in written {
        for (witness, runs) in shared_out(mesh, now, repository, &runs) {
            for (part, runs) in runs.chunks(WITNESS_RUNS_MAX).enumerate() {
                asks.push(WitnessAsked {
                    epoch: mesh.epoch(),
                    round: round.id,
                    repository: repository.clone(),
                    witness: witness.clone(),
                    command: CommandId::of("witness", round.id.0, &format!("{repository}/{witness}/{part}")),
                    runs: runs.to_vec(),
                    asked_at: now,
                    not_after: after(now, policy.witness_within),
                });
            }
        }
    }
    asks
}

/// Who looks at which runs of one repository. The witness that wrote the fewest looks at all that it did not write; a
/// second one looks at those that the first wrote, so that no node speaks for itself.
fn shared_out(mesh: &Mesh, now: Timestamp, repository: &RepositoryId, runs: &[&Run]) -> Vec<(NodeId, Vec<RunId>)> {
    let able = mesh.index.witnesses.get(repository);
    let written = |node: &NodeId| runs.iter().filter(|run| run.node == *node).count();
    let is_able = |node: &&NodeId| mesh.is_online(node, now) && mesh.quarantine(node).is_none();
    let mut candidates: Vec<&NodeId> = able.into_iter().flatten().filter(is_able).collect();
    candidates.sort_by_key(|node| (written(node), (*node).clone()));
    let Some(first) = candidates.first() else { return Vec::new() };
    let of = |wanted: bool| -> Vec<RunId> {
        runs.iter().filter(|run| (run.node == **first) == wanted).map(|run| run.id).collect()
    };
    let mut shares = vec![((*first).clone(), of(false))];
    if let Some(second) = candidates.get(1) {
        shares.push(((*second).clone(), of(true)));
    }
    shares.retain(|(_, runs)| !runs.is_empty());
    shares
}

/// Until when the verdict waits for witnesses, or for neighbours that may still show themselves before anybody is asked: who asks
/// the first one he hears leaves out those who could have looked at that one's own run. `None` where nothing more will come.
pub(super) fn waits_until(mesh: &Mesh, policy: &Policy, now: Timestamp, round: &Round) -> Option<Timestamp> {
    if round.asks.is_empty() && policy.wants_witness(&round.routine) {
        return witness_may_be_heard_until(mesh, now, round);
    }
    let open = round.asks.iter().filter(|ask| is_open(mesh, now, ask));
    open.map(|ask| ask.asked.not_after.min(round.deadline)).min()
}

/// Until when a neighbour that can look may still give its first beat to a process that has just begun, or just sees again.
fn witness_may_be_heard_until(mesh: &Mesh, now: Timestamp, round: &Round) -> Option<Timestamp> {
    let until = after(mesh.attentive_since()?, NODE_SILENCE).min(round.deadline);
    let has_neighbour = |run: &Run| {
        let able = run.repository().and_then(|repository| mesh.index.witnesses.get(repository));
        able.into_iter().flatten().any(|node| *node != run.node && !mesh.is_online(node, now))
    };
    let is_worth_it =
        round.task == TaskKind::Backup && expected(mesh, round).any(|run| run.is_good() && has_neighbour(run));
    (is_worth_it && now < until).then_some(until)
}

/// Whether a witness may still say something about this run.
pub(super) fn is_looked_at(mesh: &Mesh, now: Timestamp, round: &Round, run: RunId) -> bool {
    round.asks.iter().any(|ask| ask.asked.runs.contains(&run) && is_open(mesh, now, ask))
}

fn is_open(mesh: &Mesh, now: Timestamp, ask: &Ask) -> bool {
    let asked = &ask.asked;
    ask.answer.is_none() && asked.not_after > now && !mesh.process.refused_witnesses.contains(&asked.command)
}

fn expected<'a>(mesh: &'a Mesh, round: &'a Round) -> impl Iterator<Item = &'a Run> {
    round.runs.iter().filter_map(|id| mesh.runs.get(id)).filter(|run| run.expected)
}
