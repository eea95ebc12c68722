//! Folding what the leader decides about rounds and their runs.

use landfall_proto::fact::agent::Witnessed;
use landfall_proto::fact::coordinator::{
    Answered, CancelAsked, Dispatched, ExpectedRun, RoundConcluded, RoundOpened, RunLost, WitnessAsked,
};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::{Outcome, Reason};
use landfall_proto::time::{Duration, Timestamp, after};
use landfall_proto::verdict::{NodeStanding, Standing, VerdictKind};

use crate::core::agenda::Matter;
use crate::core::mesh::Mesh;
use crate::core::node::{Contradicted, LastRun};
use crate::core::round::{Ask, Counts, Parts, Round, Sighting};
use crate::core::run::{Cancel, End, Needs, Part, Run, Sent, Stage};
use crate::core::verify;

/// A node that asked to be left alone is asked again after this.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// A node whose disk is full is asked again after this: a person has to make room, and each try is two facts of the log.
const FULL_WAIT: Duration = Duration::from_secs(120);

impl Mesh {
    /// Opens a round, or adds the runs of another fact that opens it. A round that is open is not opened again.
    pub(super) fn round_opened(&mut self, body: &RoundOpened) {
        let of = body.parts.max(1);
        let seen = match self.rounds.get(&body.round).map(|round| round.opening) {
            Some(None) => return,
            // A leader that died half-way is followed by one that begins again.
            Some(Some(parts)) if parts.epoch == body.epoch && parts.of == of && parts.seen == body.part => body.part,
            Some(Some(_)) | None if body.part == 0 => 0,
            Some(Some(_)) | None => return,
        };
        if seen == 0 {
            self.begin_round(body);
        }
        let position = self.rounds.get(&body.round).map_or(0, |round| round.expected);
        for (offset, expected) in (0..).zip(&body.expected) {
            self.expect(body, expected, position + offset);
        }
        let opening = (seen + 1 < of).then_some(Parts { epoch: body.epoch, seen: seen + 1, of });
        let count = u32::try_from(body.expected.len()).unwrap_or(u32::MAX);
        self.change_round(body.round, |round| {
            round.expected += count;
            round.opening = opening;
        });
        if opening.is_none() {
            self.opened(body);
        }
    }

    fn begin_round(&mut self, body: &RoundOpened) {
        let runs = self.index.strays.remove(&body.round).unwrap_or_default();
        let old = self.rounds.remove(&body.round).map(|round| round.runs).unwrap_or_default();
        let mut round = Round {
            id: body.round,
            routine: body.routine.clone(),
            task: body.task,
            slot: body.slot,
            opened_at: body.opened_at,
            start_by: body.start_by,
            deadline: body.deadline,
            rule: body.rule.clone(),
            opened_by: body.opened_by.clone(),
            by: body.by.clone(),
            expected: 0,
            opening: Some(Parts { epoch: body.epoch, seen: 0, of: body.parts.max(1) }),
            asks: Vec::new(),
            concluding: None,
            verdict: None,
            concluded_at: None,
            runs,
            counts: Counts::default(),
        };
        round.runs.extend(old);
        self.rounds.insert(body.round, round);
        self.recount(body.round);
    }

    /// What a run needs that a round expects.
    pub(in crate::core) fn needs_as_expected(&self, routine: &RoutineName, expected: &ExpectedRun) -> Needs {
        Needs {
            repository: expected.repository.clone(),
            destination: self.destination_of(&expected.node, routine, expected.storage.as_deref()),
            lock: expected.lock,
            storage: expected.storage.clone(),
            labels: expected.labels.clone(),
            priority: expected.priority,
        }
    }

    fn expect(&mut self, body: &RoundOpened, expected: &ExpectedRun, position: u32) {
        let needs = self.needs_as_expected(&body.routine, expected);
        if self.runs.contains_key(&expected.run) {
            self.change(expected.run, |run| {
                run.expected = true;
                run.position = position;
                run.queued_at = body.opened_at;
                run.needs = needs;
            });
            return;
        }
        let part = Part {
            round: body.round,
            routine: body.routine.clone(),
            node: expected.node.clone(),
            task: body.task,
            slot: body.slot,
            position: Some(position),
            queued_at: body.opened_at,
            plan_hash: expected.plan_hash.clone(),
        };
        self.insert_run(Run::queued(expected.run, part, needs));
    }

    fn opened(&mut self, body: &RoundOpened) {
        if let Some(routine) = self.routines.get_mut(&body.routine) {
            routine.open.insert(body.round);
            if let (Some(slot), landfall_proto::fact::coordinator::OpenedBy::Slot) = (body.slot, &body.opened_by) {
                routine.considered = routine.considered.max(slot);
                self.touched.routines.insert(body.routine.clone());
            }
        }
        let missed: Vec<RunId> = body.slot.map(|slot| self.missed(body.round, slot)).unwrap_or_default();
        for run in missed {
            self.skip_missed(run, body.opened_at);
        }
        self.agenda.mark(Matter::Slots(body.routine.clone()));
        self.agenda.wake_by(Matter::RoutineAlerts(body.routine.clone()), body.start_by);
    }

    /// Queued runs of a round whose nodes have said that they missed its slot.
    fn missed(&self, round: RoundId, slot: Timestamp) -> Vec<RunId> {
        let runs = self.rounds.get(&round).into_iter().flat_map(|round| &round.runs).filter_map(|id| self.runs.get(id));
        let is_missed = |run: &&Run| {
            let known = self.nodes.get(&run.node).and_then(|node| node.routines.get(&run.routine));
            run.stage == Stage::Queued
                && known.is_some_and(|known| known.missed.iter().any(|(first, last)| (*first..=*last).contains(&slot)))
        };
        runs.filter(is_missed).map(|run| run.id).collect()
    }

    pub(super) fn dispatched(&mut self, body: &Dispatched, at: Timestamp) {
        self.change(body.run, |run| {
            if run.stage == Stage::Queued && run.node == body.node {
                run.stage = Stage::Sent;
                run.dispatches = run.dispatches.max(body.dispatch);
                run.sent = Some(Sent { command: body.command, at, not_after: body.not_after, accepted: false });
                run.not_before = None;
            }
        });
        self.agenda.wake(Matter::Run(body.run), Some(body.not_after));
    }

    /// A node took a run on, or asked to wait, or refused for good, or never answered while the command could be obeyed.
    pub(super) fn answered(&mut self, body: &Answered, at: Timestamp) {
        let Some(run) = self.runs.get(&body.run) else { return };
        let is_current = run.sent.as_ref().is_some_and(|sent| sent.command == body.command);
        if run.stage != Stage::Sent || !is_current {
            return;
        }
        let cancelled = run.cancel.is_some();
        match body.refused {
            None => self.change(body.run, |run| {
                if let Some(sent) = &mut run.sent {
                    sent.accepted = true;
                }
            }),
            Some(Reason::Busy | Reason::NoSpace | Reason::NodeSilent) if cancelled => {
                self.change(body.run, |run| cancel_queued(run, at))
            }
            Some(reason @ (Reason::Busy | Reason::NoSpace)) => self.change(body.run, |run| {
                let is_full = reason == Reason::NoSpace;
                run.stage = Stage::Queued;
                run.not_before = Some(after(at, if is_full { FULL_WAIT } else { BUSY_WAIT }));
                run.refused = is_full.then_some(reason);
            }),
            Some(Reason::NodeSilent) => self.change(body.run, |run| run.stage = Stage::Queued),
            Some(reason) => self.refused_for_good(body, reason, at),
        }
    }

    fn refused_for_good(&mut self, body: &Answered, reason: Reason, at: Timestamp) {
        let message = format!("the node refused the run: {}", body.message);
        self.change(body.run, |run| {
            run.stage = Stage::Ended;
            let message = message.clone();
            run.end = Some(End { outcome: Outcome::Failed, reason, message, at, report: None, late: false });
        });
        if let Some(run) = self.runs.get(&body.run) {
            let (node, routine, task, round) = (run.node.clone(), run.routine.clone(), run.task, run.round);
            let last = LastRun { run: body.run, round, outcome: Outcome::Failed, reason, message, finished_at: at };
            self.remember_refusal(&node, &routine, task, last);
        }
    }

    /// A run that still queues ends at once; any other ends when its node says so.
    pub(super) fn cancel_asked(&mut self, body: &CancelAsked, at: Timestamp) {
        self.change(body.run, |run| {
            if run.is_ended() || run.cancel.is_some() {
                return;
            }
            run.cancel = Some(Cancel { command: body.command, by: body.by.clone(), at });
            if run.stage == Stage::Queued {
                cancel_queued(run, at);
            }
        });
    }

    pub(super) fn run_lost(&mut self, body: &RunLost, at: Timestamp) {
        self.change(body.run, |run| {
            if run.is_ended() {
                return;
            }
            run.stage = Stage::Ended;
            let message = body.reason.cause().to_owned();
            run.end = Some(End { outcome: Outcome::Lost, reason: body.reason, message, at, report: None, late: false });
        });
    }

    pub(super) fn witness_asked(&mut self, body: &WitnessAsked) {
        let known = |round: &Round| round.asks.iter().any(|ask| ask.asked.command == body.command);
        if self.rounds.get(&body.round).is_some_and(|round| !known(round)) {
            self.change_round(body.round, |round| round.asks.push(Ask { asked: body.clone(), answer: None }));
        }
    }

    /// What a witness saw. Only the node that was asked can answer, and only about the runs it was asked about.
    pub(super) fn witnessed(&mut self, node: &NodeId, body: &Witnessed, at: Timestamp) {
        let Some(round) = self.rounds.get_mut(&body.round) else { return };
        let is_answer = |ask: &&mut Ask| ask.asked.command == body.command && ask.asked.witness == *node;
        let Some(ask) = round.asks.iter_mut().find(is_answer).filter(|ask| ask.answer.is_none()) else { return };
        let asked = |runs: &[RunId]| runs.iter().filter(|run| ask.asked.runs.contains(run)).copied().collect();
        let sighting = Sighting { seen: asked(&body.seen), absent: asked(&body.absent), unknown: body.unknown, at };
        ask.answer = Some(sighting.clone());
        self.touched.rounds.insert(body.round);
        self.agenda.mark(Matter::Round(body.round));
        for run in &sighting.absent {
            self.contradict(*run, Some(node));
        }
        for run in &sighting.seen {
            self.contradict(*run, None);
        }
    }

    /// Notes on the run's node that a neighbour did not find its snapshot, or that it found a later one.
    fn contradict(&mut self, run: RunId, by: Option<&NodeId>) {
        let Some(run) = self.runs.get(&run) else { return };
        let (id, round, node, routine) = (run.id, run.round, run.node.clone(), run.routine.clone());
        let Some(known) = self.nodes.get_mut(&node).and_then(|node| node.routines.get_mut(&routine)) else { return };
        match by {
            Some(by) => known.contradicted = Some(Contradicted { run: id, round, by: by.clone() }),
            None if known.contradicted.as_ref().is_some_and(|before| before.run != id) => known.contradicted = None,
            None => return,
        }
        self.touched.nodes.insert(node.clone());
        self.agenda.mark(Matter::NodeAlerts(node));
    }

    /// The verdict falls with its last part; only the first verdict counts. One that was long on its way, so that it calls a
    /// node missing whose result stands before it, has not fallen.
    pub(super) fn round_concluded(&mut self, body: &RoundConcluded) {
        let of = body.parts.max(1);
        let Some(round) = self.rounds.get(&body.round).filter(|round| round.verdict.is_none()) else { return };
        let verdict = match &round.concluding {
            Some((parts, verdict))
                if parts.epoch == body.epoch && parts.of == of && parts.seen == body.part && body.part > 0 =>
            {
                let mut verdict = verdict.clone();
                verdict.nodes.extend(body.verdict.nodes.iter().cloned());
                verdict
            }
            Some(_) | None if body.part == 0 => body.verdict.clone(),
            Some(_) | None => return,
        };
        if body.part + 1 < of {
            let parts = Parts { epoch: body.epoch, seen: body.part + 1, of };
            self.change_round(body.round, |round| round.concluding = Some((parts, verdict)));
            return;
        }
        if verify::is_outdated(self, &verdict) {
            self.change_round(body.round, |round| round.concluding = None);
            return;
        }
        let routine = round.routine.clone();
        self.change_round(body.round, |round| {
            round.concluding = None;
            round.concluded_at = Some(body.concluded_at);
            round.verdict = Some(verdict);
        });
        self.concluded(body.round, body.concluded_at);
        self.agenda.mark(Matter::RoutineAlerts(routine));
        self.forget_old_rounds();
    }

    fn concluded(&mut self, id: RoundId, at: Timestamp) {
        let Some(round) = self.rounds.get(&id) else { return };
        let verdict = round.verdict.clone();
        for ask in &round.asks {
            self.process.refused_witnesses.remove(&ask.asked.command);
        }
        let (routine_name, runs) = (round.routine.clone(), round.runs.clone());
        self.index.concluded.insert((at, id));
        self.index.concluded_runs += runs.len();
        for run in runs {
            if self.runs.get(&run).is_some_and(Run::is_active) {
                self.agenda.mark(Matter::Run(run));
            }
        }
        let Some(verdict) = verdict else { return };
        for standing in &verdict.nodes {
            if standing.standing == Standing::Missing {
                self.agenda.mark(Matter::NodeAlerts(standing.node.clone()));
            }
            let known = self.nodes.get_mut(&standing.node).and_then(|node| node.routines.get_mut(&routine_name));
            let is_other = known
                .as_ref()
                .and_then(|known| known.contradicted.as_ref())
                .is_some_and(|before| before.run != standing.run);
            if let Some(known) = known.filter(|_| standing.standing == Standing::Good && is_other) {
                known.contradicted = None;
                self.touched.nodes.insert(standing.node.clone());
                self.agenda.mark(Matter::NodeAlerts(standing.node.clone()));
            }
        }
        let Some(routine) = self.routines.get_mut(&routine_name) else { return };
        routine.open.remove(&id);
        routine.last_round = Some(id);
        if verdict.kind == VerdictKind::Overdue {
            let missing = verdict.nodes.iter().filter(|standing| standing.standing == Standing::Missing);
            // A result that came between the verdict's decision and its place in the log has lifted it already.
            let expected = |standing: &&NodeStanding| {
                routine.nodes.contains(&standing.node) && !self.runs.get(&standing.run).is_some_and(Run::is_good)
            };
            let names: Vec<NodeId> = missing.filter(expected).map(|standing| standing.node.clone()).collect();
            routine.overdue.extend(names.into_iter().map(|node| (node, id)));
        }
        self.touched.routines.insert(routine_name);
    }
}

fn cancel_queued(run: &mut Run, at: Timestamp) {
    run.stage = Stage::Ended;
    let by = run.cancel.as_ref().map_or("a person", |cancel| cancel.by.as_str());
    let message = format!("cancelled by {by} before it was sent");
    run.end = Some(End {
        outcome: Outcome::Cancelled,
        reason: Reason::CancelledByOperator,
        message,
        at,
        report: None,
        late: false,
    });
}
