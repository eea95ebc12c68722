//! Asking the leader over the bus: the operator's tool does it, and a coordinator that stands by.

use std::time::Duration;

use landfall_proto::bus::{Bus, Told};
use landfall_proto::codec::encode;
use landfall_proto::control::{REQUEST_KIND, Request};
use landfall_proto::envelope::Envelope;
use landfall_proto::subject::{Subject, Topic};
use landfall_proto::version::PROTOCOL;

use super::clock;

/// Longest wait for an answer to one question.
const ANSWER_WITHIN: Duration = Duration::from_millis(2500);

/// How often a question is asked. A coordinator that has just begun, and does not know yet whether another one leads, leaves
/// it unanswered. Acts carry ids of their own, so that asking twice is asking once.
const TRIES: u32 = 4;

/// The subject at `place` below the control subjects.
pub fn subject(bus: &Bus, place: &str) -> Subject {
    Subject::new(bus.cluster(), Topic::Control(place.to_owned()))
}

/// The leader's answer to a request at `place`, in the name of `writer`.
pub async fn ask(bus: &Bus, place: &str, writer: &str, request: &Request) -> Told<Envelope> {
    let envelope = Envelope {
        protocol: PROTOCOL,
        kind: REQUEST_KIND.to_owned(),
        id: clock::command_id().0,
        writer: writer.to_owned(),
        incarnation: clock::incarnation(),
        seq: 0,
        sent_at: clock::now(),
        body: encode(request),
    };
    let subject = subject(bus, place);
    let mut told = Told::Unknown;
    for _ in 0..TRIES {
        told = bus.request(&subject, &envelope, ANSWER_WITHIN).await;
        if !told.is_unknown() {
            break;
        }
    }
    told
}
