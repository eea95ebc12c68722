//! What a node wrote down reaches the mesh, and is deleted only where it is safe elsewhere.

use std::collections::BTreeSet;

use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::time::Duration;

use crate::audit::{Case, Deleted, Law, NodeTrace, Violation};
use crate::core::Fact;

/// Facts are kept for so long even when they are confirmed; a second less, for clocks that count in steps.
const KEPT_AT_LEAST: Duration = Duration::from_secs(599);

pub(super) struct NoLostFact;

const NAME: &str = "no-lost-fact";

impl Law for NoLostFact {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "Every receipt is in the log, in a coordinator's ledger or still in its node's outbox, and no fact is deleted before it is safe elsewhere and ten minutes old."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let told = case.history.nodes.values().any(|node| !node.receipts.is_empty() || !node.deleted.is_empty());
        (!told).then_some("receipts of nodes, or what their spools deleted")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let known = known_ends(case);
        let mut found = Vec::new();
        for (node, trace) in &case.history.nodes {
            found.extend(trace.deleted.iter().filter_map(|deleted| too_early(node, deleted)));
            found.extend(lost_ends(case, node, trace, &known));
        }
        found
    }
}

/// Runs whose end is in the log or in a ledger.
fn known_ends(case: &Case<'_>) -> BTreeSet<RunId> {
    let there = case.reads().iter().filter(|read| read.entry.is_there);
    let logged = there.filter_map(|read| match &read.fact {
        Some(Fact::Agent(_, AgentFact::RunFinished(body))) => Some(body.about.run),
        Some(_) | None => None,
    });
    let ledgers = case.history.coordinators.iter().filter_map(|trace| trace.ended_runs.as_ref());
    logged.chain(ledgers.flatten().copied()).collect()
}

fn lost_ends(case: &Case<'_>, node: &NodeId, trace: &NodeTrace, known: &BTreeSet<RunId>) -> Vec<Violation> {
    // A node that is off has not had the time, and one whose state was set back may be kept apart on purpose.
    if !case.is_at_rest() || trace.is_up != Some(true) || case.is_set_back(node) {
        return Vec::new();
    }
    if trace.outbox.is_none() && trace.unconfirmed != Some(0) {
        return Vec::new();
    }
    let is_lost = |run: &RunId| !known.contains(run) && !trace.unsent_ends.contains(run);
    let receipts = trace.receipts.iter().filter(|receipt| !case.is_recent(receipt.written_at));
    let lost = receipts.filter(|receipt| is_lost(&receipt.about.run)).map(|receipt| {
        let what = format!("the end of run {} is on the disk of {node} and nowhere else", receipt.about.run);
        let (report, routine) = (&receipt.report, &receipt.about.routine);
        let shown = format!("receipt of {}: {routine} ended {} at {}", node, report.outcome, report.finished_at);
        Violation::new(NAME, what).shown(shown)
    });
    lost.collect()
}

fn too_early(node: &NodeId, deleted: &Deleted) -> Option<Violation> {
    let identity = &deleted.identity;
    let why = if identity.seq >= deleted.durable_below {
        format!("though only what is below {} was said to be safe", deleted.durable_below)
    } else if deleted.age < KEPT_AT_LEAST {
        format!("when it was {} old", deleted.age)
    } else if deleted.is_durable_elsewhere == Some(false) {
        "before any coordinator's ledger had held it for good".to_owned()
    } else {
        return None;
    };
    let what = format!("{node} deleted its fact number {} {why}", identity.seq);
    Some(Violation::new(NAME, what).shown(format!("deleted at {} in life {}", deleted.at, identity.incarnation)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::ReceiptSeen;
    use crate::audit::story::{Story, about, hash, life, report, run, slot};
    use landfall_proto::envelope::Identity;
    use landfall_proto::report::{Outcome, Reason};

    fn receipt(name: &str) -> ReceiptSeen {
        let report = report(name, Outcome::Ok, Reason::Completed);
        ReceiptSeen { about: about(name), attempt: 1, report, written_at: slot() }
    }

    fn deleted(seq: u64, age: Duration, durable_below: u64, elsewhere: Option<bool>) -> Deleted {
        let identity = Identity { writer: "a".to_owned(), incarnation: life("a"), seq };
        Deleted { identity, hash: hash(1), at: slot(), age, durable_below, is_durable_elsewhere: elsewhere }
    }

    #[test]
    fn a_receipt_may_be_in_the_log_in_a_ledger_or_on_its_way() {
        let mut story = Story::morning().at_rest();
        story.trace("a").receipts.push(receipt("a"));
        story.trace("a").outbox = Some(Vec::new());
        story.keeps(&NoLostFact);
        let last = story.history.log.iter().rposition(|entry| entry.envelope.kind == "run_finished").unwrap();
        story.trace("b").receipts.push(receipt("b"));
        story.trace("b").outbox = Some(Vec::new());
        story.history.log[last].is_there = false;
        story.breaks(&NoLostFact, "nowhere else");
        let mut sent = story.clone();
        sent.trace("b").unsent_ends.insert(run("b"));
        sent.keeps(&NoLostFact);
        story.coordinator().ended_runs = Some([run("b")].into());
        story.keeps(&NoLostFact);
    }

    #[test]
    fn a_fact_is_deleted_only_when_it_is_safe_and_old() {
        let old = Duration::from_secs(700);
        let mut story = Story::morning();
        story.trace("a").deleted = vec![deleted(3, old, 4, Some(true)), deleted(2, old, 4, None)];
        story.keeps(&NoLostFact);
        for (bad, why) in [
            (deleted(4, old, 4, None), "only what is below 4"),
            (deleted(3, Duration::from_secs(5), 4, None), "5s old"),
            (deleted(3, old, 4, Some(false)), "before any coordinator's ledger"),
        ] {
            story.trace("a").deleted = vec![bad];
            story.breaks(&NoLostFact, why);
        }
    }
}
