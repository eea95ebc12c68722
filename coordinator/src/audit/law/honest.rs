//! A good backup is one that its repository shows.

use std::collections::BTreeMap;

use landfall_proto::fact::agent::{AgentFact, RunAbout};
use landfall_proto::id::{NodeId, RepositoryId, RunId};
use landfall_proto::report::{ProofLevel, Reason, RunReport, TaskKind};

use crate::audit::{Case, Law, RepositoryTrace, Violation};

pub(super) struct HonestSuccess;

const NAME: &str = "honest-success";

/// One good end of a backup, and where it was told.
struct Claimed<'a> {
    node: &'a NodeId,
    about: &'a RunAbout,
    report: &'a RunReport,
    told: String,
}

impl Law for HonestSuccess {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> &'static str {
        "A backup that ended well left exactly one whole snapshot under its run's id, and read it back from the destination."
    }

    fn lacks(&self, case: &Case<'_>) -> Option<&'static str> {
        let receipts = case.history.nodes.values().any(|node| !node.receipts.is_empty());
        (case.reads().is_empty() && !receipts).then_some("messages of the log")
    }

    fn check(&self, case: &Case<'_>) -> Vec<Violation> {
        let mut found: Vec<Violation> = claims(case).into_values().flat_map(|claim| judge(case, &claim)).collect();
        for (id, repository) in &case.history.repositories {
            found.extend(doubles(case, id, repository));
        }
        found
    }
}

/// Each run once: a receipt says the same as its fact.
fn claims<'a>(case: &'a Case<'_>) -> BTreeMap<RunId, Claimed<'a>> {
    let mut claims = BTreeMap::new();
    let mut add = |node, about: &'a RunAbout, report: &'a RunReport, told| {
        if report.outcome.is_good() && about.task == TaskKind::Backup && !case.is_set_back(node) {
            claims.entry(about.run).or_insert(Claimed { node, about, report, told });
        }
    };
    for (read, node, fact) in case.told_ever() {
        if let AgentFact::RunFinished(body) = fact {
            add(node, &body.about, &body.report, read.to_string());
        }
    }
    for (node, trace) in &case.history.nodes {
        for receipt in &trace.receipts {
            add(node, &receipt.about, &receipt.report, format!("receipt on {node}, written at {}", receipt.written_at));
        }
    }
    claims
}

fn judge(case: &Case<'_>, claim: &Claimed<'_>) -> Option<Violation> {
    let Claimed { node, about, report, told } = claim;
    let say = |why: String| {
        let what = format!("run {} of {} on {node} ended {} {why}", about.run, about.routine, report.outcome);
        Some(Violation::new(NAME, what).shown(told.clone()))
    };
    let Some(evidence) = &report.evidence else {
        let is_known_work = report.reason == Reason::AlreadyDone;
        return if is_known_work { None } else { say("without evidence from the destination".to_owned()) };
    };
    if evidence.matches != 1 {
        return say(format!("though {} snapshots carry its id", evidence.matches));
    }
    if evidence.level < ProofLevel::Landed {
        return say("though nothing was read back".to_owned());
    }
    if !evidence.covers_sources {
        return say("though its snapshot lacks sources".to_owned());
    }
    let repository = case.history.repositories.get(evidence.repository.as_ref().or(about.repository.as_ref())?)?;
    let here = repository.snapshots.iter().filter(|snapshot| snapshot.run == Some(about.run));
    let gone = repository.removed.iter().any(|(id, _)| *id == evidence.snapshot);
    let is_taken = gone || repository.taken.contains(&evidence.snapshot);
    let whole = here.clone().filter(|snapshot| snapshot.is_whole).count();
    if whole > 0 || is_taken {
        return None;
    }
    if here.count() > 0 {
        say("though its snapshot is not whole".to_owned())
    } else if repository.absent.contains(&about.run) {
        say("though a neighbour did not find its snapshot".to_owned())
    } else if repository.is_partial {
        None
    } else {
        say("though the repository does not list it".to_owned())
    }
}

fn doubles(case: &Case<'_>, id: &RepositoryId, repository: &RepositoryTrace) -> Vec<Violation> {
    let mut by_run: BTreeMap<RunId, Vec<&str>> = BTreeMap::new();
    for snapshot in repository.snapshots.iter().filter(|snapshot| snapshot.is_whole) {
        if let Some(run) = snapshot.run
            && snapshot.node.as_ref().is_none_or(|node| !case.is_set_back(node))
        {
            by_run.entry(run).or_default().push(&snapshot.id);
        }
    }
    let doubled = by_run.into_iter().filter(|(_, snapshots)| snapshots.len() > 1);
    let say = |(run, snapshots): (RunId, Vec<&str>)| {
        let what = format!("the repository {id} holds {} snapshots of run {run}", snapshots.len());
        Violation::new(NAME, what).shown(snapshots.join(", "))
    };
    doubled.map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::SnapshotSeen;
    use crate::audit::story::{Story, about, node, report, repository, run, slot};
    use landfall_proto::fact::agent::RunFinished;
    use landfall_proto::report::Outcome;

    fn snapshot(name: &str, id: &str) -> SnapshotSeen {
        SnapshotSeen {
            id: id.to_owned(),
            node: Some(node(name)),
            run: Some(run(name)),
            taken_at: slot(),
            is_whole: true,
            is_sound: true,
        }
    }

    fn listed(story: &mut Story, snapshots: Vec<SnapshotSeen>) {
        let trace = RepositoryTrace { snapshots, ..RepositoryTrace::default() };
        story.history.repositories.insert(repository(), trace);
    }

    #[test]
    fn a_good_run_is_listed_once() {
        let mut story = Story::morning();
        story.keeps(&HonestSuccess);
        listed(&mut story, vec![snapshot("a", "1"), snapshot("b", "2")]);
        story.keeps(&HonestSuccess);
        let mut doubled = story.clone();
        listed(&mut doubled, vec![snapshot("a", "1"), snapshot("b", "2"), snapshot("b", "3")]);
        doubled.breaks(&HonestSuccess, "2 snapshots of run");
        let partial = SnapshotSeen { is_whole: false, ..snapshot("b", "2") };
        listed(&mut story, vec![snapshot("a", "1"), partial]);
        story.breaks(&HonestSuccess, "not whole");
        listed(&mut story, vec![snapshot("a", "1")]);
        story.breaks(&HonestSuccess, "does not list it");
        let mut seen = story.clone();
        story.history.repositories.get_mut(&repository()).unwrap().taken.insert("snapshot-b".to_owned());
        story.keeps(&HonestSuccess);
        let trace = seen.history.repositories.get_mut(&repository()).unwrap();
        trace.is_partial = true;
        seen.keeps(&HonestSuccess);
        seen.history.repositories.get_mut(&repository()).unwrap().absent.insert(run("b"));
        seen.breaks(&HonestSuccess, "a neighbour did not find");
    }

    #[test]
    fn a_good_run_shows_evidence() {
        let with = |change: fn(&mut RunReport)| {
            let mut story = Story::night();
            let mut report = report("a", Outcome::Ok, Reason::Completed);
            change(&mut report);
            story.node("a", RunFinished { about: about("a"), report });
            story
        };
        with(|report| report.evidence = None).breaks(&HonestSuccess, "without evidence");
        with(|report| report.evidence.as_mut().unwrap().matches = 2).breaks(&HonestSuccess, "2 snapshots carry");
        with(|report| report.evidence.as_mut().unwrap().covers_sources = false).breaks(&HonestSuccess, "lacks sources");
        with(|report| report.evidence.as_mut().unwrap().level = ProofLevel::Exit).breaks(&HonestSuccess, "read back");
        with(|report| (report.evidence, report.reason) = (None, Reason::AlreadyDone)).keeps(&HonestSuccess);
        with(|report| (report.evidence, report.outcome) = (None, Outcome::Failed)).keeps(&HonestSuccess);
    }
}
