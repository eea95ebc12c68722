//! Everything the coordinator hears beside the log, checked and turned into events; what is wrong is counted by name.

use std::time::Duration;

use landfall_proto::bus::{Bus, Disconnects, Inbox, Incoming, Told};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, Refusal, decode};
use landfall_proto::command::Answer;
use landfall_proto::control::{ASK_PLACE, REQUEST_KIND, Request};
use landfall_proto::envelope::Envelope;
use landfall_proto::id::{CommandId, NodeId};
use landfall_proto::live::{BEACON_KIND, BEAT_KIND, Beacon, Beat, PRESENCE_KIND, PROGRESS_KIND, Presence};
use landfall_proto::report::Progress;
use landfall_proto::subject::{Filter, Role, Subject, Topic};
use landfall_proto::version::is_readable;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::ask;
use super::asker::Asker;
use super::look::Look;

/// Events that wait for the loop. Behind it stand the inboxes, which drop what nobody takes in time: all of it is repeated.
pub(super) const EVENTS_MAX: usize = 4096;

/// Pause before a subscription that ended is taken again.
const AGAIN: Duration = Duration::from_secs(1);

/// What happens to the coordinator beside the log.
#[derive(Debug)]
pub(super) enum Event {
    Heard(Beat),
    Led(Beacon),
    Present(Presence),
    Saw(Look),
    Gone(NodeId),
    Moved(Progress),
    Asked(Asker, Request),
    Answered(CommandId, Option<Answer>),
    /// A message that is not accepted, by name.
    Refused(&'static str),
}

/// Subscribes to everything, each in a task of its own.
pub(super) fn listen(bus: &Bus, events: &mpsc::Sender<Event>) {
    let cluster = bus.cluster();
    let beacon = Subject::new(cluster, Topic::Beacon).to_string();
    for filter in [Filter::Beats.of(cluster), Filter::Live.of(cluster), Filter::Control.of(cluster), beacon] {
        tokio::spawn(hear(bus.clone(), filter, Role::Operator, events.clone()));
    }
    let peers = ask::subject(bus, ASK_PLACE).to_string();
    tokio::spawn(hear(bus.clone(), peers, Role::Coordinator, events.clone()));
}

/// Passes on whose client went away, where the bus says so.
pub(super) async fn watch(mut disconnects: Disconnects, events: mpsc::Sender<Event>) {
    while let Some(node) = disconnects.next().await {
        if events.send(Event::Gone(node)).await.is_err() {
            return;
        }
    }
    tracing::warn!("the bus no longer reports disconnects; silent nodes are noticed by their missing beats");
}

async fn hear(bus: Bus, filter: String, from: Role, events: mpsc::Sender<Event>) {
    while !events.is_closed() {
        match bus.serve(&filter, &from).await {
            Told::Done(inbox) => pass_on(inbox, &events).await,
            Told::Refused(refusal) => tracing::error!(filter, %refusal, "the bus forbids a subscription"),
            Told::Unknown => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn pass_on(mut inbox: Inbox, events: &mpsc::Sender<Event>) {
    loop {
        // A subscription that outlives its loop would receive every request a second time, and the bus, which allows one
        // reply to each, would refuse the only one that is given.
        let message = tokio::select! {
            () = events.closed() => return,
            message = inbox.next() => message,
        };
        let Some(message) = message else { return };
        let event = match read(message) {
            Ok(event) => event,
            Err(refusal) => {
                tracing::debug!(%refusal, "a message is refused");
                Event::Refused(refusal.name())
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn read(message: Incoming) -> Result<Event, Refusal> {
    let topic = message.topic()?;
    let envelope = message.envelope()?;
    if !is_readable(envelope.protocol) {
        return Err(Refusal::Protocol { protocol: envelope.protocol });
    }
    match topic {
        Topic::Beat(node) => beat(&node, &envelope).map(Event::Heard),
        Topic::Live(node, run) => {
            let progress: Progress = body(&envelope, PROGRESS_KIND)?;
            same_writer(node.as_str(), &envelope.writer)?;
            same_writer(&run.to_string(), &progress.run.to_string())?;
            Ok(Event::Moved(progress))
        }
        Topic::Beacon if envelope.kind == PRESENCE_KIND => {
            let presence: Presence = body(&envelope, PRESENCE_KIND)?;
            same_writer(presence.holder.as_str(), &envelope.writer)?;
            Ok(Event::Present(presence))
        }
        Topic::Beacon => {
            let beacon: Beacon = body(&envelope, BEACON_KIND)?;
            same_writer(beacon.holder.as_str(), &envelope.writer)?;
            Ok(Event::Led(beacon))
        }
        Topic::Control(verb) => {
            let request: Request = body(&envelope, REQUEST_KIND)?;
            if verb != ASK_PLACE && request.verb() != verb {
                return Err(Refusal::WrongKind { kind: request.verb().to_owned() });
            }
            Ok(Event::Asked(Asker::Bus(message), request))
        }
        Topic::NodeFact(_) | Topic::CoordinatorFact(_) | Topic::Command(_) | Topic::Sync(_) | Topic::Out(..) => {
            Err(Refusal::WrongSubject { subject: message.subject })
        }
    }
}

fn beat(node: &NodeId, envelope: &Envelope) -> Result<Beat, Refusal> {
    let beat: Beat = body(envelope, BEAT_KIND)?;
    same_writer(node.as_str(), &envelope.writer)?;
    same_writer(node.as_str(), beat.node.as_str())?;
    Ok(beat)
}

fn body<T: DeserializeOwned>(envelope: &Envelope, kind: &str) -> Result<T, Refusal> {
    if envelope.kind == kind {
        decode(&envelope.body, MESSAGE_BYTES_MAX)
    } else {
        Err(Refusal::WrongKind { kind: envelope.kind.chars().take(80).collect() })
    }
}

fn same_writer(subject: &str, claimed: &str) -> Result<(), Refusal> {
    if subject == claimed {
        Ok(())
    } else {
        let bounded = |text: &str| text.chars().take(80).collect();
        Err(Refusal::WrongWriter { claimed: bounded(claimed), subject: bounded(subject) })
    }
}
