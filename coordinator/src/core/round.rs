//! One mesh-wide execution: what was frozen at its opening, what witnesses saw, and its verdict.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::envelope::Epoch;
use landfall_proto::fact::coordinator::{OpenedBy, WitnessAsked};
use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::report::{Reason, TaskKind};
use landfall_proto::time::Timestamp;
use landfall_proto::verdict::{Rule, Verdict, Witness};
use serde::{Deserialize, Serialize};

/// One round as the ledger keeps it; its runs are records of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub id: RoundId,
    pub routine: RoutineName,
    pub task: TaskKind,
    #[serde(default)]
    pub slot: Option<Timestamp>,
    pub opened_at: Timestamp,
    pub start_by: Timestamp,
    pub deadline: Timestamp,
    pub rule: Rule,
    pub opened_by: OpenedBy,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How many runs are expected so far; final once `opening` is absent.
    pub expected: u32,
    /// Present while facts that open the round are still to come.
    #[serde(default)]
    pub opening: Option<Parts>,
    /// What witnesses were asked, in order.
    #[serde(default)]
    pub asks: Vec<Ask>,
    /// Present while facts that conclude the round are still to come.
    #[serde(default)]
    pub concluding: Option<(Parts, Verdict)>,
    #[serde(default)]
    pub verdict: Option<Verdict>,
    #[serde(default)]
    pub concluded_at: Option<Timestamp>,
    /// Every run of the round, expected or not; an index.
    #[serde(skip)]
    pub runs: BTreeSet<RunId>,
    /// Counts of the expected runs by stage; an index.
    #[serde(skip)]
    pub counts: Counts,
}

/// Facts of one epoch that belong together, and how many of them are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    pub epoch: Epoch,
    pub seen: u32,
    pub of: u32,
}

/// A question to a witness, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    pub asked: WitnessAsked,
    #[serde(default)]
    pub answer: Option<Sighting>,
}

/// What a witness saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    pub seen: BTreeSet<RunId>,
    pub absent: BTreeSet<RunId>,
    #[serde(default)]
    pub unknown: Option<Reason>,
    pub at: Timestamp,
}

/// How many expected runs are in which stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: u32,
    pub sent: u32,
    pub running: u32,
    pub ended: u32,
    /// Of those that ended: good evidence.
    pub good: u32,
    /// Of those that ended: nobody knows how.
    pub lost: u32,
}

impl Round {
    /// Whether every fact that opens it is folded and no verdict has fallen.
    pub const fn is_open(&self) -> bool {
        self.opening.is_none() && self.verdict.is_none()
    }

    /// What witnesses say of one run. A contradiction weighs more than a confirmation.
    pub fn witness_of(&self, run: RunId) -> Witness {
        let mut found = Witness::Unwitnessed;
        for ask in self.asks.iter().filter(|ask| ask.asked.runs.contains(&run)) {
            let by = || ask.asked.witness.clone();
            match &ask.answer {
                Some(sighting) if sighting.absent.contains(&run) => return Witness::Contradicted { by: by() },
                Some(sighting) if sighting.seen.contains(&run) => found = Witness::Confirmed { by: by() },
                Some(_) => {}
                None if found == Witness::Unwitnessed => found = Witness::Pending,
                None => {}
            }
        }
        found
    }

    /// What witnesses say of all runs that they were asked about.
    pub fn witnesses(&self) -> BTreeMap<RunId, Witness> {
        let mut all = BTreeMap::new();
        for ask in &self.asks {
            for run in &ask.asked.runs {
                let by = || ask.asked.witness.clone();
                let said = match &ask.answer {
                    Some(sighting) if sighting.absent.contains(run) => Witness::Contradicted { by: by() },
                    Some(sighting) if sighting.seen.contains(run) => Witness::Confirmed { by: by() },
                    Some(_) => Witness::Unwitnessed,
                    None => Witness::Pending,
                };
                let before = all.get(run).map_or(0, weight);
                if weight(&said) >= before {
                    all.insert(*run, said);
                }
            }
        }
        all
    }

    /// Nodes that were asked to look.
    pub fn witness_nodes(&self) -> BTreeSet<&NodeId> {
        self.asks.iter().map(|ask| &ask.asked.witness).collect()
    }
}

const fn weight(witness: &Witness) -> u8 {
    match witness {
        Witness::Unwitnessed => 0,
        Witness::Pending => 1,
        Witness::Confirmed { .. } => 2,
        Witness::Contradicted { .. } => 3,
    }
}
