//! The world: one queue of events, one clock, one generator of chance; real cores at its ends, models in between.
//!
//! [`World`] is driven by verbs: acts of people, faults, and the passing of time. Whatever follows is a line of its trace.

pub(crate) mod bed;
mod coordinators;
mod ending;
mod event;
mod faults;
mod history;
mod nodes;
mod people;
mod queue;
mod rest;
mod route;
mod verbs;
mod weather;

use std::collections::{BTreeMap, VecDeque};

use landfall::core::policy::Policy;
use landfall_proto::id::{ClusterName, CommandId, NodeId};
use landfall_proto::limit::LimitName;
use landfall_proto::time::{Duration, Timestamp, after};

use crate::bus::{Bus, Link};
use crate::coordinator::Coordinator;
use crate::dice::{Dice, Stream};
use crate::fault::Planned;
use crate::hits::Hits;
use crate::mutant::{Mutant, Mutants};
use crate::node::{HostFault, Node, Repositories};
use crate::options::Options;
use crate::trace::Trace;
use event::{Client, Event, Letter};
use queue::Queue;
use route::Stuck;

/// Commands that were delivered lately, for those who send an old one again.
const OLD_COMMANDS_MAX: usize = 64;

/// A coordinator's place in the world.
#[derive(Debug)]
pub struct Seat {
    pub coordinator: Coordinator,
    pub link: Link,
    /// Which life of the process this is.
    life: u64,
    /// The earliest wake-up in the queue.
    woken_at: Option<Timestamp>,
    /// A reading of the log is under way.
    is_reading: bool,
    /// What came while it stood still.
    held: Vec<Event>,
    /// Whether it led when it was stopped by a signal.
    led_when_paused: bool,
}

/// A command whose answer somebody waits for.
#[derive(Debug)]
struct Question {
    seat: usize,
    life: u64,
    command: CommandId,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    pub options: Options,
    pub(crate) now: Timestamp,
    queue: Queue<Event>,
    pub(crate) dice: Dice,
    pub(crate) bus: Bus,
    pub(crate) nodes: Vec<Node>,
    by_id: BTreeMap<NodeId, Vec<usize>>,
    pub(crate) seats: Vec<Seat>,
    pub(crate) repositories: Repositories,
    pub hits: Hits,
    pub trace: Trace,
    pub mutants: Mutants,
    faults: Vec<Planned>,
    questions: BTreeMap<u64, Question>,
    next_question: u64,
    next_ticket: u64,
    old_commands: VecDeque<Letter>,
    /// What reached the bus while it stood still.
    held_by_bus: Vec<Event>,
    /// What waits in cut lines.
    stuck: Vec<Stuck>,
    /// Commands that leave again once their client is connected.
    late: Vec<(Client, Event)>,
    /// How many further commands to a node come late, and by how much.
    late_requests: BTreeMap<NodeId, (u32, Duration)>,
    sinks_fail: bool,
    /// How many repositories cannot be reached.
    unreachable: u32,
    /// Faults are over: what is still planned no longer begins.
    pub(crate) healed_at: Option<Timestamp>,
    pub steps: u64,
    pub events: u64,
}

impl World {
    /// A world in which nothing has started.
    ///
    /// # Panics
    ///
    /// Where the options hold a calendar or a zone that do not exist.
    pub fn new(options: Options, faults: Vec<Planned>, mutants: Mutants, is_traced: bool) -> Self {
        let cluster: ClusterName = "sim".parse().expect("the name is one");
        let dice = Dice::new(options.seed, Stream::World);
        let (mut nodes, repositories) = bed::nodes(&options, &cluster, mutants);
        nodes.iter_mut().for_each(|node| node.link.from_bus.loss_percent = options.loss_percent);
        let mut by_id: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            by_id.entry(node.id.clone()).or_default().push(index);
        }
        let mut policy = bed::policy(&options);
        if mutants.is(Mutant::ExceedLimit) {
            policy.limits.extend([(LimitName::Cluster, u32::MAX), (LimitName::Node, u32::MAX)]);
        }
        let mut seats: Vec<Seat> =
            (0..options.coordinators).map(|index| seat(&cluster, index, &policy, &options)).collect();
        seats.iter_mut().for_each(|seat| seat.coordinator.mutants = mutants);
        nodes.iter_mut().for_each(|node| node.host.plant(mutants));
        Self {
            now: options.start,
            queue: Queue::new(),
            dice,
            bus: Bus::new(),
            nodes,
            by_id,
            seats,
            repositories,
            hits: Hits::default(),
            trace: Trace::new(options.start, is_traced),
            mutants,
            faults,
            questions: BTreeMap::new(),
            next_question: 1,
            next_ticket: 1,
            old_commands: VecDeque::new(),
            held_by_bus: Vec::new(),
            stuck: Vec::new(),
            late: Vec::new(),
            late_requests: BTreeMap::new(),
            sinks_fail: false,
            unreachable: 0,
            healed_at: None,
            steps: 0,
            events: 0,
            options,
        }
    }

    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// How much virtual time has passed.
    pub fn passed(&self) -> Duration {
        landfall_proto::time::between(self.options.start, self.now)
    }

    /// Messages that the log ever took.
    pub fn messages(&self) -> usize {
        self.bus.ever().len()
    }

    /// Core steps so far, of agents and coordinators.
    pub fn core_steps(&self) -> u64 {
        self.steps + self.seats.iter().map(|seat| seat.coordinator.steps).sum::<u64>()
    }

    /// Starts every machine, spread over the first seconds, and plans the faults.
    pub fn start(&mut self) {
        for index in 0..self.seats.len() {
            let at = self.soon(0, 1500);
            self.queue.put(at, Event::CoordinatorBoots(index));
        }
        for index in 0..self.nodes.len() {
            let at = self.soon(0, 3000);
            let behaviour = self.fair_tool();
            self.nodes[index].host.fault(self.now, HostFault::Tool(behaviour));
            self.queue.put(at, Event::NodeBoots(index));
        }
        for (index, planned) in self.faults.iter().enumerate() {
            self.queue.put(after(self.options.start, planned.at), Event::Begins(index));
        }
    }

    /// Lets everything happen that happens until then.
    pub fn run_until(&mut self, until: Timestamp) {
        while self.step(until) {}
    }

    /// Lets one thing happen. False where nothing more happens until then: it is then now.
    pub fn step(&mut self, until: Timestamp) -> bool {
        let Some(at) = self.queue.first_at().filter(|at| *at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        let Some((_, event)) = self.queue.take() else { return false };
        self.now = self.now.max(at);
        self.events += 1;
        self.happen(event);
        true
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(after(self.now, time));
    }

    /// An instant between so many milliseconds from now.
    fn soon(&mut self, low_ms: u64, high_ms: u64) -> Timestamp {
        crate::bus::micros_after(self.now, self.dice.between(low_ms * 1000, high_ms * 1000))
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.trace.note(self.now, line);
    }
}

fn seat(cluster: &ClusterName, index: u32, policy: &Policy, options: &Options) -> Seat {
    let holder = bed::holder(index);
    Seat {
        coordinator: Coordinator::new(cluster.clone(), holder, policy.clone()),
        link: Link::new(options.delay_us),
        life: 0,
        woken_at: None,
        is_reading: false,
        held: Vec::new(),
        led_when_paused: false,
    }
}
