//! The log as a story reads it: every fact with its place, and the questions that tests ask about them.

use landfall_proto::alert::Alert;
use landfall_proto::bus::LogMessage;
use landfall_proto::codec::Refusal;
use landfall_proto::envelope::Envelope;
use landfall_proto::fact::agent::{AgentFact, RunFinished};
use landfall_proto::fact::coordinator::{CoordinatorFact, RoundOpened};
use landfall_proto::id::{NodeId, RoundId, RunId};
use landfall_proto::subject::Topic;
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::Verdict;

/// One entry of the log.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its position.
    pub seq: u64,
    /// When the bus stored it.
    pub at: Timestamp,
    pub fact: Fact,
    /// The message itself; absent where it is not one that a reader accepts.
    pub message: Option<(Topic, Envelope)>,
}

/// What an entry says.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a story's log has some hundreds of entries")]
pub enum Fact {
    Agent(NodeId, AgentFact),
    Coordinator(CoordinatorFact),
    /// A kind that this build does not know.
    Unknown(String),
    Refused(Refusal),
}

/// The log up to some position.
#[derive(Debug, Clone, Default)]
pub struct Log(pub Vec<Seen>);

impl Seen {
    pub fn of(message: &LogMessage) -> Self {
        let (seq, at) = (message.seq, message.time);
        match message.fact() {
            Ok((topic, envelope)) => {
                let fact = decoded(topic.clone(), &envelope);
                Self { seq, at, fact, message: Some((topic, envelope)) }
            }
            Err(refusal) => Self { seq, at, fact: Fact::Refused(refusal), message: None },
        }
    }

    pub fn agent(&self) -> Option<(&NodeId, &AgentFact)> {
        match &self.fact {
            Fact::Agent(node, fact) => Some((node, fact)),
            Fact::Coordinator(_) | Fact::Unknown(_) | Fact::Refused(_) => None,
        }
    }

    pub fn coordinator(&self) -> Option<&CoordinatorFact> {
        match &self.fact {
            Fact::Coordinator(fact) => Some(fact),
            Fact::Agent(..) | Fact::Unknown(_) | Fact::Refused(_) => None,
        }
    }
}

fn decoded(topic: Topic, envelope: &Envelope) -> Fact {
    let unknown = || Fact::Unknown(envelope.kind.clone());
    match topic {
        Topic::NodeFact(node) => match AgentFact::decode(&envelope.kind, &envelope.body) {
            Ok(Some(fact)) => Fact::Agent(node, fact),
            Ok(None) => unknown(),
            Err(refusal) => Fact::Refused(refusal),
        },
        Topic::CoordinatorFact(_) => match CoordinatorFact::decode(&envelope.kind, &envelope.body) {
            Ok(Some(fact)) => Fact::Coordinator(fact),
            Ok(None) => unknown(),
            Err(refusal) => Fact::Refused(refusal),
        },
        Topic::Command(_)
        | Topic::Sync(_)
        | Topic::Beacon
        | Topic::Beat(_)
        | Topic::Live(..)
        | Topic::Out(..)
        | Topic::Control(_) => unknown(),
    }
}

macro_rules! facts_of {
    ($( $(#[$doc:meta])* $name:ident: $enum:ident::$variant:ident from $side:ident ; )*) => {
        impl Log { $(
            $(#[$doc])*
            pub fn $name(&self) -> Vec<facts_of!(@item $enum $variant)> {
                self.0.iter().filter_map(|seen| facts_of!(@take $side $enum $variant seen)).collect()
            }
        )* }
    };
    (@item AgentFact $variant:ident) => { (u64, &NodeId, &landfall_proto::fact::agent::$variant) };
    (@item CoordinatorFact $variant:ident) => { (u64, &landfall_proto::fact::coordinator::$variant) };
    (@take agent $enum:ident $variant:ident $seen:ident) => {
        match $seen.agent() { Some((node, $enum::$variant(body))) => Some(($seen.seq, node, body)), Some(_) | None => None }
    };
    (@take coordinator $enum:ident $variant:ident $seen:ident) => {
        match $seen.coordinator() { Some($enum::$variant(body)) => Some(($seen.seq, body)), Some(_) | None => None }
    };
}

facts_of! {
    runs_started: AgentFact::RunStarted from agent;
    runs_phases: AgentFact::RunPhase from agent;
    runs_finished: AgentFact::RunFinished from agent;
    witnessed: AgentFact::Witnessed from agent;
    rounds_opened: CoordinatorFact::RoundOpened from coordinator;
    dispatched: CoordinatorFact::Dispatched from coordinator;
    rounds_concluded: CoordinatorFact::RoundConcluded from coordinator;
    alerts_raised: CoordinatorFact::AlertRaised from coordinator;
    alerts_resolved: CoordinatorFact::AlertResolved from coordinator;
    alerts_delivered: CoordinatorFact::AlertDelivered from coordinator;
    leaders: CoordinatorFact::LeaderClaimed from coordinator;
}

impl Log {
    /// Every report about a run; one, unless something is wrong.
    pub fn reports(&self, run: RunId) -> Vec<&RunFinished> {
        self.runs_finished()
            .into_iter()
            .filter(|(_, _, finished)| finished.about.run == run)
            .map(|(_, _, finished)| finished)
            .collect()
    }

    /// Every verdict about a round; one, unless something is wrong.
    pub fn verdicts(&self, round: RoundId) -> Vec<&Verdict> {
        self.rounds_concluded()
            .into_iter()
            .filter(|(_, concluded)| concluded.round == round)
            .map(|(_, concluded)| &concluded.verdict)
            .collect()
    }

    pub fn openings(&self, round: RoundId) -> Vec<&RoundOpened> {
        self.rounds_opened().into_iter().filter(|(_, opened)| opened.round == round).map(|(_, opened)| opened).collect()
    }

    /// Every alert that was raised, in order.
    pub fn alerts(&self) -> Vec<&Alert> {
        self.alerts_raised().into_iter().map(|(_, raised)| &raised.alert).collect()
    }

    /// Keys of every alert that was raised, in order.
    pub fn alert_keys(&self) -> Vec<&str> {
        self.alerts().into_iter().map(|alert| alert.key.0.as_str()).collect()
    }
}
