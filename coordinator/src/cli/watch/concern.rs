//! Which facts concern one round: some name it, others name only a run or an alert of it.

use std::collections::BTreeSet;

use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::CoordinatorFact;
use landfall_proto::id::{RoundId, RunId};
use uuid::Uuid;

use super::line::{Body, Line};

/// A round with the runs and alerts that are known to belong to it.
#[derive(Debug)]
pub(super) struct Concern {
    round: RoundId,
    runs: BTreeSet<RunId>,
    alerts: BTreeSet<Uuid>,
}

impl Concern {
    pub(super) fn new(round: RoundId, runs: impl IntoIterator<Item = RunId>) -> Self {
        Self { round, runs: runs.into_iter().collect(), alerts: BTreeSet::new() }
    }

    /// Whether the line concerns the round; learns which runs and alerts are its own on the way.
    pub(super) fn takes(&mut self, line: &Line) -> bool {
        let Line::Fact(fact) = line else { return false };
        match &fact.body {
            Some(Body::Agent(fact)) => self.takes_agent(fact),
            Some(Body::Coordinator(fact)) => self.takes_coordinator(fact),
            None => false,
        }
    }

    fn takes_agent(&mut self, fact: &AgentFact) -> bool {
        match fact {
            AgentFact::AgentStarted(_) | AgentFact::PlansAnnounced(_) | AgentFact::SlotMissed(_) => false,
            AgentFact::RunStarted(body) => self.own(body.about.round, body.about.run),
            AgentFact::RunPhase(body) => self.runs.contains(&body.run),
            AgentFact::RunMilestone(body) => self.runs.contains(&body.run),
            AgentFact::RunRetried(body) => self.runs.contains(&body.run),
            AgentFact::RunFinished(body) => self.own(body.about.round, body.about.run),
            AgentFact::Witnessed(body) => body.round == self.round,
        }
    }

    fn takes_coordinator(&mut self, fact: &CoordinatorFact) -> bool {
        match fact {
            CoordinatorFact::RoundOpened(body) => {
                body.expected.iter().fold(body.round == self.round, |own, expected| {
                    if own {
                        self.runs.insert(expected.run);
                    }
                    own
                })
            }
            CoordinatorFact::Dispatched(body) => self.runs.contains(&body.run),
            CoordinatorFact::Answered(body) => self.runs.contains(&body.run),
            CoordinatorFact::CancelAsked(body) => self.runs.contains(&body.run),
            CoordinatorFact::RunLost(body) => self.runs.contains(&body.run),
            CoordinatorFact::WitnessAsked(body) => body.round == self.round,
            CoordinatorFact::RoundConcluded(body) => body.round == self.round,
            CoordinatorFact::AlertRaised(body) => {
                let own = body.alert.round == Some(self.round);
                if own {
                    self.alerts.insert(body.alert.id);
                }
                own
            }
            CoordinatorFact::AlertResolved(body) => self.alerts.contains(&body.id),
            CoordinatorFact::AlertDelivered(body) => self.alerts.contains(&body.id),
            CoordinatorFact::LeaderClaimed(_)
            | CoordinatorFact::LimitSet(_)
            | CoordinatorFact::NodeRetired(_)
            | CoordinatorFact::MonitorSet(_)
            | CoordinatorFact::MonitorRemoved(_)
            | CoordinatorFact::PingKeySet(_)
            | CoordinatorFact::Pinged(_)
            | CoordinatorFact::SpaceSampled(_) => false,
        }
    }

    fn own(&mut self, round: RoundId, run: RunId) -> bool {
        if round == self.round {
            self.runs.insert(run);
        }
        round == self.round
    }
}
