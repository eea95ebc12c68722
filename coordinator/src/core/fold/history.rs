//! What a node's own past is made of: its last results, its last good one, and the figures that the guards compare with.

use landfall_proto::fact::agent::RunAbout;
use landfall_proto::id::{NodeId, RoutineName};
use landfall_proto::report::{Outcome, Reason, RunReport, TaskKind};
use landfall_proto::time::between;

use crate::core::agenda::Matter;
use crate::core::mesh::Mesh;
use crate::core::node::{History, LastGood, LastRun, SAMPLES_MAX, Sample};
use crate::core::run::is_good;

impl Mesh {
    /// Takes a report into the history of its node and routine.
    pub(super) fn remember(&mut self, node: &NodeId, about: &RunAbout, report: &RunReport) {
        let mut last = LastRun {
            run: about.run,
            round: about.round,
            outcome: report.outcome,
            reason: report.reason,
            message: report.message.clone(),
            finished_at: report.finished_at,
        };
        let good = is_good(report, about.task);
        if report.outcome.is_good() && !good {
            last.reason = Reason::VerifyMissing;
        }
        self.record(node, &about.routine, about.task, last, |history| {
            if good {
                history.good(about, report);
            }
            good
        });
        if good && about.task == TaskKind::Backup {
            self.no_longer_overdue(node, about, report);
        }
    }

    /// Takes an end that its node refused for good into the history.
    pub(super) fn remember_refusal(&mut self, node: &NodeId, routine: &RoutineName, task: TaskKind, last: LastRun) {
        self.record(node, routine, task, last, |_| false);
    }

    fn record(
        &mut self,
        id: &NodeId,
        routine: &RoutineName,
        task: TaskKind,
        last: LastRun,
        prove: impl FnOnce(&mut History) -> bool,
    ) {
        let Some(known) = self.nodes.get_mut(id).and_then(|node| node.routines.get_mut(routine)) else { return };
        let history = known.history_mut(task);
        if history.last.as_ref().is_some_and(|before| before.run == last.run && before.outcome == last.outcome) {
            return;
        }
        let good = prove(history);
        let troubles = match last.outcome {
            Outcome::Partial | Outcome::Failed => true,
            Outcome::Ok | Outcome::Warning => !good,
            Outcome::Skipped | Outcome::Cancelled | Outcome::Lost => false,
        };
        if troubles {
            history.failures_since_good = history.failures_since_good.saturating_add(1);
            history.trouble = Some(last.clone());
        }
        history.last = Some(last);
        let is_failing = known.backup.trouble.is_some() || known.check.trouble.is_some();
        self.touched.nodes.insert(id.clone());
        if let Some(entry) = self.routines.get_mut(routine) {
            let failing_since = &mut self.process.failing_since;
            if !is_failing {
                entry.failing.remove(id);
                failing_since.remove(&(routine.clone(), id.clone()));
            } else if entry.failing.insert(id.clone())
                && let Some(now) = self.process.latest
            {
                failing_since.insert((routine.clone(), id.clone()), now);
            }
        }
        self.judge_chains(id, routine);
        if troubles || good {
            self.agenda.mark(Matter::Failures);
            self.agenda.mark(Matter::RoutineAlerts(routine.clone()));
            self.agenda.mark(Matter::NodeAlerts(id.clone()));
        }
    }

    /// A good result lifts "overdue" where it is not older than the round that found the node missing.
    fn no_longer_overdue(&mut self, node: &NodeId, about: &RunAbout, report: &RunReport) {
        let Some(routine) = self.routines.get_mut(&about.routine) else { return };
        let Some(missed) = routine.overdue.get(node) else { return };
        let opened = self.rounds.get(missed).map(|round| round.slot.unwrap_or(round.opened_at));
        if *missed == about.round || opened.is_none_or(|opened| report.finished_at >= opened) {
            routine.overdue.remove(node);
            self.touched.routines.insert(about.routine.clone());
            self.agenda.mark(Matter::RoutineAlerts(about.routine.clone()));
            self.agenda.mark(Matter::NodeAlerts(node.clone()));
        }
    }
}

impl History {
    fn good(&mut self, about: &RunAbout, report: &RunReport) {
        self.trouble = None;
        self.failures_since_good = 0;
        let at = report.evidence.as_ref().map_or(report.finished_at, |evidence| evidence.taken_at);
        if self.last_good.as_ref().is_none_or(|before| before.at <= at) {
            let evidence = report.evidence.clone();
            self.last_good = Some(LastGood { run: about.run, round: about.round, at, evidence });
        }
        // Work that had been done before says nothing about how long it takes.
        if matches!(report.reason, Reason::AlreadyDone | Reason::Recovered) {
            return;
        }
        let evidence = report.evidence.as_ref();
        self.samples.push_back(Sample {
            run: about.run,
            files: report.statistics.files.or_else(|| evidence.map(|evidence| evidence.files)),
            bytes: report.statistics.bytes.or_else(|| evidence.map(|evidence| evidence.bytes)),
            duration_ms: between(report.started_at, report.finished_at).as_ms(),
            bytes_read: report.statistics.bytes_read,
        });
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }
}
