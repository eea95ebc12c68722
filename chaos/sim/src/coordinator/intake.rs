//! What comes out of the log: checked as every reader must, counted where it is refused, handed to the core with its position.

use landfall::core::sight::LogSight;
use landfall::core::step::{Input, Logged};
use landfall_proto::codec::decode_fact;
use landfall_proto::envelope::{ContentHash, Position};
use landfall_proto::subject::Topic;
use landfall_proto::time::Timestamp;

use super::{Coordinator, Out};
use crate::bus::{Look, Stored};
use crate::mutant::decisions;

/// Where the log is read, and what was read last: a new consumer begins with it, and finds out whether it is still there.
#[derive(Debug)]
pub struct Reader {
    /// The last sequence that was delivered.
    pub after: u64,
    /// What has to stand there.
    expected: Option<ContentHash>,
    created: Option<Timestamp>,
    /// Whether the bus holds a consumer for this reader, on this connection.
    pub is_open: bool,
}

impl Reader {
    pub(super) fn open(cursor: Position) -> Self {
        let expected = (cursor.seq > 0).then_some(cursor.hash);
        Self { after: cursor.seq, expected, created: None, is_open: false }
    }
}

impl Coordinator {
    /// Whether the reader needs a consumer.
    pub fn wants_consumer(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.reader.is_open)
    }

    /// The connection is another one, or the consumer is gone: the bus does not know it any more.
    pub fn lost_consumer(&mut self) {
        if let Some(process) = &mut self.process {
            process.reader.is_open = false;
        }
    }

    /// The link is down: the log is out of sight at once.
    pub fn blinded(&mut self, now: Timestamp, out: &mut Vec<Out>) {
        self.lost_consumer();
        self.feed(now, Input::Sight(None));
        self.finish(now, out);
    }

    /// What the stream said when it was asked, at an instant of this coordinator's own clock.
    pub fn saw(&mut self, now: Timestamp, asked_at: Timestamp, look: Look, out: &mut Vec<Out>) {
        match look {
            Look::Unknown => {}
            Look::NoLog => {
                self.lost_consumer();
                out.push(Out::EnsureLog);
                self.feed(now, Input::Sight(None));
            }
            Look::State { created, last_seq, .. } => {
                self.feed(now, Input::Sight(Some(LogSight { asked_at, created, last_seq })));
            }
        }
        self.finish(now, out);
    }

    /// Makes a consumer, unless the log is another one, has lost what was read, or holds something else there.
    /// `standing` is what stands where the last message was read.
    pub fn consume(&mut self, now: Timestamp, look: Look, standing: Option<ContentHash>, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        let Look::State { created, last_seq, .. } = look else { return };
        let reader = &mut process.reader;
        let after = reader.after;
        // Where nothing is left at that place, nothing can be compared: histories may be cut at their beginning.
        let differs = reader.expected.is_some_and(|expected| standing.is_some_and(|standing| standing != expected));
        if *reader.created.get_or_insert(created) != created {
            self.replaced(now, None, out);
        } else if last_seq < after {
            self.replaced(now, Some(last_seq + 1), out);
        } else if differs {
            self.replaced(now, Some(after), out);
        } else {
            reader.is_open = true;
        }
    }

    /// The core is told, the ledger keeps it, and the process begins again from there.
    fn replaced(&mut self, now: Timestamp, lost_from: Option<u64>, out: &mut Vec<Out>) {
        out.push(Out::Note("the log is not the one that was read before".to_owned()));
        self.feed(now, Input::LogReplaced(lost_from));
        if let Some(process) = &mut self.process {
            process.is_log_replaced = true;
        }
        self.finish(now, out);
    }

    /// Messages of the log, in order.
    pub fn batch(&mut self, now: Timestamp, messages: Vec<Stored>, out: &mut Vec<Out>) {
        for message in messages {
            let Some(process) = &mut self.process else { return };
            process.reader.after = message.seq;
            process.reader.expected = Some(message.hash);
            // The era is the core's business: a claim in the middle of a batch begins another one.
            let position = Position { era: process.mesh.cursor().era, seq: message.seq, hash: message.hash };
            let mut input = read(position, &message);
            if let Input::Logged(position, logged) = input {
                input = Input::Logged(position, decisions::instead_of_reading(self.mutants, &self.holder, logged));
            }
            self.feed(now, input);
        }
        self.finish(now, out);
    }
}

fn read(position: Position, message: &Stored) -> Input {
    match &message.topic {
        Topic::NodeFact(node) => match decode_fact(&message.payload, node.as_str()) {
            Ok(envelope) => Input::Logged(position, Logged::from_node(node.clone(), envelope)),
            Err(refusal) => Input::Refused(position, refusal.name()),
        },
        Topic::CoordinatorFact(holder) => match decode_fact(&message.payload, holder.as_str()) {
            Ok(envelope) => Input::Logged(position, Logged::from_coordinator(holder.clone(), envelope)),
            Err(refusal) => Input::Refused(position, refusal.name()),
        },
        Topic::Command(_)
        | Topic::Sync(_)
        | Topic::Beacon
        | Topic::Beat(_)
        | Topic::Live(..)
        | Topic::Out(..)
        | Topic::Control(_) => Input::Refused(position, "wrong_subject"),
    }
}
