//! Destinations as people see them: the room that each has, and had, and when it will be full.

use std::collections::BTreeSet;

use landfall_proto::overview::{Forecast, StorageView};

use super::Scene;
use crate::core::space;

/// Every destination in the order of names: those that a node sees at this moment, and those that
/// have a history.
pub fn storages<'a>(scene: Scene<'a>) -> impl Iterator<Item = StorageView> + 'a {
    let seen = space::seen(scene.mesh, scene.now);
    let names: BTreeSet<String> = seen.keys().chain(scene.mesh.spaces().keys()).cloned().collect();
    names.into_iter().map(move |name| {
        let history = scene.mesh.spaces().get(&name);
        StorageView {
            space: seen.get(&name).copied(),
            samples: history.map(|history| history.samples.iter().copied().collect()).unwrap_or_default(),
            forecast: history.map_or(Forecast::Unknown, space::SpaceHistory::forecast),
            name,
        }
    })
}
