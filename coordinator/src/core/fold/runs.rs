//! Folding what a node says of its runs. Stages only move forward, so repeats and latecomers undo nothing.

use landfall_proto::fact::agent::{RunAbout, RunFinished, RunMilestone, RunPhase, RunRetried, RunStarted};
use landfall_proto::id::{NodeId, RoutineName, RunId};
use landfall_proto::plan::RepositoryLock;
use landfall_proto::report::{Reason, RunReport};
use landfall_proto::time::Timestamp;

use crate::core::agenda::Matter;
use crate::core::mesh::Mesh;
use crate::core::record::RunTail;
use crate::core::run::{End, Milestone, Needs, Part, RETRIES_KEPT_MAX, Run, Stage};

impl Mesh {
    pub(super) fn run_started(&mut self, node: &NodeId, body: &RunStarted) {
        if !self.ensure_run(node, &body.about, body.started_at) {
            return;
        }
        self.change(body.about.run, |run| {
            // What the node does now is its later word: it had told the slot as missed, by a clock that was set right since.
            run.end = run.end.take().filter(|end| end.report.is_some() || end.reason != Reason::Missed);
            if run.end.is_some() {
                return;
            }
            run.stage = Stage::Running;
            run.trigger = Some(body.about.trigger);
            run.started_at.get_or_insert(body.started_at);
            run.attempt = run.attempt.max(body.attempt);
            run.plan_hash.clone_from(&body.about.plan_hash);
            if run.needs.repository.is_none() {
                run.needs.repository.clone_from(&body.about.repository);
            }
        });
    }

    pub(super) fn run_phase(&mut self, node: &NodeId, body: &RunPhase) {
        if self.is_under_way(node, body.run) {
            self.change(body.run, |run| run.phase = Some(body.phase));
        }
    }

    pub(super) fn run_milestone(&mut self, node: &NodeId, body: &RunMilestone) {
        if self.is_under_way(node, body.run) {
            let RunMilestone { percent, files_done, bytes_done, .. } = *body;
            self.change(body.run, |run| run.milestone = Some(Milestone { percent, files_done, bytes_done }));
        }
    }

    pub(super) fn run_retried(&mut self, node: &NodeId, body: &RunRetried) {
        if self.is_under_way(node, body.run) {
            self.change(body.run, |run| {
                run.attempt = run.attempt.max(body.attempt + 1);
                run.retries.push(body.clone());
                if run.retries.len() > RETRIES_KEPT_MAX {
                    run.retries.remove(0);
                }
            });
        }
    }

    /// The first result of a run wins, also over an end that was decided without the node: given up as lost, refused, or
    /// left out because its slot was told as missed by a clock that was set right since. What a node proves counts for its own
    /// history in any case, also where the round is long over.
    pub(super) fn run_finished(&mut self, node: &NodeId, body: &RunFinished) {
        let (about, report) = (&body.about, &body.report);
        if self.is_retired(node) && !self.runs.contains_key(&about.run) {
            return;
        }
        if !self.ensure_run(node, about, report.started_at) {
            if about.run == RunId::of(about.round, node, about.task) && !self.runs.contains_key(&about.run) {
                self.finished_long_ago(node, about, report);
            }
            return;
        }
        let Some(run) = self.runs.get(&about.run) else { return };
        let reported = run.end.as_ref().is_some_and(|end| end.report.is_some());
        if reported {
            return;
        }
        // A follow-up rightly ends after the verdict: only what the verdict was about can be late for it.
        let late = run.expected && self.rounds.get(&run.round).is_some_and(|round| round.verdict.is_some());
        let end = end_of(report, late);
        self.change(about.run, |run| finish(run, about, report, end));
        self.keep_tail(about.run, report);
        self.remember(node, about, report);
        if late {
            self.agenda.mark(Matter::RoutineAlerts(about.routine.clone()));
        }
    }

    /// Makes sure that the run is known and belongs to the node. False where it does not, and where its round is so old
    /// that it has left memory.
    fn ensure_run(&mut self, node: &NodeId, about: &RunAbout, started_at: Timestamp) -> bool {
        if let Some(run) = self.runs.get(&about.run) {
            return run.node == *node;
        }
        // A run's id follows from round, node and task, so no node can speak for another's run.
        if about.run != RunId::of(about.round, node, about.task) || self.is_retired(node) {
            return false;
        }
        let is_old = self.meta.horizon.is_some_and(|horizon| about.slot.unwrap_or(started_at) <= horizon);
        if is_old && !self.rounds.contains_key(&about.round) {
            return false;
        }
        let run = self.unexpected(node, about, started_at);
        self.insert_run(run);
        true
    }

    fn unexpected(&self, node: &NodeId, about: &RunAbout, started_at: Timestamp) -> Run {
        let part = Part {
            round: about.round,
            routine: about.routine.clone(),
            node: node.clone(),
            task: about.task,
            slot: about.slot,
            position: None,
            queued_at: started_at,
            plan_hash: about.plan_hash.clone(),
        };
        Run::queued(about.run, part, self.needs_of(node, &about.routine, about))
    }

    /// What a run needs by its node's latest announcement.
    fn needs_of(&self, node: &NodeId, routine: &RoutineName, about: &RunAbout) -> Needs {
        let known = self.nodes.get(node).and_then(|node| node.routines.get(routine));
        let plan = known.map(|known| &known.plan);
        Needs {
            repository: about.repository.clone().or_else(|| plan?.repository.clone()),
            destination: self.destination_of(node, routine, plan.and_then(|plan| plan.storage.as_deref())),
            lock: plan.map_or(RepositoryLock::Exclusive, |plan| plan.lock),
            storage: plan.and_then(|plan| plan.storage.clone()),
            labels: plan.map(|plan| plan.labels.clone()).unwrap_or_default(),
            priority: plan.map_or(0, |plan| plan.priority),
        }
    }

    /// What stands for a repository whose id is not known: the storage, or the target as this node calls it.
    pub(super) fn destination_of(&self, node: &NodeId, routine: &RoutineName, storage: Option<&str>) -> String {
        if let Some(storage) = storage {
            return format!("storage:{storage}");
        }
        let known = self.nodes.get(node).and_then(|node| node.routines.get(routine));
        let target = known.map_or(routine.as_str(), |known| known.plan.target.as_str());
        format!("target:{node}/{target}")
    }

    fn is_under_way(&self, node: &NodeId, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|run| run.node == *node && !run.is_ended())
    }

    /// A result of a round that has left memory: it is written down and counts for the node, but opens nothing.
    fn finished_long_ago(&mut self, node: &NodeId, about: &RunAbout, report: &RunReport) {
        let mut run = self.unexpected(node, about, report.started_at);
        finish(&mut run, about, report, end_of(report, true));
        self.touched.loose_runs.insert(run.id, run);
        self.keep_tail(about.run, report);
        self.remember(node, about, report);
    }

    fn keep_tail(&mut self, run: RunId, report: &RunReport) {
        if !report.tail.is_empty() || report.unread.count > 0 {
            let tail = RunTail { run, tail: report.tail.clone(), unread: report.unread.clone() };
            self.touched.tails.insert(run, tail);
        }
    }
}

fn finish(run: &mut Run, about: &RunAbout, report: &RunReport, end: End) {
    run.stage = Stage::Ended;
    run.trigger = Some(about.trigger);
    run.started_at.get_or_insert(report.started_at);
    run.attempt = run.attempt.max(report.attempts);
    run.plan_hash.clone_from(&about.plan_hash);
    run.end = Some(end);
}

/// The end without the output, which lies in a record of its own.
fn end_of(report: &RunReport, late: bool) -> End {
    let mut kept = report.clone();
    kept.tail = String::new();
    kept.unread.names = Vec::new();
    End {
        outcome: report.outcome,
        reason: report.reason,
        message: report.message.clone(),
        at: report.finished_at,
        report: Some(kept),
        late,
    }
}
