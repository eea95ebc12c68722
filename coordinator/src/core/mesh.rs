//! The state: everything that the log says, what beats say, and the indexes that make looking at it cheap.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use landfall_proto::alert::AlertKey;
use landfall_proto::control::{Reply, Request};
use landfall_proto::envelope::{Epoch, Position};
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{
    ClusterName, CommandId, Holder, Incarnation, NodeId, RepositoryId, RoundId, RoutineName, RunId,
};
use landfall_proto::limit::LimitName;
use landfall_proto::live::{Digest, SYNC_HALVES_MAX, Sync};
use landfall_proto::report::TaskKind;
use landfall_proto::time::{Timestamp, after};
use landfall_proto::view::RunState;
use uuid::Uuid;

use super::agenda::{Agenda, Matter};
use super::command::Purpose;
use super::digest::Peer;
use super::leader;
use super::monitor::{Monitor, PingKey};
use super::node::{Live, Node};
use super::permits::{Queue, Usage};
use super::record::{AlertRecord, Leader, Meta};
use super::round::Round;
use super::routine::Routine;
use super::run::{Run, Stage};
use super::sight::Eyes;
use super::space::SpaceHistory;
use super::step::Ticket;
use super::touched::Touched;
use super::writer::{Writer, WriterKey};

/// Queued runs that are named to a node.
const SYNC_QUEUED_MAX: usize = 100;

/// The coordinator's whole state. Only [`super::step::step`] changes it.
#[derive(Debug, Clone)]
pub struct Mesh {
    pub(super) me: Me,
    pub(super) meta: Meta,
    pub(super) writers: BTreeMap<WriterKey, Writer>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) routines: BTreeMap<RoutineName, Routine>,
    pub(super) rounds: BTreeMap<RoundId, Round>,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) limits: BTreeMap<LimitName, u32>,
    pub(super) monitors: BTreeMap<RoutineName, Monitor>,
    pub(super) ping_keys: BTreeMap<String, PingKey>,
    /// The room of storages over days, by name.
    pub(super) spaces: BTreeMap<String, SpaceHistory>,
    /// Raised alerts by their own id; resolved ones leave memory once there are many.
    pub(super) alerts: BTreeMap<Uuid, AlertRecord>,
    pub(super) index: Index,
    pub(super) live: BTreeMap<NodeId, Live>,
    pub(super) process: Process,
    pub(super) agenda: Agenda,
    pub(super) touched: Touched,
}

/// Which coordinator process this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    pub cluster: ClusterName,
    pub holder: Holder,
    /// Fresh at each start of the process.
    pub incarnation: Incarnation,
}

/// What follows from the records and is kept up to date with them.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) queue: Queue,
    pub(super) usage: Usage,
    /// Runs of rounds that no fact has opened.
    pub(super) strays: BTreeMap<RoundId, BTreeSet<RunId>>,
    /// The latest slot that a node has begun, by routine and task: earlier ones are not worth starting.
    pub(super) begun: BTreeMap<(NodeId, RoutineName, TaskKind), Timestamp>,
    /// Nodes that can list a repository for others.
    pub(super) witnesses: BTreeMap<RepositoryId, BTreeSet<NodeId>>,
    pub(super) open_alerts: BTreeMap<AlertKey, Uuid>,
    /// Keys of open alerts by what has to be looked at to judge them.
    pub(super) alerts_about: BTreeMap<Matter, BTreeSet<AlertKey>>,
    pub(super) resolved_alerts: BTreeSet<(Timestamp, Uuid)>,
    /// Nodes with an open alert that says that two machines share their identity.
    pub(super) quarantined: BTreeSet<NodeId>,
    /// Concluded rounds in memory, oldest first, and how many runs they have.
    pub(super) concluded: BTreeSet<(Timestamp, RoundId)>,
    pub(super) concluded_runs: usize,
}

/// What dies with the process.
#[derive(Debug, Clone, Default)]
pub(super) struct Process {
    /// The first instant this process saw.
    pub(super) since: Option<Timestamp>,
    /// The last one.
    pub(super) latest: Option<Timestamp>,
    /// Whether its ledger held anything when it began.
    pub(super) has_memory: bool,
    pub(super) eyes: Eyes,
    /// When this process began to lead, or to see the log again while it led.
    pub(super) leading_since: Option<Timestamp>,
    /// When another leader was last heard.
    pub(super) other_led_at: Option<Timestamp>,
    /// When the leader said that it ends.
    pub(super) leader_ended_at: Option<Timestamp>,
    pub(super) claimed_at: Option<Timestamp>,
    /// A node refused this leader's command, because it has obeyed another one of this epoch or a higher one.
    pub(super) is_outranked: bool,
    /// Claims that were made for that reason since a node last obeyed.
    pub(super) outranked: u32,
    /// What the state was at the last positions where everybody takes a digest.
    pub(super) digests: VecDeque<Digest>,
    pub(super) peers: BTreeMap<(Holder, Incarnation), Peer>,
    /// The leader whose state is another one.
    pub(super) diverged: Option<Holder>,
    /// Own facts on their way through the log, in order.
    pub(super) flights: VecDeque<Flight>,
    pub(super) flights_blocking: usize,
    pub(super) asks: VecDeque<(Ticket, Request)>,
    /// Commands that may have to be sent again.
    pub(super) commands: BTreeMap<CommandId, Purpose>,
    /// Under which epoch each was last sent.
    pub(super) sent_under: BTreeMap<CommandId, Epoch>,
    /// When a node began to fail with a routine.
    pub(super) failing_since: BTreeMap<(RoutineName, NodeId), Timestamp>,
    /// Witness commands that were refused: no answer will come.
    pub(super) refused_witnesses: BTreeSet<CommandId>,
    /// Reminders that were handed out and do not stand in the log: which one, and when.
    pub(super) reminded: BTreeMap<(Uuid, String), (u32, Timestamp)>,
}

/// One own fact on its way through the log.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    /// Whether nothing else may be decided before it is back.
    pub(super) blocking: bool,
    pub(super) reply: Option<(Ticket, Reply)>,
}

impl Mesh {
    /// A mesh that knows nothing.
    pub fn new(cluster: ClusterName, holder: Holder, incarnation: Incarnation) -> Self {
        Self {
            me: Me { cluster, holder, incarnation },
            meta: Meta::default(),
            writers: BTreeMap::new(),
            nodes: BTreeMap::new(),
            routines: BTreeMap::new(),
            rounds: BTreeMap::new(),
            runs: BTreeMap::new(),
            limits: BTreeMap::new(),
            monitors: BTreeMap::new(),
            ping_keys: BTreeMap::new(),
            spaces: BTreeMap::new(),
            alerts: BTreeMap::new(),
            index: Index::default(),
            live: BTreeMap::new(),
            process: Process::default(),
            agenda: Agenda::default(),
            touched: Touched::default(),
        }
    }

    pub const fn me(&self) -> &Me {
        &self.me
    }

    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The last position of the log that is folded: where to read on.
    pub const fn cursor(&self) -> Position {
        self.meta.cursor
    }

    /// The highest accepted epoch.
    pub const fn epoch(&self) -> Epoch {
        self.meta.epoch
    }

    pub const fn leader(&self) -> Option<&Leader> {
        self.meta.leader.as_ref()
    }

    /// Whether the log says that this very process leads.
    pub fn leads(&self) -> bool {
        self.leader().is_some_and(|leader| leader.holder == self.me.holder && leader.incarnation == self.me.incarnation)
    }

    pub const fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    pub const fn routines(&self) -> &BTreeMap<RoutineName, Routine> {
        &self.routines
    }

    pub const fn rounds(&self) -> &BTreeMap<RoundId, Round> {
        &self.rounds
    }

    pub const fn runs(&self) -> &BTreeMap<RunId, Run> {
        &self.runs
    }

    /// Limits that were set by command.
    pub const fn limits(&self) -> &BTreeMap<LimitName, u32> {
        &self.limits
    }

    /// Raised alerts by their own id, the latest resolved ones included.
    pub const fn alerts(&self) -> &BTreeMap<Uuid, AlertRecord> {
        &self.alerts
    }

    pub fn open_alert(&self, key: &AlertKey) -> Option<&AlertRecord> {
        self.alerts.get(self.index.open_alerts.get(key)?)
    }

    pub fn open_alerts(&self) -> impl Iterator<Item = &AlertRecord> {
        self.index.open_alerts.values().filter_map(|id| self.alerts.get(id))
    }

    /// What a node's beats say; absent where none was heard since this process started.
    pub fn live(&self, node: &NodeId) -> Option<&Live> {
        self.live.get(node)
    }

    /// Runs that wait, in the order in which they are looked at.
    pub fn queue(&self, now: Timestamp) -> impl Iterator<Item = &Run> {
        self.index.queue.in_order(now).filter_map(|id| self.runs.get(&id))
    }

    pub fn queued_count(&self) -> usize {
        self.index.queue.len()
    }

    pub const fn active_count(&self) -> u32 {
        self.index.usage.active()
    }

    /// Own facts that were handed out and have not come back.
    pub fn in_flight(&self) -> usize {
        self.process.flights.len()
    }

    /// Whether own decisions are on their way, so that nothing else is decided.
    pub const fn is_deciding(&self) -> bool {
        self.process.flights_blocking > 0
    }

    /// Whether the node's beats come in. False says nothing about how it is.
    pub fn is_online(&self, node: &NodeId, now: Timestamp) -> bool {
        self.live.get(node).is_some_and(|live| live.is_heard(now))
    }

    /// A run's state as people know it.
    pub fn run_state(&self, run: &Run, now: Timestamp) -> RunState {
        match (run.stage, &run.end) {
            (_, Some(end)) => RunState::of(end.outcome),
            (Stage::Queued | Stage::Ended, None) => RunState::Queued,
            (Stage::Sent | Stage::Running, None) if !self.is_online(&run.node, now) => RunState::Unknown,
            (Stage::Sent | Stage::Running, None) if run.cancel.is_some() => RunState::Cancelling,
            (Stage::Sent, None) => RunState::Sent,
            (Stage::Running, None) => RunState::Running,
        }
    }

    /// What the leader tells a node after a commit; `None` where no beat of it was heard.
    pub fn sync_for(&self, node: &NodeId) -> Option<Sync> {
        let live = self.live.get(node)?;
        let writer = self.writers.get(&(node.as_str().to_owned(), live.incarnation));
        let durable_below = writer.map_or(0, |writer| writer.next_seq);
        let is_behind = live.next_seq_before.is_some_and(|before| before > durable_below);
        let resend_from = if is_behind { Some(durable_below) } else { writer.and_then(Writer::hole) };
        let known = self.nodes.get(node).and_then(|node| node.announced).map(|(incarnation, _)| incarnation);
        let queued = self.index.queue.of_node(node).take(SYNC_QUEUED_MAX).collect();
        let announce = known != Some(live.incarnation);
        Some(Sync {
            epoch: self.meta.epoch,
            incarnation: live.incarnation,
            durable_below,
            last_halves: writer.map_or_else(Vec::new, |writer| writer.halves_below(durable_below, SYNC_HALVES_MAX)),
            resend_from,
            queued,
            announce,
        })
    }

    /// Notes the instant; the first one is when this process began to listen.
    ///
    /// A clock that was set back has left every wake-up too far ahead, and every memory of an instant in the future: what was
    /// noted is taken for as late as now, and everything is looked at again.
    pub(super) fn begin(&mut self, now: Timestamp) {
        let process = &mut self.process;
        let was_set_back = process.latest.replace(now).is_some_and(|latest| now < latest);
        process.since = Some(process.since.map_or(now, |since| since.min(now)));
        if !was_set_back {
            return;
        }
        let noted = [
            &mut process.eyes.since,
            &mut process.leading_since,
            &mut process.other_led_at,
            &mut process.leader_ended_at,
            &mut process.claimed_at,
        ];
        for at in noted.into_iter().flatten() {
            *at = (*at).min(now);
        }
        for live in self.live.values_mut() {
            live.last_beat_at = live.last_beat_at.min(now);
        }
        if self.leads() {
            self.mark_everything();
        }
    }

    /// Without the lead there is nothing to look at; a leader that begins looks at everything.
    pub(super) fn rest(&mut self) {
        self.agenda.clear();
        self.process.commands.clear();
        self.process.sent_under.clear();
        self.process.refused_witnesses.clear();
        self.process.reminded.clear();
    }

    pub(super) fn advance(&mut self, now: Timestamp) {
        self.agenda.advance(now);
    }

    /// When the core has to be woken at the latest.
    pub(super) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_deciding() || !self.sees_the_log() {
            return None;
        }
        let claim = leader::claim_at(self);
        if !self.leads() {
            return claim;
        }
        // Matters that a full batch left over are due at once.
        let matter = if self.agenda.is_due() { Some(now) } else { self.agenda.first_instant() };
        claim.into_iter().chain(matter).min()
    }

    /// Hands out a decision: nothing else is decided until it is back.
    pub(super) fn hand_out(
        &mut self,
        fact: CoordinatorFact,
        reply: Option<(Ticket, Reply)>,
        facts: &mut Vec<CoordinatorFact>,
    ) {
        self.process.flights.push_back(Flight { blocking: true, reply });
        self.process.flights_blocking += 1;
        facts.push(fact);
    }

    /// Hands out a fact that only notes what happened.
    pub(super) fn note(&mut self, fact: CoordinatorFact, facts: &mut Vec<CoordinatorFact>) {
        self.process.flights.push_back(Flight { blocking: false, reply: None });
        facts.push(fact);
    }

    pub(super) fn refused(&mut self, position: Position, name: &str) {
        let position = Position { era: position.era.max(self.meta.cursor.era), ..position };
        if self.passes(position) {
            *self.meta.refused.entry(name.to_owned()).or_default() += 1;
            self.take_digest(false);
        }
    }

    /// Moves the cursor; false where the position lies behind it.
    pub(super) fn passes(&mut self, position: Position) -> bool {
        let before = self.meta.cursor;
        let is_new = (position.era, position.seq) > (before.era, before.seq);
        if is_new {
            self.meta.cursor = position;
            self.touched.meta = true;
        }
        is_new
    }

    /// When results that were on their way when this process began to lead must have come.
    pub(super) fn settled_at(&self, policy: &super::Policy) -> Timestamp {
        self.process.leading_since.map_or(Timestamp::MAX, |since| after(since, policy.settle_within))
    }
}
