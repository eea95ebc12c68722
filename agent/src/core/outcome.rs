//! What runs say of themselves while they live, and what follows from their ends.

use landfall_proto::fact::agent::{RunAbout, RunFinished, RunMilestone, RunPhase};
use landfall_proto::id::RunId;
use landfall_proto::report::{Outcome, Progress, RunReport, TaskKind};
use landfall_proto::time::{Timestamp, after, between};

use super::memory::{Change, FollowUp, RepositoryMemory, Sample};
use super::runs::{Ended, Record};
use super::step::{Agent, Alarm, Effect, Found, Report, Step};

/// Takes news of a run in. News of a run that is not under way changes nothing.
pub(super) fn take(agent: &mut Agent, now: Timestamp, run: RunId, report: Report, out: &mut Step) {
    let Some(live) = agent.live.get_mut(&run) else { return };
    live.moved_at = now;
    match report {
        Report::Phase(phase) => {
            if live.phase.replace(phase) != Some(phase) {
                out.fact(RunPhase { run, phase });
            }
        }
        Report::Progress(progress) => {
            if let Some(milestone) = milestone(live.milestone, &progress) {
                live.milestone = milestone.percent;
                out.fact(milestone);
            }
            live.progress = Some(progress);
        }
        Report::Retried(retried) => out.fact(retried),
        Report::Repository(id) => {
            live.about.repository = Some(id.clone());
            let (target, location) = (live.target.clone(), live.location.clone());
            agent.learn_repository(target, RepositoryMemory { location, id }, out);
        }
        Report::Ended(report) => {
            if let Some(live) = agent.live.remove(&run) {
                end(agent, live.about, live.attempt, *report, true, out);
            }
        }
    }
}

/// Takes in what an earlier life of the agent left behind.
pub(super) fn find(agent: &mut Agent, found: Found, out: &mut Step) {
    match found {
        Found::Ended { about, attempt, report } => {
            if agent.memory.journal.has_ended(about.run) {
                return;
            }
            let is_news = agent.memory.journal.knows(about.run);
            if !is_news {
                consider_slot_of(agent, &about, out);
            }
            end(agent, about, attempt, *report, is_news, out);
        }
        Found::Interrupted { about, attempt, begun_at } => {
            let is_known = agent.live.contains_key(&about.run)
                || agent.interrupted.iter().any(|(other, ..)| other.run == about.run);
            if !is_known && !agent.memory.journal.has_ended(about.run) {
                agent.change(
                    Change::Run(about.run, Record { about: about.clone(), attempt, begun_at, ended: None }),
                    out,
                );
                agent.interrupted.push((about, attempt, begun_at));
            }
        }
    }
}

/// A journal that is rebuilt from receipts has forgotten its slots; the receipts name them.
fn consider_slot_of(agent: &mut Agent, about: &RunAbout, out: &mut Step) {
    let mut memory = agent.routine(&about.routine);
    if about.slot > memory.considered {
        memory.considered = about.slot;
        agent.change(Change::Routine(about.routine.clone(), memory), out);
    }
}

/// `is_news` is false where the end is only learnt again, so that nobody is woken for it twice.
fn end(agent: &mut Agent, mut about: RunAbout, attempt: u32, report: RunReport, is_news: bool, out: &mut Step) {
    if let Some(evidence) = &report.evidence
        && let Some(repository) = &evidence.repository
    {
        about.repository = Some(repository.clone());
    }
    let begun_at = agent.memory.journal.get(about.run).map_or(report.started_at, |record| record.begun_at);
    let ended = Some(Ended { outcome: report.outcome, at: report.finished_at });
    agent.change(Change::Run(about.run, Record { about: about.clone(), attempt, begun_at, ended }), out);
    remember(agent, &about, &report, out);
    match report.outcome {
        Outcome::Failed | Outcome::Partial if is_news => out.effects.push(Effect::Alarm(Alarm::RunFailed {
            about: about.clone(),
            outcome: report.outcome,
            reason: report.reason,
            message: report.message.clone(),
        })),
        Outcome::Failed
        | Outcome::Partial
        | Outcome::Ok
        | Outcome::Warning
        | Outcome::Skipped
        | Outcome::Cancelled
        | Outcome::Lost => {}
    }
    out.fact(RunFinished { about, report });
}

/// Keeps what later runs of the plan are measured against, and plans the check that follows a good backup.
fn remember(agent: &mut Agent, about: &RunAbout, report: &RunReport, out: &mut Step) {
    let mut memory = agent.routine(&about.routine);
    if report.outcome.is_good() {
        match about.task {
            TaskKind::Backup => {
                if let Some(sample) = sample(report) {
                    memory.remember(sample);
                }
                let every =
                    agent.catalog.plans.get(&about.routine).and_then(|entry| entry.plan.check).map(|check| check.every);
                let is_due = every.is_some_and(|every| {
                    memory.checked_at.is_none_or(|at| report.finished_at >= after(at, every) || at > report.finished_at)
                });
                if is_due {
                    memory.follow_up = Some(FollowUp { round: about.round, slot: about.slot });
                }
            }
            TaskKind::Check => {
                memory.checked_at = Some(report.finished_at);
                memory.parts_checked = memory.parts_checked.wrapping_add(1);
            }
        }
    }
    if memory != agent.routine(&about.routine) {
        agent.change(Change::Routine(about.routine.clone(), memory), out);
    }
}

fn sample(report: &RunReport) -> Option<Sample> {
    let evidence = report.evidence.as_ref()?;
    Some(Sample {
        files: evidence.files,
        bytes: evidence.bytes,
        duration_ms: between(report.started_at, report.finished_at).as_ms(),
    })
}

/// The next tenth that has been passed, if one has.
fn milestone(last: u8, progress: &Progress) -> Option<RunMilestone> {
    let percent = progress.percent?.min(100) / 10 * 10;
    (percent > last).then_some(RunMilestone {
        run: progress.run,
        percent,
        files_done: progress.files_done,
        bytes_done: progress.bytes_done,
    })
}
