//! One process group at a time for each repository of a node, and one end for each run.

use std::collections::BTreeMap;

use landfall_proto::fact::agent::{AgentFact, RunFinished};
use landfall_proto::id::{NodeId, RepositoryId, RunId};

use crate::audit::{Case, Law, ProcessSeen, Read, Violation};

pub(super) struct SingleRun;

const NAME: &str = "single-run";

impl Law for SingleRun {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "No two processes of a node work on one repository at once, and a run has one end."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let seen = case.history.nodes.values().any(|node| !node.processes.is_empty());
        (case.reads().is_empty() && !seen).then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let nodes = case.history.nodes.iter().filter(|(node, _)| !case.is_set_back(node));
        let mut found: Vec<Violation> = nodes.flat_map(|(node, trace)| overlaps(node, &trace.processes)).collect();
        found.extend(second_ends(case));
        found
    }
}

fn overlaps(node: &NodeId, processes: &[ProcessSeen]) -> Vec<Violation> {
    let mut latest: BTreeMap<&RepositoryId, &ProcessSeen> = BTreeMap::new();
    let mut sorted: Vec<&ProcessSeen> = processes.iter().collect();
    sorted.sort_by_key(|process| process.started_at);
    let mut found = Vec::new();
    let shown = |process: &ProcessSeen| {
        let until = process.ended_at.map_or_else(|| "now".to_owned(), |at| at.to_string());
        format!("run {} attempt {} from {} until {until}", process.run, process.attempt, process.started_at)
    };
    for process in sorted {
        let before = latest.get(&process.repository).copied();
        if let Some(before) = before.filter(|before| before.ended_at.is_none_or(|ended| ended > process.started_at)) {
            let what = format!("two processes of {node} worked on the repository {} at once", process.repository);
            found.push(Violation::new(NAME, what).shown(shown(before)).shown(shown(process)));
        }
        let lasts = |process: &ProcessSeen| process.ended_at.unwrap_or(jiff::Timestamp::MAX);
        if before.is_none_or(|before| lasts(process) > lasts(before)) {
            latest.insert(&process.repository, process);
        }
    }
    found
}

/// A journal that was built again, or that began a new life, says the same end once more.
fn second_ends(case: &Case<'_>) -> Vec<Violation> {
    let mut ends: BTreeMap<(&NodeId, RunId), (&Read<'_>, &RunFinished)> = BTreeMap::new();
    let mut found = Vec::new();
    for (read, node, fact) in case.told_ever().filter(|(_, node, _)| !case.is_set_back(node)) {
        let AgentFact::RunFinished(body) = fact else { continue };
        let Some((before, first)) = ends.get(&(node, body.about.run)) else {
            ends.insert((node, body.about.run), (read, body));
            continue;
        };
        let same_life = before.entry.envelope.incarnation == read.entry.envelope.incarnation;
        let short = |body: &RunFinished| (body.report.outcome, body.report.reason, body.report.finished_at);
        if same_life || short(first) != short(body) {
            let what = format!(
                "run {} of {node} ended twice: {} ({}), then {} ({})",
                body.about.run, first.report.outcome, first.report.reason, body.report.outcome, body.report.reason
            );
            found.push(Violation::new(NAME, what).seen(before).seen(read));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::story::{Story, about, life, node, report, repository, run, slot};
    use landfall_proto::envelope::{Envelope, Identity};
    use landfall_proto::report::{Outcome, Reason};
    use landfall_proto::subject::Topic;
    use landfall_proto::time::{Duration, after};

    fn process(from: u64, until: Option<u64>) -> ProcessSeen {
        let at = |seconds| after(slot(), Duration::from_secs(seconds));
        ProcessSeen {
            run: run("a"),
            attempt: 1,
            repository: repository(),
            started_at: at(from),
            ended_at: until.map(at),
            command: None,
        }
    }

    #[test]
    fn processes_follow_one_another() {
        let mut story = Story::night();
        story.trace("a").processes = vec![process(0, Some(5)), process(5, Some(9)), process(10, None)];
        story.trace("b").processes = vec![process(3, Some(7))];
        story.keeps(&SingleRun);
        story.trace("a").processes.push(process(11, Some(12)));
        story.breaks(&SingleRun, "two processes of a");
    }

    #[test]
    fn a_run_ends_once_and_a_rebuilt_journal_says_the_same_again() {
        let mut story = Story::morning();
        let body = RunFinished { about: about("a"), report: report("a", Outcome::Ok, Reason::Completed) };
        let identity = Identity { writer: "a".to_owned(), incarnation: life("later"), seq: 0 };
        let envelope = Envelope::fact(identity, "run_finished", slot(), landfall_proto::codec::encode(&body));
        story.put(Topic::NodeFact(node("a")), envelope);
        story.keeps(&SingleRun);
        story.ends("b", Outcome::Failed, Reason::Network);
        story.breaks(&SingleRun, "ended twice");
    }
}
