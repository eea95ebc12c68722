//! Asking one question and waiting a bounded time for one answer.

use std::time::Duration;

use async_nats::StatusCode;

use super::mailbox::Letter;
use super::nats::Nats;
use super::told::{BusRefusal, Told};
use crate::codec::{MESSAGE_BYTES_MAX, decode, encode};
use crate::envelope::Envelope;
use crate::subject::Subject;

/// Unknown after `timeout`, when the link breaks, or when the answer cannot be read: the question may have been heard.
/// Refused when the server says that nobody listens or that this client may not ask: then nobody heard it.
pub(super) async fn request(nats: &Nats, subject: &Subject, question: &Envelope, timeout: Duration) -> Told<Envelope> {
    let payload = encode(question);
    if payload.len() > MESSAGE_BYTES_MAX {
        return Told::Refused(BusRefusal::TooLong { bytes: payload.len(), max: MESSAGE_BYTES_MAX });
    }
    if !nats.is_up() {
        return Told::Unknown;
    }
    let subject = subject.to_string();
    let Some(mut slot) = nats.mailbox.open(&subject) else {
        return Told::Unknown;
    };
    let exchange = async {
        if !nats.send(&subject, &slot, None, payload.into()).await {
            return None;
        }
        slot.answer().await
    };
    match tokio::time::timeout(timeout, exchange).await {
        Err(_) | Ok(None) => Told::Unknown,
        Ok(Some(Letter::Denied)) => Told::Refused(BusRefusal::NotPermitted { subject }),
        Ok(Some(Letter::Message(message))) if message.status == Some(StatusCode::NO_RESPONDERS) => {
            Told::Refused(BusRefusal::NobodyListens { subject })
        }
        Ok(Some(Letter::Message(message))) => match decode(&message.payload, MESSAGE_BYTES_MAX) {
            Ok(answer) => Told::Done(answer),
            Err(refusal) => {
                tracing::warn!(%refusal, subject, "an answer cannot be read");
                Told::Unknown
            }
        },
    }
}
