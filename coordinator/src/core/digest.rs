//! What the state is, in one hash: equal for everybody who has folded the same log, however he came by it.

use landfall_proto::codec::encode;
use landfall_proto::envelope::ContentHash;
use landfall_proto::id::Holder;
use landfall_proto::live::{Beacon, DIGESTS_SHOWN_MAX, Digest, Presence};
use landfall_proto::time::{Duration, Timestamp, after};
use serde::Serialize;

use super::agenda::Matter;
use super::mesh::Mesh;

/// Digests are taken at least this many positions apart.
const APART_MIN: u64 = 64;

/// Own digests that are kept, for others who come to the same position later.
pub(super) const KEPT_MAX: usize = 64;

/// A coordinator that has not been heard for so long is no standby any more.
pub const PRESENCE_FRESH: Duration = Duration::from_secs(10);

/// Coordinators that are kept apart. More than a handful is somebody's mistake.
pub(super) const PEERS_MAX: usize = 64;

/// Another coordinator as it was last heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    pub presence: Presence,
    pub heard_at: Timestamp,
    /// What became of the last comparison of digests.
    pub compared: Option<Compared>,
}

/// Two digests of one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    pub own: Digest,
    pub theirs: Digest,
}

impl Compared {
    pub fn agrees(&self) -> bool {
        self.own.state == self.theirs.state
    }
}

impl Mesh {
    /// Hash over everything that the log says. Counters of refusals and what only this process knows are no part of it.
    pub fn digest(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        let written = self.writers.iter().map(|(key, writer)| (key, writer.next_seq)).filter(|(_, next)| *next > 0);
        section(&mut hasher, b'e', [(&self.meta.epoch, &self.meta.leader)]);
        section(&mut hasher, b'w', written);
        section(&mut hasher, b'n', self.nodes.values());
        section(&mut hasher, b'o', self.routines.values());
        section(&mut hasher, b'l', self.limits.iter());
        section(&mut hasher, b'h', self.monitors.values());
        section(&mut hasher, b'k', self.ping_keys.iter());
        section(&mut hasher, b'a', self.alerts.values());
        section(&mut hasher, b'r', self.rounds.values());
        section(&mut hasher, b'u', self.runs.values());
        section(&mut hasher, b's', self.spaces.iter());
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        ContentHash(hash)
    }

    /// Takes a digest where everybody does: at positions that follow from the position and the size of the state alone. A
    /// large state is hashed as seldom as it is large, so that a fact costs the same in all. `has_era_begun` says that the claim
    /// of an era stands here: after a loss everybody may know something else, and finds it out at once.
    pub(super) fn take_digest(&mut self, has_era_begun: bool) {
        let position = self.meta.cursor;
        if has_era_begun || position.seq.is_multiple_of(self.digests_apart()) {
            let state = self.digest();
            self.process.digests.push_back(Digest { position, state });
            if self.process.digests.len() > KEPT_MAX {
                self.process.digests.pop_front();
            }
        }
    }

    fn digests_apart(&self) -> u64 {
        let records = self.writers.len()
            + self.nodes.len()
            + self.routines.len()
            + self.rounds.len()
            + self.runs.len()
            + self.alerts.len()
            + self.monitors.len()
            + self.spaces.len();
        (2 * records as u64).next_power_of_two().max(APART_MIN)
    }

    /// What this process says of itself to the other coordinators, and to whoever looks.
    pub fn presence(&self, now: Timestamp) -> Presence {
        Presence {
            holder: self.me.holder.clone(),
            incarnation: self.me.incarnation,
            epoch: self.meta.epoch,
            leads: self.acts(),
            position: self.meta.cursor,
            lag: self.lag(now),
            digests: self.digests_shown(),
            is_ending: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sent_at: now,
        }
    }

    /// What the leader says to everybody; `None` where this process does not lead or cannot act as a leader, so that another
    /// one takes over.
    pub fn beacon(&self, now: Timestamp) -> Option<Beacon> {
        self.acts().then(|| Beacon {
            holder: self.me.holder.clone(),
            epoch: self.meta.epoch,
            position: self.meta.cursor,
            sent_at: now,
        })
    }

    /// Whether this process leads and sees the log that it leads by.
    pub fn acts(&self) -> bool {
        self.leads() && self.sees_the_log() && !self.owes_an_era()
    }

    /// The digests that this process shows to others, oldest first.
    pub fn digests_shown(&self) -> Vec<Digest> {
        let digests = &self.process.digests;
        digests.iter().skip(digests.len().saturating_sub(DIGESTS_SHOWN_MAX)).copied().collect()
    }

    /// Other coordinators that are heard.
    pub fn peers(&self, now: Timestamp) -> impl Iterator<Item = &Peer> {
        self.process.peers.values().filter(move |peer| now < after(peer.heard_at, PRESENCE_FRESH))
    }

    /// The leader with which this process does not agree about the state. It stands down then: what the leader has is what
    /// counts.
    pub const fn diverged(&self) -> Option<&Holder> {
        self.process.diverged.as_ref()
    }

    /// Takes in another coordinator's presence.
    pub(super) fn present(&mut self, presence: Presence, now: Timestamp) {
        if presence.holder == self.me.holder && presence.incarnation == self.me.incarnation {
            return;
        }
        let is_leader = self
            .leader()
            .is_some_and(|leader| leader.holder == presence.holder && leader.incarnation == presence.incarnation);
        if presence.leads && !presence.is_ending {
            self.another_leads(presence.epoch, now);
        }
        if presence.is_ending && is_leader {
            self.process.leader_ended_at = Some(now);
        }
        let compared = presence.digests.iter().rev().find_map(|theirs| {
            let own = self.process.digests.iter().find(|own| own.position == theirs.position)?;
            Some(Compared { own: *own, theirs: *theirs })
        });
        let differs = compared.is_some_and(|compared| !compared.agrees());
        if differs && is_leader && presence.epoch == self.meta.epoch {
            self.process.diverged = Some(presence.holder.clone());
        }
        let key = (presence.holder.clone(), presence.incarnation);
        let before = self.process.peers.remove(&key);
        let known = before.as_ref().and_then(|peer| peer.compared);
        if compared.is_some() && compared != known {
            self.agenda.mark(Matter::Mesh);
        }
        self.process.peers.retain(|_, peer| now < after(peer.heard_at, PRESENCE_FRESH));
        if !presence.is_ending && self.process.peers.len() < PEERS_MAX {
            let compared = compared.or(known);
            self.process.peers.insert(key, Peer { presence, heard_at: now, compared });
        }
    }
}

/// One part of the state, marked so that no two parts can be taken for each other.
fn section<T: Serialize>(hasher: &mut blake3::Hasher, mark: u8, records: impl IntoIterator<Item = T>) {
    for record in records {
        let bytes = encode(&record);
        hasher.update(&[mark]);
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(&bytes);
    }
}
