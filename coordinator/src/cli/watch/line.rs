//! One entry of the log as a line of JSON: identity, position, kind and the decoded body.

use landfall_proto::bus::LogMessage;
use landfall_proto::codec::Refusal;
use landfall_proto::envelope::Envelope;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{Incarnation, NodeId};
use landfall_proto::subject::Topic;
use landfall_proto::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// What stands at one position.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Fact(Box<FactLine>),
    Refused(RefusedLine),
}

/// A fact with its identity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct FactLine {
    pub(super) position: u64,
    /// When the bus stored it, by its clock.
    pub(super) stored_at: Timestamp,
    pub(super) id: Uuid,
    pub(super) writer: String,
    /// Present where the writer is a node.
    pub(super) node: Option<NodeId>,
    pub(super) incarnation: Incarnation,
    pub(super) seq: u64,
    pub(super) kind: String,
    /// By the writer's clock.
    pub(super) sent_at: Timestamp,
    /// False where a newer build wrote a kind that this one does not know; `body` is null then.
    pub(super) known: bool,
    pub(super) body: Option<Body>,
}

/// The decoded body.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, between the log and the screen")]
pub(super) enum Body {
    Agent(AgentFact),
    Coordinator(CoordinatorFact),
}

/// A message that no reader accepts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RefusedLine {
    pub(super) position: u64,
    pub(super) stored_at: Timestamp,
    pub(super) subject: String,
    /// The refusal's stable name.
    pub(super) refused: &'static str,
    pub(super) why: String,
}

/// Reads one entry; never fails, because what cannot be read is shown as such.
pub(super) fn read(message: &LogMessage) -> Line {
    match message.fact().and_then(|(topic, envelope)| Ok((body(&topic, &envelope)?, topic, envelope))) {
        Ok((body, topic, envelope)) => Line::Fact(Box::new(FactLine {
            position: message.seq,
            stored_at: message.time,
            id: envelope.id,
            writer: envelope.writer,
            node: if let Topic::NodeFact(node) = topic { Some(node) } else { None },
            incarnation: envelope.incarnation,
            seq: envelope.seq,
            kind: envelope.kind,
            sent_at: envelope.sent_at,
            known: body.is_some(),
            body,
        })),
        Err(refusal) => Line::Refused(RefusedLine {
            position: message.seq,
            stored_at: message.time,
            subject: message.subject.chars().take(300).collect(),
            refused: refusal.name(),
            why: refusal.to_string(),
        }),
    }
}

fn body(topic: &Topic, envelope: &Envelope) -> Result<Option<Body>, Refusal> {
    match topic {
        Topic::NodeFact(_) => AgentFact::decode(&envelope.kind, &envelope.body).map(|fact| fact.map(Body::Agent)),
        Topic::CoordinatorFact(_) => {
            CoordinatorFact::decode(&envelope.kind, &envelope.body).map(|fact| fact.map(Body::Coordinator))
        }
        Topic::Command(_)
        | Topic::Sync(_)
        | Topic::Beacon
        | Topic::Beat(_)
        | Topic::Live(..)
        | Topic::Out(..)
        | Topic::Control(_) => Err(Refusal::WrongKind { kind: envelope.kind.chars().take(80).collect() }),
    }
}

impl Line {
    pub(super) const fn position(&self) -> u64 {
        match self {
            Self::Fact(fact) => fact.position,
            Self::Refused(refused) => refused.position,
        }
    }

    /// The writer's own instant, or the bus's where there is no readable one.
    pub(super) const fn at(&self) -> Timestamp {
        match self {
            Self::Fact(fact) => fact.sent_at,
            Self::Refused(refused) => refused.stored_at,
        }
    }

    pub(super) fn writer(&self) -> &str {
        match self {
            Self::Fact(fact) => &fact.writer,
            Self::Refused(refused) => &refused.subject,
        }
    }

    /// Absent where the message was refused.
    pub(super) const fn kind(&self) -> Option<&String> {
        match self {
            Self::Fact(fact) => Some(&fact.kind),
            Self::Refused(_) => None,
        }
    }
}
