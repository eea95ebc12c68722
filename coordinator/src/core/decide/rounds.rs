//! The course of one round: wait for its runs, then for its witnesses, then conclude; at its deadline conclude with what is known.

use std::collections::BTreeSet;

use landfall_proto::fact::coordinator::{
    CoordinatorFact, OpenedBy, RoundConcluded, RunLost, STANDINGS_PER_FACT_MAX, WitnessAsked,
};
use landfall_proto::id::{NodeId, RoundId};
use landfall_proto::report::Reason;
use landfall_proto::time::{Timestamp, after};
use landfall_proto::verdict::{NodeStanding, Standing, Verdict, Witness};

use super::{Look, NewRound, expected_of, opened};
use crate::core::mesh::Mesh;
use crate::core::node::NODE_SILENCE;
use crate::core::policy::Policy;
use crate::core::round::Round;
use crate::core::run::{Run, Stage};
use crate::core::verify;

pub(super) fn look(mesh: &Mesh, policy: &Policy, now: Timestamp, id: RoundId) -> Look {
    let Some(round) = mesh.rounds.get(&id).filter(|round| round.verdict.is_none()) else { return Look::default() };
    if round.opening.is_some() {
        return reopen(mesh, policy, now, round);
    }
    let is_over = round.deadline <= now;
    if round.counts.ended < round.expected && !is_over {
        return Look::wait(Some(round.deadline));
    }
    if round.counts.ended < round.expected {
        return at_deadline(mesh, policy, now, round);
    }
    if !is_over {
        if let Some(until) = verify::waits_until(mesh, policy, now, round) {
            return Look::wait(Some(until));
        }
        let asks = verify::asks(mesh, policy, now, round);
        if !asks.is_empty() {
            return Look::decided(asks.into_iter().map(CoordinatorFact::from).collect(), None);
        }
    }
    let asks = if is_over { verify::asks(mesh, policy, now, round) } else { Vec::new() };
    Look::decided(concluded(mesh, now, round, asks), None)
}

/// A leader died between the facts that open a round: it is opened again, with the same ids. Who an operator named beyond
/// the facts that arrived is not known, and the operator has had no confirmation; so such a round has the runs it shows.
fn reopen(mesh: &Mesh, policy: &Policy, now: Timestamp, round: &Round) -> Look {
    if round.opening.is_some_and(|parts| parts.epoch == mesh.epoch()) {
        return Look::default();
    }
    let all = mesh.routines.get(&round.routine).into_iter().flat_map(|routine| routine.nodes.iter().cloned());
    let nodes: BTreeSet<NodeId> = match round.opened_by {
        OpenedBy::Slot | OpenedBy::Node => all.collect(),
        OpenedBy::Operator | OpenedBy::Retry { .. } => expected_runs(mesh, round).map(|run| run.node.clone()).collect(),
    };
    let expected =
        nodes.iter().filter_map(|node| expected_of(mesh, node, &round.routine, round.id, round.task)).collect();
    let (routine, opened_by, by) = (round.routine.clone(), round.opened_by.clone(), round.by.clone());
    let new = NewRound { round: round.id, routine, task: round.task, slot: round.slot, expected, opened_by, by };
    Look::decided(opened(mesh, policy, now, new), None)
}

/// The deadline has passed while runs are missing: they are given up where nothing is heard of them, and the verdict falls.
fn at_deadline(mesh: &Mesh, policy: &Policy, now: Timestamp, round: &Round) -> Look {
    // Results may be on their way where nobody led at the deadline.
    let settled_at = mesh.settled_at(policy);
    let was_led = mesh.process.leading_since.is_some_and(|since| since <= round.deadline);
    if !was_led && now < settled_at {
        return Look::wait(Some(settled_at));
    }
    let missing = expected_runs(mesh, round).filter(|run| !run.is_ended());
    let lost = missing.filter_map(|run| {
        let reason = reason_at_deadline(mesh, now, run)?;
        Some(CoordinatorFact::from(RunLost { epoch: mesh.epoch(), run: run.id, reason }))
    });
    let mut facts: Vec<CoordinatorFact> = lost.collect();
    facts.extend(concluded(mesh, now, round, verify::asks(mesh, policy, now, round)));
    Look::decided(facts, None)
}

/// Why a run is given up at its round's deadline; `None` where it goes on on a node that is heard.
pub(super) fn reason_at_deadline(mesh: &Mesh, now: Timestamp, run: &Run) -> Option<Reason> {
    let online = mesh.is_online(&run.node, now);
    // A process that has just begun, or just sees again, has not had the time to hear every beat.
    let is_fresh = mesh.attentive_since().is_none_or(|since| now < after(since, NODE_SILENCE));
    match run.stage {
        Stage::Queued if online => Some(run.refused.unwrap_or(Reason::TurnNeverCame)),
        // The advice for a turn that never came would mislead where the node itself is not there.
        Stage::Queued => Some(Reason::NodeSilent),
        Stage::Sent | Stage::Running if !online && !is_fresh => Some(Reason::NodeSilent),
        Stage::Sent | Stage::Running | Stage::Ended => None,
    }
}

/// The verdict, and before it what neighbours are asked only at the deadline: what they see is attached later.
fn concluded(mesh: &Mesh, now: Timestamp, round: &Round, asks: Vec<WitnessAsked>) -> Vec<CoordinatorFact> {
    let late = mesh.process.leading_since.is_some_and(|since| since > round.deadline);
    let verdict = verify::verdict(mesh, round, now, late);
    let Verdict { kind, summary, nodes, late } = verdict;
    let groups = groups(nodes.into_iter().map(|node| settled(mesh, now, round, &asks, node)).collect());
    let parts = if groups.len() > 1 { u32::try_from(groups.len()).unwrap_or(u32::MAX) } else { 0 };
    let fact = |(part, nodes)| {
        let verdict = Verdict { kind, summary: summary.clone(), nodes, late };
        RoundConcluded { epoch: mesh.epoch(), round: round.id, concluded_at: now, verdict, part, parts }.into()
    };
    let verdict = (0..).zip(groups).map(fact);
    let asks = asks.iter().cloned().map(CoordinatorFact::from);
    asks.chain(verdict).collect()
}

/// Says why a node is missing, and lets no witness appear pending who cannot answer any more.
fn settled(mesh: &Mesh, now: Timestamp, round: &Round, asks: &[WitnessAsked], mut node: NodeStanding) -> NodeStanding {
    if node.standing == Standing::Missing && node.reason.is_none() {
        let run = mesh.runs.get(&node.run);
        node.reason = run.and_then(|run| reason_at_deadline(mesh, now, run)).or(Some(Reason::NoReport));
    }
    if node.witness == Witness::Pending && !verify::is_looked_at(mesh, now, round, node.run) {
        node.witness = Witness::Unwitnessed;
    }
    if node.witness == Witness::Unwitnessed && asks.iter().any(|ask| ask.runs.contains(&node.run)) {
        node.witness = Witness::Pending;
    }
    node
}

fn groups(nodes: Vec<NodeStanding>) -> Vec<Vec<NodeStanding>> {
    if nodes.is_empty() {
        return vec![Vec::new()];
    }
    nodes.chunks(STANDINGS_PER_FACT_MAX).map(<[NodeStanding]>::to_vec).collect()
}

fn expected_runs<'a>(mesh: &'a Mesh, round: &'a Round) -> impl Iterator<Item = &'a Run> {
    round.runs.iter().filter_map(|id| mesh.runs.get(id)).filter(|run| run.expected)
}
