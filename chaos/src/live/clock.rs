//! The machine's clock and fresh ids; the only file of the harness that asks for either.

use landfall_proto::time::Timestamp;
use uuid::Uuid;

/// This instant, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "a story that real processes tell happens in real time")]
pub fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// An id that was never used before, for what a person asks.
#[expect(clippy::disallowed_methods, reason = "what a person starts by hand draws its id")]
pub fn fresh_id() -> Uuid {
    Uuid::now_v7()
}
