//! The mesh in one glance.

use std::collections::BTreeMap;

use landfall_proto::time::Timestamp;
use landfall_proto::view::{LogCopies, RoutineView, StandbyView, StatusView, WatchdogView};

use super::{Scene, monitor};
use crate::core::digest::{Compared, Peer};

/// What the state does not know: the process and the bus around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Surroundings {
    pub bus_version: Option<String>,
    pub started_at: Timestamp,
    /// Messages beside the log that were refused, by name.
    pub refused: BTreeMap<String, u64>,
    /// When the loop last came round with the log in sight.
    pub last_pass_at: Option<Timestamp>,
    pub watchdog: Option<WatchdogView>,
    pub log_copies: Option<LogCopies>,
}

/// `routines` are those that fit, in the order of their names.
pub fn status(scene: Scene<'_>, around: &Surroundings, routines: Vec<RoutineView>) -> StatusView {
    let mesh = scene.mesh;
    let meta = mesh.meta();
    let mut refused = meta.refused.clone();
    for (name, count) in &around.refused {
        *refused.entry(name.clone()).or_default() += count;
    }
    let living = || mesh.nodes().values().filter(|node| !node.is_retired());
    let silent = living().filter(|node| !mesh.is_online(&node.id, scene.now)).map(|node| node.id.clone());
    let nodes_silent: Vec<_> = silent.collect();
    let nodes = count(living().count());
    StatusView {
        cluster: mesh.me().cluster.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        leader: mesh.leader().map(|leader| leader.holder.clone()),
        epoch: mesh.epoch(),
        log_seq: mesh.cursor().seq,
        lag: mesh.lag(scene.now),
        bus_version: around.bus_version.clone(),
        nodes,
        nodes_online: nodes.saturating_sub(count(nodes_silent.len())),
        nodes_silent: nodes_silent.into_iter().take(NODES_NAMED_MAX).collect(),
        rounds_open: count(mesh.rounds().values().filter(|round| round.verdict.is_none()).count()),
        runs_queued: count(mesh.queued_count()),
        runs_running: mesh.active_count(),
        alerts_open: count(mesh.open_alerts().count()),
        routines,
        refused,
        unknown_kinds: meta.unknown_kinds.clone(),
        started_at: around.started_at,
        leader_since: mesh.leader().map(|leader| leader.claimed_at),
        standbys: mesh.peers(scene.now).map(standby).collect(),
        last_pass_at: around.last_pass_at,
        watchdog: around.watchdog,
        log_copies: around.log_copies,
        monitors: monitor::counts(scene),
    }
}

fn standby(peer: &Peer) -> StandbyView {
    let Peer { presence, heard_at, compared } = peer;
    StandbyView {
        holder: presence.holder.clone(),
        version: presence.version.clone(),
        epoch: presence.epoch,
        log_seq: presence.position.seq,
        lag: presence.lag,
        agrees: compared.as_ref().map(Compared::agrees),
        heard_at: *heard_at,
    }
}

/// Silent nodes that are named; their number follows from the other two.
const NODES_NAMED_MAX: usize = 200;

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
