//! Who leads: the log decides, and a candidate waits until no other leader is heard.

use landfall_proto::envelope::Epoch;
use landfall_proto::fact::coordinator::LeaderClaimed;
use landfall_proto::live::{BEACON_INTERVAL, Beacon};
use landfall_proto::time::{Duration, Timestamp, after};

use super::mesh::Mesh;

/// A leader whose beacons have not been heard for so long may be replaced.
pub const LEADER_SILENCE: Duration = Duration::from_ms(3 * BEACON_INTERVAL.as_ms());

/// When this process may claim; `None` while it leads or before it has seen an instant.
pub(super) fn claim_at(mesh: &Mesh) -> Option<Timestamp> {
    let since = mesh.process.since?;
    if mesh.leads() {
        return None;
    }
    let is_vacant = match mesh.leader() {
        // Nobody ever led: the first claim in the log wins, so nothing is gained by waiting.
        None => true,
        // The last leader was this coordinator's earlier process. A second process of the same name, by mistake,
        // is heard by its beacons; so each process takes this short way only once.
        Some(leader) => leader.holder == mesh.me.holder,
    };
    if is_vacant && !mesh.process.has_claimed && mesh.process.other_led_at.is_none() {
        return Some(since);
    }
    Some(after(mesh.process.other_led_at.unwrap_or(since).max(since), LEADER_SILENCE))
}

/// The claim that is due, if one is.
pub(super) fn claim(mesh: &Mesh, now: Timestamp) -> Option<LeaderClaimed> {
    let at = claim_at(mesh)?;
    let Epoch { era, term } = mesh.epoch();
    (at <= now).then(|| LeaderClaimed { epoch: Epoch { era, term: term + 1 }, holder: mesh.me.holder.clone() })
}

impl Mesh {
    /// Takes in a beacon. One of an older epoch comes from a leader that does not know yet that it was replaced.
    pub(super) fn led(&mut self, beacon: &Beacon, now: Timestamp) {
        if !self.leads() && beacon.epoch >= self.meta.epoch {
            self.process.other_led_at = Some(now);
        }
    }
}
