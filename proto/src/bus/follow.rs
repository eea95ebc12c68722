//! The task behind a log reader: a waiting pull on an ephemeral consumer, made again whenever anything about it is in doubt.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::stream::ConsumerErrorKind;
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::delay::jittered;
use super::feed::{Feed, PULL_MESSAGES, Taken};
use super::health::BusHealth;
use super::log::{self, LogState, unanswered};
use super::nats::{Nats, refusal_of};
use super::reader::LogMessage;
use super::told::{BusRefusal, Told};
use crate::doubt::{Belief, Doubt, Word};
use crate::time;

/// Nothing at all for so long, not even a heartbeat: the consumer is made again. In a cluster of servers nothing else tells
/// that the one which held the consumer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Heartbeats but no message for so long: the stream is asked whether it holds something that was not delivered. The consumer
/// may live on a server that lags behind the others, and says nothing of it; one made again may live elsewhere.
const STALL_CHECK: Duration = Duration::from_secs(3);

/// The server forgets a consumer that nobody has asked for so long. Each new connection makes a new one, so that a short
/// time costs nothing and leaves few behind in a storm of reconnections.
const FORGET_AFTER: Duration = Duration::from_secs(20);

/// Between two looks at a log that seems rewound or replaced.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Shortest and longest wait before a consumer is made again. Few read the log, and whoever does decides by it.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// How the reading stands, for whoever waits for messages.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// The last state known; known before the first message.
    pub(super) log: Option<LogState>,
    /// Why nothing more comes at the moment.
    pub(super) trouble: Option<Trouble>,
}

#[derive(Debug, Clone)]
pub(super) enum Trouble {
    Unreachable,
    Refused(BusRefusal),
}

pub(super) struct Follower {
    nats: Arc<Nats>,
    /// The last sequence that was delivered.
    after: u64,
    /// What was delivered last: a new consumer begins with it, and finds out whether it is still there.
    last: Option<LogMessage>,
    created: Option<crate::time::Timestamp>,
    chunks: mpsc::Sender<Vec<LogMessage>>,
    standing: watch::Sender<Standing>,
}

enum End {
    /// Nobody reads any more.
    Closed,
    /// Make the consumer again, from the last delivered message.
    Again(&'static str),
    Refused(BusRefusal),
}

impl Follower {
    pub(super) fn new(
        nats: Arc<Nats>,
        after: u64,
        chunks: mpsc::Sender<Vec<LogMessage>>,
    ) -> (Self, watch::Receiver<Standing>) {
        let (standing, receiver) = watch::channel(Standing { log: None, trouble: Some(Trouble::Unreachable) });
        (Self { nats, after, last: None, created: None, chunks, standing }, receiver)
    }

    pub(super) async fn run(mut self) {
        let mut attempt = 0;
        while !self.chunks.is_closed() {
            let before = self.after;
            let end = match self.open().await {
                Told::Done(feed) => {
                    let name = feed.consumer.cached_info().name.clone();
                    let end = self.follow(feed).await;
                    self.close(name);
                    end
                }
                Told::Refused(refusal) => End::Refused(refusal),
                Told::Unknown => End::Again("the bus does not answer"),
            };
            match end {
                End::Closed => return,
                End::Again(why) => {
                    tracing::debug!(why, after = self.after, "the log's consumer is made again");
                    self.standing.send_modify(|standing| standing.trouble = Some(Trouble::Unreachable));
                }
                End::Refused(refusal) => {
                    let for_good = matches!(refusal, BusRefusal::LogRewound { .. } | BusRefusal::LogReplaced);
                    self.standing.send_modify(|standing| standing.trouble = Some(Trouble::Refused(refusal)));
                    if for_good {
                        return;
                    }
                }
            }
            // An absent bus is waited for, however long; only a present one is asked more and more seldom.
            attempt = if self.after > before || !self.nats.is_up() { 1 } else { attempt + 1 };
            self.pause(attempt).await;
        }
    }

    /// Takes the consumer away instead of leaving it to be forgotten. Whether that succeeds is not waited for.
    fn close(&self, name: String) {
        let nats = Arc::clone(&self.nats);
        tokio::spawn(async move {
            let stream = nats.stream_name();
            let _ = nats.managed(nats.jetstream.delete_consumer_from_stream(name, stream)).await;
        });
    }

    /// Waits for the link, and then a while.
    async fn pause(&self, attempt: u32) {
        tokio::select! {
            () = self.chunks.closed() => {}
            () = async {
                while !self.nats.wait_up(AGAIN.1).await {}
                tokio::time::sleep(jittered(attempt, AGAIN.0, AGAIN.1)).await;
            } => {}
        }
    }

    /// Looks whether the log is still the same, and makes a consumer behind the last delivered message.
    async fn open(&mut self) -> Told<Feed> {
        // At the start the link may still be on its way.
        if !self.nats.wait_up(AGAIN.1).await {
            return Told::Unknown;
        }
        let health = self.nats.watch();
        // The link can be up before the event that counts it has been heard.
        let connects = health.borrow().connects.max(1);
        let state = match self.look_patiently().await {
            Told::Done(state) => state,
            Told::Refused(refusal) => return Told::Refused(refusal),
            Told::Unknown => return Told::Unknown,
        };
        let consumer = match self.consumer().await {
            Told::Done(consumer) => consumer,
            Told::Refused(refusal) => return Told::Refused(refusal),
            Told::Unknown => return Told::Unknown,
        };
        let inbox = self.nats.new_inbox();
        let Some(mail) = self.nats.subscribe(inbox.clone()).await else {
            return Told::Unknown;
        };
        self.standing.send_replace(Standing { log: Some(state), trouble: None });
        let last_message = Instant::now();
        Told::Done(Feed { consumer, mail, inbox, outstanding: 0, delivered: 0, connects, health, last_message })
    }

    /// The log's state, unless it is another log or has lost what was delivered.
    async fn look(&mut self) -> Told<LogState> {
        let state = match log::info(&self.nats).await {
            Told::Done(info) if info.is_from_leader => info.state,
            Told::Done(_) => return Told::Unknown,
            Told::Refused(refusal) => return Told::Refused(refusal),
            Told::Unknown => return Told::Unknown,
        };
        if self.after > 0 && self.created.is_some_and(|known| known != state.created) {
            return Told::Refused(BusRefusal::LogReplaced);
        }
        if state.last_seq < self.after {
            return Told::Refused(BusRefusal::LogRewound { after: self.after, last_seq: state.last_seq });
        }
        // Only an answer that has what was read tells which log that was: a server that lost its copy would tell of another one.
        self.created = Some(state.created);
        Told::Done(state)
    }

    /// As [`Self::look`], but a rewound or replaced log is looked at again before it is called so, as [`Doubt`] says.
    async fn look_patiently(&mut self) -> Told<LogState> {
        let (mut doubt, begun) = (Doubt::default(), Instant::now());
        loop {
            let told = self.look().await;
            let word = match &told {
                Told::Refused(BusRefusal::LogRewound { last_seq, .. }) => Word::Rewound { last_seq: *last_seq },
                Told::Refused(BusRefusal::LogReplaced) => Word::Replaced,
                Told::Done(_) | Told::Refused(_) | Told::Unknown => return told,
            };
            let asked_for_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let belief = doubt.hear(word, 1, time::Duration::from_ms(asked_for_ms));
            match (belief, told) {
                (Belief::Lost { from }, Told::Refused(BusRefusal::LogRewound { after, .. })) => {
                    return Told::Refused(BusRefusal::LogRewound { after, last_seq: from - 1 });
                }
                (Belief::Lost { .. }, told) => return told,
                (_, told) if self.chunks.is_closed() => return told,
                (_, _) => {}
            }
            self.standing.send_modify(|standing| standing.trouble = Some(Trouble::Unreachable));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn consumer(&self) -> Told<Consumer<Config>> {
        let name = self.nats.stream_name();
        let start_sequence = self.last.as_ref().map_or(self.after + 1, |last| last.seq);
        let config = Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..Config::default()
        };
        match self.nats.managed(self.nats.jetstream.create_consumer_on_stream(config, &name)).await {
            Told::Done(Ok(consumer)) => Told::Done(consumer),
            Told::Done(Err(error)) => match error.kind() {
                ConsumerErrorKind::JetStream(server) => Told::Refused(refusal_of(&server, &name)),
                ConsumerErrorKind::TimedOut
                | ConsumerErrorKind::Request
                | ConsumerErrorKind::InvalidConsumerType
                | ConsumerErrorKind::InvalidName
                | ConsumerErrorKind::Other => unanswered(&error),
            },
            Told::Refused(refusal) => Told::Refused(refusal),
            Told::Unknown => Told::Unknown,
        }
    }

    async fn follow(&mut self, mut feed: Feed) -> End {
        loop {
            if feed.outstanding < PULL_MESSAGES / 2 && !feed.pull().await {
                return End::Again("the request for messages did not leave");
            }
            let first = tokio::select! {
                biased;
                message = feed.mail.next() => message,
                () = another_connection(&mut feed.health, feed.connects) => return End::Again("the connection is another one"),
                () = self.chunks.closed() => return End::Closed,
                () = tokio::time::sleep(SILENCE_MAX) => return End::Again("not even a heartbeat came"),
            };
            let (chunk, end) = self.gather(&mut feed, first);
            if !chunk.is_empty() {
                feed.last_message = Instant::now();
                if feed.outstanding < PULL_MESSAGES / 2 && !feed.pull().await {
                    tracing::debug!("the request for further messages did not leave");
                }
                if self.chunks.send(chunk).await.is_err() {
                    return End::Closed;
                }
            } else if feed.last_message.elapsed() > STALL_CHECK {
                feed.last_message = Instant::now();
                match self.look_patiently().await {
                    Told::Done(state) if state.last_seq > self.after => return End::Again("the delivery stands still"),
                    Told::Done(state) => self.standing.send_modify(|standing| standing.log = Some(state)),
                    Told::Refused(refusal) => return End::Refused(refusal),
                    Told::Unknown => return End::Again("the log does not answer"),
                }
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Takes what lies ready, at most one pull's worth.
    fn gather(&mut self, feed: &mut Feed, first: Option<Message>) -> (Vec<LogMessage>, Option<End>) {
        let mut chunk = Vec::new();
        let mut next = first;
        let mut pending = 0;
        let end = loop {
            let Some(message) = next else {
                break Some(End::Again("the subscription ended"));
            };
            match feed.take(message) {
                Taken::Entry(entry, behind) => {
                    pending = behind;
                    if entry.seq > self.after {
                        self.after = entry.seq;
                        self.last = Some(entry.clone());
                        chunk.push(entry);
                    } else if self.last.as_ref().is_some_and(|last| last.seq == entry.seq && *last != entry) {
                        // The tail was lost and has grown again beyond what was read.
                        let (after, last_seq) = (self.after, entry.seq - 1);
                        break Some(End::Refused(BusRefusal::LogRewound { after, last_seq }));
                    }
                }
                Taken::Nothing => {}
                Taken::Broken(why) => break Some(End::Again(why)),
            }
            if chunk.len() >= PULL_MESSAGES {
                break None;
            }
            match tokio::task::unconstrained(feed.mail.next()).now_or_never() {
                Some(message) => next = message,
                None => break None,
            }
        };
        if !chunk.is_empty() {
            self.advance(self.after + pending);
        }
        (chunk, end)
    }

    fn advance(&self, last_seq: u64) {
        self.standing.send_if_modified(|standing| {
            if let Some(log) = &mut standing.log {
                log.last_seq = log.last_seq.max(last_seq);
            }
            false
        });
    }
}

/// Returns when there have been more connections than `connects`.
async fn another_connection(health: &mut watch::Receiver<BusHealth>, connects: u64) {
    while health.changed().await.is_ok() {
        if health.borrow_and_update().connects > connects {
            return;
        }
    }
}
