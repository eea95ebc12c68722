//! From changed records to the exact keys and values of one transaction; the same for every ledger.

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::codec::encode;
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use super::LedgerError;
use crate::core::record::{Changes, Key};
use crate::edge::key::{Index, listed_round_key, piece_key};
use crate::view;

/// Longest value, in bytes. The store puts larger ones into files of their own, which no transaction covers.
pub(super) const VALUE_BYTES_MAX: usize = 60 * 1024;

/// Checksum, place in the lists, number of further pieces.
const HEAD_BYTES: usize = 8 + 8 + 2;
const CHECKSUM_BYTES: usize = 8;

/// What one transaction puts, or takes away.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What stands in the store before the transaction. There is one writer, so it stands there still when it begins.
pub trait Before {
    /// One stored value as it is, sealed.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError>;
    fn keys_of(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, LedgerError>;
}

/// All keys and values that `changes` comes to.
pub(super) fn writes(before: &dyn Before, changes: &Changes) -> Result<Writes, LedgerError> {
    let mut writes = Writes::new();
    for (key, value) in changes.entries() {
        let place = place(changes, &key);
        let bytes = key.bytes();
        let head = before.value(&bytes)?.as_deref().and_then(Head::read);
        for number in 1..=head.map_or(0, |head| head.pieces) {
            writes.insert(piece_key(&bytes, number), None);
        }
        if let Some(moved) = head.and_then(|head| head.place).filter(|old| Some(*old) != place) {
            for index in lists(changes, &key, moved) {
                writes.insert(index.key(), None);
            }
        }
        for index in place.map(|place| lists(changes, &key, place)).unwrap_or_default() {
            writes.insert(index.key(), Some(Vec::new()));
        }
        match value {
            Some(value) => seal(&bytes, place, &value, &mut writes),
            None => drop(writes.insert(bytes, None)),
        }
    }
    list_rounds(changes, &mut writes);
    hold(before, changes, &mut writes)?;
    Ok(writes)
}

/// All keys and values of records that come into an empty store. Those in `history` are listed and not held in memory.
pub(super) fn restored(changes: &Changes, history: &BTreeSet<Key>) -> Result<Writes, LedgerError> {
    let mut writes = Writes::new();
    for (key, value) in changes.entries() {
        let place = place(changes, &key);
        for index in place.map(|place| lists(changes, &key, place)).unwrap_or_default() {
            writes.insert(index.key(), Some(Vec::new()));
        }
        if let Some(value) = value {
            seal(&key.bytes(), place, &value, &mut writes);
        }
    }
    list_rounds(changes, &mut writes);
    hold(&Nothing, changes, &mut writes)?;
    for key in history {
        if let Some(index) = held(changes, key) {
            writes.remove(&index.key());
        }
    }
    Ok(writes)
}

/// The entry that says that this record is held in memory; `None` for kinds that always are, or never.
fn held(changes: &Changes, key: &Key) -> Option<Index> {
    match key {
        Key::Round(id) => Some(Index::HeldRound(id.0)),
        Key::Run(id) => changes.runs.get(id).map(|run| Index::HeldRun(run.round.0, id.0)),
        Key::Alert(id) => Some(Index::HeldAlert(*id)),
        Key::Meta
        | Key::Writer(_)
        | Key::Parked(..)
        | Key::Node(_)
        | Key::Routine(_)
        | Key::Limit(_)
        | Key::Tail(_)
        | Key::Monitor(_)
        | Key::PingKey(_)
        | Key::Body(_)
        | Key::Space(_) => None,
    }
}

/// A store that is empty.
struct Nothing;

impl Before for Nothing {
    fn value(&self, _: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }

    fn keys_of(&self, _: &[u8]) -> Result<Vec<Vec<u8>>, LedgerError> {
        Ok(Vec::new())
    }
}

/// Takes a record's pieces together and checks each; `None` where there is no such record.
pub(super) fn unseal(before: &dyn Before, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
    let Some(first) = before.value(key)? else { return Ok(None) };
    let damaged = || LedgerError::Damaged { detail: format!("the checksum of {} does not fit", shown(key)) };
    let head = Head::read(&first).ok_or_else(damaged)?;
    let mut bytes =
        checked(key, &first).ok_or_else(damaged)?.get(HEAD_BYTES - CHECKSUM_BYTES..).ok_or_else(damaged)?.to_vec();
    for number in 1..=head.pieces {
        let key = piece_key(key, number);
        let piece = before.value(&key)?.ok_or_else(damaged)?;
        bytes.extend_from_slice(checked(&key, &piece).ok_or_else(damaged)?);
    }
    Ok(Some(bytes))
}

/// What a record's first piece says about the rest.
#[derive(Debug, Clone, Copy)]
struct Head {
    place: Option<Timestamp>,
    pieces: u16,
}

/// Stands for "in no list".
const NOWHERE: i64 = i64::MIN;

impl Head {
    fn read(first: &[u8]) -> Option<Self> {
        let place = i64::from_be_bytes(first.get(8..16)?.try_into().ok()?);
        let pieces = u16::from_be_bytes(first.get(16..18)?.try_into().ok()?);
        let place = if place == NOWHERE { None } else { Some(Timestamp::from_millisecond(place).ok()?) };
        Some(Self { place, pieces })
    }
}

fn seal(key: &[u8], place: Option<Timestamp>, value: &[u8], writes: &mut Writes) {
    let (first, rest) = value.split_at(value.len().min(VALUE_BYTES_MAX - HEAD_BYTES));
    let pieces: Vec<&[u8]> = rest.chunks(VALUE_BYTES_MAX - CHECKSUM_BYTES).collect();
    // A record is at most 15 MiB, which is 256 pieces.
    let count = u16::try_from(pieces.len()).unwrap_or(u16::MAX);
    let mut body = Vec::with_capacity(HEAD_BYTES + first.len());
    body.extend_from_slice(&place.map_or(NOWHERE, Timestamp::as_millisecond).to_be_bytes());
    body.extend_from_slice(&count.to_be_bytes());
    body.extend_from_slice(first);
    writes.insert(key.to_vec(), Some(with_checksum(key, &body)));
    for (number, piece) in (1..=count).zip(pieces) {
        let key = piece_key(key, number);
        let value = with_checksum(&key, piece);
        writes.insert(key, Some(value));
    }
}

/// The store itself may not notice rot, and the key is part of the sum, so that a value cannot pass for another's.
fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(body);
    let mut sum = [0; CHECKSUM_BYTES];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

fn with_checksum(key: &[u8], body: &[u8]) -> Vec<u8> {
    [checksum(key, body).as_slice(), body].concat()
}

fn checked<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, body) = value.split_at_checked(CHECKSUM_BYTES)?;
    (sum == checksum(key, body)).then_some(body)
}

/// When the record counts in its lists; `None` for kinds that are in none.
fn place(changes: &Changes, key: &Key) -> Option<Timestamp> {
    match key {
        Key::Round(id) => changes.rounds.get(id).map(|round| round.opened_at),
        Key::Run(id) => changes.runs.get(id).map(|run| run.queued_at),
        Key::Alert(id) => changes.alerts.get(id).map(|alert| alert.raised_at),
        Key::Meta
        | Key::Writer(_)
        | Key::Parked(..)
        | Key::Node(_)
        | Key::Routine(_)
        | Key::Limit(_)
        | Key::Tail(_)
        | Key::Monitor(_)
        | Key::PingKey(_)
        | Key::Body(_)
        | Key::Space(_) => None,
    }
}

/// The lists that the record stands in at this place. All but the place is the same for the record's whole life.
fn lists(changes: &Changes, key: &Key, at: Timestamp) -> Vec<Index> {
    match key {
        Key::Round(id) => changes.rounds.get(id).map_or_else(Vec::new, |round| {
            vec![Index::RoundByTime(at, id.0), Index::RoundByRoutine(round.routine.to_string(), at, id.0)]
        }),
        Key::Run(id) => changes.runs.get(id).map_or_else(Vec::new, |run| {
            vec![
                Index::RunByTime(at, id.0),
                Index::RunByNode(run.node.to_string(), at, id.0),
                Index::RunByRoutine(run.routine.to_string(), at, id.0),
                Index::RunByRound(run.round.0, id.0),
            ]
        }),
        Key::Alert(id) => vec![Index::AlertByTime(at, *id)],
        Key::Meta
        | Key::Writer(_)
        | Key::Parked(..)
        | Key::Node(_)
        | Key::Routine(_)
        | Key::Limit(_)
        | Key::Tail(_)
        | Key::Monitor(_)
        | Key::PingKey(_)
        | Key::Body(_)
        | Key::Space(_) => Vec::new(),
    }
}

/// Puts beside each concluded round what lists show of it, so that a list of many rounds does not read every node of each. It is written
/// with the record, so that both are always of one state; a verdict is never taken back.
fn list_rounds(changes: &Changes, writes: &mut Writes) {
    for round in changes.rounds.values().filter(|round| round.verdict.is_some()) {
        seal(&listed_round_key(round.id), None, &encode(&view::round(round)), writes);
    }
}

/// Keeps book of what is held in memory, and of which alerts are open.
fn hold(before: &dyn Before, changes: &Changes, writes: &mut Writes) -> Result<(), LedgerError> {
    let mut put = |index: Index, there: bool| drop(writes.insert(index.key(), there.then(Vec::new)));
    for id in changes.rounds.keys() {
        put(Index::HeldRound(id.0), true);
    }
    for (id, run) in &changes.runs {
        put(Index::HeldRun(run.round.0, id.0), !changes.forgotten_runs.contains(id));
    }
    for (id, alert) in &changes.alerts {
        put(Index::HeldAlert(*id), true);
        put(Index::OpenAlert(alert.raised_at, *id), alert.resolved.is_none());
    }
    for id in &changes.forgotten_alerts {
        put(Index::HeldAlert(*id), false);
    }
    for round in &changes.forgotten_rounds {
        put(Index::HeldRound(round.0), false);
        for (id, run) in changes.runs.iter().filter(|(_, run)| run.round == *round) {
            put(Index::HeldRun(run.round.0, id.0), false);
        }
    }
    for round in &changes.forgotten_rounds {
        for key in before.keys_of(&Index::HeldRun(round.0, Uuid::nil()).list())? {
            writes.insert(key, None);
        }
    }
    Ok(())
}

fn shown(key: &[u8]) -> String {
    key.iter().take(40).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect()
}
