//! What comes out of the log: checked as every reader must, counted where it is refused, handed to the core with its position.

use landfall::core::sight::LogSight;
use landfall::core::step::{Input, Logged};
use landfall_proto::codec::decode_fact;
use landfall_proto::doubt::{Belief, Doubt, Word, patience_before_making};
use landfall_proto::envelope::{ContentHash, Position};
use landfall_proto::subject::Topic;
use landfall_proto::time::{Duration, Timestamp, after, between};

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
    /// What the bus said against the log when a consumer was wanted.
    doubt: Doubt,
    /// Whether the bus holds a consumer for this reader, on this connection.
    pub is_open: bool,
}

/// What the bus says of the log, beside its messages.
#[derive(Debug)]
pub struct Looks {
    doubt: Doubt,
    created: Option<Timestamp>,
    is_doubted: bool,
    /// Whether what was folded last was found at its place.
    is_same_log: bool,
    /// Since when there is no log at all, where this process has not seen one yet.
    missing_since: Option<Timestamp>,
    has_read: bool,
}

/// One question about the log's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// By the asker's own clock.
    pub at: Timestamp,
    /// By a clock that is never set, from the start of its process.
    pub uptime: Duration,
    /// What had been folded then.
    pub cursor: Position,
}

/// The model bus is one server.
const REPLICAS: usize = 1;

impl Looks {
    pub(super) fn open(cursor: Position) -> Self {
        let has_read = cursor.seq > 0;
        Self {
            doubt: Doubt::default(),
            created: None,
            is_doubted: false,
            is_same_log: !has_read,
            missing_since: None,
            has_read,
        }
    }

    /// Whether a log is made at this moment: until one was seen, as at a process's start; later, where it is certainly gone.
    fn makes_log(&mut self, now: Timestamp, is_gone: bool) -> bool {
        if self.created.is_some() {
            return is_gone;
        }
        now >= after(*self.missing_since.get_or_insert(now), patience_before_making(self.has_read, REPLICAS))
    }
}

impl Reader {
    pub(super) fn open(cursor: Position) -> Self {
        let expected = (cursor.seq > 0).then_some(cursor.hash);
        Self { after: cursor.seq, expected, created: None, doubt: Doubt::default(), is_open: false }
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

    /// A question about the log's end leaves.
    pub fn asks(&self, now: Timestamp) -> Option<Asked> {
        let process = self.process.as_ref()?;
        Some(Asked { at: self.clock(now), uptime: between(process.began, now), cursor: process.mesh.cursor() })
    }

    /// What the stream said when it was asked.
    pub fn saw(&mut self, now: Timestamp, asked: Asked, look: Look, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        let folded_to = if asked.cursor.era == process.mesh.cursor().era { asked.cursor.seq } else { 0 };
        let word = word(look, folded_to, process.looks.created);
        let belief = process.looks.doubt.hear(word, REPLICAS, asked.uptime);
        let was_doubted = std::mem::replace(&mut process.looks.is_doubted, matches!(belief, Belief::Doubted { .. }));
        if was_doubted && matches!(belief, Belief::Kept { .. }) {
            out.push(Out::Hit("log-doubted"));
        }
        match belief {
            Belief::Kept { created, last_seq } if process.looks.is_same_log => {
                process.looks.created = Some(created);
                self.feed(now, Input::Sight(Some(LogSight { asked_at: asked.at, created, last_seq })));
            }
            Belief::Doubted { .. } | Belief::Gone => {
                if look == Look::NoLog {
                    process.reader.is_open = false;
                    if process.looks.makes_log(now, belief == Belief::Gone) {
                        out.push(Out::EnsureLog);
                    }
                }
                self.feed(now, Input::Sight(None));
            }
            Belief::Lost { from } => {
                self.replaced(now, Some(from), out);
                return;
            }
            Belief::Kept { .. } | Belief::Nothing => {}
        }
        self.finish(now, out);
    }

    /// Makes a consumer, unless the log is another one, has lost what was read, or holds something else there.
    /// `standing` is what stands where the last message was read.
    pub fn consume(&mut self, now: Timestamp, look: Look, standing: Option<ContentHash>, out: &mut Vec<Out>) {
        let Some(process) = &mut self.process else { return };
        let Look::State { created, .. } = look else { return };
        let uptime = between(process.began, now);
        let reader = &mut process.reader;
        let after = reader.after;
        // Where nothing is left at that place, nothing can be compared: histories may be cut at their beginning.
        let differs = reader.expected.is_some_and(|expected| standing.is_some_and(|standing| standing != expected));
        match reader.doubt.hear(word(look, after, reader.created), REPLICAS, uptime) {
            Belief::Lost { from } => self.replaced(now, Some(from), out),
            Belief::Kept { .. } if differs => self.replaced(now, Some(after), out),
            Belief::Kept { .. } => {
                reader.created = Some(created);
                reader.is_open = true;
                process.looks.is_same_log = true;
            }
            Belief::Doubted { .. } | Belief::Gone | Belief::Nothing => {}
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

/// What an answer says about a log of which so much had been read.
fn word(look: Look, read_to: u64, known: Option<Timestamp>) -> Word {
    match look {
        Look::State { created, last_seq, .. } => Word::of(created, last_seq, read_to, known),
        Look::NoLog => Word::Gone,
        Look::Unknown => Word::Nothing,
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
