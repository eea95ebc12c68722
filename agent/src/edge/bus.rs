//! What comes in from the bus: commands, beacons, synchronisation. Each is checked before the core hears of it.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::bus::{Bus, Inbox, Incoming, SignatureError, Told, verify};
use landfall_proto::codec::{MESSAGE_BYTES_MAX, decode, encode};
use landfall_proto::command::{ANSWER_KIND, Answer, COMMAND_KIND, Refused, SignedCommand};
use landfall_proto::envelope::{Envelope, Epoch};
use landfall_proto::id::{Incarnation, NodeId};
use landfall_proto::live::{BEACON_INTERVAL, BEACON_KIND, Beacon, SYNC_KIND, Sync};
use landfall_proto::subject::{Role, Subject, Topic};
use landfall_proto::version::PROTOCOL;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::clock;
use super::shell::{Inputs, Wake};
use crate::core::Input;

/// An answer has to be on its way within two seconds.
const ANSWER_MAX: Duration = Duration::from_millis(1900);

/// Commands that are worked on at the same time; the bus keeps the others.
const COMMANDS_MAX: usize = 64;

/// A beacon after so long a silence is taken for a new leader's: while it lasted, beats were not heard either.
const SILENCE: Duration = Duration::from_millis(3 * BEACON_INTERVAL.as_ms());

/// Before a subscription that ended is taken again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The bus as this node uses it.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) bus: Bus,
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) trusted: Arc<[String]>,
    /// Wakes the beat: a leader is there who may never have heard of this node.
    pub(super) greet: Arc<Notify>,
}

impl Port {
    /// Sends a message that may be lost.
    pub(super) fn tell<T: Serialize>(&self, topic: Topic, kind: &str, body: &T) {
        let subject = Subject::new(self.bus.cluster(), topic);
        self.bus.tell(&subject, &self.envelope(kind, encode(body)));
    }

    fn envelope(&self, kind: &str, body: Vec<u8>) -> Envelope {
        Envelope {
            protocol: PROTOCOL,
            kind: kind.to_owned(),
            id: Uuid::nil(),
            writer: self.node.to_string(),
            incarnation: self.incarnation,
            seq: 0,
            sent_at: clock::now(),
            body,
        }
    }

    fn subject(&self, topic: Topic) -> String {
        Subject::new(self.bus.cluster(), topic).to_string()
    }

    async fn inbox(&self, subject: &str, askers: Option<&Role>) -> Inbox {
        loop {
            let told = match askers {
                Some(askers) => self.bus.serve(subject, askers).await,
                None => self.bus.listen(subject).await,
            };
            match told {
                Told::Done(inbox) => return inbox,
                Told::Refused(refusal) => tracing::warn!("the bus does not let this node hear {subject}: {refusal}"),
                Told::Unknown => {}
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// Answers commands for ever.
pub(super) async fn serve_commands(port: Port, inputs: Inputs) {
    let subject = port.subject(Topic::Command(port.node.clone()));
    let room = Arc::new(Semaphore::new(COMMANDS_MAX));
    loop {
        let mut inbox = port.inbox(&subject, Some(&Role::Coordinator)).await;
        while let Some(incoming) = inbox.next().await {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let (port, inputs) = (port.clone(), inputs.clone());
            tokio::spawn(async move {
                answer(&port, &inputs, incoming).await;
                drop(permit);
            });
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Hears beacons for ever.
pub(super) async fn hear_beacons(port: Port, inputs: Inputs) {
    let subject = port.subject(Topic::Beacon);
    let mut known: Option<(Epoch, Instant)> = None;
    loop {
        let mut inbox = port.inbox(&subject, None).await;
        while let Some(incoming) = inbox.next().await {
            if let Some(beacon) = read::<Beacon>(&incoming, BEACON_KIND) {
                let is_known = known.is_some_and(|(epoch, at)| epoch == beacon.epoch && at.elapsed() < SILENCE);
                if !is_known {
                    port.greet.notify_one();
                }
                known = Some((beacon.epoch, Instant::now()));
                inputs.offer(Wake::Input(Input::Heard(beacon)));
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Hears synchronisation for ever.
pub(super) async fn hear_syncs(port: Port, inputs: Inputs) {
    let subject = port.subject(Topic::Sync(port.node.clone()));
    loop {
        let mut inbox = port.inbox(&subject, None).await;
        while let Some(incoming) = inbox.next().await {
            if let Some(sync) = read::<Sync>(&incoming, SYNC_KIND) {
                inputs.offer(Wake::Sync(sync));
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Where an answer would not be allowed, nothing is done either: nobody could tell the asker what became of it.
async fn answer(port: &Port, inputs: &Inputs, incoming: Incoming) {
    let wanted = Role::Coordinator.inbox_prefix();
    if !incoming.reply_to.as_ref().is_some_and(|subject| subject.starts_with(&format!("{wanted}."))) {
        tracing::warn!("a command whose answer would go to {:?} is ignored", incoming.reply_to);
        return;
    }
    let answer = match command_in(port, &incoming) {
        Err((reason, message)) => {
            tracing::warn!("a command is refused: {message}");
            Answer::Refused { reason, message }
        }
        Ok(command) => {
            let (sender, receiver) = oneshot::channel();
            inputs.send(Wake::Command(Box::new(command), sender)).await;
            match tokio::time::timeout(ANSWER_MAX, receiver).await {
                Ok(Ok(answer)) => answer,
                // No answer is better than a wrong one: the coordinator asks again under the same id.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    if !incoming.reply(&port.envelope(ANSWER_KIND, encode(&answer))).await.is_done() {
        tracing::debug!("an answer could not be sent");
    }
}

fn command_in(port: &Port, incoming: &Incoming) -> Result<landfall_proto::command::Command, (Refused, String)> {
    let malformed = |detail: String| (Refused::Malformed, detail);
    let envelope = incoming.envelope().map_err(|refusal| malformed(refusal.to_string()))?;
    if envelope.kind != COMMAND_KIND {
        return Err(malformed(format!("a message of the kind {:?} is no command", envelope.kind)));
    }
    let signed: SignedCommand =
        decode(&envelope.body, MESSAGE_BYTES_MAX).map_err(|refusal| malformed(refusal.to_string()))?;
    verify(&signed, &port.trusted).map_err(|error| match error {
        SignatureError::Untrusted { .. } | SignatureError::WrongSignature => (Refused::Signature, error.to_string()),
        SignatureError::Unreadable(_) => malformed(error.to_string()),
    })
}

fn read<T: DeserializeOwned>(incoming: &Incoming, kind: &str) -> Option<T> {
    let envelope = incoming.envelope().ok().filter(|envelope| envelope.kind == kind)?;
    decode(&envelope.body, MESSAGE_BYTES_MAX).ok()
}
