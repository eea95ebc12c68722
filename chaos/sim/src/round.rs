//! One round of a very large mesh, for its cost: the whole coordinator with its log, and agents that cost next to nothing.
//!
//! An agent here is a few numbers: it says what a real one says and in that order, and decides nothing. What is measured is the
//! coordinator's memory, its steps, and what the log has to carry.

use std::collections::BTreeMap;
use std::rc::Rc;

use landfall_proto::command::{Action, Answer, Command};
use landfall_proto::envelope::{Envelope, Identity};
use landfall_proto::fact::agent::{
    AgentFact, AgentStarted, PlansAnnounced, RunAbout, RunFinished, RunStarted, StartCause,
};
use landfall_proto::id::{Incarnation, NodeId};
use landfall_proto::live::{BEACON_INTERVAL, Beat, LiveRun};
use landfall_proto::report::{Evidence, Outcome, ProofLevel, Reason, RunReport, Statistics, Trigger, Unread, Vitals};
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after};
use landfall_proto::verdict::VerdictKind;
use uuid::Uuid;

use crate::bus::{Bus, Log};
use crate::coordinator::{Coordinator, Out};
use crate::options::Options;
use crate::world::bed;

/// How long every run takes.
const RUN_TAKES: Duration = Duration::from_secs(60);

/// Messages of the log in one piece.
const BATCH_MAX: usize = 1024;

/// The round has to end within so much virtual time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Beats come in slices of a second: a fifth of the nodes in each.
const BEAT_SLICES: usize = 5;

/// What one round cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    pub nodes: u32,
    pub steps: u64,
    pub messages: u64,
    pub log_bytes: u64,
    /// Messages of the log by their kind.
    pub kinds: BTreeMap<String, u64>,
    /// From the slot to the verdict.
    pub took: Option<Duration>,
    pub verdict: Option<VerdictKind>,
    /// Runs that were good.
    pub good: usize,
}

/// A node that only talks.
struct Talker {
    id: NodeId,
    incarnation: Incarnation,
    next_seq: u64,
    /// The run under way, and when it ends.
    run: Option<(RunAbout, Timestamp)>,
}

struct Round {
    now: Timestamp,
    bus: Bus,
    coordinator: Coordinator,
    talkers: Vec<Talker>,
    by_id: BTreeMap<NodeId, usize>,
    definition: PlansAnnounced,
    commands: Vec<Command>,
    kinds: BTreeMap<String, u64>,
}

/// Lets one slot of so many nodes happen.
pub fn round(options: &Options) -> Cost {
    let mut round = Round::new(options);
    round.begin();
    let slot = crate::bus::shifted(options.start, 60_000);
    let until = after(options.start, PATIENCE);
    let mut concluded = None;
    while round.now < until && concluded.is_none() {
        round.second();
        concluded = round.concluded();
    }
    let mesh = round.coordinator.process.as_ref().map(|process| &process.mesh);
    Cost {
        nodes: options.nodes,
        steps: round.coordinator.steps,
        messages: round.bus.log().map_or(0, Log::last_seq),
        log_bytes: round.bus.bytes,
        kinds: std::mem::take(&mut round.kinds),
        took: concluded.map(|(_, at)| landfall_proto::time::between(slot, at)),
        verdict: concluded.map(|(kind, _)| kind),
        good: mesh.map_or(0, |mesh| mesh.runs().values().filter(|run| run.is_good()).count()),
    }
}

impl Round {
    fn new(options: &Options) -> Self {
        let cluster = "sim".parse().expect("the name is one");
        let definition = bed::announcement(options);
        let talkers: Vec<Talker> = (0..options.nodes)
            .map(|index| Talker {
                id: bed::node_id(index),
                incarnation: Incarnation(Uuid::from_u64_pair(1, u64::from(index))),
                next_seq: 0,
                run: None,
            })
            .collect();
        let by_id = talkers.iter().enumerate().map(|(index, talker)| (talker.id.clone(), index)).collect();
        Self {
            now: options.start,
            bus: Bus::default(),
            coordinator: Coordinator::new(cluster, bed::holder(0), bed::policy(options)),
            talkers,
            by_id,
            definition,
            commands: Vec::new(),
            kinds: BTreeMap::new(),
        }
    }

    fn begin(&mut self) {
        self.bus.ensure_log(self.now);
        let mut out = Vec::new();
        self.coordinator.boot(self.now, Incarnation(Uuid::from_u64_pair(2, 0)), &mut out);
        self.follow(out);
        for index in 0..self.talkers.len() {
            let host = self.talkers[index].id.to_string();
            let started =
                AgentStarted { version: "1".to_owned(), cause: StartCause::First, host, labels: BTreeMap::new() };
            self.says(index, &started.into());
            let plans = self.definition.clone();
            self.says(index, &plans.into());
        }
    }

    /// One second: the coordinator sees the log, a fifth of the nodes beat, runs end, commands are obeyed.
    fn second(&mut self) {
        self.now = after(self.now, BEACON_INTERVAL);
        let (now, look) = (self.now, self.bus.look());
        let mut out = Vec::new();
        self.coordinator.consume(now, look, None, &mut out);
        if let Some(asked) = self.coordinator.asks(now) {
            self.coordinator.saw(now, asked, look, &mut out);
        }
        self.coordinator.beat(now, &mut out);
        self.follow(out);
        self.read();
        let slice = usize::try_from(now.as_second()).unwrap_or(0) % BEAT_SLICES;
        for index in (slice..self.talkers.len()).step_by(BEAT_SLICES) {
            let beat = self.talkers[index].beat(now);
            let mut out = Vec::new();
            self.coordinator.heard(now, beat, &mut out);
            self.follow(out);
        }
        for index in 0..self.talkers.len() {
            if self.talkers[index].run.as_ref().is_some_and(|(_, ends)| *ends <= now)
                && let Some((about, _)) = self.talkers[index].run.take()
            {
                let report = report(now, &about);
                self.says(index, &RunFinished { about, report }.into());
            }
        }
        self.read();
        if self.coordinator.process.as_ref().is_some_and(|process| process.wake_at <= now) {
            let mut out = Vec::new();
            self.coordinator.woke(now, &mut out);
            self.follow(out);
            self.read();
        }
    }

    /// Reads the log to its end, and obeys what was commanded meanwhile.
    fn read(&mut self) {
        loop {
            let after = self.coordinator.process.as_ref().map_or(0, |process| process.reader.after);
            let messages = self.bus.log().map(|log| log.read(after, BATCH_MAX)).unwrap_or_default();
            let commands = std::mem::take(&mut self.commands);
            if messages.is_empty() && commands.is_empty() {
                return;
            }
            let mut out = Vec::new();
            self.coordinator.batch(self.now, messages, &mut out);
            for command in commands {
                let answer = self.obey(&command);
                self.coordinator.answered(self.now, command.id, Some(answer), &mut out);
            }
            self.follow(out);
        }
    }

    fn obey(&mut self, command: &Command) -> Answer {
        let Some(index) = self.by_id.get(&command.audience).copied() else { return Answer::AlreadyDone };
        if let Action::Start { run, round, routine, slot, task } = &command.action {
            let about = RunAbout {
                run: *run,
                round: *round,
                routine: routine.clone(),
                slot: *slot,
                task: *task,
                trigger: Trigger::Dispatched,
                plan_hash: self.definition.plans[0].hash.clone(),
                repository: None,
            };
            let started = RunStarted { about: about.clone(), started_at: self.now, attempt: 1 };
            self.says(index, &started.into());
            self.talkers[index].run = Some((about, after(self.now, RUN_TAKES)));
        }
        Answer::Accepted
    }

    fn says(&mut self, index: usize, fact: &AgentFact) {
        let now = self.now;
        let talker = &mut self.talkers[index];
        let identity =
            Identity { writer: talker.id.to_string(), incarnation: talker.incarnation, seq: talker.next_seq };
        talker.next_seq += 1;
        let envelope = Envelope::fact(identity, fact.kind(), now, fact.encode());
        let topic = Topic::NodeFact(talker.id.clone());
        self.publish(topic, &envelope);
    }

    fn publish(&mut self, topic: Topic, envelope: &Envelope) {
        *self.kinds.entry(envelope.kind.clone()).or_default() += 1;
        let payload: Rc<[u8]> = landfall_proto::codec::encode(envelope).into();
        self.bus.publish(self.now, topic, Some(envelope.id), payload);
    }

    fn follow(&mut self, out: Vec<Out>) {
        let mut next = out;
        while !next.is_empty() {
            let mut more = Vec::new();
            for wish in next {
                match wish {
                    Out::Publish { attempt, envelope } => {
                        let topic = Topic::CoordinatorFact(self.coordinator.holder.clone());
                        self.publish(topic, &envelope);
                        self.coordinator.told(self.now, attempt, true, &mut more);
                    }
                    Out::Command(_, command) => self.commands.push(command),
                    Out::GiveUpAt { .. }
                    | Out::PublishAgainAt(_)
                    | Out::Beacon(_)
                    | Out::Presence(_)
                    | Out::Sync(..)
                    | Out::Notify(_)
                    | Out::Reply(..)
                    | Out::EnsureLog
                    | Out::Again(_)
                    | Out::Diverged(_)
                    | Out::LedgerFull
                    | Out::Died(..)
                    | Out::Hit(_)
                    | Out::Note(_) => {}
                }
            }
            next = more;
        }
    }

    fn concluded(&self) -> Option<(VerdictKind, Timestamp)> {
        let mesh = &self.coordinator.process.as_ref()?.mesh;
        let verdict = mesh.rounds().values().find_map(|round| round.verdict.as_ref())?;
        Some((verdict.kind, self.now))
    }
}

impl Talker {
    fn beat(&self, now: Timestamp) -> Beat {
        let live = self.run.iter().map(|(about, _)| LiveRun { run: about.run, idle_ms: 0, progress: None }).collect();
        Beat {
            epoch: None,
            node: self.id.clone(),
            incarnation: self.incarnation,
            version: "1".to_owned(),
            next_seq: self.next_seq,
            outbox: 0,
            vitals: Vitals::default(),
            live,
            paused: None,
            sent_at: now,
        }
    }
}

fn report(now: Timestamp, about: &RunAbout) -> RunReport {
    let evidence = Evidence {
        repository: about.repository.clone(),
        snapshot: about.run.to_string(),
        taken_at: now,
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: true,
        files: 1000,
        bytes: 1 << 30,
        read_at: now,
    };
    RunReport {
        outcome: Outcome::Ok,
        reason: Reason::Completed,
        message: "1000 files, 1 GiB".to_owned(),
        started_at: now,
        finished_at: now,
        attempts: 1,
        exit: None,
        statistics: Statistics::default(),
        evidence: Some(evidence),
        unread: Unread::default(),
        findings: Vec::new(),
        tail: String::new(),
    }
}
