//! The only file that asks the machine for the time or draws an id.
#![allow(clippy::disallowed_methods, reason = "everyone else is told the time, so that it can be replayed")]

use jiff::{Timestamp, TimestampRound, Unit};
use landfall_proto::id::{CommandId, Incarnation};
use uuid::Uuid;

/// The wall clock's instant, in whole milliseconds as the mesh writes it down.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(TimestampRound::new().smallest(Unit::Millisecond)).unwrap_or(now)
}

/// A journal's identity for one life of a coordinator; what an earlier life left unpublished is decided again.
pub fn incarnation() -> Incarnation {
    Incarnation(Uuid::now_v7())
}

/// An id for a command that answers a question and changes nothing.
pub fn command_id() -> CommandId {
    CommandId(Uuid::now_v7())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_whole_milliseconds_and_survive_the_wire() {
        let now = now();
        assert_eq!(now.subsec_nanosecond() % 1_000_000, 0);
        assert_eq!(now.to_string().parse::<Timestamp>().unwrap(), now);
    }

    #[test]
    fn two_lives_are_two_incarnations() {
        assert_ne!(incarnation(), incarnation());
    }
}
