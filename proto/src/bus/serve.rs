//! Hearing messages, and answering those that want an answer: once, and only to addresses that may have one.

use std::sync::Arc;

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{mpsc, watch};

use super::health::BusHealth;
use super::memory::MemoryClient;
use super::nats::Nats;
use super::told::{BusRefusal, Told};
use crate::codec::{MESSAGE_BYTES_MAX, Refusal, decode, encode};
use crate::envelope::Envelope;
use crate::subject::{Subject, Topic};

/// A subscription. Messages that are not taken in time are dropped, oldest kept; `BusHealth::slow_consumer` counts it.
#[derive(Debug)]
pub struct Inbox {
    source: Source,
    reply_prefix: Option<String>,
}

#[derive(Debug)]
enum Source {
    Nats {
        subscriber: Subscriber,
        filter: String,
        health: watch::Receiver<BusHealth>,
        /// Refusals before this subscription; they are about earlier ones.
        denials_before: u64,
        nats: Arc<Nats>,
    },
    Memory {
        receiver: mpsc::Receiver<Heard>,
        client: MemoryClient,
    },
}

/// A message on its way to an inbox.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) subject: String,
    pub(super) payload: Bytes,
    pub(super) reply_to: Option<String>,
}

/// One message that was heard.
#[derive(Debug)]
pub struct Incoming {
    pub subject: String,
    /// As it came; see [`Incoming::envelope`].
    pub payload: Bytes,
    /// Where the sender waits for an answer.
    pub reply_to: Option<String>,
    answer: Answer,
}

#[derive(Debug)]
struct Answer {
    prefix: Option<String>,
    client: Client,
}

#[derive(Debug)]
enum Client {
    Nats(Arc<Nats>),
    Memory(MemoryClient),
}

impl Inbox {
    /// `health` must watch from before the subscription left.
    pub(super) fn nats(
        subscriber: Subscriber,
        filter: String,
        health: watch::Receiver<BusHealth>,
        denials_before: u64,
        nats: Arc<Nats>,
        reply_prefix: Option<String>,
    ) -> Self {
        Self { source: Source::Nats { subscriber, filter, health, denials_before, nats }, reply_prefix }
    }

    pub(super) const fn memory(
        receiver: mpsc::Receiver<Heard>,
        client: MemoryClient,
        reply_prefix: Option<String>,
    ) -> Self {
        Self { source: Source::Memory { receiver, client }, reply_prefix }
    }

    /// The next message; `None` when the connection is closed for good or the bus forbids this subscription.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Incoming> {
        let prefix = self.reply_prefix.clone();
        match &mut self.source {
            Source::Nats { subscriber, filter, health, denials_before, nats } => loop {
                tokio::select! {
                    biased;
                    message = subscriber.next() => {
                        let message = message?;
                        let answer = Answer { prefix, client: Client::Nats(Arc::clone(nats)) };
                        let reply_to = message.reply.map(|subject| subject.to_string());
                        let subject = message.subject.to_string();
                        return Some(Incoming { subject, payload: message.payload, reply_to, answer });
                    }
                    changed = health.changed() => {
                        changed.ok()?;
                        let seen = health.borrow_and_update();
                        let newer = usize::try_from(seen.denials_total - *denials_before).unwrap_or(usize::MAX);
                        let denied = seen.denials.iter().rev().take(newer).any(|denial| {
                            denial.subscription && denial.subject == *filter
                        });
                        drop(seen);
                        if denied {
                            return None;
                        }
                    }
                }
            },
            Source::Memory { receiver, client } => {
                let Heard { subject, payload, reply_to } = receiver.recv().await?;
                let answer = Answer { prefix, client: Client::Memory(client.clone()) };
                Some(Incoming { subject, payload, reply_to, answer })
            }
        }
    }
}

impl Incoming {
    /// What the address means.
    pub fn topic(&self) -> Result<Topic, Refusal> {
        match self.subject.parse::<Subject>() {
            Ok(subject) => Ok(subject.topic),
            Err(_) => Err(Refusal::WrongSubject { subject: self.subject.clone() }),
        }
    }

    /// The envelope in it, within the caps.
    pub fn envelope(&self) -> Result<Envelope, Refusal> {
        decode(&self.payload, MESSAGE_BYTES_MAX)
    }

    /// Answers. Done means that the answer was handed to the link, not that it arrived. Refused when nobody waits, or when
    /// the address lies outside the served prefix: answering there would write in this client's name where the asker may not.
    pub async fn reply(&self, answer: &Envelope) -> Told<()> {
        let address = self.reply_to.clone().unwrap_or_default();
        let allowed = self.answer.prefix.as_ref().is_some_and(|prefix| {
            address.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
        });
        if !allowed {
            return Told::Refused(BusRefusal::ReplySubject { subject: address });
        }
        let payload = encode(answer);
        if payload.len() > MESSAGE_BYTES_MAX {
            return Told::Refused(BusRefusal::TooLong { bytes: payload.len(), max: MESSAGE_BYTES_MAX });
        }
        let sent = match &self.answer.client {
            Client::Nats(nats) => nats.is_up() && nats.send_plain(address, payload.into()).await,
            Client::Memory(client) => client.reply(&address, payload.into()),
        };
        if sent { Told::Done(()) } else { Told::Unknown }
    }
}
