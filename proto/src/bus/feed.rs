//! One life of the log's consumer: what was asked for, and what has come.

use std::time::Duration;

use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::{BatchConfig, Config};
use async_nats::{Message, StatusCode, Subscriber};
use tokio::sync::watch;
use tokio::time::Instant;

use super::health::BusHealth;
use super::log::timestamp;
use super::place::Place;
use super::reader::LogMessage;

/// Messages asked for at once. The next request leaves when half of them have come, so that the server never waits.
pub(super) const PULL_MESSAGES: usize = 400;

/// How long a request waits at the server before it is made again.
const PULL_WAIT: Duration = Duration::from_secs(30);

/// How often the server says "still here" while a request waits.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Where the server says how much of a request is left.
const PENDING_HEADER: &str = "Nats-Pending-Messages";

/// One life of a consumer.
pub(super) struct Feed {
    pub(super) consumer: Consumer<Config>,
    pub(super) mail: Subscriber,
    pub(super) inbox: String,
    /// Messages that were asked for and have not come.
    pub(super) outstanding: usize,
    /// The consumer's own count; a gap in it means that a message was dropped on this side.
    pub(super) delivered: u64,
    /// Connections at its start: after another one the server does not know it any more.
    pub(super) connects: u64,
    pub(super) health: watch::Receiver<BusHealth>,
    pub(super) last_message: Instant,
}

/// What a message of a feed is.
pub(super) enum Taken {
    /// With the number of messages that the consumer still holds behind it.
    Entry(LogMessage, u64),
    Nothing,
    Broken(&'static str),
}

impl Feed {
    pub(super) async fn pull(&mut self) -> bool {
        let request = BatchConfig {
            batch: PULL_MESSAGES,
            expires: Some(PULL_WAIT),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        let sent = self.consumer.request_batch(request, self.inbox.clone().into());
        let left = matches!(tokio::time::timeout(super::nats::API_MAX, sent).await, Ok(Ok(())));
        if left {
            self.outstanding += PULL_MESSAGES;
        }
        left
    }

    pub(super) fn take(&mut self, message: Message) -> Taken {
        match message.status {
            Some(StatusCode::IDLE_HEARTBEAT) => return Taken::Nothing,
            Some(_) => return self.take_status(&message),
            None => {}
        }
        let Some(place) = message.reply.as_deref().and_then(Place::read) else {
            return Taken::Broken("a message without a place in the log");
        };
        if place.delivery != self.delivered + 1 {
            return Taken::Broken("a message was dropped on the way");
        }
        self.delivered = place.delivery;
        self.outstanding = self.outstanding.saturating_sub(1);
        let subject = message.subject.to_string();
        let time = timestamp(i128::from(place.nanoseconds));
        Taken::Entry(LogMessage { seq: place.seq, subject, payload: message.payload, time }, place.pending)
    }

    /// A request that ended tells how much of it is left; every other word of the server ends this consumer.
    fn take_status(&mut self, message: &Message) -> Taken {
        let left = message.headers.as_ref().and_then(|headers| headers.get(PENDING_HEADER));
        match left.and_then(|left| left.as_str().parse::<usize>().ok()) {
            Some(left) => {
                self.outstanding = self.outstanding.saturating_sub(left);
                Taken::Nothing
            }
            None => Taken::Broken("the server ended the request"),
        }
    }
}
