//! A history made ready for reading: its messages decoded, folded by identity and leadership, and cut into lives of the log.
//!
//! This fold is written apart from the core's on purpose: it keeps nothing but identities and claims, so that the two can
//! be held against each other.

use std::collections::BTreeMap;
use std::fmt;

use landfall_proto::codec::{FACT_BYTES_MAX, decode};
use landfall_proto::envelope::Epoch;
use landfall_proto::fact::agent::AgentFact;
use landfall_proto::fact::coordinator::{CoordinatorFact, LeaderClaimed};
use landfall_proto::id::{Holder, Incarnation, NodeId};
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after};
use serde::Deserialize;

use super::history::{Entry, History, NodeTrace};
use crate::core::Fact;

/// What happened so shortly before the end may still be on its way.
pub(super) const SETTLE: Duration = Duration::from_secs(60);

/// A history with everything that more than one law asks of it.
#[derive(Debug)]
pub struct Case<'a> {
    pub history: &'a History,
    reads: Vec<Read<'a>>,
    /// Places in `reads`, in the order in which a fold takes them.
    folded: Vec<usize>,
    claims: Vec<Claim>,
}

/// One message of the log with its fact.
#[derive(Debug)]
pub struct Read<'a> {
    pub entry: &'a Entry,
    /// Absent where this build does not know the kind or cannot read the body.
    pub fact: Option<Fact>,
    /// For a coordinator's fact: whether its writer led under the epoch that it names. True for every fact of a node.
    pub counts: bool,
    /// Which life of the log took it, from 0: a new one begins where sequences are handed out again.
    pub life: u32,
}

/// A claim that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) epoch: Epoch,
    pub(super) holder: Holder,
    pub(super) incarnation: Incarnation,
    /// Its place among all messages.
    pub(super) place: usize,
}

/// Who leads, as far as a reader has come.
#[derive(Debug, Clone, Default)]
struct Lead {
    epoch: Epoch,
    leader: Option<(Holder, Incarnation)>,
}

/// The epoch that every decision carries.
#[derive(Deserialize)]
struct UnderEpoch {
    epoch: Epoch,
}

impl<'a> Case<'a> {
    pub fn new(history: &'a History) -> Self {
        let mut life = 0;
        let mut before = 0;
        let mut reads: Vec<Read<'a>> = Vec::with_capacity(history.log.len());
        for entry in &history.log {
            if entry.position.seq <= before {
                life += 1;
            }
            before = entry.position.seq;
            reads.push(Read { entry, fact: fact_of(entry), counts: true, life });
        }
        let mut case = Self { history, reads, folded: Vec::new(), claims: Vec::new() };
        case.fold_identities();
        case.fold_leadership();
        case
    }

    /// Every message that the log ever took, in its order.
    pub fn reads(&self) -> &[Read<'a>] {
        &self.reads
    }

    /// Every message once, in the order in which a fold that never missed one takes them.
    pub(super) fn folded(&self) -> impl Iterator<Item = (usize, &Read<'a>)> {
        self.folded.iter().map(|place| (*place, &self.reads[*place]))
    }

    /// The same as long as the log had not lost anything: later on, readers of different lives know different things.
    pub(super) fn first_life(&self) -> impl Iterator<Item = (usize, &Read<'a>)> {
        self.folded().filter(|(_, read)| read.life == 0)
    }

    /// What nodes said, in whichever life of the log; each node's facts in its own order.
    pub(super) fn told_ever(&self) -> impl Iterator<Item = (&Read<'a>, &NodeId, &AgentFact)> {
        self.folded().filter_map(|(_, read)| match &read.fact {
            Some(Fact::Agent(node, fact)) => Some((read, node, fact)),
            Some(Fact::Coordinator(..)) | None => None,
        })
    }

    /// What leaders decided in the first life, each decision once.
    pub(super) fn decided(&self) -> impl Iterator<Item = (usize, &Read<'a>, &CoordinatorFact)> {
        self.first_life().filter(|(_, read)| read.counts).filter_map(|(place, read)| match &read.fact {
            Some(Fact::Coordinator(_, fact)) => Some((place, read, fact)),
            Some(Fact::Agent(..)) | None => None,
        })
    }

    /// Accepted claims, in log order.
    pub(super) fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Whether the log is known from its first message and has never lost one. Who claims a later era has found it changed, also
    /// where what it lost was nothing that a reader accepts.
    pub(super) fn is_whole(&self) -> bool {
        let is_first_era = self.claims.iter().all(|claim| claim.epoch.era == 0);
        is_first_era && !self.history.is_cut && self.reads.iter().all(|read| read.life == 0 && read.entry.is_there)
    }

    /// Whether the faults have stopped for so long that everything must have come to rest.
    pub(super) fn is_at_rest(&self) -> bool {
        let rest = self.history.heal.map(|heal| after(heal.at, heal.patience));
        rest.zip(self.history.ended_at).is_some_and(|(rest, ended)| ended >= rest)
    }

    /// Whether something happened so lately that what follows from it may not be there yet.
    pub(super) fn is_recent(&self, at: Timestamp) -> bool {
        self.history.ended_at.is_none_or(|ended| after(at, SETTLE) > ended)
    }

    pub(super) fn node(&self, node: &NodeId) -> Option<&'a NodeTrace> {
        self.history.nodes.get(node)
    }

    /// Whether the node's state was once replaced by an older or another one's.
    pub(super) fn is_set_back(&self, node: &NodeId) -> bool {
        self.node(node).is_some_and(|trace| !trace.set_back.is_empty())
    }

    /// Each identity once; what came before its time is taken when the hole before it is filled.
    fn fold_identities(&mut self) {
        let mut next: BTreeMap<(String, Incarnation), u64> = BTreeMap::new();
        let mut parked: BTreeMap<(String, Incarnation), BTreeMap<u64, usize>> = BTreeMap::new();
        for place in 0..self.reads.len() {
            let envelope = &self.reads[place].entry.envelope;
            let key = (envelope.writer.clone(), envelope.incarnation);
            // A log without its beginning shows no writer's first fact.
            let from = if self.history.is_cut { envelope.seq } else { 0 };
            let due = next.entry(key.clone()).or_insert(from);
            if envelope.seq > *due {
                parked.entry(key).or_default().entry(envelope.seq).or_insert(place);
                continue;
            }
            if envelope.seq < *due {
                continue;
            }
            self.folded.push(place);
            *due += 1;
            let waiting = parked.entry(key).or_default();
            while let Some(place) = waiting.remove(due) {
                self.folded.push(place);
                *due += 1;
            }
        }
    }

    /// The first claim of a term wins. Where the log was set back, both the claim that follows from what is left and the
    /// one that follows from what readers remember are taken: it depends on who claims.
    fn fold_leadership(&mut self) {
        let is_first = |place: &usize| self.reads[*place].life == 0;
        // Later on repeats count as well: a claim that was lost may come again.
        let later = (0..self.reads.len()).filter(|place| !is_first(place));
        let places: Vec<usize> = self.folded.iter().copied().filter(is_first).chain(later).collect();
        let (mut ever, mut left) = (Lead::default(), Lead::default());
        let mut marks: Vec<(u64, Lead)> = Vec::new();
        let mut life = 0;
        for place in places {
            let read = &self.reads[place];
            let seq = read.entry.position.seq;
            if read.life > life {
                life = read.life;
                marks.retain(|(mark, _)| *mark < seq);
                left = marks.last().map(|(_, lead)| lead.clone()).unwrap_or_default();
            }
            let Some(Fact::Coordinator(holder, fact)) = &read.fact else { continue };
            let incarnation = read.entry.envelope.incarnation;
            let counts = if let CoordinatorFact::LeaderClaimed(claim) = fact {
                let is_own = *holder == claim.holder;
                let by_memory = is_own && ever.take(claim, incarnation, self.history.is_cut);
                let by_log = is_own && left.take(claim, incarnation, self.history.is_cut);
                if by_log {
                    marks.push((seq, left.clone()));
                }
                if by_memory || by_log {
                    self.claims.push(Claim { epoch: claim.epoch, holder: holder.clone(), incarnation, place });
                }
                by_memory || by_log
            } else {
                let epoch = epoch_of(read.entry);
                ever.decides(holder, incarnation, epoch) || left.decides(holder, incarnation, epoch)
            };
            self.reads[place].counts = counts;
        }
    }
}

impl Lead {
    /// In a log without its beginning the first claim that is seen is believed.
    fn take(&mut self, claim: &LeaderClaimed, incarnation: Incarnation, is_cut: bool) -> bool {
        let Epoch { era, term } = self.epoch;
        let is_next = claim.epoch == (Epoch { era, term: term + 1 }) || (is_cut && self.leader.is_none());
        let begins_era = claim.epoch.era > era && claim.epoch.term == 1;
        if is_next || begins_era {
            self.epoch = claim.epoch;
            self.leader = Some((claim.holder.clone(), incarnation));
        }
        is_next || begins_era
    }

    fn decides(&self, holder: &Holder, incarnation: Incarnation, epoch: Option<Epoch>) -> bool {
        self.leader.as_ref().is_some_and(|(known, life)| known == holder && *life == incarnation)
            && epoch == Some(self.epoch)
    }
}

fn fact_of(entry: &Entry) -> Option<Fact> {
    let Entry { topic, envelope, .. } = entry;
    match topic {
        Topic::NodeFact(node) => {
            let fact = AgentFact::decode(&envelope.kind, &envelope.body).ok().flatten()?;
            Some(Fact::Agent(node.clone(), fact))
        }
        Topic::CoordinatorFact(holder) => {
            let fact = CoordinatorFact::decode(&envelope.kind, &envelope.body).ok().flatten()?;
            Some(Fact::Coordinator(holder.clone(), fact))
        }
        Topic::Command(_)
        | Topic::Sync(_)
        | Topic::Beacon
        | Topic::Beat(_)
        | Topic::Live(..)
        | Topic::Out(..)
        | Topic::Control(_) => None,
    }
}

fn epoch_of(entry: &Entry) -> Option<Epoch> {
    decode::<UnderEpoch>(&entry.envelope.body, FACT_BYTES_MAX).ok().map(|body| body.epoch)
}

impl fmt::Display for Read<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { position, at, envelope, is_there, .. } = self.entry;
        write!(formatter, "position {} at {at}: {} of {}", position.seq, envelope.kind, envelope.writer)?;
        write!(formatter, " (number {} of life {})", envelope.seq, envelope.incarnation)?;
        if !is_there {
            formatter.write_str(", lost since")?;
        }
        Ok(())
    }
}
