//! What the ledger keeps: one record per thing, its key, and which records a step has touched.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::alert::Alert;
use landfall_proto::codec::{MESSAGE_BYTES_MAX, Refusal, decode, encode};
use landfall_proto::envelope::{Envelope, Epoch, Position};
use landfall_proto::fact::coordinator::AlertDelivered;
use landfall_proto::id::{Holder, Incarnation, NodeId, RoundId, RoutineName, RunId};
use landfall_proto::limit::LimitName;
use landfall_proto::report::Unread;
use landfall_proto::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::era::{EraBegun, Loss};
use super::monitor::{Monitor, PingKey};
use super::node::Node;
use super::round::Round;
use super::routine::Routine;
use super::run::Run;
use super::space::SpaceHistory;
use super::writer::{Writer, WriterKey};

/// Longest record that is read back, in bytes: the verdict of a very large round.
pub const RECORD_BYTES_MAX: usize = 64 * MESSAGE_BYTES_MAX;

/// What there is once: the place in the log, the leader, and counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub cursor: Position,
    pub leader: Option<Leader>,
    /// Highest accepted epoch.
    pub epoch: Epoch,
    /// Messages of the log that were refused, by the refusal's name.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Facts of kinds that this build does not know.
    #[serde(default)]
    pub unknown_kinds: BTreeMap<String, u64>,
    /// Decisions that came from a coordinator which did not lead.
    #[serde(default)]
    pub ignored_decisions: u64,
    /// Rounds before this are not in memory, so a late fact does not open them again.
    #[serde(default)]
    pub horizon: Option<Timestamp>,
    /// When the fact at the cursor was written.
    #[serde(default)]
    pub folded_at: Option<Timestamp>,
    /// What is known of the log before the present one, until somebody has claimed the era.
    #[serde(default)]
    pub loss: Option<Loss>,
    /// How the present era began; absent in the first one.
    #[serde(default)]
    pub era: Option<EraBegun>,
}

/// Whose decisions count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    pub holder: Holder,
    /// The process of that name which claimed.
    pub incarnation: Incarnation,
    pub epoch: Epoch,
    pub claimed_at: Timestamp,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            cursor: Position::START,
            leader: None,
            epoch: Epoch::default(),
            refused: BTreeMap::new(),
            unknown_kinds: BTreeMap::new(),
            ignored_decisions: 0,
            horizon: None,
            folded_at: None,
            loss: None,
            era: None,
        }
    }
}

/// One raising of an alert, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    pub alert: Alert,
    pub raised_at: Timestamp,
    #[serde(default)]
    pub resolved: Option<Resolved>,
    /// One per sink and direction.
    #[serde(default)]
    pub deliveries: Vec<AlertDelivered>,
}

/// The end of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub at: Timestamp,
    pub why: String,
}

/// What a run's tool printed last and could not read: written once at the run's end, never held in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTail {
    pub run: RunId,
    pub tail: String,
    pub unread: Unread,
}

/// A fact that waits behind a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedRecord {
    pub envelope: Envelope,
    /// Whether a node wrote it, else a coordinator.
    pub from_node: bool,
}

/// A record's key. Its bytes sort by kind, then by identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Meta,
    Writer(WriterKey),
    Parked(WriterKey, u64),
    Node(NodeId),
    Routine(RoutineName),
    Limit(LimitName),
    Space(String),
    Alert(Uuid),
    Round(RoundId),
    Run(RunId),
    Tail(RunId),
    Monitor(RoutineName),
    PingKey(String),
    /// What came with a ping, by the ping's id.
    Body(Uuid),
}

/// Every record that a step touched, as it is afterwards. Written in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Absent only where nothing at all changed.
    pub meta: Option<Meta>,
    pub writers: BTreeMap<WriterKey, Writer>,
    /// `None` takes the record away.
    pub parked: BTreeMap<(WriterKey, u64), Option<ParkedRecord>>,
    pub nodes: BTreeMap<NodeId, Node>,
    pub routines: BTreeMap<RoutineName, Routine>,
    pub limits: BTreeMap<LimitName, u32>,
    /// By the raising's own id.
    pub alerts: BTreeMap<Uuid, AlertRecord>,
    pub rounds: BTreeMap<RoundId, Round>,
    pub runs: BTreeMap<RunId, Run>,
    pub tails: BTreeMap<RunId, RunTail>,
    /// `None` takes the record away, here and below.
    pub monitors: BTreeMap<RoutineName, Option<Monitor>>,
    pub ping_keys: BTreeMap<String, Option<PingKey>>,
    /// By the storage's name.
    pub spaces: BTreeMap<String, Option<SpaceHistory>>,
    /// Written and read back by their pages only, never held in memory.
    pub bodies: BTreeMap<Uuid, Option<String>>,
    /// Concluded rounds that left memory with their runs: their records stay in the ledger, but are not restored.
    pub forgotten_rounds: BTreeSet<RoundId>,
    /// Runs of rounds that left memory earlier: a late result is written down, but not restored.
    pub forgotten_runs: BTreeSet<RunId>,
    /// Resolved alerts that left memory: their records stay in the ledger, but are not restored.
    pub forgotten_alerts: BTreeSet<Uuid>,
}

/// The records that a mesh is built from again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    pub meta: Meta,
    pub writers: BTreeMap<WriterKey, Writer>,
    pub parked: BTreeMap<(WriterKey, u64), ParkedRecord>,
    pub nodes: BTreeMap<NodeId, Node>,
    pub routines: BTreeMap<RoutineName, Routine>,
    pub limits: BTreeMap<LimitName, u32>,
    pub monitors: BTreeMap<RoutineName, Monitor>,
    pub ping_keys: BTreeMap<String, PingKey>,
    pub spaces: BTreeMap<String, SpaceHistory>,
    pub alerts: BTreeMap<Uuid, AlertRecord>,
    /// Without those that were forgotten.
    pub rounds: BTreeMap<RoundId, Round>,
    /// Only runs of `rounds`, and of rounds that are not opened yet.
    pub runs: BTreeMap<RunId, Run>,
}

impl Changes {
    /// Every record to be written, encoded; `None` takes it away.
    pub fn entries(&self) -> Vec<(Key, Option<Vec<u8>>)> {
        let mut entries = Vec::new();
        let mut put = |key: Key, value: Vec<u8>| entries.push((key, Some(value)));
        self.meta.iter().for_each(|meta| put(Key::Meta, encode(meta)));
        self.writers.iter().for_each(|(id, writer)| put(Key::Writer(id.clone()), encode(writer)));
        self.nodes.iter().for_each(|(id, node)| put(Key::Node(id.clone()), encode(node)));
        self.routines.iter().for_each(|(id, routine)| put(Key::Routine(id.clone()), encode(routine)));
        self.limits.iter().for_each(|(id, size)| put(Key::Limit(id.clone()), encode(size)));
        self.alerts.iter().for_each(|(id, alert)| put(Key::Alert(*id), encode(alert)));
        self.rounds.iter().for_each(|(id, round)| put(Key::Round(*id), encode(round)));
        self.runs.iter().for_each(|(id, run)| put(Key::Run(*id), encode(run)));
        self.tails.iter().for_each(|(id, tail)| put(Key::Tail(*id), encode(tail)));
        for ((writer, seq), parked) in &self.parked {
            entries.push((Key::Parked(writer.clone(), *seq), parked.as_ref().map(encode)));
        }
        entries.extend(self.monitors.iter().map(|(id, it)| (Key::Monitor(id.clone()), it.as_ref().map(encode))));
        entries.extend(self.ping_keys.iter().map(|(id, it)| (Key::PingKey(id.clone()), it.as_ref().map(encode))));
        entries.extend(self.spaces.iter().map(|(id, it)| (Key::Space(id.clone()), it.as_ref().map(encode))));
        entries.extend(self.bodies.iter().map(|(id, it)| (Key::Body(*id), it.as_ref().map(encode))));
        entries
    }

    /// Reads one record under its key, tails included.
    pub fn read(&mut self, key: Key, value: &[u8]) -> Result<(), Refusal> {
        match key {
            Key::Meta => self.meta = Some(decode(value, RECORD_BYTES_MAX)?),
            Key::Writer(id) => drop(self.writers.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Parked(id, seq) => drop(self.parked.insert((id, seq), Some(decode(value, RECORD_BYTES_MAX)?))),
            Key::Node(id) => drop(self.nodes.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Routine(id) => drop(self.routines.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Limit(id) => drop(self.limits.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Space(name) => drop(self.spaces.insert(name, Some(decode(value, RECORD_BYTES_MAX)?))),
            Key::Alert(id) => drop(self.alerts.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Round(id) => drop(self.rounds.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Run(id) => drop(self.runs.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Tail(id) => drop(self.tails.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Monitor(id) => drop(self.monitors.insert(id, Some(decode(value, RECORD_BYTES_MAX)?))),
            Key::PingKey(id) => drop(self.ping_keys.insert(id, Some(decode(value, RECORD_BYTES_MAX)?))),
            Key::Body(id) => drop(self.bodies.insert(id, Some(decode(value, RECORD_BYTES_MAX)?))),
        }
        Ok(())
    }
}

impl Records {
    /// Takes over what a step touched, as a ledger in memory does.
    pub fn apply(&mut self, changes: Changes) {
        self.meta = changes.meta.unwrap_or_else(|| self.meta.clone());
        self.writers.extend(changes.writers);
        self.nodes.extend(changes.nodes);
        self.routines.extend(changes.routines);
        self.limits.extend(changes.limits);
        self.alerts.extend(changes.alerts);
        self.rounds.extend(changes.rounds);
        self.runs.extend(changes.runs);
        put(&mut self.parked, changes.parked);
        put(&mut self.monitors, changes.monitors);
        put(&mut self.ping_keys, changes.ping_keys);
        put(&mut self.spaces, changes.spaces);
        for round in &changes.forgotten_rounds {
            self.rounds.remove(round);
        }
        for run in &changes.forgotten_runs {
            self.runs.remove(run);
        }
        for alert in &changes.forgotten_alerts {
            self.alerts.remove(alert);
        }
        if !changes.forgotten_rounds.is_empty() {
            self.runs.retain(|_, run| !changes.forgotten_rounds.contains(&run.round));
        }
    }

    /// Reads one record under its key. The caller leaves out what was forgotten.
    pub fn read(&mut self, key: Key, value: &[u8]) -> Result<(), Refusal> {
        match key {
            Key::Meta => self.meta = decode(value, RECORD_BYTES_MAX)?,
            Key::Writer(id) => drop(self.writers.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Parked(id, seq) => drop(self.parked.insert((id, seq), decode(value, RECORD_BYTES_MAX)?)),
            Key::Node(id) => drop(self.nodes.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Routine(id) => drop(self.routines.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Limit(id) => drop(self.limits.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Space(name) => drop(self.spaces.insert(name, decode(value, RECORD_BYTES_MAX)?)),
            Key::Alert(id) => drop(self.alerts.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Round(id) => drop(self.rounds.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Run(id) => drop(self.runs.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Monitor(id) => drop(self.monitors.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::PingKey(id) => drop(self.ping_keys.insert(id, decode(value, RECORD_BYTES_MAX)?)),
            Key::Tail(_) | Key::Body(_) => {}
        }
        Ok(())
    }
}

/// Takes over what is there, and takes away what is not.
fn put<K: Ord, V>(all: &mut BTreeMap<K, V>, changed: BTreeMap<K, Option<V>>) {
    for (key, value) in changed {
        match value {
            Some(value) => all.insert(key, value),
            None => all.remove(&key),
        };
    }
}

impl Key {
    /// The bytes that the ledger sorts by.
    pub fn bytes(&self) -> Vec<u8> {
        let (kind, rest): (u8, Vec<u8>) = match self {
            Self::Meta => (b'm', Vec::new()),
            Self::Writer(writer) => (b'w', writer_bytes(writer)),
            Self::Parked(writer, seq) => (b'p', [writer_bytes(writer), seq.to_be_bytes().to_vec()].concat()),
            Self::Node(id) => (b'n', id.as_str().as_bytes().to_vec()),
            Self::Routine(name) => (b'o', name.as_str().as_bytes().to_vec()),
            Self::Limit(name) => (b'l', name.to_string().into_bytes()),
            Self::Space(name) => (b's', name.clone().into_bytes()),
            Self::Alert(id) => (b'a', id.as_bytes().to_vec()),
            Self::Round(id) => (b'r', id.0.as_bytes().to_vec()),
            Self::Run(id) => (b'u', id.0.as_bytes().to_vec()),
            Self::Tail(id) => (b't', id.0.as_bytes().to_vec()),
            Self::Monitor(name) => (b'h', name.as_str().as_bytes().to_vec()),
            Self::PingKey(label) => (b'k', label.as_bytes().to_vec()),
            Self::Body(id) => (b'b', id.as_bytes().to_vec()),
        };
        [vec![kind], rest].concat()
    }

    /// The inverse of [`Self::bytes`]; `None` where the bytes are no key.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let text = || std::str::from_utf8(rest).ok();
        let uuid = || Uuid::from_slice(rest).ok();
        match kind {
            b'm' if rest.is_empty() => Some(Self::Meta),
            b'w' => writer_of(rest).map(Self::Writer),
            b'p' => {
                let (writer, seq) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
                Some(Self::Parked(writer_of(writer)?, u64::from_be_bytes(seq.try_into().ok()?)))
            }
            b'n' => text()?.parse().ok().map(Self::Node),
            b'o' => text()?.parse().ok().map(Self::Routine),
            b'l' => text()?.parse().ok().map(Self::Limit),
            b's' => text().map(|name| Self::Space(name.to_owned())),
            b'a' => uuid().map(Self::Alert),
            b'r' => uuid().map(|id| Self::Round(RoundId(id))),
            b'u' => uuid().map(|id| Self::Run(RunId(id))),
            b't' => uuid().map(|id| Self::Tail(RunId(id))),
            b'h' => text()?.parse().ok().map(Self::Monitor),
            b'k' => text().map(|label| Self::PingKey(label.to_owned())),
            b'b' => uuid().map(Self::Body),
            _ => None,
        }
    }
}

fn writer_bytes((name, incarnation): &WriterKey) -> Vec<u8> {
    [incarnation.0.as_bytes().as_slice(), name.as_bytes()].concat()
}

fn writer_of(bytes: &[u8]) -> Option<WriterKey> {
    let (incarnation, name) = bytes.split_at_checked(16)?;
    Some((String::from_utf8(name.to_vec()).ok()?, Incarnation(Uuid::from_slice(incarnation).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let writer = ("node-1".to_owned(), Incarnation(Uuid::from_u128(7)));
        let keys = [
            Key::Meta,
            Key::Writer(writer.clone()),
            Key::Parked(writer, 12),
            Key::Node("a".parse().unwrap()),
            Key::Routine("db.daily".parse().unwrap()),
            Key::Limit(LimitName::Storage("nas".to_owned())),
            Key::Space("web-1/disk".to_owned()),
            Key::Alert(Uuid::from_u128(1)),
            Key::Round(RoundId(Uuid::from_u128(2))),
            Key::Run(RunId(Uuid::from_u128(3))),
            Key::Tail(RunId(Uuid::from_u128(4))),
            Key::Monitor("db.daily".parse().unwrap()),
            Key::PingKey("scripts".to_owned()),
            Key::Body(Uuid::from_u128(5)),
        ];
        for key in keys {
            assert_eq!(Key::parse(&key.bytes()), Some(key));
        }
        assert_eq!(Key::parse(b"x1"), None);
        assert_eq!(Key::parse(b"p1"), None);
    }
}
