//! What comes out of the log: checked, counted where it is refused, and handed to the core with its position.

use std::time::Duration;

use landfall_proto::bus::{Batch, Bus, BusRefusal, LogMessage, LogReader, LogState, Told};
use landfall_proto::envelope::{ContentHash, Position};
use landfall_proto::subject::Topic;
use tokio::sync::mpsc;

use super::shell::Shell;
use crate::core::step::{Input, Logged};

/// Messages of the log that are folded before one commit, but where the log's end is far: see [`super::replay`].
const BATCH_MAX: usize = 1024;

/// How long one look at the log waits before it says how the log stands; messages end the wait at once.
const BATCH_WAIT: Duration = Duration::from_secs(2);

/// The log from the cursor on, and whether the log is still the one that the cursor was written in.
pub(super) struct Reader {
    pieces: mpsc::Receiver<Told<Piece>>,
    /// What must stand at the first position that is read.
    expected: Option<Position>,
    has_complained: bool,
}

/// A piece of the log, read as far as that needs no state.
#[derive(Debug)]
pub(super) struct Piece {
    messages: Vec<Message>,
    log: LogState,
}

#[derive(Debug)]
struct Message {
    seq: u64,
    hash: ContentHash,
    bytes: usize,
    /// The fact, or the name of why it is none.
    content: Result<Logged, &'static str>,
}

impl Reader {
    /// Begins one position early, to see that what was folded last still stands there.
    pub(super) fn open(bus: &Bus, cursor: Position) -> Self {
        let expected = (cursor.seq > 0).then_some(cursor);
        Self { pieces: follow(bus.read_log(cursor.seq.saturating_sub(1))), expected, has_complained: false }
    }

    /// The next piece of the log, or how it stands. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Told<Piece> {
        match self.pieces.recv().await {
            Some(told) => told,
            // The task behind it ends only with this reader.
            None => std::future::pending().await,
        }
    }

    /// False where another message stands at the cursor than the one that was folded.
    fn agrees(&mut self, first: &Message) -> bool {
        self.expected.take().is_none_or(|expected| expected.seq == first.seq && expected.hash == first.hash)
    }
}

/// Reads in a task of its own, so that the next piece is fetched and decoded while one is folded, and so that what is heard
/// beside the log never cuts the wait for it short.
fn follow(mut log: LogReader) -> mpsc::Receiver<Told<Piece>> {
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let told = tokio::select! {
                () = sender.closed() => return,
                told = log.next_batch(BATCH_MAX, BATCH_WAIT) => told,
            };
            if sender.send(told.map(read)).await.is_err() {
                return;
            }
        }
    });
    pieces
}

fn read(batch: Batch) -> Piece {
    Piece { messages: batch.messages.iter().map(Message::read).collect(), log: batch.log }
}

impl Message {
    fn read(message: &LogMessage) -> Self {
        let content = match message.fact() {
            Ok((Topic::NodeFact(node), envelope)) => Ok(Logged::from_node(node, envelope)),
            Ok((Topic::CoordinatorFact(holder), envelope)) => Ok(Logged::from_coordinator(holder, envelope)),
            Ok((
                Topic::Command(_)
                | Topic::Sync(_)
                | Topic::Beacon
                | Topic::Beat(_)
                | Topic::Live(..)
                | Topic::Out(..)
                | Topic::Control(_),
                _,
            )) => Err("wrong_subject"),
            Err(refusal) => {
                tracing::warn!(seq = message.seq, %refusal, "a message of the log is refused");
                Err(refusal.name())
            }
        };
        Self { seq: message.seq, hash: hash(message), bytes: message.payload.len(), content }
    }
}

impl Shell {
    pub(super) fn take_piece(&mut self, told: Told<Piece>, reader: &mut Reader) {
        match told {
            Told::Done(piece) => {
                reader.has_complained = false;
                let last_seq = piece.log.last_seq;
                if let Some(first) = piece.messages.first() {
                    if !reader.agrees(first) {
                        tracing::error!(
                            cursor = self.mesh.cursor().seq,
                            "the log is not the one that was read before; it is read from its start"
                        );
                        return self.log_replaced(None);
                    }
                    if !std::mem::replace(&mut self.is_same_log, true) {
                        // What was said of the log before it was known to be the same one did not count.
                        self.look();
                    }
                }
                for message in piece.messages {
                    self.take_message(message);
                }
                self.replay.is_behind(last_seq.saturating_sub(self.mesh.cursor().seq));
            }
            Told::Unknown => {}
            Told::Refused(refusal) => self.take_refusal(&refusal, reader),
        }
    }

    fn take_message(&mut self, message: Message) {
        let Message { seq, hash, bytes, content } = message;
        let position = Position { era: self.mesh.cursor().era, seq, hash };
        self.replay.folded(bytes);
        match content {
            Ok(logged) => self.feed(Input::Logged(position, logged)),
            Err(name) => self.feed(Input::Refused(position, name)),
        }
    }

    fn take_refusal(&mut self, refusal: &BusRefusal, reader: &mut Reader) {
        // What goes on being so is said once.
        if !reader.has_complained {
            let problem = refusal.problem();
            tracing::error!(why = problem.why, fix = problem.fix, "{refusal}");
        }
        reader.has_complained = true;
        match refusal {
            BusRefusal::LogRewound { last_seq, .. } => self.log_replaced(Some(last_seq + 1)),
            BusRefusal::LogReplaced => self.log_replaced(Some(1)),
            // Whether there is none, or only none at the server that was asked, shows when the bus is asked again and again.
            BusRefusal::NoLog { .. } => self.feed(Input::Sight(None)),
            BusRefusal::NotPermitted { .. }
            | BusRefusal::NobodyListens { .. }
            | BusRefusal::NoJetStream { .. }
            | BusRefusal::LogFull { .. }
            | BusRefusal::TooLong { .. }
            | BusRefusal::ReplySubject { .. }
            | BusRefusal::ServerTooOld { .. }
            | BusRefusal::LogDiffers { .. }
            | BusRefusal::Other { .. } => {}
        }
    }
}

/// What tells a message at a position from another one at the same position.
pub(super) fn hash(message: &LogMessage) -> ContentHash {
    let mut hash = [0; 16];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&message.payload);
    hasher.finalize_xof().fill(&mut hash);
    ContentHash(hash)
}
