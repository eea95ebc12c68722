//! One coordinator: the real core, and a model of the loop around it, of its ledger and of its clock.
//!
//! The loop is that of the real shell: log, fold, commit, act. A trap kills the process, or its machine, between any two of these.

mod intake;
mod ledger;
mod publish;
mod turn;

use std::collections::BTreeSet;

use landfall::audit::{CoordinatorTrace, Restored};
use landfall::core::Mesh;
use landfall::core::policy::Policy;
use landfall::core::record::Records;
use landfall::core::step::{Effect, Input, Notice, Ticket, step};
use landfall_proto::command::Command;
use landfall_proto::control::Reply;
use landfall_proto::envelope::{ContentHash, Envelope, Position};
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{ClusterName, Holder, Incarnation, NodeId};
use landfall_proto::live::{Beacon, Presence, Sync};
use landfall_proto::time::{Duration, Timestamp, after, between};
use serde::{Deserialize, Serialize};

pub use intake::{Asked, Looks, Reader};
pub use ledger::Ledger;
pub use publish::{Attempt, Publisher};

use crate::bus::shifted;
use crate::mutant::{Mutant, Mutants};

/// Without a wish the core is looked at once a minute all the same, as in the real loop.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// The process: what was written stays in the page cache.
    Process,
    /// The machine: what was not behind a barrier may be lost.
    Machine,
}

/// Between which two of its steps a coordinator dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Decided, and nothing has left.
    Decided,
    /// Handed to the bus, not committed.
    Published,
    /// Committed, no effect done.
    Committed,
    /// One effect done, the others not.
    HalfActed,
    /// Everything done, nothing durable yet.
    Acted,
    /// Behind the barrier, and no node has been told.
    Durable,
}

/// What a coordinator wants done.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each value is moved once or twice and none is kept in numbers")]
pub enum Out {
    Publish {
        attempt: Attempt,
        envelope: Envelope,
    },
    /// When unconfirmed facts of a window count as unknown.
    GiveUpAt {
        at: Timestamp,
        round: u64,
    },
    PublishAgainAt(Timestamp),
    Beacon(Beacon),
    Presence(Presence),
    Sync(NodeId, Sync),
    Command(NodeId, Command),
    Notify(Notice),
    Reply(Ticket, Reply),
    /// The log is missing: make it.
    EnsureLog,
    /// The loop has ended by itself and begins again, under a fresh incarnation, from the ledger.
    Again(&'static str),
    /// The state differs from the leader's: the loop has ended, and begins again with what the leader has.
    Diverged(Holder),
    /// The disk of the ledger is full: the loop has ended, and begins again from the ledger once there is room.
    LedgerFull,
    /// The trap was sprung.
    Died(Boundary, Power),
    /// A kind of bad luck took effect.
    Hit(&'static str),
    Note(String),
}

/// One coordinator's machine.
#[derive(Debug)]
pub struct Coordinator {
    pub cluster: ClusterName,
    pub holder: Holder,
    pub policy: Policy,
    pub ledger: Ledger,
    /// How far its clock is off, in milliseconds.
    pub skew_ms: i64,
    /// Stopped by a signal: it does nothing, and what comes waits for it.
    pub is_paused: bool,
    pub trap: Option<(Boundary, Power)>,
    pub process: Option<Process>,
    /// One per life of the process, the latest last.
    pub lives: Vec<CoordinatorTrace>,
    /// The first life that went on with this ledger: what earlier ones knew was given up for another coordinator's state.
    goes_on_from: usize,
    /// The state in which the last life ended, at whatever position.
    ended_as: Option<(Position, ContentHash)>,
    /// Core steps since the beginning.
    pub steps: u64,
    pub mutants: Mutants,
}

/// What dies with the process.
#[derive(Debug)]
pub struct Process {
    pub mesh: Mesh,
    pub incarnation: Incarnation,
    next_seq: u64,
    pub publisher: Publisher,
    pub reader: Reader,
    looks: Looks,
    facts: Vec<CoordinatorFact>,
    effects: Vec<Effect>,
    /// Nodes that were heard and get a word back.
    heard: BTreeSet<NodeId>,
    began: Timestamp,
    other_led_at: Option<Timestamp>,
    flying_since: Option<Timestamp>,
    is_log_replaced: bool,
    is_dirty: bool,
    /// By the true clock.
    pub wake_at: Timestamp,
}

impl Coordinator {
    pub fn new(cluster: ClusterName, holder: Holder, policy: Policy) -> Self {
        Self {
            cluster,
            holder,
            policy,
            ledger: Ledger::default(),
            skew_ms: 0,
            is_paused: false,
            trap: None,
            process: None,
            lives: Vec::new(),
            goes_on_from: 0,
            ended_as: None,
            steps: 0,
            mutants: Mutants::NONE,
        }
    }

    /// What its own clock shows.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        shifted(now, self.skew_ms)
    }

    pub const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub fn leads(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.mesh.leads())
    }

    /// Starts the process from what the ledger holds.
    pub fn boot(&mut self, now: Timestamp, incarnation: Incarnation, out: &mut Vec<Out>) {
        let mut records = self.ledger.load();
        if self.mutants.is(Mutant::RestoreLosesRecord) {
            records.runs.pop_last();
        }
        let cursor = records.meta.cursor;
        let reader = Reader::open(cursor);
        let mesh = Mesh::restore(self.cluster.clone(), self.holder.clone(), incarnation, records);
        let was = self.known_digest(cursor);
        let restored =
            (cursor != Position::START).then(|| Restored { at: now, position: cursor, was, became: mesh.digest() });
        self.process = Some(Process {
            mesh,
            incarnation,
            next_seq: 0,
            publisher: Publisher::default(),
            reader,
            looks: Looks::open(cursor),
            facts: Vec::new(),
            effects: Vec::new(),
            heard: BTreeSet::new(),
            began: now,
            other_led_at: None,
            flying_since: None,
            is_log_replaced: false,
            is_dirty: false,
            wake_at: now,
        });
        self.lives.push(life(self.holder.clone(), incarnation, restored));
        self.feed(now, Input::Woke);
        self.finish(now, out);
    }

    /// What an earlier life of this process found at the same position; a life that died in between cannot be compared.
    fn known_digest(&self, cursor: Position) -> Option<ContentHash> {
        let ended_as =
            self.ended_as.filter(|(position, _)| *position == cursor && self.lives.len() > self.goes_on_from);
        // A life that stood down had another state, and left it for the leader's.
        let own = || self.lives.iter().skip(self.goes_on_from).filter(|life| !life.stood_down);
        let known =
            || own().flat_map(|life| life.digests.iter()).rev().find(|(position, _)| *position == cursor).copied();
        let has_stood_down = self.lives.last().is_some_and(|life| life.stood_down);
        ended_as.filter(|_| !has_stood_down).or_else(known).map(|(_, digest)| digest)
    }

    /// The process is gone. What its state was is kept, to be held against what is built from its ledger.
    pub fn end(&mut self) {
        if let (Some(process), Some(life)) = (self.process.take(), self.lives.last_mut()) {
            // What a full disk did not take is in no ledger.
            if self.ledger.is_full {
                self.ended_as = None;
                return;
            }
            let ended_as = (process.mesh.cursor(), process.mesh.digest());
            self.ended_as = Some(ended_as);
            // At the beginning of an era that nobody has claimed yet each stands where it had read to in the one before.
            if ended_as.0.seq > 0 {
                life.digests.push(ended_as);
            }
        }
    }

    /// Another coordinator's state becomes this one's.
    pub fn take_over(&mut self, records: Records) {
        self.ledger.replace(records);
        self.goes_on_from = self.lives.len();
    }

    /// Keeps how large the parts of the state were at most.
    pub fn measure(&mut self) {
        let (Some(process), Some(life)) = (&self.process, self.lives.last_mut()) else { return };
        for part in process.mesh.sizes() {
            let (size, most) = (part.size as u64, part.most as u64);
            match life.sizes.iter_mut().find(|(name, ..)| name == part.name) {
                Some((_, known, _)) => *known = size.max(*known),
                None => life.sizes.push((part.name.to_owned(), size, most)),
            }
        }
    }

    /// The process, or its machine, stops at this instant. Returns how many committed transactions were lost.
    pub fn die(&mut self, power: Power, kept: usize) -> usize {
        self.end();
        self.is_paused = false;
        self.trap = None;
        match power {
            Power::Process => {
                self.ledger.process_died();
                0
            }
            Power::Machine => self.ledger.machine_died(kept),
        }
    }

    /// Hands one input to the core and keeps what comes of it for the end of the turn.
    pub fn feed(&mut self, now: Timestamp, input: Input) {
        let clock = self.clock(now);
        let Some(process) = &mut self.process else { return };
        self.steps += 1;
        let step = step(&mut process.mesh, &self.policy, clock, input);
        process.facts.extend(step.facts);
        process.effects.extend(step.effects);
        let wait = step.wake_at.map_or(LOOK_AGAIN, |at| between(clock, at));
        process.wake_at = after(now, wait.min(LOOK_AGAIN));
    }
}

fn life(holder: Holder, incarnation: Incarnation, restored: Option<Restored>) -> CoordinatorTrace {
    CoordinatorTrace {
        holder,
        incarnation,
        digests: Vec::new(),
        commands: Vec::new(),
        notices: Vec::new(),
        cursor: None,
        leads: false,
        sizes: Vec::new(),
        committed: Vec::new(),
        decided: Vec::new(),
        restored: restored.into_iter().collect(),
        ended_runs: None,
        undecided: Vec::new(),
        stood_down: false,
    }
}
