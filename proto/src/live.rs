//! Messages that may be lost: beats, beacons, synchronisation, progress. Each repeats, so nothing depends on one of them.

use serde::{Deserialize, Serialize};

use crate::envelope::{ContentHash, Epoch, Position};
use crate::id::{Holder, Incarnation, NodeId, RunId};
use crate::report::{Progress, Vitals};
use crate::time::{Duration, Timestamp};

pub const BEAT_KIND: &str = "beat";
pub const BEACON_KIND: &str = "beacon";
pub const PRESENCE_KIND: &str = "presence";
pub const SYNC_KIND: &str = "sync";
pub const PROGRESS_KIND: &str = "progress";
pub const OUTPUT_KIND: &str = "output";

/// How often an agent sends a beat.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(5);

/// A node is silent after this many missed beats.
pub const BEATS_MISSED_MAX: u32 = 3;

/// How often the leader sends a beacon, and every coordinator its presence: a standby that misses three may take over.
pub const BEACON_INTERVAL: Duration = Duration::from_secs(1);

/// Content hashes in one synchronisation. One would not be enough: two histories may say the same thing at one place.
pub const SYNC_HALVES_MAX: usize = 8;

/// Digests that one presence carries.
pub const DIGESTS_SHOWN_MAX: usize = 4;

/// An agent that has heard no beacon for so long acts on its own.
pub const BEACON_FRESH: Duration = Duration::from_secs(60);

/// "I am here": an agent's condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Beat {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub version: String,
    /// The next sequence this agent will write: what is missing below it is a hole.
    pub next_seq: u64,
    /// Facts that no coordinator has confirmed yet.
    pub outbox: u64,
    pub vitals: Vitals,
    /// Runs that are alive on this node at this moment.
    pub live: Vec<LiveRun>,
    /// Why the node does not want to start anything now: battery, load, space.
    #[serde(default)]
    pub paused: Option<String>,
    pub sent_at: Timestamp,
    /// The highest epoch that it has obeyed: a leader of a lower one is heard by nobody here, and has to claim above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// A run that is alive, and how long ago it last moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LiveRun {
    pub run: RunId,
    pub idle_ms: u64,
    #[serde(default)]
    pub progress: Option<Progress>,
}

/// "I lead": sent by the leader only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Beacon {
    pub holder: Holder,
    pub epoch: Epoch,
    pub position: Position,
    pub sent_at: Timestamp,
}

/// "I am here, and this is where I stand": from every coordinator to every other one, and to whoever looks, on the beacon's subject. Agents
/// pass over it, so that a standby is never taken for a leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Presence {
    pub holder: Holder,
    /// The process of that name.
    pub incarnation: Incarnation,
    /// The highest epoch that it has accepted.
    pub epoch: Epoch,
    /// Whether it leads in that epoch, as far as it has read.
    pub leads: bool,
    /// What it has folded.
    pub position: Position,
    /// Facts in the log that it has not folded; absent while the log is out of its sight.
    #[serde(default)]
    pub lag: Option<u64>,
    /// What its state was at positions where everybody takes a digest, oldest first; at most [`DIGESTS_SHOWN_MAX`].
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// It is about to end by itself: nobody has to wait for its silence.
    #[serde(default)]
    pub is_ending: bool,
    #[serde(default)]
    pub version: String,
    pub sent_at: Timestamp,
}

/// What a coordinator's state was at one position of the log: the same for everybody who folds the same log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Digest {
    pub position: Position,
    pub state: ContentHash,
}

/// From the leader to one agent: what is safe, what is missing, what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Sync {
    pub epoch: Epoch,
    pub incarnation: Incarnation,
    /// Every fact below this sequence is in a durable ledger.
    pub durable_below: u64,
    /// First halves of the content hashes of the facts just below `durable_below`, oldest first, at most
    /// [`SYNC_HALVES_MAX`]: an agent that wrote something else there goes on with a journal that was set back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_halves: Vec<u64>,
    /// Send again from here: something is missing.
    #[serde(default)]
    pub resend_from: Option<u64>,
    /// Runs of this node that stand in the leader's queue; it need not start them itself. At most 100.
    #[serde(default)]
    pub queued: Vec<RunId>,
    /// True where the coordinator knows no plans of this incarnation and wants them announced.
    #[serde(default)]
    pub announce: bool,
}

/// Lines a run printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Output {
    pub run: RunId,
    /// Offset of `text` in the run's log, in bytes.
    pub offset: u64,
    pub text: String,
}
