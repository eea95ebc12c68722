//! What witnesses saw in repositories, as far as the log tells it.

use std::collections::BTreeMap;

use landfall_proto::fact::agent::AgentFact;
use landfall_proto::id::{NodeId, RunId};
use landfall_proto::report::Evidence;
use landfall_proto::subject::Topic;

use crate::audit::{History, RepositoryTrace, SnapshotSeen};

/// Fills in which snapshots neighbours found, and which they did not.
pub(super) fn of_witnesses(history: &mut History) {
    let mut evidence: BTreeMap<RunId, (NodeId, Evidence)> = BTreeMap::new();
    let mut repositories: BTreeMap<_, RepositoryTrace> = BTreeMap::new();
    for entry in &history.log {
        let Topic::NodeFact(node) = &entry.topic else { continue };
        match AgentFact::decode(&entry.envelope.kind, &entry.envelope.body) {
            Ok(Some(AgentFact::RunFinished(body))) => {
                if let Some(seen) = body.report.evidence {
                    evidence.insert(body.about.run, (node.clone(), seen));
                }
            }
            Ok(Some(AgentFact::Witnessed(body))) if body.unknown.is_none() => {
                let trace = repositories
                    .entry(body.repository)
                    .or_insert_with(|| RepositoryTrace { is_partial: true, ..RepositoryTrace::default() });
                trace.absent.extend(body.absent);
                for run in body.seen {
                    let Some((node, seen)) = evidence.get(&run) else { continue };
                    trace.absent.remove(&run);
                    trace.snapshots.retain(|snapshot| snapshot.run != Some(run));
                    trace.snapshots.push(SnapshotSeen {
                        id: seen.snapshot.clone(),
                        node: Some(node.clone()),
                        run: Some(run),
                        taken_at: seen.taken_at,
                        is_whole: seen.covers_sources,
                        is_sound: true,
                    });
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
    history.repositories = repositories;
}
