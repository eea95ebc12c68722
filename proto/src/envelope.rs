//! The wrapper of every message: who says it, when, in which order, and of what kind the opaque body is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{Incarnation, fact_id};
use crate::time::Timestamp;
use crate::version::PROTOCOL;

/// One message. `body` is decoded by `kind`, so that a kind from a newer peer is kept and counted, not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Envelope {
    pub protocol: u16,
    /// Snake-case name of the body's type; see `fact` and `command`.
    pub kind: String,
    /// For facts derived from the identity, for commands the command's id.
    pub id: Uuid,
    /// The node or coordinator that wrote it.
    pub writer: String,
    pub incarnation: Incarnation,
    /// Contiguous from 0 within an incarnation; 0 where the message is not a fact.
    pub seq: u64,
    pub sent_at: Timestamp,
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What a fact is, for ever: the stream's own sequence is only a position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Identity {
    pub writer: String,
    pub incarnation: Incarnation,
    pub seq: u64,
}

impl Envelope {
    /// A fact's envelope; its id follows from its identity.
    pub fn fact(identity: Identity, kind: &str, sent_at: Timestamp, body: Vec<u8>) -> Self {
        let id = fact_id(&identity.writer, identity.incarnation, identity.seq);
        let Identity { writer, incarnation, seq } = identity;
        Self { protocol: PROTOCOL, kind: kind.to_owned(), id, writer, incarnation, seq, sent_at, body }
    }

    pub fn identity(&self) -> Identity {
        Identity { writer: self.writer.clone(), incarnation: self.incarnation, seq: self.seq }
    }

    /// Hash of what the message says: kind and body. Two different contents under one identity are a conflict.
    pub fn content_hash(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.kind.as_bytes());
        hasher.update(&[0]);
        hasher.update(&self.body);
        ContentHash(hasher.finalize().as_bytes()[..16].try_into().expect("a blake3 hash has 32 bytes"))
    }
}

/// First half of a BLAKE3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContentHash(pub [u8; 16]);

impl ContentHash {
    /// The first half, where so much is enough to tell two contents apart.
    pub fn half(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// A place in the log. Only together with the hash of what stood there does it identify anything:
/// a bus that lost its tail hands the same sequence out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Position {
    pub era: u32,
    pub seq: u64,
    pub hash: ContentHash,
}

impl Position {
    /// Before the first message.
    pub const START: Self = Self { era: 0, seq: 0, hash: ContentHash([0; 16]) };
}

/// Who may command: eras separate lives of the log, terms separate leaders within one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Epoch {
    pub era: u32,
    pub term: u64,
}
