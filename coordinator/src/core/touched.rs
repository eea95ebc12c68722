//! Which records a step has touched, and their taking for the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use landfall_proto::id::{NodeId, RoundId, RoutineName, RunId};
use landfall_proto::limit::LimitName;
use uuid::Uuid;

use super::mesh::Mesh;
use super::record::{Changes, ParkedRecord, RunTail};
use super::run::Run;
use super::step::Fact;
use super::writer::WriterKey;

/// Ids of the records that changed since they were last taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Touched {
    pub(super) meta: bool,
    pub(super) writers: BTreeSet<WriterKey>,
    pub(super) parked: BTreeSet<(WriterKey, u64)>,
    pub(super) nodes: BTreeSet<NodeId>,
    pub(super) routines: BTreeSet<RoutineName>,
    pub(super) limits: BTreeSet<LimitName>,
    pub(super) spaces: BTreeSet<String>,
    pub(super) alerts: BTreeSet<Uuid>,
    pub(super) rounds: BTreeSet<RoundId>,
    pub(super) runs: BTreeSet<RunId>,
    /// Runs that are written but not kept in memory.
    pub(super) loose_runs: BTreeMap<RunId, Run>,
    pub(super) tails: BTreeMap<RunId, RunTail>,
    pub(super) monitors: BTreeSet<RoutineName>,
    pub(super) ping_keys: BTreeSet<String>,
    /// Bodies of pings, which are written and not kept in memory; `None` takes one away.
    pub(super) bodies: BTreeMap<Uuid, Option<String>>,
    pub(super) forgotten: Changes,
}

/// Most steps touch nothing, and to compare is cheaper than to gather.
static NOTHING: LazyLock<Touched> = LazyLock::new(Touched::default);

impl Mesh {
    /// The records touched since the last call, as they are at this moment; `None` where there is none.
    pub fn take_changes(&mut self) -> Option<Changes> {
        if self.touched == *NOTHING {
            return None;
        }
        let touched = std::mem::take(&mut self.touched);
        let mut changes = touched.forgotten;
        changes.meta = touched.meta.then(|| self.meta.clone());
        changes.writers = pick(&self.writers, touched.writers);
        for writer in changes.writers.values_mut() {
            writer.parked.clear();
        }
        for (key, seq) in touched.parked {
            let parked = self.writers.get(&key).and_then(|writer| writer.parked.get(&seq));
            let record = parked.map(|logged| ParkedRecord {
                envelope: logged.envelope.clone(),
                from_node: matches!(logged.fact, Some(Fact::Agent(..))),
            });
            changes.parked.insert((key, seq), record);
        }
        changes.nodes = pick(&self.nodes, touched.nodes);
        changes.routines = pick(&self.routines, touched.routines);
        changes.limits = pick(&self.limits, touched.limits);
        changes.spaces = there(&self.spaces, touched.spaces);
        changes.alerts.extend(pick(&self.alerts, touched.alerts));
        changes.rounds.extend(pick(&self.rounds, touched.rounds));
        changes.forgotten_runs.extend(touched.loose_runs.keys().filter(|id| !self.runs.contains_key(id)));
        changes.runs.extend(touched.loose_runs);
        changes.runs.extend(pick(&self.runs, touched.runs));
        changes.tails = touched.tails;
        changes.monitors = there(&self.monitors, touched.monitors);
        changes.ping_keys = there(&self.ping_keys, touched.ping_keys);
        changes.bodies = touched.bodies;
        Some(changes)
    }
}

/// As [`pick`], and `None` for what is gone.
fn there<K: Ord, V: Clone>(all: &BTreeMap<K, V>, keys: BTreeSet<K>) -> BTreeMap<K, Option<V>> {
    keys.into_iter()
        .map(|key| {
            let value = all.get(&key).cloned();
            (key, value)
        })
        .collect()
}

fn pick<K: Ord, V: Clone>(all: &BTreeMap<K, V>, keys: BTreeSet<K>) -> BTreeMap<K, V> {
    keys.into_iter().filter_map(|key| all.get(&key).cloned().map(|value| (key, value))).collect()
}
