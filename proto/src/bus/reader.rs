//! Reading the log from a cursor: batches that can be awaited and dropped at will, and a plain word when the log is not what it was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::follow::{Follower, Standing, Trouble};
use super::log::LogState;
use super::memory::MemoryReader;
use super::nats::Nats;
use super::told::Told;
use crate::codec::{Refusal, decode_fact};
use crate::envelope::Envelope;
use crate::subject::{Subject, Topic};
use crate::time::Timestamp;

/// Chunks that wait between the task that talks to the bus and the one that folds.
const CHUNKS_MAX: usize = 2;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMessage {
    /// Its position. Gaps are normal.
    pub seq: u64,
    pub subject: String,
    pub payload: Bytes,
    /// When the server stored it, by the server's clock.
    pub time: Timestamp,
}

impl LogMessage {
    /// The fact in it, checked as every reader must: subject, protocol, writer and id.
    pub fn fact(&self) -> Result<(Topic, Envelope), Refusal> {
        let wrong = || Refusal::WrongSubject { subject: self.subject.chars().take(300).collect() };
        let topic = self.subject.parse::<Subject>().map_err(|_| wrong())?.topic;
        let writer = match &topic {
            Topic::NodeFact(node) => node.as_str(),
            Topic::CoordinatorFact(holder) => holder.as_str(),
            Topic::Command(_)
            | Topic::Sync(_)
            | Topic::Beacon
            | Topic::Beat(_)
            | Topic::Live(..)
            | Topic::Out(..)
            | Topic::Control(_) => return Err(wrong()),
        };
        let envelope = decode_fact(&self.payload, writer)?;
        Ok((topic, envelope))
    }
}

/// A piece of the log, and what was last known of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In log order; empty when nothing came in time.
    pub messages: Vec<LogMessage>,
    /// `last_seq` is at least that of the last message; the other numbers may be some seconds old.
    pub log: LogState,
}

/// Follows the log. A task of its own talks to the bus; it ends when this is dropped.
#[derive(Debug)]
pub struct LogReader {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Nats { chunks: mpsc::Receiver<Vec<LogMessage>>, standing: watch::Receiver<Standing>, rest: VecDeque<LogMessage> },
    Memory(MemoryReader),
}

impl LogReader {
    pub(super) fn nats(nats: Arc<Nats>, after: u64) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        let (follower, standing) = Follower::new(nats, after, sender);
        tokio::spawn(follower.run());
        Self { source: Source::Nats { chunks, standing, rest: VecDeque::new() } }
    }

    pub(super) const fn memory(reader: MemoryReader) -> Self {
        Self { source: Source::Memory(reader) }
    }

    /// At most `max` messages, as soon as there is one; an empty batch when `wait` passes first.
    /// Unknown: the bus cannot be reached; the reader goes on trying, and loses nothing.
    /// Refused: the log is missing, forbidden, rewound or replaced; after the last two only a fresh reader reads on, in
    /// the other cases this one goes on trying.
    /// Dropping the future loses nothing.
    pub async fn next_batch(&mut self, max: usize, wait: Duration) -> Told<Batch> {
        match &mut self.source {
            Source::Memory(reader) => reader.next_batch(max, wait).await,
            Source::Nats { chunks, standing, rest } => {
                if rest.is_empty() {
                    first_chunk(chunks, standing, rest, Instant::now() + wait).await;
                }
                while rest.len() < max {
                    let Ok(chunk) = chunks.try_recv() else { break };
                    rest.extend(chunk);
                }
                let standing = standing.borrow();
                // Nothing is taken out before there is a batch to hand it out in.
                let take = if standing.log.is_some() { max.min(rest.len()) } else { 0 };
                batch(rest.drain(..take).collect(), &standing)
            }
        }
    }
}

/// Waits for messages or the end of the wait. A refusal ends the wait early, but only after the messages before it.
async fn first_chunk(
    chunks: &mut mpsc::Receiver<Vec<LogMessage>>,
    standing: &mut watch::Receiver<Standing>,
    rest: &mut VecDeque<LogMessage>,
    until: Instant,
) {
    tokio::select! {
        biased;
        chunk = chunks.recv() => match chunk {
            Some(chunk) => rest.extend(chunk),
            // The follower has ended for good: without this pause a caller in a loop would spin.
            None => tokio::time::sleep_until(until.min(Instant::now() + Duration::from_millis(100))).await,
        },
        () = refused(standing) => {}
        () = tokio::time::sleep_until(until) => {}
    }
}

/// Returns when a refusal is told that was not told before.
async fn refused(standing: &mut watch::Receiver<Standing>) {
    loop {
        if standing.changed().await.is_err() {
            return std::future::pending().await;
        }
        if matches!(standing.borrow_and_update().trouble, Some(Trouble::Refused(_))) {
            return;
        }
    }
}

fn batch(messages: Vec<LogMessage>, standing: &Standing) -> Told<Batch> {
    match (standing.log, messages.last(), &standing.trouble) {
        // What was delivered before the trouble is handed out before it.
        (Some(log), Some(last), _) => {
            let log = LogState { last_seq: log.last_seq.max(last.seq), ..log };
            Told::Done(Batch { messages, log })
        }
        (Some(log), None, None) => Told::Done(Batch { messages, log }),
        (_, _, Some(Trouble::Refused(refusal))) => Told::Refused(refusal.clone()),
        (_, _, Some(Trouble::Unreachable)) | (None, _, None) => Told::Unknown,
    }
}
