//! How well one routine is protected, as only a look at all of its nodes can tell: where its backups go, how long a restore takes,
//! and what is not the same everywhere.

use std::collections::BTreeMap;

use landfall_proto::fact::agent::PlanAnnouncement;
use landfall_proto::id::NodeId;
use landfall_proto::protection::{ProtectionView, RestoreView, Variant};

use super::Scene;
use crate::core::node::NodeRoutine;
use crate::core::routine::Routine;

/// Nodes that are named for one value.
const NODES_NAMED_MAX: usize = 10;

/// Values of one kind that are told apart.
const VARIANTS_MAX: usize = 8;

/// Less than this says nothing about how fast a destination is.
const READ_BYTES_MIN: u64 = 1024 * 1024;

pub fn protection(scene: Scene<'_>, routine: &Routine) -> ProtectionView {
    let nodes = routine.nodes.iter().filter_map(|node| scene.mesh.nodes().get(node));
    let states: Vec<(&NodeId, &NodeRoutine)> =
        nodes.filter_map(|node| Some((&node.id, node.routines.get(&routine.name)?))).collect();
    let never_good =
        states.iter().filter(|(_, state)| state.backup.last_good.is_none()).map(|(node, _)| (*node).clone());
    let never_good: Vec<NodeId> = never_good.take(NODES_NAMED_MAX).collect();
    let good = states.iter().filter_map(|(node, state)| Some(((*node).clone(), state.backup.last_good.as_ref()?.at)));
    ProtectionView {
        targets: variants(&states, |plan| match &plan.storage {
            Some(storage) => format!("{} ({storage})", plan.target),
            None => plan.target.to_string(),
        }),
        drivers: variants(&states, |plan| plan.driver.clone()),
        restore: states.iter().filter_map(|(node, state)| restore(node, state)).max_by_key(|found| found.duration_ms),
        oldest_good: if never_good.is_empty() { good.min_by_key(|(_, at)| *at) } else { None },
        never_good,
        drift: drift(&states),
    }
}

/// A restore reads what the last good backup holds, about as fast as checks have read the same destination.
fn restore(node: &NodeId, state: &NodeRoutine) -> Option<RestoreView> {
    let bytes = state.backup.last_good.as_ref()?.evidence.as_ref()?.bytes;
    let measured = || state.check.samples.iter().filter_map(|sample| Some((sample.bytes_read?, sample.duration_ms)));
    let (read, ms) = measured()
        .fold((0_u64, 0_u64), |(read, ms), (more, longer)| (read.saturating_add(more), ms.saturating_add(longer)));
    if read < READ_BYTES_MIN {
        return None;
    }
    let rate_bytes = u64::try_from(u128::from(read) * 1000 / u128::from(ms.max(1))).unwrap_or(u64::MAX).max(1);
    let duration_ms = u64::try_from(u128::from(bytes) * 1000 / u128::from(rate_bytes)).unwrap_or(u64::MAX);
    let measured_in = u32::try_from(measured().count()).unwrap_or(u32::MAX);
    Some(RestoreView { node: node.clone(), bytes, rate_bytes, duration_ms, measured_in })
}

/// What differs between the plans that nodes have at present. What a definition holds beside these travels as a hash only.
fn drift(states: &[(&NodeId, &NodeRoutine)]) -> BTreeMap<String, Vec<Variant>> {
    let present: Vec<(&NodeId, &NodeRoutine)> = states.iter().copied().filter(|(_, state)| state.present).collect();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let by_hand = |plan: &PlanAnnouncement| or_none(plan.calendar.clone());
    let found = [
        ("schedule", variants(&present, |plan| format!("{} {}", by_hand(plan), plan.zone))),
        (
            "deadlines",
            variants(&present, |plan| {
                format!("start within {}, finish within {}", plan.start_within, plan.finish_within)
            }),
        ),
        ("stall_after", variants(&present, |plan| plan.stall_after.to_string())),
        ("rpo", variants(&present, |plan| or_none(plan.rpo.map(|rpo| rpo.to_string())))),
        ("driver", variants(&present, |plan| plan.driver.clone())),
        ("target", variants(&present, |plan| plan.target.to_string())),
        ("storage", variants(&present, |plan| or_none(plan.storage.clone()))),
        ("priority", variants(&present, |plan| plan.priority.to_string())),
        (
            "labels",
            variants(&present, |plan| {
                let labels: Vec<String> = plan.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                if labels.is_empty() { "none".to_owned() } else { labels.join(", ") }
            }),
        ),
        (
            "guards",
            variants(&present, |plan| {
                let guards = &plan.guards;
                format!(
                    "shrink {} %, grow {} %, slow {} x, empty {}, history {}",
                    guards.shrink_percent,
                    guards.grow_percent,
                    guards.slow_factor,
                    if guards.allow_empty { "allowed" } else { "refused" },
                    guards.history_min
                )
            }),
        ),
        (
            "card",
            variants(&present, |plan| match &plan.card {
                Some(card) => {
                    format!("owner {}, contact {}", or_none(card.owner.clone()), or_none(card.contact.clone()))
                }
                None => "none".to_owned(),
            }),
        ),
        ("definition", variants(&present, |plan| plan.hash.clone())),
    ];
    let differing = found.into_iter().filter(|(_, variants)| variants.len() > 1);
    differing.map(|(name, variants)| (name.to_owned(), variants)).collect()
}

/// Who says what, the most frequent first.
fn variants(states: &[(&NodeId, &NodeRoutine)], said: impl Fn(&PlanAnnouncement) -> String) -> Vec<Variant> {
    let mut found: BTreeMap<String, Variant> = BTreeMap::new();
    for (node, state) in states {
        let value = said(&state.plan);
        let variant = found.entry(value.clone()).or_insert(Variant { value, count: 0, nodes: Vec::new() });
        variant.count += 1;
        if variant.nodes.len() < NODES_NAMED_MAX {
            variant.nodes.push((*node).clone());
        }
    }
    let mut found: Vec<Variant> = found.into_values().collect();
    found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    found.truncate(VARIANTS_MAX);
    found
}
