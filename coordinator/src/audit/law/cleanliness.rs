//! Nothing is left behind: no folder, no process.

use std::collections::BTreeSet;

use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::RunId;

use crate::audit::{Case, Law, Violation};

pub(super) struct Cleanliness;

const NAME: &str = "cleanliness";

impl Law for Cleanliness {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "At rest no process and no staging folder of an ended run is left on any node."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let told = case.history.nodes.values().any(|node| !node.processes.is_empty() || !node.litter.is_empty());
        (!case.is_at_rest() || !told).then_some("what processes and folders are left on the nodes")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let told = case.told_ever().filter_map(|(_, _, fact)| match fact {
            AgentFact::RunFinished(body) => Some(body.about.run),
            AgentFact::AgentStarted(_)
            | AgentFact::PlansAnnounced(_)
            | AgentFact::RunStarted(_)
            | AgentFact::RunPhase(_)
            | AgentFact::RunMilestone(_)
            | AgentFact::RunRetried(_)
            | AgentFact::SlotMissed(_)
            | AgentFact::Witnessed(_) => None,
        });
        let told: BTreeSet<RunId> = told.collect();
        let mut found = Vec::new();
        for (node, trace) in case.history.nodes.iter().filter(|(_, trace)| trace.is_up != Some(false)) {
            for litter in &trace.litter {
                let what = format!("{litter} is left on {node}");
                found.push(Violation::new(NAME, what));
            }
            let ended: BTreeSet<RunId> = trace.receipts.iter().map(|receipt| receipt.about.run).collect();
            let stray = trace.processes.iter().filter(|process| process.ended_at.is_none());
            for process in stray.filter(|process| ended.contains(&process.run) || told.contains(&process.run)) {
                let what = format!("a process of run {} lives on {node}, though the run has ended", process.run);
                found.push(Violation::new(NAME, what).shown(format!("started at {}", process.started_at)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::ProcessSeen;
    use crate::audit::story::{Story, repository, run, slot};

    #[test]
    fn what_has_ended_is_gone() {
        let process = |ended_at| ProcessSeen {
            run: run("a"),
            attempt: 1,
            repository: repository(),
            started_at: slot(),
            ended_at,
            command: None,
        };
        let mut story = Story::morning().at_rest();
        story.trace("a").processes = vec![process(Some(slot()))];
        story.keeps(&Cleanliness);
        let mut left = story.clone();
        left.trace("a").processes = vec![process(None)];
        left.breaks(&Cleanliness, "lives on a");
        story.trace("a").litter = vec!["the folder staging/1".to_owned()];
        story.breaks(&Cleanliness, "staging/1 is left on a");
    }
}
