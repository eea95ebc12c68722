//! The ledger's key space, one numbered kind a line: numbers are never given twice, and each key is read back as it was written.
//!
//! | kind    | key                                          | value                               |
//! |---------|----------------------------------------------|-------------------------------------|
//! | letters | a record's own key, see [`crate::core::record::Key`] | the record's first piece, sealed |
//! | 1       | format                                       | number of this key space            |
//! | 2       | record key, piece number                     | a further piece of a large record   |
//! | 8       | round id                                     | none: the round is held in memory   |
//! | 9       | round id, run id                             | none: the run is held in memory     |
//! | 10      | newest first, round id                       | none                                |
//! | 11      | routine, newest first, round id              | none                                |
//! | 12      | form, round id                               | a concluded round as lists show it, sealed |
//! | 20      | newest first, run id                         | none                                |
//! | 21      | node, newest first, run id                   | none                                |
//! | 22      | routine, newest first, run id                | none                                |
//! | 23      | round id, run id                             | none                                |
//! | 30      | newest first, alert id                       | none                                |
//! | 31      | newest first, alert id                       | none: the alert is open             |
//! | 32      | alert id                                     | none: the alert is held in memory   |
//!
//! A name ends in a zero byte, which no name contains, so that no name's keys lie among those of a longer one. "Newest first"
//! is the instant in milliseconds, turned around, so that plain order is the order of every list.

use landfall_proto::id::{RoundId, RunId};
use landfall_proto::time::Timestamp;
use uuid::Uuid;

use crate::core::record::Key;

/// The key space's own number; a store with another one is rebuilt, never converted.
pub const FORMAT: u8 = 1;

/// Lists: no value, the key says it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    HeldRound(Uuid),
    HeldRun(Uuid, Uuid),
    RoundByTime(Timestamp, Uuid),
    RoundByRoutine(String, Timestamp, Uuid),
    RunByTime(Timestamp, Uuid),
    RunByNode(String, Timestamp, Uuid),
    RunByRoutine(String, Timestamp, Uuid),
    RunByRound(Uuid, Uuid),
    AlertByTime(Timestamp, Uuid),
    OpenAlert(Timestamp, Uuid),
    HeldAlert(Uuid),
}

/// Where the key space's number stands.
pub fn format_key() -> Vec<u8> {
    vec![1]
}

/// A further piece of the record with this key, from 1.
pub fn piece_key(record: &[u8], number: u16) -> Vec<u8> {
    [&[2], record, &number.to_be_bytes()].concat()
}

/// The form of what lists show of a concluded round. Raise it with every change of what [`crate::view::round`] makes of one: what has
/// another form is made from the record again.
const LISTED_FORM: u8 = 1;

/// A concluded round as lists show it; its record names every node of it.
pub fn listed_round_key(id: RoundId) -> Vec<u8> {
    [&[12, LISTED_FORM], id.0.as_bytes().as_slice()].concat()
}

/// Whether this is a piece of a record behind its first.
pub fn is_piece(key: &[u8]) -> bool {
    key.first() == Some(&2)
}

/// Whether this entry says that a record is held in memory.
pub fn is_held_list(key: &[u8]) -> bool {
    matches!(key.first(), Some(8 | 9 | 32))
}

impl Index {
    /// The lists of what is held in memory, by their first byte.
    pub const HELD: [u8; 3] = [8, 9, 32];

    /// The record that an entry of these lists holds in memory; `None` for every other list.
    pub const fn held(&self) -> Option<Key> {
        match self {
            Self::HeldRound(id) => Some(Key::Round(RoundId(*id))),
            Self::HeldRun(_, id) => Some(Key::Run(RunId(*id))),
            Self::HeldAlert(id) => Some(Key::Alert(*id)),
            Self::RoundByTime(..)
            | Self::RoundByRoutine(..)
            | Self::RunByTime(..)
            | Self::RunByNode(..)
            | Self::RunByRoutine(..)
            | Self::RunByRound(..)
            | Self::AlertByTime(..)
            | Self::OpenAlert(..) => None,
        }
    }

    const fn number(&self) -> u8 {
        match self {
            Self::HeldRound(_) => 8,
            Self::HeldRun(..) => 9,
            Self::RoundByTime(..) => 10,
            Self::RoundByRoutine(..) => 11,
            Self::RunByTime(..) => 20,
            Self::RunByNode(..) => 21,
            Self::RunByRoutine(..) => 22,
            Self::RunByRound(..) => 23,
            Self::AlertByTime(..) => 30,
            Self::OpenAlert(..) => 31,
            Self::HeldAlert(_) => 32,
        }
    }

    pub fn key(&self) -> Vec<u8> {
        let mut key = self.list();
        match self {
            Self::HeldRound(id) | Self::HeldAlert(id) | Self::HeldRun(_, id) | Self::RunByRound(_, id) => {
                key.extend_from_slice(id.as_bytes())
            }
            Self::RoundByTime(at, id)
            | Self::RoundByRoutine(_, at, id)
            | Self::RunByTime(at, id)
            | Self::RunByNode(_, at, id)
            | Self::RunByRoutine(_, at, id)
            | Self::AlertByTime(at, id)
            | Self::OpenAlert(at, id) => {
                key.extend_from_slice(&newest_first(*at));
                key.extend_from_slice(id.as_bytes());
            }
        }
        key
    }

    /// What all keys of this entry's list begin with.
    pub fn list(&self) -> Vec<u8> {
        let mut key = vec![self.number()];
        match self {
            Self::RoundByRoutine(name, ..) | Self::RunByNode(name, ..) | Self::RunByRoutine(name, ..) => {
                key.extend_from_slice(name.as_bytes());
                key.push(0);
            }
            Self::RunByRound(round, _) | Self::HeldRun(round, _) => key.extend_from_slice(round.as_bytes()),
            Self::HeldRound(_)
            | Self::HeldAlert(_)
            | Self::RoundByTime(..)
            | Self::RunByTime(..)
            | Self::AlertByTime(..)
            | Self::OpenAlert(..) => {}
        }
        key
    }

    /// Reads a key back; `None` where it is not one of these.
    pub fn read(key: &[u8]) -> Option<Self> {
        let (number, rest) = key.split_first()?;
        match number {
            8 => id(rest).map(Self::HeldRound),
            9 => paired(rest).map(|(round, run)| Self::HeldRun(round, run)),
            10 => timed(rest).map(|(at, id)| Self::RoundByTime(at, id)),
            11 => named(rest).map(|(name, at, id)| Self::RoundByRoutine(name, at, id)),
            20 => timed(rest).map(|(at, id)| Self::RunByTime(at, id)),
            21 => named(rest).map(|(name, at, id)| Self::RunByNode(name, at, id)),
            22 => named(rest).map(|(name, at, id)| Self::RunByRoutine(name, at, id)),
            23 => paired(rest).map(|(round, run)| Self::RunByRound(round, run)),
            30 => timed(rest).map(|(at, id)| Self::AlertByTime(at, id)),
            31 => timed(rest).map(|(at, id)| Self::OpenAlert(at, id)),
            32 => id(rest).map(Self::HeldAlert),
            _ => None,
        }
    }

    /// The instant by which its list is ordered; `None` where it is ordered otherwise.
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::RoundByTime(at, _)
            | Self::RoundByRoutine(_, at, _)
            | Self::RunByTime(at, _)
            | Self::RunByNode(_, at, _)
            | Self::RunByRoutine(_, at, _)
            | Self::AlertByTime(at, _)
            | Self::OpenAlert(at, _) => Some(*at),
            Self::HeldRound(_) | Self::HeldRun(..) | Self::HeldAlert(_) | Self::RunByRound(..) => None,
        }
    }

    /// The record this entry points at.
    pub const fn target(&self) -> Uuid {
        match self {
            Self::HeldRound(id) | Self::HeldAlert(id) | Self::HeldRun(_, id) | Self::RunByRound(_, id) => *id,
            Self::RoundByTime(_, id)
            | Self::RoundByRoutine(_, _, id)
            | Self::RunByTime(_, id)
            | Self::RunByNode(_, _, id)
            | Self::RunByRoutine(_, _, id)
            | Self::AlertByTime(_, id)
            | Self::OpenAlert(_, id) => *id,
        }
    }
}

fn newest_first(at: Timestamp) -> [u8; 8] {
    // Flipping the sign bit makes signed order byte order; inverting turns it around.
    let ordered = at.as_millisecond().cast_unsigned() ^ (1 << 63);
    (!ordered).to_be_bytes()
}

fn read_newest_first(bytes: [u8; 8]) -> Option<Timestamp> {
    let ordered = !u64::from_be_bytes(bytes);
    Timestamp::from_millisecond((ordered ^ (1 << 63)).cast_signed()).ok()
}

fn id(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

fn timed(bytes: &[u8]) -> Option<(Timestamp, Uuid)> {
    let (at, rest) = bytes.split_at_checked(8)?;
    Some((read_newest_first(at.try_into().ok()?)?, id(rest)?))
}

fn paired(bytes: &[u8]) -> Option<(Uuid, Uuid)> {
    let (first, second) = bytes.split_at_checked(16)?;
    Some((id(first)?, id(second)?))
}

fn named(bytes: &[u8]) -> Option<(String, Timestamp, Uuid)> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&bytes[..end]).ok()?.to_owned();
    let (at, id) = timed(&bytes[end + 1..])?;
    Some((name, at, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant() -> impl Strategy<Value = Timestamp> {
        (-4_000_000_000_000_i64..8_000_000_000_000).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
    }

    fn uuid() -> impl Strategy<Value = Uuid> {
        any::<u128>().prop_map(Uuid::from_u128)
    }

    fn index() -> impl Strategy<Value = Index> {
        let name = "[a-z0-9][a-z0-9._-]{0,20}";
        prop_oneof![
            uuid().prop_map(Index::HeldRound),
            uuid().prop_map(Index::HeldAlert),
            (uuid(), uuid()).prop_map(|(round, run)| Index::HeldRun(round, run)),
            (instant(), uuid()).prop_map(|(at, id)| Index::RoundByTime(at, id)),
            (name, instant(), uuid()).prop_map(|(name, at, id)| Index::RoundByRoutine(name, at, id)),
            (instant(), uuid()).prop_map(|(at, id)| Index::RunByTime(at, id)),
            (name, instant(), uuid()).prop_map(|(name, at, id)| Index::RunByNode(name, at, id)),
            (name, instant(), uuid()).prop_map(|(name, at, id)| Index::RunByRoutine(name, at, id)),
            (uuid(), uuid()).prop_map(|(round, run)| Index::RunByRound(round, run)),
            (instant(), uuid()).prop_map(|(at, id)| Index::AlertByTime(at, id)),
            (instant(), uuid()).prop_map(|(at, id)| Index::OpenAlert(at, id)),
        ]
    }

    proptest! {
        #[test]
        fn every_key_is_read_back_and_lies_in_its_list(index in index()) {
            prop_assert!(index.key().starts_with(&index.list()));
            prop_assert_eq!(Index::read(&index.key()), Some(index));
        }

        #[test]
        fn the_order_of_keys_is_newest_first(a in instant(), b in instant(), id in uuid()) {
            let (key_a, key_b) = (Index::RunByTime(a, id).key(), Index::RunByTime(b, id).key());
            prop_assert_eq!(key_a.cmp(&key_b), b.cmp(&a));
        }

        #[test]
        fn a_list_holds_no_entry_of_a_longer_name(name in "[a-z]{1,5}", more in "[a-z0-9.-]{1,5}", at in instant(), id in uuid()) {
            let longer = Index::RunByNode(format!("{name}{more}"), at, id);
            prop_assert!(!longer.key().starts_with(&Index::RunByNode(name, at, id).list()));
        }

        #[test]
        fn no_bytes_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Index::read(&bytes);
        }
    }
}
