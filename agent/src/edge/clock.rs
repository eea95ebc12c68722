//! The only clock and the only source of drawn ids in the agent.
#![allow(
    clippy::disallowed_methods,
    reason = "here the clock is read and ids are drawn, so that it happens nowhere else"
)]

use jiff::{RoundMode, TimestampRound, Unit};
use landfall_proto::id::{Incarnation, RoundId};
use landfall_proto::time::Timestamp;
use uuid::Uuid;

/// The machine's clock, in whole milliseconds: what is written down is what is read back.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc)).unwrap_or(now)
}

/// A round that a person opens on this node.
pub fn draw_round() -> RoundId {
    RoundId(Uuid::now_v7())
}

pub fn draw_incarnation() -> Incarnation {
    Incarnation(Uuid::now_v7())
}

/// The id of a directory that is marked for the first time.
pub fn draw_place() -> Uuid {
    Uuid::now_v7()
}
