//! Destinations as people see them: the room that each has, and had, and when it will be full.

use std::collections::BTreeSet;

use landfall_proto::overview::{Forecast, StorageView};

use super::Scene;
use crate::core::space;

/// Destinations in the order of names: those that a node sees at this moment, and those that have a history; only that of the name
/// `only`, where there is one, and only those behind `after`.
pub fn storages<'a>(
    scene: Scene<'a>,
    only: Option<&str>,
    after: Option<&str>,
) -> impl Iterator<Item = StorageView> + use<'a> {
    let seen = space::seen(scene.mesh, scene.now);
    let is_wanted = |name: &&String| {
        only.is_none_or(|only| name.as_str() == only) && after.is_none_or(|after| name.as_str() > after)
    };
    let names = seen.keys().chain(scene.mesh.spaces().keys()).filter(is_wanted);
    let names: BTreeSet<String> = names.cloned().collect();
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
