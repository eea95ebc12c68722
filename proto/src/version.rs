//! The protocol's number, and which numbers this build reads.

/// Written into every envelope.
pub const PROTOCOL: u16 = 1;

/// The oldest protocol this build still reads.
pub const PROTOCOL_MIN: u16 = 1;

/// The highest known protocol. A newer peer's messages are still read where their kind is known:
/// bodies only ever gain fields.
pub const fn is_readable(protocol: u16) -> bool {
    protocol >= PROTOCOL_MIN
}
