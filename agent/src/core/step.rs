//! The only door to the agent's core: one input in, what to write down and what to do out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use landfall_proto::command::{Answer, Command};
use landfall_proto::envelope::Epoch;
use landfall_proto::fact::agent::{AgentFact, AgentStarted, PlansAnnounced, RunAbout, RunRetried, Witnessed};
use landfall_proto::id::{ClusterName, CommandId, NodeId, RepositoryId, RoundId, RoutineName, RunId, TargetName};
use landfall_proto::live::{Beacon, Sync};
use landfall_proto::report::{Outcome, Phase, Progress, Reason, RunReport, TaskKind, Vitals};
use landfall_proto::time::{Duration, Timestamp, after};

use super::catalog::{Catalog, CatalogEntry};
use super::limits::{PauseRules, pause_reason};
use super::memory::{Change, Memory, RepositoryMemory, RoutineMemory, Sample};
use super::schedule::Leader;
use super::start::{self, Waiting};
use super::{command, outcome};

/// A coordinator asks with every synchronisation until it has read the answer.
const ANNOUNCE_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What is fixed while the process lives.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    pub cluster: ClusterName,
    pub node: NodeId,
    /// Runs at once on this node.
    pub parallel: u32,
    pub pause: PauseRules,
    /// Whether there is a bus to hear a leader on.
    pub has_bus: bool,
    /// Whether slots are run by the agent itself. Off where a person runs one plan without a daemon.
    pub keeps_schedule: bool,
    pub leader_patience: Duration,
    /// Without a sign of a leader for so long, the alarm of last resort sounds.
    pub coordinator_silence: Duration,
}

/// Whoever waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Everything that can wake the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Began(AgentStarted),
    /// A command whose signature fits a known key.
    Told(Ticket, Box<Command>),
    /// A person on the node.
    Asked(Ticket, Ask),
    Heard(Beacon),
    Synced(Sync),
    Reported {
        run: RunId,
        report: Report,
    },
    /// What an earlier life of the agent left behind.
    Found(Found),
    Planned(Catalog),
    Probed {
        target: TargetName,
        repository: RepositoryMemory,
    },
    Saw(Witnessed),
    Felt(Vitals),
    /// The process is about to end: nothing more is started.
    Draining,
    Woke,
}

/// What a person on the node may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// `round` is drawn by whoever asks, so that asking twice with one id is asking once.
    Start {
        routine: RoutineName,
        task: TaskKind,
        round: RoundId,
    },
    Cancel {
        run: RunId,
    },
}

/// News from a run that is under way.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    Phase(Phase),
    Progress(Progress),
    Retried(RunRetried),
    Repository(RepositoryId),
    /// Its receipt is on disk.
    Ended(Box<RunReport>),
}

/// A run that an earlier life of the agent began.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// There is a receipt.
    Ended { about: RunAbout, attempt: u32, report: Box<RunReport> },
    /// There is none, and whatever ran is gone.
    Interrupted { about: RunAbout, attempt: u32, begun_at: Timestamp },
}

/// Something to do to the world. Performed only after changes and facts of the same step are on disk.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Start(Box<Start>),
    Stop(RunId),
    /// Write the receipt of a run that ended without having been started.
    Record {
        about: RunAbout,
        attempt: u32,
        report: Box<RunReport>,
    },
    Answer(Ticket, Answer),
    ReadLog {
        ticket: Ticket,
        run: RunId,
        offset: u64,
    },
    Witness(Box<WitnessTask>),
    /// Facts below this sequence are safe elsewhere.
    Confirm {
        durable_below: u64,
    },
    Resend {
        from: u64,
    },
    Alarm(Alarm),
}

/// A run to start, with the definition it keeps whatever the files say later.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    pub about: RunAbout,
    pub attempt: u32,
    pub begun_at: Timestamp,
    pub entry: CatalogEntry,
    pub history: Vec<Sample>,
    /// Part (from 1) and number of parts of the data that a check reads.
    pub data_part: Option<(u32, u32)>,
}

/// A repository to look at for its other users.
#[derive(Debug, Clone, PartialEq)]
pub struct WitnessTask {
    pub command: CommandId,
    pub round: RoundId,
    pub repository: RepositoryId,
    pub runs: Vec<RunId>,
    pub entry: CatalogEntry,
}

/// What the agent itself cries out when nobody else may be there to do it.
#[derive(Debug, Clone, PartialEq)]
pub enum Alarm {
    RunFailed { about: RunAbout, outcome: Outcome, reason: Reason, message: String },
    NoLeader { since: Timestamp },
}

/// What follows from one input. Changes and facts are written down together, then effects are performed in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    pub changes: Vec<Change>,
    pub facts: Vec<AgentFact>,
    pub effects: Vec<Effect>,
    /// When to come back with [`Input::Woke`] at the latest.
    pub wake_at: Option<Timestamp>,
}

/// A run that is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    pub about: RunAbout,
    pub attempt: u32,
    pub target: TargetName,
    pub location: String,
    pub started_at: Timestamp,
    /// When it last gave a sign of progress.
    pub moved_at: Timestamp,
    pub phase: Option<Phase>,
    pub progress: Option<Progress>,
    /// The highest tenth that has been made a fact.
    pub milestone: u8,
    pub is_stopping: bool,
}

/// The agent's whole state of mind.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(super) rules: Rules,
    pub(super) memory: Memory,
    pub(super) catalog: Catalog,
    pub(super) live: BTreeMap<RunId, Live>,
    pub(super) leader: Leader,
    pub(super) waiting: BTreeMap<RoutineName, Waiting>,
    pub(super) interrupted: Vec<(RunAbout, u32, Timestamp)>,
    /// Plans that this process has begun a run of.
    pub(super) begun: BTreeSet<RoutineName>,
    pub(super) pause: Option<String>,
    pub(super) is_draining: bool,
    /// The last repositories that this process was asked to look at, oldest first.
    pub(super) looked: VecDeque<CommandId>,
    announced: Option<PlansAnnounced>,
    announced_at: Option<Timestamp>,
    /// Whether something an announcement is made of has changed since the last look: hashing every plan at each input would
    /// cost more than all the rest of a quiet agent's steps.
    may_announce: bool,
    is_planned: bool,
    silence_cried: bool,
}

impl Agent {
    pub fn new(rules: Rules, memory: Memory, now: Timestamp) -> Self {
        Self {
            rules,
            memory,
            catalog: Catalog::default(),
            live: BTreeMap::new(),
            leader: Leader::new(now),
            waiting: BTreeMap::new(),
            interrupted: Vec::new(),
            begun: BTreeSet::new(),
            pause: None,
            is_draining: false,
            looked: VecDeque::new(),
            announced: None,
            announced_at: None,
            may_announce: true,
            is_planned: false,
            silence_cried: false,
        }
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub fn live(&self) -> &BTreeMap<RunId, Live> {
        &self.live
    }

    /// Why nothing is started at this moment.
    pub fn paused(&self) -> Option<&str> {
        if self.is_draining { Some("the agent is about to stop") } else { self.pause.as_deref() }
    }

    /// Whether anything is under way or about to be.
    pub fn is_idle(&self) -> bool {
        let follow_up = |name| self.memory.routines.get(name).is_some_and(|routine| routine.follow_up.is_some());
        let owes_check = self.begun.iter().any(|name| follow_up(name) && self.catalog.plans.contains_key(name));
        self.live.is_empty() && self.interrupted.is_empty() && !owes_check
    }

    pub fn epoch(&self) -> Epoch {
        self.memory.fence.epoch
    }

    pub(super) fn routine(&self, name: &RoutineName) -> RoutineMemory {
        self.memory.routines.get(name).cloned().unwrap_or_default()
    }

    /// Takes a change into memory and names it for the disk.
    pub(super) fn change(&mut self, change: Change, out: &mut Step) {
        self.memory.apply(change.clone());
        out.changes.push(change);
    }

    pub(super) fn learn_repository(&mut self, target: TargetName, repository: RepositoryMemory, out: &mut Step) {
        if self.memory.repositories.get(&target) != Some(&repository) {
            self.change(Change::Repository(target, repository), out);
            self.may_announce = true;
        }
    }
}

impl Step {
    pub(super) fn fact(&mut self, fact: impl Into<AgentFact>) {
        self.facts.push(fact.into());
    }

    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

/// Takes one input in. Nothing else changes an [`Agent`].
pub fn step(agent: &mut Agent, now: Timestamp, input: Input) -> Step {
    let mut out = Step::default();
    match input {
        Input::Began(began) => {
            agent.announced = None;
            agent.may_announce = true;
            out.fact(began);
        }
        Input::Told(ticket, order) => command::obey(agent, now, ticket, *order, &mut out),
        Input::Asked(ticket, ask) => command::serve(agent, now, ticket, ask, &mut out),
        Input::Heard(beacon) => hear(agent, now, &beacon),
        Input::Synced(sync) => synchronise(agent, now, sync, &mut out),
        Input::Reported { run, report } => outcome::take(agent, now, run, report, &mut out),
        Input::Found(found) => outcome::find(agent, found, &mut out),
        Input::Planned(catalog) => {
            agent.catalog = catalog;
            agent.is_planned = true;
            agent.may_announce = true;
        }
        Input::Probed { target, repository } => agent.learn_repository(target, repository, &mut out),
        Input::Saw(witnessed) => out.fact(witnessed),
        Input::Felt(vitals) => agent.pause = pause_reason(&agent.rules.pause, &vitals),
        Input::Draining => agent.is_draining = true,
        Input::Woke => {}
    }
    if agent.is_planned {
        start::start_what_is_due(agent, now, &mut out);
        announce(agent, now, &mut out);
    }
    cry_out_for_a_leader(agent, now, &mut out);
    for run in agent.memory.journal.prune() {
        out.changes.push(Change::Forget(run));
    }
    out
}

/// A beacon is not signed, so it says only that somebody leads; it never moves the fence.
fn hear(agent: &mut Agent, now: Timestamp, beacon: &Beacon) {
    if beacon.epoch >= agent.memory.fence.epoch {
        agent.leader.heard_at = Some(now);
        agent.silence_cried = false;
    }
}

fn synchronise(agent: &mut Agent, now: Timestamp, sync: Sync, out: &mut Step) {
    if sync.epoch < agent.memory.fence.epoch {
        return;
    }
    agent.leader.synced = true;
    agent.leader.queued = sync.queued.into_iter().collect();
    out.effects.push(Effect::Confirm { durable_below: sync.durable_below });
    if let Some(from) = sync.resend_from {
        out.effects.push(Effect::Resend { from });
    }
    if sync.announce && agent.announced_at.is_none_or(|at| now >= after(at, ANNOUNCE_AGAIN_AFTER) || now < at) {
        agent.announced = None;
        agent.may_announce = true;
    }
}

/// Announces the plans where the mesh knows something else.
fn announce(agent: &mut Agent, now: Timestamp, out: &mut Step) {
    if !agent.rules.keeps_schedule || !agent.may_announce {
        return;
    }
    agent.may_announce = false;
    let wanted = agent.catalog.announcement(&agent.memory.repositories);
    if agent.announced.as_ref() != Some(&wanted) {
        out.fact(wanted.clone());
        agent.announced = Some(wanted);
        agent.announced_at = Some(now);
    }
}

fn cry_out_for_a_leader(agent: &mut Agent, now: Timestamp, out: &mut Step) {
    if !agent.rules.has_bus || agent.silence_cried {
        return;
    }
    let since = agent.leader.last_sign(now);
    let at = after(since, agent.rules.coordinator_silence);
    if now >= at {
        agent.silence_cried = true;
        out.effects.push(Effect::Alarm(Alarm::NoLeader { since }));
    } else {
        out.wake(at);
    }
}
