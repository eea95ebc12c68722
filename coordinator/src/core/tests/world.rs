//! A world in one value: a log, coordinators that read it, agents that follow a script, and a clock that is told.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::alert::AlertKey;
use landfall_proto::command::{Action, Answer, Command, Refused};
use landfall_proto::control::{Reply, Request};
use landfall_proto::envelope::{ContentHash, Envelope, Epoch, Identity, Position};
use landfall_proto::fact::agent::{
    AgentFact, AgentStarted, PlanAnnouncement, PlansAnnounced, RunAbout, RunFinished, RunStarted, StartCause, Witnessed,
};
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{CommandId, Incarnation, NodeId, RoundId, RoutineName, RunId, TargetName};
use landfall_proto::limit::LimitName;
use landfall_proto::live::{Beacon, Beat, LiveRun};
use landfall_proto::plan::{Guards, RepositoryLock};
use landfall_proto::report::{
    Evidence, Outcome, ProofLevel, Reason, RunReport, Space, Statistics, TaskKind, Trigger, Unread, Vitals,
};
use landfall_proto::time::{Duration, Timestamp, after, between};
use landfall_proto::verdict::VerdictKind;
use uuid::Uuid;

use crate::core::decide::everything;
use crate::core::record::Records;
use crate::core::round::Round;
use crate::core::run::Run;
use crate::core::sight::SIGHT_FOR;
use crate::core::step::{Delivery, Effect, Input, Logged, Notice, Ticket, step};
use crate::core::{LogSight, Mesh, Policy};

pub(super) const SLOT: &str = "2026-11-20T02:00:00Z";

#[derive(Clone)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
    pub(super) log: Vec<(Position, Logged)>,
    pub(super) coordinators: Vec<Coordinator>,
    pub(super) agents: BTreeMap<NodeId, Agent>,
    pub(super) notices: Vec<Notice>,
    /// Why sinks take nothing, while they do not.
    pub(super) sinks_say: Option<String>,
    pub(super) replies: BTreeMap<Ticket, Reply>,
    /// Every command that was sent, in order.
    pub(super) commands: Vec<Command>,
    tickets: u64,
    /// Highest number of runs that were active at once.
    pub(super) most_active: u32,
    /// When the bus made the log that is there.
    pub(super) created: Timestamp,
}

#[derive(Clone)]
pub(super) struct Coordinator {
    pub(super) mesh: Mesh,
    pub(super) records: Records,
    pub(super) alive: bool,
    /// Whether the bus answers it.
    pub(super) sees: bool,
    seq: u64,
    read: usize,
    /// Pings whose bodies its ledger holds.
    pub(super) bodies: BTreeSet<Uuid>,
    wake_at: Option<Timestamp>,
    /// When it last looked, and what was there.
    looked: Option<(Timestamp, usize)>,
}

#[derive(Clone)]
pub(super) struct Agent {
    pub(super) incarnation: Incarnation,
    pub(super) seq: u64,
    /// Whether it exists for the world: sends beats and answers.
    pub(super) up: bool,
    pub(super) does: Does,
    /// Facts that it could not publish.
    pub(super) outbox: Vec<AgentFact>,
    pub(super) live: BTreeMap<RunId, RunAbout>,
    pub(super) done: BTreeSet<RunId>,
    /// Snapshots that it does not find as a witness.
    pub(super) blind_to: BTreeSet<NodeId>,
    pub(super) paused: Option<String>,
    /// What its beats say of the leaders that it has obeyed.
    pub(super) obeyed: Option<Epoch>,
    pub(super) plan: PlanAnnouncement,
    /// The room of its destinations, as its beats tell it.
    pub(super) targets: BTreeMap<TargetName, Space>,
    /// Every fact it ever published, to be sent again.
    written: Vec<Logged>,
    /// Of those, the first that it still has.
    pub(super) kept_from: usize,
}

/// What an agent does with a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Runs it and ends at once with this outcome.
    End(Outcome, Reason),
    /// Runs it until the test ends it.
    Hold,
    Refuse(Refused),
    /// Takes it on, but its answers get lost.
    Mute,
    /// Hears nothing.
    Deaf,
}

pub(super) const GOOD: Does = Does::End(Outcome::Ok, Reason::Completed);

impl World {
    /// One coordinator that leads, and online agents with one nightly plan, a minute before its slot.
    pub(super) fn new(nodes: &[&str]) -> Self {
        let mut world = Self::bare(nodes);
        world.start_coordinator("alpha");
        world.settle();
        world.beats();
        world
    }

    pub(super) fn bare(nodes: &[&str]) -> Self {
        let mut world = Self {
            policy: Policy { sinks: vec!["journal".to_owned()], ..Policy::default() },
            now: "2026-11-20T01:59:00Z".parse().unwrap(),
            log: Vec::new(),
            coordinators: Vec::new(),
            agents: BTreeMap::new(),
            notices: Vec::new(),
            sinks_say: None,
            replies: BTreeMap::new(),
            commands: Vec::new(),
            tickets: 0,
            most_active: 0,
            created: "2026-11-01T00:00:00Z".parse().unwrap(),
        };
        for name in nodes {
            world.add_agent(name);
        }
        world
    }

    pub(super) fn add_agent(&mut self, name: &str) {
        self.add_agent_of(name, plan());
    }

    pub(super) fn add_agent_of(&mut self, name: &str, plan: PlanAnnouncement) {
        let id = node(name);
        let number = u128::from(u64::from_be_bytes(*blake3::hash(name.as_bytes()).as_bytes().first_chunk().unwrap()));
        let agent = Agent {
            incarnation: Incarnation(Uuid::from_u128(number)),
            seq: 0,
            up: true,
            does: GOOD,
            outbox: Vec::new(),
            live: BTreeMap::new(),
            done: BTreeSet::new(),
            blind_to: BTreeSet::new(),
            paused: None,
            obeyed: None,
            plan,
            targets: BTreeMap::new(),
            written: Vec::new(),
            kept_from: 0,
        };
        self.agents.insert(id.clone(), agent);
        let (version, host, labels) = ("1".to_owned(), name.to_owned(), BTreeMap::new());
        self.says(name, AgentStarted { version, cause: StartCause::First, host, labels });
        self.announce(name);
    }

    pub(super) fn announce(&mut self, name: &str) {
        let plans = vec![self.agents[&node(name)].plan.clone()];
        self.says(name, PlansAnnounced { plans, broken: Vec::new() });
    }

    pub(super) fn start_coordinator(&mut self, holder: &str) -> usize {
        let incarnation = self.next_incarnation();
        let mesh = Mesh::new("test".parse().unwrap(), holder.parse().unwrap(), incarnation);
        self.coordinators.push(Coordinator {
            mesh,
            records: Records::default(),
            alive: true,
            sees: true,
            seq: 0,
            read: 0,
            bodies: BTreeSet::new(),
            wake_at: None,
            looked: None,
        });
        self.coordinators.len() - 1
    }

    /// Ends the process and starts another from its ledger.
    pub(super) fn restart(&mut self, index: usize) {
        let incarnation = self.next_incarnation();
        let old = &mut self.coordinators[index];
        let (cluster, holder) = (old.mesh.me().cluster.clone(), old.mesh.me().holder.clone());
        old.mesh = Mesh::restore(cluster, holder, incarnation, old.records.clone());
        old.read = usize::try_from(old.records.meta.cursor.seq).unwrap();
        (old.seq, old.alive, old.wake_at, old.looked) = (0, true, None, None);
    }

    /// The bus loses the last facts, and whoever had read them notices. Their sequences will be handed out again.
    pub(super) fn tear(&mut self, count: usize) {
        self.log.truncate(self.log.len() - count);
        self.notice_loss();
    }

    /// The bus loses its disk, and makes another log.
    pub(super) fn wipe(&mut self) {
        self.log.clear();
        self.created = self.now;
        self.notice_loss();
    }

    fn notice_loss(&mut self) {
        let end = self.log.len();
        for index in 0..self.coordinators.len() {
            if self.coordinators[index].alive && self.coordinators[index].read > end {
                self.coordinators[index].sees = false;
                self.hand(index, Input::LogReplaced(Some(end as u64 + 1)));
                self.restart(index);
                self.coordinators[index].sees = true;
            }
        }
    }

    /// The leader says to each node what is missing, and the node sends it again as far as it still has it.
    pub(super) fn syncs(&mut self) {
        let Some(leader) = self.coordinators.iter().position(|it| it.alive && it.mesh.acts()) else { return };
        let names: Vec<NodeId> = self.agents.iter().filter(|(_, agent)| agent.up).map(|(id, _)| id.clone()).collect();
        for name in names {
            let Some(from) = self.coordinators[leader].mesh.sync_for(&name).and_then(|sync| sync.resend_from) else {
                continue;
            };
            let agent = &self.agents[&name];
            let first = usize::try_from(from).unwrap().max(agent.kept_from);
            let again: Vec<Logged> = agent.written.iter().skip(first).cloned().collect();
            for logged in again {
                self.append(logged);
            }
        }
        self.settle();
    }

    /// Every coordinator shows its presence to all.
    pub(super) fn presences(&mut self) {
        let now = self.now;
        let shown: Vec<_> = self.coordinators.iter().filter(|it| it.alive).map(|it| it.mesh.presence(now)).collect();
        for index in 0..self.coordinators.len() {
            shown.iter().for_each(|presence| self.feed(index, Input::Present(presence.clone())));
        }
        self.settle();
    }

    fn next_incarnation(&mut self) -> Incarnation {
        self.tickets += 1;
        Incarnation(Uuid::from_u128(0xc000_0000 + u128::from(self.tickets)))
    }

    pub(super) fn mesh(&self) -> &Mesh {
        &self.coordinators[0].mesh
    }

    /// Puts a fact of an agent into the log, or into its outbox while it is cut off.
    pub(super) fn says(&mut self, name: &str, fact: impl Into<AgentFact>) {
        let (id, fact) = (node(name), fact.into());
        let now = self.now;
        let agent = self.agents.get_mut(&id).unwrap();
        if !agent.up {
            agent.outbox.push(fact);
            return;
        }
        let identity = Identity { writer: name.to_owned(), incarnation: agent.incarnation, seq: agent.seq };
        agent.seq += 1;
        let logged = Logged::from_node(id.clone(), Envelope::fact(identity, fact.kind(), now, fact.encode()));
        self.agents.get_mut(&id).unwrap().written.push(logged.clone());
        self.append(logged);
    }

    pub(super) fn append(&mut self, logged: Logged) {
        let seq = self.log.len() as u64 + 1;
        let hash = ContentHash([0; 16]);
        self.log.push((Position { era: 0, seq, hash }, logged));
    }

    /// Hands one input to a coordinator that has just looked where the log ends.
    pub(super) fn feed(&mut self, index: usize, input: Input) {
        self.look(index);
        self.hand(index, input);
    }

    fn look(&mut self, index: usize) {
        let seen = Some((self.now, self.log.len()));
        let coordinator = &mut self.coordinators[index];
        if coordinator.sees && coordinator.looked != seen {
            coordinator.looked = seen;
            let last_seq = self.log.len() as u64;
            self.hand(index, Input::Sight(Some(LogSight { asked_at: self.now, created: self.created, last_seq })));
        }
    }

    /// Lets time pass in which nothing happens but that coordinators look at the log now and then.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = after(self.now, time);
        let pause = Duration::from_ms(SIGHT_FOR.as_ms() / 2);
        while self.now < until {
            self.now = after(self.now, pause).min(until);
            for index in 0..self.coordinators.len() {
                self.look(index);
            }
        }
    }

    /// Hands one input to a coordinator and does what follows, without reading the log.
    pub(super) fn hand(&mut self, index: usize, input: Input) {
        let coordinator = &mut self.coordinators[index];
        if !coordinator.alive {
            return;
        }
        let result = step(&mut coordinator.mesh, &self.policy, self.now, input);
        coordinator.wake_at = result.wake_at;
        let (holder, incarnation) = (coordinator.mesh.me().holder.clone(), coordinator.mesh.me().incarnation);
        for fact in result.facts {
            let identity =
                Identity { writer: holder.as_str().to_owned(), incarnation, seq: self.coordinators[index].seq };
            self.coordinators[index].seq += 1;
            let envelope = Envelope::fact(identity, fact.kind(), self.now, fact.encode());
            assert!(envelope.body.len() < 60 * 1024, "{} has {} bytes", fact.kind(), envelope.body.len());
            self.append(Logged::from_coordinator(holder.clone(), envelope));
        }
        let coordinator = &mut self.coordinators[index];
        let changes = coordinator.mesh.take_changes().unwrap_or_default();
        for (id, body) in &changes.bodies {
            if body.is_some() {
                coordinator.bodies.insert(*id)
            } else {
                coordinator.bodies.remove(id)
            };
        }
        coordinator.records.apply(changes);
        self.most_active = self.most_active.max(coordinator.mesh.active_count());
        for effect in result.effects {
            self.perform(index, effect);
        }
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Command(to, command) => {
                self.commands.push(command.clone());
                let (id, answer) = (command.id, self.obey(&to, command));
                self.feed(index, Input::Answered(id, answer));
            }
            Effect::Notify(notice) => {
                let (id, resolved) = (notice.alert.id, notice.resolved.is_some());
                for sink in notice.sinks.clone() {
                    let (reminder, error, at) = (notice.reminder, self.sinks_say.clone(), self.now);
                    let delivery = Delivery { id, resolved, reminder, sink, attempts: 1, answer: None, error, at };
                    self.feed(index, Input::Delivered(delivery));
                }
                self.notices.push(notice);
            }
            Effect::Reply(ticket, reply) => drop(self.replies.insert(ticket, reply)),
        }
    }

    fn obey(&mut self, to: &NodeId, command: Command) -> Option<Answer> {
        let agent = self.agents.get(to)?.clone();
        if !agent.up || agent.does == Does::Deaf {
            return None;
        }
        match command.action {
            Action::Start { run, .. } if agent.done.contains(&run) => Some(Answer::AlreadyDone),
            Action::Start { run, .. } if agent.live.contains_key(&run) => Some(Answer::Accepted),
            Action::Start { run, round, routine, slot, task } => {
                let about = about(run, round, routine, slot, task, Trigger::Dispatched);
                match agent.does {
                    Does::Refuse(reason) => return Some(Answer::Refused { reason, message: "no".to_owned() }),
                    Does::End(outcome, reason) => {
                        self.starts(to.as_str(), about.clone());
                        self.ends(to.as_str(), run, outcome, reason);
                    }
                    Does::Hold | Does::Mute | Does::Deaf => self.starts(to.as_str(), about),
                }
                (agent.does != Does::Mute).then_some(Answer::Accepted)
            }
            Action::Cancel { run } => {
                if agent.live.contains_key(&run) {
                    self.ends(to.as_str(), run, Outcome::Cancelled, Reason::CancelledByOperator);
                }
                Some(Answer::Accepted)
            }
            Action::Witness { round, repository, runs } => {
                let owner = |run: &RunId| self.mesh().runs().get(run).map(|run| run.node.clone());
                let (absent, seen): (Vec<RunId>, Vec<RunId>) =
                    runs.iter().partition(|run| owner(run).is_some_and(|node| agent.blind_to.contains(&node)));
                let asked = u32::try_from(runs.len()).unwrap();
                let (unknown, message) = (None, String::new());
                self.says(
                    to.as_str(),
                    Witnessed { command: command.id, round, repository, asked, seen, absent, unknown, message },
                );
                Some(Answer::Accepted)
            }
            Action::ReadLog { .. } => None,
        }
    }

    pub(super) fn starts(&mut self, name: &str, about: RunAbout) {
        self.agents.get_mut(&node(name)).unwrap().live.insert(about.run, about.clone());
        let started_at = self.now;
        self.says(name, RunStarted { about, started_at, attempt: 1 });
    }

    pub(super) fn ends(&mut self, name: &str, run: RunId, outcome: Outcome, reason: Reason) {
        let agent = self.agents.get_mut(&node(name)).unwrap();
        let about = agent.live.remove(&run).unwrap();
        agent.done.insert(run);
        let report = report(self.now, &about, outcome, reason);
        self.says(name, RunFinished { about, report });
    }

    /// Ends the one run that a node holds.
    pub(super) fn end(&mut self, name: &str, outcome: Outcome, reason: Reason) {
        let run = *self.agents[&node(name)].live.keys().next().expect("the node runs something");
        self.ends(name, run, outcome, reason);
        self.settle();
    }

    /// The node runs tonight's slot by itself.
    pub(super) fn runs_alone(&mut self, name: &str, slot: Timestamp, outcome: Outcome) -> RunId {
        let round = self.round_of(slot);
        let run = RunId::of(round, &node(name), TaskKind::Backup);
        self.starts(name, about(run, round, routine(), Some(slot), TaskKind::Backup, Trigger::Autonomous));
        let reason = if outcome == Outcome::Ok { Reason::Completed } else { Reason::Network };
        self.ends(name, run, outcome, reason);
        run
    }

    pub(super) fn round_of(&self, slot: Timestamp) -> RoundId {
        RoundId::of_slot(&"test".parse().unwrap(), &routine(), slot)
    }

    pub(super) fn cut_off(&mut self, name: &str) {
        self.agents.get_mut(&node(name)).unwrap().up = false;
    }

    pub(super) fn bring_back(&mut self, name: &str) {
        let agent = self.agents.get_mut(&node(name)).unwrap();
        agent.up = true;
        for fact in std::mem::take(&mut agent.outbox) {
            self.says(name, fact);
        }
        self.beats();
        self.settle();
    }

    /// Every coordinator reads the log to its end, until nothing more follows; then the leader has nothing left to decide.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut quiet = true;
            for index in 0..self.coordinators.len() {
                let due = self.coordinators[index].wake_at.is_some_and(|at| at <= self.now);
                let fresh = self.coordinators[index].seq == 0 && !self.coordinators[index].mesh.leads();
                let reads = self.coordinators[index].alive && self.coordinators[index].sees;
                while reads && self.coordinators[index].read < self.log.len() {
                    let (position, logged) = self.log[self.coordinators[index].read].clone();
                    self.coordinators[index].read += 1;
                    self.feed(index, Input::Logged(position, logged));
                    quiet = false;
                }
                if self.coordinators[index].alive && (due || fresh) {
                    let before = self.log.len();
                    self.feed(index, Input::Woke);
                    quiet &= self.log.len() == before && !due;
                }
            }
            if quiet {
                self.check_laws();
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn check_laws(&self) {
        for coordinator in self.coordinators.iter().filter(|coordinator| coordinator.alive) {
            let mesh = &coordinator.mesh;
            if mesh.acts() {
                assert_eq!(mesh.in_flight(), 0);
                assert_eq!(everything(mesh, &self.policy, self.now), Vec::new(), "something is left undecided");
            }
            for round in mesh.rounds().values() {
                let good = |verdict: &&landfall_proto::verdict::Verdict| verdict.kind == VerdictKind::Converged;
                if round.rule == landfall_proto::verdict::Rule::All
                    && let Some(verdict) = round.verdict.as_ref().filter(good)
                {
                    assert!(verdict.nodes.iter().all(|node| mesh.runs()[&node.run].is_good()));
                }
            }
        }
    }

    /// One coordinator reads what the log holds at this moment; what it decides meanwhile stays unread.
    pub(super) fn read(&mut self, index: usize) {
        self.feed(index, Input::Woke);
        let end = self.log.len();
        while self.coordinators[index].read < end {
            let (position, logged) = self.log[self.coordinators[index].read].clone();
            self.coordinators[index].read += 1;
            self.feed(index, Input::Logged(position, logged));
        }
    }

    /// Every agent that is up sends a beat, every leader a beacon.
    pub(super) fn beats(&mut self) {
        let now = self.now;
        let heard: Vec<Beat> =
            self.agents.iter().filter(|(_, agent)| agent.up).map(|(id, agent)| agent.beat(id, now)).collect();
        let led: Vec<Beacon> = self
            .coordinators
            .iter()
            .filter(|coordinator| coordinator.alive && coordinator.sees)
            .filter_map(|coordinator| coordinator.mesh.beacon(now))
            .collect();
        for index in 0..self.coordinators.len() {
            led.iter().for_each(|beacon| self.feed(index, Input::Led(beacon.clone())));
            heard.iter().for_each(|beat| self.feed(index, Input::Heard(beat.clone())));
        }
        self.settle();
    }

    /// Lets time pass in steps of five seconds, with beats; of one where coordinators have to hear each other's beacons.
    pub(super) fn pass(&mut self, time: &str) {
        let until = after(self.now, time.parse().unwrap());
        let step = Duration::from_secs(if self.coordinators.len() > 1 { 1 } else { 5 });
        while self.now < until {
            self.wait(step.min(between(self.now, until)));
            self.beats();
        }
    }

    /// Lets time pass at once: nothing happens in between.
    pub(super) fn jump(&mut self, to: &str) {
        self.now = to.parse().unwrap();
    }

    pub(super) fn ask(&mut self, request: Request) -> Reply {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.feed(0, Input::Asked(ticket, request));
        self.settle();
        self.replies.remove(&ticket).expect("every request is answered")
    }

    pub(super) fn start(&mut self, nodes: &[&str], request: u128) -> Reply {
        let nodes = nodes.iter().map(|name| node(name)).collect();
        let (by, request) = ("ann".to_owned(), Uuid::from_u128(request));
        self.ask(Request::Start { routine: routine(), nodes, task: TaskKind::Backup, by, request })
    }

    pub(super) fn limit(&mut self, name: LimitName, value: u32) {
        self.ask(Request::SetLimit { name, value, by: "ann".to_owned() });
    }

    pub(super) fn round(&self) -> &Round {
        self.mesh().rounds().values().max_by_key(|round| round.opened_at).expect("there is a round")
    }

    pub(super) fn kind(&self) -> Option<VerdictKind> {
        self.round().verdict.as_ref().map(|verdict| verdict.kind)
    }

    pub(super) fn run_of(&self, name: &str) -> &Run {
        let runs = self.mesh().runs().values().filter(|run| run.node == node(name) && run.task == TaskKind::Backup);
        runs.max_by_key(|run| run.queued_at).expect("the node has a run")
    }

    pub(super) fn open_alerts(&self) -> Vec<String> {
        self.mesh().open_alerts().map(|record| record.alert.key.0.clone()).collect()
    }

    pub(super) fn is_open(&self, key: &str) -> bool {
        self.mesh().open_alert(&AlertKey(key.to_owned())).is_some()
    }

    /// How often people were told of a key, raised and resolved.
    pub(super) fn told(&self, key: &str) -> (usize, usize) {
        let about = self.notices.iter().filter(|notice| notice.alert.key.0 == key);
        (
            about.clone().filter(|notice| notice.resolved.is_none()).count(),
            about.filter(|notice| notice.resolved.is_some()).count(),
        )
    }

    pub(super) fn decisions(&self, kind: &str) -> usize {
        self.log.iter().filter(|(_, logged)| logged.envelope.kind == kind).count()
    }

    /// Every decision once, however often the log repeats it.
    pub(super) fn decided(&self) -> impl Iterator<Item = CoordinatorFact> {
        let mut known = BTreeSet::new();
        let once = self.log.iter().filter(move |(_, logged)| known.insert(logged.envelope.id));
        once.filter_map(|(_, logged)| {
            CoordinatorFact::decode(&logged.envelope.kind, &logged.envelope.body).ok().flatten()
        })
    }
}

impl Agent {
    pub(super) fn beat(&self, id: &NodeId, now: Timestamp) -> Beat {
        let live = self.live.keys().map(|run| LiveRun { run: *run, idle_ms: 0, progress: None }).collect();
        Beat {
            epoch: self.obeyed,
            node: id.clone(),
            incarnation: self.incarnation,
            version: "1".to_owned(),
            next_seq: self.seq + self.outbox.len() as u64,
            // What was said is kept for a while.
            outbox: (self.written.len().saturating_sub(self.kept_from) + self.outbox.len()) as u64,
            vitals: Vitals { targets: self.targets.clone(), ..Vitals::default() },
            live,
            paused: self.paused.clone(),
            sent_at: now,
        }
    }
}

pub(super) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(super) fn routine() -> RoutineName {
    "nightly".parse().unwrap()
}

pub(super) fn slot() -> Timestamp {
    SLOT.parse().unwrap()
}

pub(super) fn plan() -> PlanAnnouncement {
    PlanAnnouncement {
        routine: routine(),
        hash: "h1".to_owned(),
        driver: "rustic".to_owned(),
        target: "nas".parse().unwrap(),
        repository: Some("repo1".parse().unwrap()),
        can_witness: true,
        lock: RepositoryLock::Shared,
        calendar: Some("*-*-* 02:00:00".to_owned()),
        zone: "UTC".to_owned(),
        start_within: Duration::from_secs(3600),
        finish_within: Duration::from_secs(8 * 3600),
        stall_after: Duration::from_secs(1800),
        rpo: None,
        labels: BTreeMap::new(),
        guards: Guards::default(),
        storage: None,
        priority: 0,
        card: None,
        builds_on: None,
    }
}

pub(super) fn about(
    run: RunId,
    round: RoundId,
    routine: RoutineName,
    slot: Option<Timestamp>,
    task: TaskKind,
    trigger: Trigger,
) -> RunAbout {
    RunAbout {
        run,
        round,
        routine,
        slot,
        task,
        trigger,
        plan_hash: "h1".to_owned(),
        repository: Some("repo1".parse().unwrap()),
    }
}

pub(super) fn report(now: Timestamp, about: &RunAbout, outcome: Outcome, reason: Reason) -> RunReport {
    let landed = outcome.is_good() || outcome == Outcome::Partial;
    let evidence = landed.then(|| Evidence {
        repository: about.repository.clone(),
        snapshot: "s1".to_owned(),
        taken_at: now,
        level: ProofLevel::Landed,
        matches: 1,
        covers_sources: outcome != Outcome::Partial,
        files: 10,
        bytes: 1000,
        read_at: now,
    });
    RunReport {
        outcome,
        reason,
        message: format!("it ended {outcome}"),
        started_at: now,
        finished_at: now,
        attempts: 1,
        exit: None,
        statistics: Statistics::default(),
        evidence: if about.task == TaskKind::Backup { evidence } else { None },
        unread: Unread::default(),
        findings: Vec::new(),
        tail: "the end of the log".to_owned(),
    }
}

pub(super) fn command_of(purpose: &str, run: RunId) -> CommandId {
    CommandId::of(purpose, run.0, "1")
}
