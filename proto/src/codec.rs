//! MessagePack with named fields, behind caps: length before depth before content, and nothing may be left over.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::Envelope;
use crate::version::is_readable;

/// Longest fact, envelope included, in bytes. Longer output goes to a file; the fact carries its end.
pub const FACT_BYTES_MAX: usize = 64 * 1024;

/// Longest message of any other kind, in bytes; below the bus's own payload limit.
pub const MESSAGE_BYTES_MAX: usize = 240 * 1024;

/// Deepest nesting that is read. Unbounded depth overflows the stack before any error is seen.
pub const DEPTH_MAX: usize = 32;

/// A message that is not accepted, by name. Refusals are counted and never stop the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the message has {bytes} bytes; {max} is the most")]
    TooLong { bytes: usize, max: usize },
    #[error("the message is not valid: {detail}")]
    Malformed { detail: String },
    #[error("{bytes} bytes are left over behind the message")]
    LeftOver { bytes: usize },
    #[error("protocol {protocol} is older than this build reads")]
    Protocol { protocol: u16 },
    #[error("the message claims to come from {claimed}, but came on the subject of {subject}")]
    WrongWriter { claimed: String, subject: String },
    #[error("the message's id does not follow from its identity")]
    WrongId,
    #[error("the kind {kind:?} does not belong on this subject")]
    WrongKind { kind: String },
    #[error("no message of the mesh has this subject: {subject}")]
    WrongSubject { subject: String },
}

impl Refusal {
    /// Stable name for counters and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Malformed { .. } => "malformed",
            Self::LeftOver { .. } => "left_over",
            Self::Protocol { .. } => "protocol",
            Self::WrongWriter { .. } => "wrong_writer",
            Self::WrongId => "wrong_id",
            Self::WrongKind { .. } => "wrong_kind",
            Self::WrongSubject { .. } => "wrong_subject",
        }
    }
}

/// Encodes with named fields: an added field never breaks an older reader.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value)
        .expect("values of the protocol have no map keys or lengths that MessagePack cannot hold")
}

/// Decodes one whole value of at most `max` bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, Refusal> {
    if bytes.len() > max {
        return Err(Refusal::TooLong { bytes: bytes.len(), max });
    }
    let mut rest = bytes;
    let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer).map_err(|error| Refusal::Malformed { detail: error.to_string() })?;
    if rest.is_empty() { Ok(value) } else { Err(Refusal::LeftOver { bytes: rest.len() }) }
}

/// Decodes an envelope and checks what every reader must: protocol and, for facts, id and writer.
pub fn decode_fact(bytes: &[u8], subject_writer: &str) -> Result<Envelope, Refusal> {
    let envelope: Envelope = decode(bytes, FACT_BYTES_MAX)?;
    if !is_readable(envelope.protocol) {
        return Err(Refusal::Protocol { protocol: envelope.protocol });
    }
    if envelope.writer != subject_writer {
        return Err(Refusal::WrongWriter { claimed: envelope.writer, subject: subject_writer.to_owned() });
    }
    if envelope.id != crate::id::fact_id(&envelope.writer, envelope.incarnation, envelope.seq) {
        return Err(Refusal::WrongId);
    }
    Ok(envelope)
}
