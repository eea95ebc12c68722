//! The only door to the core: an input goes in; decisions, effects and the next wake-up come out.

use landfall_proto::alert::Alert;
use landfall_proto::command::{Answer, Command};
use landfall_proto::control::{Reply, Request};
use landfall_proto::envelope::{Envelope, Position};
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::{AlertDelivered, CoordinatorFact};
use landfall_proto::id::{CommandId, Holder, NodeId};
use landfall_proto::live::{Beacon, Beat, Presence};
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use super::mesh::Mesh;
use super::policy::Policy;
use super::record::Resolved;
use super::sight::LogSight;
use super::{ask, command, decide, fold, ping, tell};

/// Everything that can wake the core.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "each value is moved a few times and none is kept in numbers")]
pub enum Input {
    /// A message of the log, in log order.
    Logged(Position, Logged),
    /// A message of the log that was refused, by the refusal's name. It is counted, and the cursor passes it.
    Refused(Position, &'static str),
    /// A node's beat.
    Heard(Beat),
    /// A leader's beacon, one's own included.
    Led(Beacon),
    /// A coordinator's presence, one's own included.
    Present(Presence),
    /// What the bus says of the log, about once a second; without it for [`SIGHT_FOR`](super::sight::SIGHT_FOR) nothing is
    /// decided. `None` says at once that the log is out of sight: the link is down, or the bus does not answer.
    Sight(Option<LogSight>),
    /// The log is another one than was read before, or has lost its tail from this sequence on. It has to be handed in again
    /// from its start, and own facts on their way may be lost: the process begins again from its ledger, under a fresh
    /// incarnation.
    LogReplaced(Option<u64>),
    /// The bus reported that this node's client is disconnected.
    Gone(NodeId),
    /// An operator's request that acts: start, cancel, retry, retire, set a limit. Reads never come here.
    Asked(Ticket, Request),
    /// The reply to a command; `None` is no answer, which says nothing about what became of the command.
    Answered(CommandId, Option<Answer>),
    /// A notice was delivered, or given up.
    Delivered(Delivery),
    /// The instant of `wake_at` has come.
    Woke,
}

/// A message of the log with its fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Body included.
    pub envelope: Envelope,
    /// Absent where this build does not know the kind or cannot read the body: the identity counts, the content does not.
    pub fact: Option<Fact>,
}

/// What a message of the log says, and on whose subject it came.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "each value is moved a few times and none is kept in numbers")]
pub enum Fact {
    Agent(NodeId, AgentFact),
    Coordinator(Holder, CoordinatorFact),
}

/// Names an operator's request, so that its reply finds the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// How the delivery of one notice to one sink ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The alert's id.
    pub id: Uuid,
    pub resolved: bool,
    /// The notice's own.
    pub reminder: u32,
    pub sink: String,
    pub attempts: u32,
    /// What the sink said when it took it.
    pub answer: Option<String>,
    /// Absent where the sink took it.
    pub error: Option<String>,
    pub at: Timestamp,
}

/// Something done to the world. Each carries an id on which its receiver dedupes.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "each value is moved a few times and none is kept in numbers")]
pub enum Effect {
    /// Sign it, send it, and hand the reply in as [`Input::Answered`].
    Command(NodeId, Command),
    /// Deliver it to its sinks, and hand each result in as [`Input::Delivered`].
    Notify(Notice),
    Reply(Ticket, Reply),
}

/// An alert on its way to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub alert: Alert,
    pub raised_at: Timestamp,
    /// Absent while the alert is open.
    pub resolved: Option<Resolved>,
    /// How often these sinks have been told the same before.
    pub reminder: u32,
    /// The sinks that have not had it.
    pub sinks: Vec<String>,
}

/// What one input led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// To be published in this order, under this process's next sequences, and read back from the log.
    pub facts: Vec<CoordinatorFact>,
    /// To be performed once the ledger has committed.
    pub effects: Vec<Effect>,
    /// When to hand in [`Input::Woke`] at the latest.
    pub wake_at: Option<Timestamp>,
}

impl Logged {
    /// A message from a node's subject. A body that cannot be read leaves no hole in its writer's sequence.
    pub fn from_node(node: NodeId, envelope: Envelope) -> Self {
        let fact = AgentFact::decode(&envelope.kind, &envelope.body).ok().flatten();
        Self { fact: fact.map(|fact| Fact::Agent(node, fact)), envelope }
    }

    /// A message from a coordinator's subject.
    pub fn from_coordinator(holder: Holder, envelope: Envelope) -> Self {
        let fact = CoordinatorFact::decode(&envelope.kind, &envelope.body).ok().flatten();
        Self { fact: fact.map(|fact| Fact::Coordinator(holder, fact)), envelope }
    }
}

/// Hands one input to the mesh. Decisions are made only while the log is in sight and none of this process's own are on their
/// way through it.
pub fn step(mesh: &mut Mesh, policy: &Policy, now: Timestamp, input: Input) -> Step {
    let mut step = Step::default();
    mesh.begin(now);
    // Who stood still until now went out of sight meanwhile, whatever comes first when he wakes.
    mesh.look_around(now);
    match input {
        Input::Logged(position, logged) => fold::logged(mesh, policy, now, position, logged, &mut step.effects),
        Input::Refused(position, name) => mesh.refused(position, name),
        Input::Heard(beat) => mesh.heard(beat, policy, now),
        Input::Led(beacon) => mesh.led(&beacon, now),
        Input::Present(presence) => mesh.present(presence, now),
        Input::Sight(sight) => mesh.process.eyes.log = sight,
        Input::LogReplaced(lost_from) => mesh.log_replaced(lost_from, now),
        Input::Gone(node) => mesh.gone(&node),
        Input::Asked(ticket, Request::Ping { to, ping }) => ping::admit(mesh, now, ticket, &to, ping, &mut step),
        Input::Asked(ticket, request) => ask::admit(mesh, ticket, request, &mut step.effects),
        Input::Answered(id, answer) => command::answered(mesh, now, id, answer, &mut step.facts),
        Input::Delivered(delivery) => delivered(mesh, delivery, &mut step.facts),
        Input::Woke => {}
    }
    mesh.look_around(now);
    mesh.advance(now);
    if !mesh.leads() {
        mesh.rest();
    } else if mesh.sees_the_log() {
        command::again(mesh, now, &mut step.effects);
        tell::remind(mesh, policy, now, &mut step.effects);
    }
    if !mesh.is_deciding() {
        ask::answer(mesh, policy, now, &mut step);
    }
    if !mesh.is_deciding() && mesh.sees_the_log() {
        decide::decide(mesh, policy, now, &mut step.facts);
    }
    step.wake_at = mesh.wake_at(now);
    step
}

/// A delivery is noted by the leader; a coordinator that lost the lead leaves it to its successor, whose receivers dedupe.
fn delivered(mesh: &mut Mesh, delivery: Delivery, facts: &mut Vec<CoordinatorFact>) {
    if !mesh.leads() || tell::is_delivered(mesh, &delivery) {
        return;
    }
    let Delivery { id, resolved, reminder, sink, attempts, answer, error, at } = delivery;
    let epoch = mesh.epoch();
    let fact = AlertDelivered { epoch, id, sink, resolved, attempts, error, at, reminder, answer };
    mesh.note(fact.into(), facts);
}
