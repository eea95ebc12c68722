//! Keeps an eye on plans and targets: reads them again when a file changes, and asks destinations who they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::id::TargetName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::plans::{Folders, Loaded};
use super::shell::{Inputs, Wake};
use crate::core::{CatalogEntry, Input, RepositoryMemory};
use crate::runner::{self, Engine};

/// Between two looks at the folders.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Before a destination that did not say who it is is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);

/// Watches for ever. A hang-up signal makes it look at once.
pub(super) async fn watch_plans(
    folders: Folders,
    loaded: Loaded,
    mut known: BTreeMap<TargetName, RepositoryMemory>,
    engine: Arc<Engine>,
    inputs: Inputs,
) {
    let mut fingerprint = folders.fingerprint();
    let mut catalog = loaded.catalog;
    let mut ask_at = Instant::now();
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        if Instant::now() >= ask_at {
            ask_at = Instant::now() + ASK_AGAIN_AFTER;
            for entry in unknown(catalog.plans.values(), &known) {
                let probe = runner::probe(&engine, &entry.plan, &entry.target).await;
                let Some(id) = probe.repository else { continue };
                let repository = RepositoryMemory { location: entry.target.location.clone(), id };
                known.insert(entry.target.name.clone(), repository.clone());
                inputs.send(Wake::Input(Input::Probed { target: entry.target.name, repository })).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(()) = async { hangup.as_mut()?.recv().await } => {}
        }
        let seen = tokio::task::block_in_place(|| folders.fingerprint());
        if seen == fingerprint {
            continue;
        }
        fingerprint = seen;
        let loaded = tokio::task::block_in_place(|| folders.load());
        for problem in &loaded.problems {
            tracing::warn!("{problem}");
        }
        tracing::info!(
            "plans were read again: {} good, {} broken",
            loaded.catalog.plans.len(),
            loaded.catalog.broken.len()
        );
        catalog = loaded.catalog.clone();
        inputs.send(Wake::Input(Input::Planned(loaded.catalog))).await;
        ask_at = Instant::now();
    }
}

/// One plan for each target that has not said who it is at its present location.
fn unknown<'a>(
    plans: impl Iterator<Item = &'a CatalogEntry>,
    known: &BTreeMap<TargetName, RepositoryMemory>,
) -> Vec<CatalogEntry> {
    let mut wanted = BTreeMap::new();
    for entry in plans {
        let target = &entry.target;
        if known.get(&target.name).is_none_or(|memory| memory.location != target.location) {
            wanted.entry(target.name.clone()).or_insert_with(|| entry.clone());
        }
    }
    wanted.into_values().collect()
}
