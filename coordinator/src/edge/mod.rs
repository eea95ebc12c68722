//! The doors and windows: the bus, the ledger, time, and the loop that stands between them and the core.

mod act;
mod ask;
mod asker;
mod bus;
pub mod clock;
mod command;
mod feed;
mod intake;
pub mod key;
pub mod ledger;
mod look;
mod overviews;
pub mod pass;
mod probe;
mod publish;
mod reads;
mod rebuild;
mod replay;
mod requests;
mod serve;
pub mod service;
mod shell;
mod snapshot;
mod stall;
#[cfg(test)]
mod tests;
mod watchdog;

use landfall_proto::envelope::Envelope;
use landfall_proto::id::Incarnation;
use landfall_proto::version::PROTOCOL;
use uuid::Uuid;

pub use ask::{ask, subject};
pub use asker::{Ask, asks};
pub use feed::{Changed, Feed, News};
pub use serve::{Inside, ServeError, serve, serve_until};

/// A message that is not a fact. Its kind says how to read it; it needs no identity, because it repeats or answers.
fn message(kind: &str, writer: &str, incarnation: Incarnation, body: Vec<u8>) -> Envelope {
    Envelope {
        protocol: PROTOCOL,
        kind: kind.to_owned(),
        id: Uuid::nil(),
        writer: writer.to_owned(),
        incarnation,
        seq: 0,
        sent_at: clock::now(),
        body,
    }
}
