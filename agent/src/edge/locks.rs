//! At the agent's start: the locks that engines of an earlier life left in repositories are removed, as far as that is proven.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::plan::Target;

use super::clock;
use crate::core::Catalog;
use crate::runner::{self, Engine};

/// How often the repositories are gone through: at once, and when the owners that cannot be looked at have run out of time.
const PASSES_MAX: u32 = 2;

/// Beside the schedule. What cannot be done here is tried again before the next run on that repository.
pub(super) async fn clear_at_boot(engine: Arc<Engine>, runs: PathBuf, catalog: Catalog) {
    let entries = catalog.plans.into_values().map(|entry| (entry.target.location.clone(), entry.target));
    let targets: BTreeMap<String, Target> = entries.collect();
    for _ in 0..PASSES_MAX {
        let mut again_at = None;
        for target in targets.values() {
            match runner::clear_dead(&engine, &runs, target).await {
                Ok(cleared) => {
                    for id in &cleared.removed {
                        tracing::info!(target = %target.name, "the lock {id} of an earlier life was removed");
                    }
                    again_at = again_at.max(cleared.again_at);
                }
                Err(failure) => {
                    tracing::warn!(target = %target.name, "a lock of an earlier life is still there: {failure}");
                }
            }
        }
        let Some(at) = again_at else { break };
        let wait = Duration::try_from(at.duration_since(clock::now())).unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
}
