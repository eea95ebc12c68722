//! Who leads: the log decides, and a candidate waits until no other leader is heard.

use landfall_proto::envelope::Epoch;
use landfall_proto::fact::coordinator::LeaderClaimed;
use landfall_proto::id::Holder;
use landfall_proto::live::{BEACON_INTERVAL, Beacon};
use landfall_proto::time::{Duration, Timestamp, after};

use super::mesh::Mesh;

/// A leader whose beacons have not been heard for so long may be replaced.
pub const LEADER_SILENCE: Duration = Duration::from_ms(3 * BEACON_INTERVAL.as_ms());

/// Terms that are claimed one after the other because a node obeys none of them, before an era is.
const TERMS_TRIED_MAX: u32 = 3;

/// The pause between such claims, doubled with each until a node obeys.
const OUTRANKED_AGAIN: Duration = Duration::from_secs(1);

/// The longest pause is so many doublings of the first: about a quarter of an hour.
const OUTRANKED_DOUBLINGS_MAX: u32 = 10;

/// Candidates wait longer by a part of this that follows from their names, so that they rarely claim at the same time.
const TURN_MAX: Duration = Duration::from_ms(1000);

/// After a leader that said that it ends, nobody has to be waited for but quicker candidates.
const TURN_AFTER_END: u64 = 4;

/// When this process may claim; `None` while it leads and has nothing to claim, and while it cannot see the log.
pub(super) fn claim_at(mesh: &Mesh) -> Option<Timestamp> {
    let seen = mesh.process.eyes.since?;
    if mesh.diverged().is_some() {
        return None;
    }
    let process = &mesh.process;
    if mesh.leads() {
        // It is asked for a higher epoch: by a log that is another one, or by a node that has obeyed another leader. Claims
        // for the sake of a node that obeys nobody grow rare.
        let pause = Duration::from_ms(OUTRANKED_AGAIN.as_ms() << process.outranked.min(OUTRANKED_DOUBLINGS_MAX));
        let again = process.claimed_at.map_or(seen, |at| after(at, pause).max(seen));
        return if mesh.owes_an_era() { Some(seen) } else { process.is_outranked.then_some(again) };
    }
    let is_mine = match mesh.leader() {
        // Nobody ever led: the first claim in the log wins, so nothing is gained by waiting.
        None => true,
        // The last leader was this coordinator's earlier process. A second process of the same name, by mistake,
        // is heard by its beacons; so each process takes this short way only once.
        Some(leader) => leader.holder == mesh.me.holder,
    };
    if is_mine && process.claimed_at.is_none() && process.other_led_at.is_none() {
        return Some(seen);
    }
    let turn = turn_of(&mesh.me.holder);
    let again = process.claimed_at.map(|at| after(after(at, LEADER_SILENCE), turn));
    if let Some(ended) = process.leader_ended_at {
        return Some(after(ended, Duration::from_ms(turn.as_ms() / TURN_AFTER_END)).max(seen));
    }
    let vacant = after(after(process.other_led_at.unwrap_or(seen).max(seen), LEADER_SILENCE), turn);
    Some(again.map_or(vacant, |again| again.max(vacant)))
}

/// The claim that is due, if one is.
pub(super) fn claim(mesh: &Mesh, now: Timestamp) -> Option<LeaderClaimed> {
    if claim_at(mesh)? > now {
        return None;
    }
    let Epoch { era, term } = mesh.epoch();
    let holder = mesh.me.holder.clone();
    let birth = mesh.birth_of_the_log(now).or_else(|| {
        // Nodes remember an era that this log has never heard of: log and ledgers were lost together.
        (mesh.process.outranked >= TERMS_TRIED_MAX).then(|| mesh.unknown_birth(now)).flatten()
    });
    Some(match birth {
        Some(log) => LeaderClaimed { epoch: Epoch { era: era + 1, term: 1 }, holder, log: Some(log) },
        None => LeaderClaimed { epoch: Epoch { era, term: term + 1 }, holder, log: None },
    })
}

/// How much longer than others this candidate waits.
fn turn_of(holder: &Holder) -> Duration {
    let [first, second, ..] = *blake3::hash(holder.as_str().as_bytes()).as_bytes();
    Duration::from_ms(u64::from(u16::from_be_bytes([first, second])) * TURN_MAX.as_ms() / (1 << 16))
}

impl Mesh {
    /// Takes in a beacon. One of an older epoch comes from a leader that does not know yet that it was replaced.
    pub(super) fn led(&mut self, beacon: &Beacon, now: Timestamp) {
        self.another_leads(beacon.epoch, now);
    }

    pub(super) fn another_leads(&mut self, epoch: Epoch, now: Timestamp) {
        if !self.leads() && epoch >= self.meta.epoch {
            self.process.other_led_at = Some(now);
            self.process.leader_ended_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_different_names_take_turns() {
        let turns: Vec<u64> =
            ["alpha", "beta", "one", "two"].map(|name| turn_of(&name.parse().unwrap()).as_ms()).to_vec();
        for (index, turn) in turns.iter().enumerate() {
            assert!(*turn < TURN_MAX.as_ms());
            assert!(turns[..index].iter().all(|other| other.abs_diff(*turn) > 20), "{turns:?}");
        }
    }
}
