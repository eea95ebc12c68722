//! The agent's process on a model machine: the loop around the real core, in the order of the real shell.

mod boot;
mod mesh;
mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use landfall_agent::core::{
    Agent, Aging, Catalog, Change, Effect, Input, Inspections, Pump, RepositoryMemory, Ticket, Told3, WitnessTask,
};
use landfall_proto::command::Command;
use landfall_proto::envelope::Epoch;
use landfall_proto::fact::agent::{AgentFact, Witnessed};
use landfall_proto::id::{Incarnation, RunId};
use landfall_proto::live::Sync;
use landfall_proto::report::Reason;
use landfall_proto::time::{Duration, Timestamp, after, between};

use super::tool::Tool;
use super::{Host, Out, Place, Power, Repositories};

/// Inputs that wait while nothing can be written; what repeats anyway is dropped beyond it.
const INPUTS_MAX: usize = 1024;

/// The clock on the wall may jump, and timers do not notice: the loop looks at it at least so often.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Between two looks at the plan files.
const PLANS_EVERY: Duration = Duration::from_secs(5);

/// Before a destination that did not say who it is is asked again.
const PROBE_AGAIN: Duration = Duration::from_secs(15 * 60);

/// How long a process that is asked to stop lets its runs end.
const DRAIN: Duration = Duration::from_secs(30);

/// A core that wants to be woken at once is woken after this, as no real timer is faster.
const TICK: Duration = Duration::from_ms(1);

/// The living process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) agent: Agent,
    booted_at: Timestamp,
    aging: Aging,
    pump: Pump,
    batch: Option<Batch>,
    /// When the pump looks again; absent while it sleeps or waits for results.
    pump_at: Option<Timestamp>,
    is_linked: bool,
    /// By the machine's clock.
    wake_at: Option<Timestamp>,
    /// The clock was set; the loop has not looked at it since.
    look_at: Option<Timestamp>,
    beat_at: Timestamp,
    plans_at: Option<Timestamp>,
    probe_at: Option<Timestamp>,
    pub(super) tools: BTreeMap<RunId, Tool>,
    witnesses: Vec<(Timestamp, Box<WitnessTask>)>,
    heard: Option<(Epoch, Timestamp)>,
    blocked: Option<Box<Blocked>>,
    /// The core as it was before the command that it is taking in.
    before: Option<(Ticket, Box<Agent>)>,
    queue: VecDeque<Wake>,
    tickets: BTreeMap<Ticket, Asked>,
    next_ticket: u64,
    drain_until: Option<Timestamp>,
    inspections: Inspections,
}

/// Facts that left together.
#[derive(Debug, Clone)]
struct Batch {
    incarnation: Incarnation,
    facts: Vec<(u64, Option<Told3>)>,
    until: Timestamp,
}

/// A step that cannot be written down. Nothing else happens before it is.
#[derive(Debug, Clone)]
struct Blocked {
    changes: Vec<Change>,
    facts: Vec<AgentFact>,
    effects: Vec<Effect>,
    /// By the machine's clock.
    clock: Timestamp,
    again_at: Timestamp,
}

/// Whoever asked, and until when an answer is worth anything.
#[derive(Debug, Clone)]
struct Asked {
    question: u64,
    until: Timestamp,
    command: Box<Command>,
}

/// What wakes the loop.
#[derive(Debug, Clone)]
enum Wake {
    Input(Box<Input>),
    Command(Asked),
    Sync(Sync),
}

/// What is to be done at this moment.
#[derive(Debug, Clone, Copy)]
enum Duty {
    Write,
    Queue,
    Tool(RunId),
    Witness,
    Plans,
    Probe,
    Core,
    Inspect,
    Beat,
    Pump,
    Batch,
    Drained,
    Orphan(usize),
    Boot,
}

/// Steps of one machine at one instant; more would be a loop without end.
const DUTIES_MAX: u32 = 100_000;

impl Process {
    fn duties(&self, clock_offset: jiff::SignedDuration) -> impl Iterator<Item = (Timestamp, Duty)> + '_ {
        let can_take = self.blocked.is_none();
        let asleep = Timestamp::MAX;
        let at = move |at: Option<Timestamp>, duty: Duty| (at.unwrap_or(asleep), duty);
        let core_at = self.wake_at.map(|at| at.checked_sub(clock_offset).unwrap_or(Timestamp::MAX));
        let core_at = match (core_at, self.look_at) {
            (Some(core), Some(look)) => Some(core.min(look)),
            (core, look) => core.or(look),
        };
        let inspect_at = self.inspections.due_at().map(|at| after(self.booted_at, at));
        let queue = (can_take && !self.queue.is_empty()).then_some(Timestamp::MIN);
        let drained = self.drain_until.map(|until| if self.is_idle() { Timestamp::MIN } else { until });
        let tools = self.tools.iter().map(|(run, tool)| (tool.next_at, Duty::Tool(*run)));
        [at(self.blocked.as_ref().map(|blocked| blocked.again_at), Duty::Write), at(queue, Duty::Queue)]
            .into_iter()
            .chain(tools)
            .chain([
                at(self.witnesses.iter().map(|(at, _)| *at).min(), Duty::Witness),
                at(self.plans_at, Duty::Plans),
                at(self.probe_at, Duty::Probe),
                at(core_at.filter(|_| can_take), Duty::Core),
                at(inspect_at.filter(|_| can_take), Duty::Inspect),
                (self.beat_at, Duty::Beat),
                at(self.pump_at.filter(|_| self.is_linked && self.batch.is_none()), Duty::Pump),
                at(self.batch.as_ref().map(|batch| batch.until), Duty::Batch),
                at(drained, Duty::Drained),
            ])
    }

    fn is_idle(&self) -> bool {
        self.agent.live().is_empty() && self.tools.is_empty() && self.queue.is_empty() && self.blocked.is_none()
    }

    /// Whether nothing is under way and the log has everything.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_idle() && self.witnesses.is_empty() && self.batch.is_none() && self.pump_at.is_none()
    }

    /// The loop looks at a clock that was set only at its next look.
    pub(super) fn clock_was_set(&mut self, now: Timestamp) {
        self.look_at = Some(self.look_at.map_or(after(now, LOOK_AGAIN), |at| at.min(after(now, LOOK_AGAIN))));
    }

    pub(super) fn files_changed(&mut self, now: Timestamp) {
        self.plans_at = Some(after(now, PLANS_EVERY));
    }

    pub(super) fn enqueue(&mut self, input: Input) {
        self.queue.push_back(Wake::Input(Box::new(input)));
    }

    pub(super) fn drain(&mut self, now: Timestamp) {
        if self.drain_until.is_none() {
            self.drain_until = Some(after(now, DRAIN));
            self.enqueue(Input::Draining);
        }
    }

    pub(super) fn owes_receipt(&mut self, now: Timestamp) {
        self.inspections.owes(between(self.booted_at, now));
    }

    /// For what comes again anyway: dropped where there is no room.
    fn offer(&mut self, wake: Wake) {
        if self.queue.len() < INPUTS_MAX {
            self.queue.push_back(wake);
        }
    }

    fn nudge(&mut self, now: Timestamp) {
        if self.batch.is_none() && self.pump_at.is_none() {
            self.pump_at = Some(now);
        }
    }
}

impl Host {
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        let process = self.process.as_ref();
        let own = process.and_then(|process| process.duties(self.clock_offset).map(|(at, _)| at).min());
        let orphan = self.orphans.iter().map(|orphan| orphan.until).min();
        [own, orphan, self.boot_at].into_iter().flatten().min().filter(|at| *at < Timestamp::MAX)
    }

    /// Does everything that is due, in a fixed order.
    pub(super) fn advance(&mut self, now: Timestamp, shared: &mut Repositories, out: &mut Vec<Out>) {
        for _ in 0..DUTIES_MAX {
            if self.is_doomed() {
                return;
            }
            let Some(duty) = self.duty(now) else { return };
            match duty {
                Duty::Write => self.write_again(now, out),
                Duty::Queue => self.take_next(now, out),
                Duty::Tool(run) => self.step_tool(now, shared, run, out),
                Duty::Witness => self.witness(now, shared, out),
                Duty::Plans => self.read_plans(now, out),
                Duty::Probe => self.probe(now, shared, out),
                Duty::Core => self.wake(now, out),
                Duty::Inspect => self.inspect(now, out),
                Duty::Beat => self.beat(now, out),
                Duty::Pump => self.pump(now, out),
                Duty::Batch => self.settle_batch(now),
                Duty::Drained => self.end_by_itself(now, out),
                Duty::Orphan(index) => self.end_orphan(now, index, shared),
                Duty::Boot => self.boot(now, shared, out),
            }
        }
        panic!("{} does not come to rest at {now}", self.spec.node);
    }

    fn duty(&self, now: Timestamp) -> Option<Duty> {
        let process = self.process.as_ref();
        let own = process.and_then(|process| process.duties(self.clock_offset).find(|(at, _)| *at <= now));
        let orphan = self.orphans.iter().position(|orphan| orphan.until <= now).map(Duty::Orphan);
        let boot = self.boot_at.filter(|at| *at <= now).map(|_| Duty::Boot);
        own.map(|(_, duty)| duty).or(orphan).or(boot)
    }

    fn wake(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let heard_at = self.process.as_ref().and_then(|process| process.heard).map(|(_, at)| at);
        if self.is_deaf(heard_at, now) {
            let until = self.deaf_until(self.clock(now));
            if let Some(process) = &mut self.process {
                (process.look_at, process.wake_at) = (None, Some(until));
            }
            return;
        }
        if let Some(process) = &mut self.process {
            process.look_at = None;
        }
        self.input(now, Input::Woke, out);
        let soonest = after(self.clock(now), TICK);
        if let Some(process) = &mut self.process {
            process.wake_at = process.wake_at.map(|at| at.max(soonest));
        }
    }

    fn witness(&mut self, now: Timestamp, shared: &mut Repositories, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        let Some(index) = process.witnesses.iter().position(|(at, _)| *at <= now) else { return };
        let (_, task) = process.witnesses.remove(index);
        let WitnessTask { command, round, repository, runs, entry } = *task;
        let asked = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        let (mut seen, mut absent, mut unknown) = (Vec::new(), Vec::new(), None);
        match shared.open(&entry.target.location, false) {
            Ok(opened) if *opened.id() == repository => {
                (seen, absent) = runs.into_iter().partition(|run| opened.of_run(*run).len() == 1);
            }
            Ok(_) => unknown = Some(Reason::NoRepository),
            Err(reason) => unknown = Some(reason),
        }
        let message = unknown.map_or_else(String::new, |reason: Reason| reason.cause().to_owned());
        let witnessed = Witnessed { command, round, repository, asked, seen, absent, unknown, message };
        self.input(now, Input::Saw(witnessed), out);
    }

    fn read_plans(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let clock = self.clock(now);
        let Some(process) = &mut self.process else { return };
        process.plans_at = None;
        process.probe_at = Some(now);
        self.oracle.begin(&self.catalog, clock);
        self.record.hit("plan-changed", out);
        self.input(now, Input::Planned(Catalog::clone(&self.catalog)), out);
    }

    /// Asks destinations that have not said who they are.
    fn probe(&mut self, now: Timestamp, shared: &mut Repositories, out: &mut Vec<Out>) {
        let catalog = Arc::clone(&self.catalog);
        let Some(process) = &mut self.process else { return };
        process.probe_at = None;
        let known = process.agent.memory().repositories.clone();
        for entry in catalog.plans.values() {
            let target = &entry.target;
            if known.get(&target.name).is_some_and(|memory| memory.location == target.location) {
                continue;
            }
            match shared.open(&target.location, false) {
                Ok(opened) => {
                    let repository = RepositoryMemory { location: target.location.clone(), id: opened.id().clone() };
                    self.input(now, Input::Probed { target: target.name.clone(), repository }, out);
                }
                Err(_) => {
                    if let Some(process) = &mut self.process {
                        process.probe_at = Some(after(now, PROBE_AGAIN));
                    }
                }
            }
        }
    }

    /// Looks at the runs' folders.
    fn inspect(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        process.inspections.look(between(process.booted_at, now));
        let journal = &process.agent.memory().journal;
        let live = process.agent.live().keys().copied().collect();
        let (written, is_done) = self.disk.inspect(journal, &live, now);
        if !is_done {
            process.owes_receipt(now);
        }
        for run in self.disk.written_back(&live) {
            self.record.durable(|| format!("receipt/{run}"));
        }
        for run in written {
            self.record.durable(|| format!("receipt/{run}"));
            self.record.note(out, || format!("the receipt of {run} is written later"));
        }
    }

    /// Runs have ended, or their time is over: those are cancelled and left for the next start.
    fn end_by_itself(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        self.lose_process(now, Power::Process, false);
        out.push(Out::Died { place: Place::Stopped, power: Power::Process });
    }

    fn end_orphan(&mut self, now: Timestamp, index: usize, shared: &mut Repositories) {
        let orphan = self.orphans.remove(index);
        orphan.end(&self.spec.node, self.clock(now), shared);
        self.record.ended(now, orphan.process);
    }
}
