//! Publishing facts: in order, many under way at once, each with its id for the log's own duplicate check, each with a deadline.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::mailbox::{Letter, Slot};
use super::nats::{Nats, refusal_of};
use super::told::{BusRefusal, Published, Told};
use crate::codec::{FACT_BYTES_MAX, encode};
use crate::envelope::Envelope;
use crate::subject::Subject;

/// Facts that may be under way at the same time.
pub const PUBLISH_WINDOW: usize = 64;

/// How long the log may take to confirm one fact.
pub(super) const CONFIRM_MAX: Duration = Duration::from_secs(5);

/// A fact that left and is not confirmed yet.
struct UnderWay {
    slot: Slot,
    until: Instant,
    bytes: usize,
}

/// One result per fact, in order. After the first fact that is not done no further one is sent: the rest is unknown,
/// which for those that never left is true enough, as repeating them under their ids is harmless.
pub(super) async fn publish(nats: &Nats, subject: &Subject, facts: &[Envelope]) -> Vec<Told<Published>> {
    let subject = subject.to_string();
    let mut results = Vec::with_capacity(facts.len());
    let mut under_way = VecDeque::with_capacity(PUBLISH_WINDOW.min(facts.len()));
    let mut stopped = None;
    let connects = nats.connects();
    for fact in facts {
        // What is under way may be lost with the connection; what follows must not overtake it on the next one.
        if nats.connects() != connects {
            break;
        }
        while under_way.len() >= PUBLISH_WINDOW {
            settle_oldest(nats, &subject, &mut under_way, &mut results).await;
        }
        if !results.iter().rev().take(PUBLISH_WINDOW).all(Told::is_done) {
            break;
        }
        match send(nats, &subject, fact).await {
            Ok(sent) => under_way.push_back(sent),
            Err(told) => {
                stopped = Some(told);
                break;
            }
        }
    }
    while !under_way.is_empty() {
        settle_oldest(nats, &subject, &mut under_way, &mut results).await;
    }
    results.extend(stopped);
    results.resize(facts.len(), Told::Unknown);
    results
}

async fn send(nats: &Nats, subject: &str, fact: &Envelope) -> Result<UnderWay, Told<Published>> {
    let payload = encode(fact);
    let bytes = payload.len();
    if bytes > FACT_BYTES_MAX {
        return Err(Told::Refused(BusRefusal::TooLong { bytes, max: FACT_BYTES_MAX }));
    }
    if !nats.is_up() {
        return Err(Told::Unknown);
    }
    let slot = nats.mailbox.open(subject).ok_or(Told::Unknown)?;
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, fact.id.to_string());
    if nats.send(subject, &slot, Some(headers), payload.into()).await {
        Ok(UnderWay { slot, until: Instant::now() + CONFIRM_MAX, bytes })
    } else {
        Err(Told::Unknown)
    }
}

async fn settle_oldest(
    nats: &Nats,
    subject: &str,
    under_way: &mut VecDeque<UnderWay>,
    results: &mut Vec<Told<Published>>,
) {
    if let Some(mut sent) = under_way.pop_front() {
        let letter = tokio::time::timeout_at(sent.until, sent.slot.answer()).await;
        results.push(match letter {
            Err(_) | Ok(None) => Told::Unknown,
            Ok(Some(Letter::Denied)) => Told::Refused(BusRefusal::NotPermitted { subject: subject.to_owned() }),
            Ok(Some(Letter::Message(message))) => confirmation(&message, &nats.stream_name(), sent.bytes),
        });
    }
}

/// "No responders" is a certain no: the server itself says that no log took the message.
fn confirmation(message: &async_nats::Message, stream: &str, bytes: usize) -> Told<Published> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Told::Refused(BusRefusal::NoLog { stream: stream.to_owned() });
    }
    match serde_json::from_slice::<Response<PublishAck>>(&message.payload) {
        Ok(Response::Ok(ack)) => Told::Done(Published { seq: ack.sequence, duplicate: ack.duplicate }),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
            Told::Refused(BusRefusal::TooLong { bytes, max: FACT_BYTES_MAX })
        }
        Ok(Response::Err { error }) => Told::Refused(refusal_of(&error, stream)),
        Err(error) => {
            tracing::warn!(%error, "the log's confirmation cannot be read; the fact counts as unknown");
            Told::Unknown
        }
    }
}
