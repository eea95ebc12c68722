//! The mesh-wide view of all plans of one name: who has it, when it is due, and who differs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use landfall_proto::calendar::Calendar;
use landfall_proto::card::Card;
use landfall_proto::fact::agent::PlanAnnouncement;
use landfall_proto::id::{NodeId, RoundId, RoutineName};
use landfall_proto::plan::Deadlines;
use landfall_proto::time::{Duration, Timestamp};
use serde::{Deserialize, Serialize};

use super::policy::Policy;

/// One routine as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routine {
    pub name: RoutineName,
    /// Slots up to here have had their round, or are past having one.
    pub considered: Timestamp,
    /// Nodes that a verdict found missing, until each has a later good run, and the round of that verdict.
    #[serde(default)]
    pub overdue: BTreeMap<NodeId, RoundId>,
    /// The round that was concluded last.
    #[serde(default)]
    pub last_round: Option<RoundId>,
    /// Nodes that are expected: each that ever announced the plan and is not retired; an index.
    #[serde(skip)]
    pub nodes: BTreeSet<NodeId>,
    /// Nodes whose latest run failed; an index.
    #[serde(skip)]
    pub failing: BTreeSet<NodeId>,
    /// Nodes where it stands on a base that is not there; an index.
    #[serde(skip)]
    pub unbased: BTreeSet<NodeId>,
    /// Rounds without a verdict; an index.
    #[serde(skip)]
    pub open: BTreeSet<RoundId>,
    #[serde(skip)]
    pub(super) votes: Votes,
}

/// How many nodes announce what; so the majority is known without asking all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Votes {
    schedules: BTreeMap<(Option<String>, String), u32>,
    deadlines: BTreeMap<(Duration, Duration), u32>,
    hashes: BTreeMap<String, u32>,
    cards: BTreeMap<Card, u32>,
}

/// When rounds of a routine are due, and how long they may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Absent where the routine only runs by hand.
    pub calendar: Option<Calendar>,
    /// IANA name.
    pub zone: String,
    pub start_within: Duration,
    pub finish_within: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        let Deadlines { start_within, finish_within, .. } = Deadlines::default();
        Self { calendar: None, zone: "UTC".to_owned(), start_within, finish_within }
    }
}

impl Routine {
    pub(super) fn new(name: RoutineName, considered: Timestamp) -> Self {
        Self {
            name,
            considered,
            overdue: BTreeMap::new(),
            last_round: None,
            nodes: BTreeSet::new(),
            failing: BTreeSet::new(),
            unbased: BTreeSet::new(),
            open: BTreeSet::new(),
            votes: Votes::default(),
        }
    }

    /// The routine's one schedule: the policy's, or the one that most nodes announce. Where as many announce another,
    /// the one that sorts first wins, so that every coordinator chooses the same.
    pub fn schedule(&self, policy: &Policy) -> Schedule {
        let own = policy.routine(&self.name);
        let (calendar, zone) = match own.and_then(|own| own.calendar.as_ref().map(|calendar| (calendar, own))) {
            Some((calendar, own)) => (Some(calendar.clone()), own.zone.clone().unwrap_or_else(|| "UTC".to_owned())),
            None => match top(&self.votes.schedules) {
                // A calendar of a newer syntax that this build cannot read makes no slots here; the nodes still keep it.
                Some((calendar, zone)) => (calendar.as_ref().and_then(|text| text.parse().ok()), zone.clone()),
                None => (None, "UTC".to_owned()),
            },
        };
        let usual = Deadlines::default();
        let voted = top(&self.votes.deadlines).copied().unwrap_or((usual.start_within, usual.finish_within));
        let start_within = own.and_then(|own| own.start_within).unwrap_or(voted.0);
        let finish_within = own.and_then(|own| own.finish_within).unwrap_or(voted.1);
        Schedule { calendar, zone, start_within, finish_within }
    }

    /// What the policy says of the routine, and what it leaves open as most nodes announce it.
    pub fn card(&self, policy: &Policy) -> Card {
        let announced = top(&self.votes.cards).cloned().unwrap_or_default();
        let own = policy.routine(&self.name);
        let mut card =
            own.and_then(|own| own.card.as_ref()).map_or_else(|| announced.clone(), |own| own.or(&announced));
        // The policy's address for this routine is its runbook too, unless it asks for the alert's key: then it is an address for
        // each alert.
        if let Some(url) = own.and_then(|own| own.runbook_url.as_ref()).filter(|url| !url.contains("{key}")) {
            card.runbook.get_or_insert_with(|| url.clone());
        }
        card
    }

    /// Why a node's plan is not what most nodes have; `None` where it does not differ or where there is no majority.
    pub fn definition_differs(&self, plan: &PlanAnnouncement) -> Option<String> {
        if let Some((calendar, zone)) = top(&self.votes.schedules)
            && (calendar != &plan.calendar || zone != &plan.zone)
        {
            let shown = |calendar: &Option<String>| calendar.clone().unwrap_or_else(|| "by hand".to_owned());
            return Some(format!(
                "its schedule is {} {}, most nodes have {} {zone}",
                shown(&plan.calendar),
                plan.zone,
                shown(calendar)
            ));
        }
        // Sources may rightly differ on every node, so only a node outside a clear majority is named.
        let total: u32 = self.votes.hashes.values().sum();
        let most = top(&self.votes.hashes)?;
        let majority = self.votes.hashes.get(most).is_some_and(|count| count * 2 > total);
        (majority && total > 2 && most != &plan.hash)
            .then(|| format!("its definition has the hash {}, most nodes have {most}", plan.hash))
    }

    pub(super) fn vote(&mut self, plan: &PlanAnnouncement) {
        *self.votes.schedules.entry((plan.calendar.clone(), plan.zone.clone())).or_default() += 1;
        *self.votes.deadlines.entry((plan.start_within, plan.finish_within)).or_default() += 1;
        *self.votes.hashes.entry(plan.hash.clone()).or_default() += 1;
        if let Some(card) = &plan.card {
            *self.votes.cards.entry(card.clone()).or_default() += 1;
        }
    }

    pub(super) fn unvote(&mut self, plan: &PlanAnnouncement) {
        lower(&mut self.votes.schedules, &(plan.calendar.clone(), plan.zone.clone()));
        lower(&mut self.votes.deadlines, &(plan.start_within, plan.finish_within));
        lower(&mut self.votes.hashes, &plan.hash);
        if let Some(card) = &plan.card {
            lower(&mut self.votes.cards, card);
        }
    }
}

impl Schedule {
    /// The latest slot in `after < slot <= until`.
    pub fn latest_due(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let calendar = self.calendar.as_ref()?;
        calendar.latest_between(after, until, &self.time_zone()).map(|(slot, _)| slot)
    }

    /// The first slot after an instant.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.calendar.as_ref()?.next_after(after, &self.time_zone())
    }

    /// The next slots after an instant, `count` at most.
    pub fn next_slots(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(after), |slot| self.next_after(*slot)).take(count).collect()
    }

    fn time_zone(&self) -> TimeZone {
        TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC)
    }
}

fn top<K: Ord>(votes: &BTreeMap<K, u32>) -> Option<&K> {
    let most = votes.values().max()?;
    votes.iter().find(|(_, count)| *count == most).map(|(key, _)| key)
}

fn lower<K: Ord>(votes: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = votes.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            votes.remove(key);
        }
    }
}
