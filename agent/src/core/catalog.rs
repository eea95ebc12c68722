//! What this node's files define: each plan with its target and zone, and the files that could not be read.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use landfall_proto::codec::encode;
use landfall_proto::fact::agent::{BrokenPlan, PlanAnnouncement, PlansAnnounced};
use landfall_proto::id::{RepositoryId, RoutineName, TargetName};
use landfall_proto::plan::{DriverName, Plan, Target};

use super::memory::RepositoryMemory;

/// All plans of this node at one moment. A run keeps the entry it began with, whatever the files say later.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    pub plans: BTreeMap<RoutineName, CatalogEntry>,
    pub broken: Vec<BrokenPlan>,
}

/// One plan that can run.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogEntry {
    pub plan: Plan,
    pub target: Target,
    /// The schedule's zone, resolved.
    pub zone: TimeZone,
}

/// Longest error of a broken plan that is announced, in bytes.
const BROKEN_BYTES_MAX: usize = 500;

/// All cards of a node that are announced, in bytes: less than half of a fact.
const CARDS_BYTES_MAX: usize = 24 * 1024;

impl Catalog {
    /// What the mesh has to know. `repositories` holds what has been read from destinations so far.
    pub(super) fn announcement(&self, repositories: &BTreeMap<TargetName, RepositoryMemory>) -> PlansAnnounced {
        let mut plans: Vec<PlanAnnouncement> =
            self.plans.values().map(|entry| entry.announcement(repositories)).collect();
        bound_cards(&mut plans);
        let broken = self
            .broken
            .iter()
            .map(|broken| BrokenPlan { file: broken.file.clone(), error: clip(&broken.error, BROKEN_BYTES_MAX) })
            .collect();
        PlansAnnounced { plans, broken }
    }

    /// The destinations that this machine reaches by a path, and the path.
    pub fn places(&self) -> BTreeMap<TargetName, String> {
        let targets = self.plans.values().map(|entry| &entry.target);
        let here = targets.filter(|target| target.location.starts_with('/'));
        here.map(|target| (target.name.clone(), target.location.clone())).collect()
    }

    /// A plan whose target holds this repository and can be listed for others.
    pub(super) fn witness_of(
        &self,
        repository: &RepositoryId,
        known: &BTreeMap<TargetName, RepositoryMemory>,
    ) -> Option<&CatalogEntry> {
        self.plans.values().find(|entry| entry.can_witness() && entry.repository(known) == Some(repository))
    }
}

impl CatalogEntry {
    /// The destination's own id, where it has been read under the target's present definition.
    pub(super) fn repository<'a>(&self, known: &'a BTreeMap<TargetName, RepositoryMemory>) -> Option<&'a RepositoryId> {
        let memory = known.get(&self.target.name)?;
        (memory.location == self.target.location).then_some(&memory.id)
    }

    fn can_witness(&self) -> bool {
        match self.plan.driver {
            DriverName::Rustic => true,
            DriverName::Command => false,
        }
    }

    fn announcement(&self, repositories: &BTreeMap<TargetName, RepositoryMemory>) -> PlanAnnouncement {
        let plan = &self.plan;
        let repository = self.repository(repositories).cloned();
        PlanAnnouncement {
            routine: plan.name.clone(),
            hash: plan.hash(),
            driver: plan.driver.as_str().to_owned(),
            target: plan.target.clone(),
            can_witness: self.can_witness() && repository.is_some(),
            repository,
            lock: plan.lock(),
            calendar: plan.schedule.as_ref().map(|schedule| schedule.calendar.to_string()),
            zone: plan.zone().to_owned(),
            start_within: plan.deadlines.start_within,
            finish_within: plan.deadlines.finish_within,
            stall_after: plan.deadlines.stall_after,
            rpo: plan.rpo,
            labels: plan.labels.clone(),
            guards: plan.guards,
            storage: self.target.storage.clone(),
            priority: plan.priority,
            card: plan.card.clone(),
            builds_on: plan.builds_on.clone(),
        }
    }
}

/// All plans travel in one fact. What does not fit is left on the node: first how to restore, then the whole card.
fn bound_cards(plans: &mut [PlanAnnouncement]) {
    let mut left = CARDS_BYTES_MAX;
    for plan in plans {
        let Some(mut card) = plan.card.take() else { continue };
        if encode(&card).len() > left {
            card.restore.clear();
        }
        let bytes = encode(&card).len();
        if bytes <= left {
            left -= bytes;
            plan.card = Some(card);
        }
    }
}

/// The longest beginning of `text` that has at most `max` bytes and ends at a character.
pub(super) fn clip(text: &str, max: usize) -> String {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use landfall_proto::card::{CARD_BYTES_MAX, Card};
    use landfall_proto::plan::{read_plan, read_target};

    use super::*;

    fn catalog(plans: usize, card: &Card) -> Catalog {
        let target = "name = \"disk\"\ndriver = \"rustic\"\nlocation = \"/b\"\nsecret = { file = \"/s\" }\n";
        let target = read_target("disk.toml", target).unwrap();
        let entry = |number: usize| {
            let text = format!("name = \"p{number:03}\"\nsources = [\"/etc\"]\ntarget = \"disk\"\n");
            let mut plan = read_plan("p.toml", &text).unwrap();
            plan.card = Some(card.clone());
            (plan.name.clone(), CatalogEntry { plan, target: target.clone(), zone: TimeZone::UTC })
        };
        Catalog { plans: (0..plans).map(entry).collect(), broken: Vec::new() }
    }

    #[test]
    fn a_card_is_announced_with_its_plan() {
        let card = Card { owner: Some("Ann".to_owned()), ..Card::default() };
        let announced = catalog(1, &card).announcement(&BTreeMap::new());
        assert_eq!(announced.plans[0].card, Some(card));
    }

    #[test]
    fn cards_that_do_not_fit_lose_their_steps_first_and_never_their_plan() {
        let card = Card { owner: Some("Ann".to_owned()), restore: vec!["x".repeat(500); 7], ..Card::default() };
        assert!(encode(&card).len() <= CARD_BYTES_MAX);
        let announced = catalog(60, &card).announcement(&BTreeMap::new());
        let cards = || announced.plans.iter().filter_map(|plan| plan.card.as_ref());
        assert_eq!((announced.plans.len(), cards().count()), (60, 60));
        assert!(cards().next().is_some_and(|card| !card.restore.is_empty()));
        assert!(cards().next_back().is_some_and(|card| card.restore.is_empty() && card.owner.is_some()));
        assert!(cards().map(|card| encode(card).len()).sum::<usize>() <= CARDS_BYTES_MAX);
        assert!(encode(&announced).len() < landfall_proto::codec::FACT_BYTES_MAX);
    }
}
