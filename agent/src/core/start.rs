//! What starts by itself: what was interrupted, the check after a backup, and each slot whose turn has come.

use std::collections::BTreeSet;

use landfall_proto::fact::agent::{RunAbout, RunFinished, RunStarted, SlotMissed};
use landfall_proto::id::{RoundId, RoutineName, RunId};
use landfall_proto::report::{Outcome, Reason, RunReport, Statistics, TaskKind, Trigger, Unread};
use landfall_proto::time::{Duration, Timestamp, after};

use super::catalog::CatalogEntry;
use super::limits::has_room;
use super::memory::{Change, Span};
use super::runs::{Ended, Record};
use super::schedule::{CLOCK_SLACK, Missed, Turn, TurnAsk, due, turn, without};
use super::step::{Agent, Alarm, Effect, Live, Start, Step};

/// A slot that has come and is not decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) slot: Timestamp,
    /// Whether it waits for the leader to give the turn.
    pub(super) for_leader: bool,
}

/// A run that ends without having been started, or without being started again.
struct Unstarted {
    about: RunAbout,
    attempt: u32,
    begun_at: Timestamp,
    outcome: Outcome,
    reason: Reason,
    message: String,
}

/// A slot considered further ahead than this was considered before the clock was set back.
const CLOCK_JUMP: Duration = Duration::from_secs(300);

/// A run that the agent's end interrupted so often is not taken up again: it may be what ends the agent.
const INTERRUPTED_MAX: u32 = 5;

/// Starts whatever is due and fits, and notes when to look again.
pub(super) fn start_what_is_due(agent: &mut Agent, now: Timestamp, out: &mut Step) {
    if agent.is_draining {
        return;
    }
    take_up_interrupted(agent, now, out);
    start_follow_ups(agent, now, out);
    if agent.rules.keeps_schedule {
        let mut scheduled: Vec<(i32, RoutineName)> =
            agent.catalog.plans.values().map(|entry| (-entry.plan.priority, entry.plan.name.clone())).collect();
        scheduled.sort();
        for (_, name) in scheduled {
            consider(agent, now, &name, out);
        }
    }
}

/// Writes a run down and starts it.
pub(super) fn begin(
    agent: &mut Agent,
    now: Timestamp,
    about: RunAbout,
    entry: CatalogEntry,
    attempt: u32,
    begun_at: Timestamp,
    out: &mut Step,
) {
    let record = Record { about: about.clone(), attempt, begun_at, ended: None };
    agent.change(Change::Run(about.run, record), out);
    agent.begun.insert(about.routine.clone());
    let memory = agent.routine(&about.routine);
    let parts = entry.plan.check.and_then(|check| check.data_parts).filter(|_| about.task == TaskKind::Check);
    let live = Live {
        about: about.clone(),
        attempt,
        target: entry.target.name.clone(),
        location: entry.target.location.clone(),
        started_at: now,
        moved_at: now,
        phase: None,
        progress: None,
        milestone: 0,
        is_stopping: false,
    };
    agent.live.insert(about.run, live);
    out.fact(RunStarted { about: about.clone(), started_at: now, attempt });
    let data_part = parts.and_then(|parts| Some((memory.parts_checked.checked_rem(parts)? + 1, parts)));
    out.effects.push(Effect::Start(Box::new(Start {
        about,
        attempt,
        begun_at,
        entry,
        history: memory.history,
        data_part,
    })));
}

impl Unstarted {
    fn missed(about: RunAbout, now: Timestamp, message: &str) -> Self {
        let (outcome, reason) = (Outcome::Skipped, Reason::Missed);
        Self { about, attempt: 0, begun_at: now, outcome, reason, message: message.to_owned() }
    }
}

fn end_unstarted(agent: &mut Agent, now: Timestamp, unstarted: Unstarted, out: &mut Step) {
    let Unstarted { about, attempt, begun_at, outcome, reason, message } = unstarted;
    let report = RunReport {
        outcome,
        reason,
        message: message.clone(),
        started_at: begun_at,
        finished_at: now,
        attempts: attempt,
        exit: None,
        statistics: Statistics::default(),
        evidence: None,
        unread: Unread::default(),
        findings: Vec::new(),
        tail: String::new(),
    };
    let record = Record { about: about.clone(), attempt, begun_at, ended: Some(Ended { outcome, at: now }) };
    agent.change(Change::Run(about.run, record), out);
    out.fact(RunFinished { about: about.clone(), report: report.clone() });
    out.effects.push(Effect::Record { about: about.clone(), attempt, report: Box::new(report) });
    if outcome == Outcome::Failed {
        out.effects.push(Effect::Alarm(Alarm::RunFailed { about, outcome, reason, message }));
    }
}

fn take_up_interrupted(agent: &mut Agent, now: Timestamp, out: &mut Step) {
    for (about, attempt, begun_at) in std::mem::take(&mut agent.interrupted) {
        let entry = agent.catalog.plans.get(&about.routine).cloned();
        let too_late = |entry: &CatalogEntry| {
            now > after(about.slot.unwrap_or(begun_at).max(begun_at), entry.plan.deadlines.finish_within)
        };
        match entry {
            Some(entry) if agent.rules.keeps_schedule && !too_late(&entry) && attempt < INTERRUPTED_MAX => {
                if has_room(agent.live.len(), agent.rules.parallel) {
                    begin(agent, now, about, entry, attempt + 1, begun_at, out);
                } else {
                    agent.interrupted.push((about, attempt, begun_at));
                }
            }
            Some(_) | None => {
                let message = format!("The agent ended during attempt {attempt}, and the run is not taken up again.");
                let (outcome, reason) = (Outcome::Failed, Reason::Interrupted);
                end_unstarted(agent, now, Unstarted { about, attempt, begun_at, outcome, reason, message }, out);
            }
        }
    }
}

fn start_follow_ups(agent: &mut Agent, now: Timestamp, out: &mut Step) {
    let is_ours = |name: &RoutineName| agent.rules.keeps_schedule || agent.begun.contains(name);
    let due: Vec<RoutineName> = agent
        .memory
        .routines
        .iter()
        .filter(|(name, memory)| memory.follow_up.is_some() && is_ours(name))
        .map(|(name, _)| name.clone())
        .collect();
    for routine in due {
        if !has_room(agent.live.len(), agent.rules.parallel) || agent.pause.is_some() {
            return;
        }
        let mut memory = agent.routine(&routine);
        let Some(follow_up) = memory.follow_up.take() else { continue };
        let Some(entry) = agent.catalog.plans.get(&routine).cloned() else { continue };
        agent.change(Change::Routine(routine.clone(), memory), out);
        let about = about(agent, &entry, follow_up.round, follow_up.slot, TaskKind::Check);
        if !agent.memory.journal.knows(about.run) {
            begin(agent, now, about, entry, 1, now, out);
        }
    }
}

fn about(agent: &Agent, entry: &CatalogEntry, round: RoundId, slot: Option<Timestamp>, task: TaskKind) -> RunAbout {
    RunAbout {
        run: RunId::of(round, &agent.rules.node, task),
        round,
        routine: entry.plan.name.clone(),
        slot,
        task,
        trigger: Trigger::Autonomous,
        plan_hash: entry.plan.hash(),
        repository: entry.repository(&agent.memory.repositories).cloned(),
    }
}

fn about_slot(agent: &Agent, entry: &CatalogEntry, slot: Timestamp) -> RunAbout {
    let round = RoundId::of_slot(&agent.rules.cluster, &entry.plan.name, slot);
    about(agent, entry, round, Some(slot), TaskKind::Backup)
}

/// Decides on the slots of one plan that have come, one way or the other.
fn consider(agent: &mut Agent, now: Timestamp, routine: &RoutineName, out: &mut Step) {
    let Some(entry) = agent.catalog.plans.get(routine).cloned() else { return };
    let Some(schedule) = entry.plan.schedule.clone() else { return };
    take_back(agent, now, routine, out);
    let Some(mut considered) =
        agent.routine(routine).considered.filter(|considered| *considered <= after(now, CLOCK_JUMP))
    else {
        settle(agent, routine, now, out);
        return wake_at_next(&entry, now, out);
    };
    if let Some(waiting) = agent.waiting.get(routine).copied()
        && waiting.for_leader
        && schedule.calendar.next_after(waiting.slot, &entry.zone).is_some_and(|next| next <= now)
    {
        give_up(agent, now, &entry, waiting.slot, out);
        considered = waiting.slot;
    }
    if let Some(due) = due(&schedule.calendar, &entry.zone, considered, now) {
        if let Some(missed) = due.missed {
            miss(agent, now, &entry, missed, out);
        }
        decide(agent, now, &entry, due.slot, schedule.catch_up, out);
    }
    wake_at_next(&entry, now, out);
}

/// Ends the wait for a leader's turn, because the next slot has come. What stands in the queue of a leader that lives is the
/// leader's to answer for; anything else ends here, and under its run's id, so that a turn that comes too late finds it ended.
fn give_up(agent: &mut Agent, now: Timestamp, entry: &CatalogEntry, slot: Timestamp, out: &mut Step) {
    settle(agent, &entry.plan.name, slot, out);
    let about = about_slot(agent, entry, slot);
    let is_led = agent.leader.fresh_until(now, agent.rules.leader_patience).is_some();
    let is_queued = is_led && agent.leader.queued.contains(&about.run);
    if !is_queued && !agent.memory.journal.knows(about.run) {
        let message = "No leader gave the turn before the next slot came; the run of that slot stands for both.";
        end_unstarted(agent, now, Unstarted::missed(about, now, message), out);
    }
}

/// Takes back that slots were missed where a clock said so that was ahead and has been set right since: a run of them that the
/// leader wants is run, and its result says more than the earlier word.
fn take_back(agent: &mut Agent, now: Timestamp, routine: &RoutineName, out: &mut Step) {
    let mut memory = agent.routine(routine);
    let is_untrue = |span: &&mut Span| span.told_at.is_some_and(|told_at| told_at > after(now, CLOCK_SLACK));
    if let Some(span) = memory.missed.as_mut().filter(|span| !span.is_taken_back).filter(is_untrue) {
        span.is_taken_back = true;
        agent.change(Change::Routine(routine.clone(), memory), out);
    }
}

/// Ends a run that the leader wants started though its slot has been told as missed: the two have crossed on the way. True
/// where it was one.
pub(super) fn was_missed(agent: &mut Agent, now: Timestamp, about: &RunAbout, out: &mut Step) -> bool {
    take_back(agent, now, &about.routine, out);
    let span = agent.memory.routines.get(&about.routine).and_then(|memory| memory.missed);
    let span = span.filter(|span| !span.is_taken_back);
    let is_missed = about.task == TaskKind::Backup
        && about.slot.zip(span).is_some_and(|(slot, span)| (span.first..=span.last).contains(&slot));
    if is_missed {
        let message = "The slot had been told as missed before the leader gave the turn.";
        end_unstarted(agent, now, Unstarted::missed(about.clone(), now, message), out);
    }
    is_missed
}

fn wake_at_next(entry: &CatalogEntry, now: Timestamp, out: &mut Step) {
    let next = entry.plan.schedule.as_ref().and_then(|schedule| schedule.calendar.next_after(now, &entry.zone));
    if let Some(next) = next {
        out.wake(next);
    }
}

fn decide(agent: &mut Agent, now: Timestamp, entry: &CatalogEntry, slot: Timestamp, catch_up: bool, out: &mut Step) {
    let routine = &entry.plan.name;
    let about = about_slot(agent, entry, slot);
    if agent.memory.journal.knows(about.run) {
        return settle(agent, routine, slot, out);
    }
    let ask = TurnAsk {
        now,
        slot,
        run: about.run,
        start_within: entry.plan.deadlines.start_within,
        catch_up,
        was_waiting: agent.waiting.get(routine).is_some_and(|waiting| waiting.slot == slot),
        leader: agent.rules.has_bus.then_some(&agent.leader),
        patience: agent.rules.leader_patience,
    };
    match turn(&ask) {
        Turn::Wait { until } => {
            agent.waiting.insert(routine.clone(), Waiting { slot, for_leader: true });
            out.wake(until);
        }
        Turn::Pass => miss(agent, now, entry, Missed { first: slot, last: slot, count: 1 }, out),
        Turn::Start if overlaps(agent, routine) => {
            settle(agent, routine, slot, out);
            let message = "The previous backup of this plan is still under way.".to_owned();
            let (outcome, reason) = (Outcome::Skipped, Reason::Overlap);
            end_unstarted(agent, now, Unstarted { about, attempt: 0, begun_at: now, outcome, reason, message }, out);
        }
        Turn::Start if agent.pause.is_some() || !has_room(agent.live.len(), agent.rules.parallel) => {
            agent.waiting.insert(routine.clone(), Waiting { slot, for_leader: false });
        }
        Turn::Start => {
            settle(agent, routine, slot, out);
            begin(agent, now, about, entry.clone(), 1, now, out);
        }
    }
}

fn overlaps(agent: &Agent, routine: &RoutineName) -> bool {
    agent.live.values().any(|live| live.about.routine == *routine && live.about.task == TaskKind::Backup)
}

fn miss(agent: &mut Agent, now: Timestamp, entry: &CatalogEntry, missed: Missed, out: &mut Step) {
    let (routine, Missed { first, last, .. }) = (&entry.plan.name, missed);
    let records = agent.memory.journal.iter().map(|(_, record)| &record.about);
    let runs = records.filter(|about| about.routine == *routine && about.task == TaskKind::Backup);
    let mut known: BTreeSet<(Timestamp, Timestamp)> =
        runs.filter_map(|about| about.slot).map(|slot| (slot, slot)).collect();
    let mut memory = agent.routine(routine);
    known.extend(
        memory
            .missed
            .replace(Span { first, last, told_at: Some(now), is_taken_back: false })
            .map(|told| (told.first, told.last)),
    );
    agent.change(Change::Routine(routine.clone(), memory), out);
    settle(agent, routine, last, out);
    let calendar = entry.plan.schedule.as_ref().map(|schedule| &schedule.calendar);
    for missed in calendar.map(|calendar| without(calendar, &entry.zone, missed, &known)).unwrap_or_default() {
        let Missed { first, last, count } = missed;
        out.fact(SlotMissed { routine: routine.clone(), first, last, count });
    }
}

/// Every slot up to here is decided.
fn settle(agent: &mut Agent, routine: &RoutineName, slot: Timestamp, out: &mut Step) {
    agent.waiting.remove(routine);
    let mut memory = agent.routine(routine);
    memory.considered = Some(slot);
    agent.change(Change::Routine(routine.clone(), memory), out);
}
